// Private to worker/core: the tables of the worker's state machine. Methods are grouped by the file
// that defines them; each of those files starts with the idea that it holds.
//
// A piece is one LocalKey that some attempt needs or that the store has. Attempts and pieces live
// in slots that are reused; an attempt's slot carries a generation so that a waiter entry of a past
// attempt is told apart. Hash tables only answer "which slot": nothing iterates them (DESIGN law
// 1).
#ifndef TASKD_WORKER_CORE_IMPL_H_
#define TASKD_WORKER_CORE_IMPL_H_

#include <compare>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/check.h"
#include "worker/core/units.h"
#include "worker/core/worker_core.h"

namespace taskd::worker {

inline constexpr uint64_t kBusyRetryNs = 50'000'000;  // a peer's request lasts about as long
inline constexpr uint32_t kNoSlot = 0xFFFFFFFFu;

// Smaller first: priority descending, then order, then the reference, which makes it total.
struct Rank {
  int64_t minus_priority = 0;
  uint64_t order = 0;
  AttemptRef ref;
  auto operator<=>(const Rank&) const = default;
};

// Of pieces that no attempt waits for.
inline constexpr Rank kAfterAll = {std::numeric_limits<int64_t>::max(), ~uint64_t{0}, {}};

enum class Phase : uint8_t {
  kUnused = 0,
  kFetching,
  kQueued,
  kRunning,
  kYielded,   // its body waits, without resources
  kResuming,  // it is to go on, and waits for them
};
inline constexpr size_t kPhases = 6;
// Its body is there.
inline bool Begun(Phase phase) { return phase >= Phase::kRunning; }

struct Attempt {
  Phase phase = Phase::kUnused;
  bool kill_sent = false;
  bool submits = false;     // the shell keeps batches of it
  bool early = false;       // these
  bool asking = false;      // batch `submitted`, and has no answer
  bool riding = false;      // what it submitted goes with its outcome
  bool disowned = false;    // of another cluster: nobody hears how it ends
  uint32_t generation = 0;  // of the slot
  Rank rank;                // holds the AttemptRef
  Resources need;
  std::vector<UnitShare> units;  // since it started; given back while it has yielded
  Ordinal first_output = 0;
  uint32_t output_count = 0;
  uint32_t missing = 0;             // entries that it has in waiter lists
  uint32_t submitted = 0;           // batches: held, or early and taken
  uint64_t next_use = kUnknownUse;  // of its outputs
  uint64_t fetched_bytes = 0;
  std::vector<ObjectId> awaits;  // kYielded
  std::vector<uint32_t> pieces;  // pinned; sorted, unique
  // The new cluster used the same reference before our killed one was reaped.
  std::unique_ptr<event::Assign> successor;

  const AttemptRef& ref() const { return rank.ref; }
};

enum class PieceState : uint8_t {
  kUnused = 0,
  kWanted,     // in the queue of a peer
  kInFlight,   // item of a fetch
  kLocal,      // in the store
  kExhausted,  // every holder failed: its waiters are about to end as stuck
  kGone,       // lost from the store; only running attempts still count as users
};

// Of a local piece.
enum class Place : uint8_t { kMemory = 0, kSpilling, kDisk };

struct Candidate {
  WorkerId worker;
  bool bad = false;
  bool missing = false;   // it said so
  SessionId session = 0;  // that named it: a scheduler that has restarted gives names anew
};

struct Waiter {
  uint32_t attempt = 0;
  uint32_t generation = 0;
};

struct Piece {
  PieceState state = PieceState::kUnused;
  bool doomed = false;    // freed while pinned: dropped with its last user
  bool gathered = false;  // ordered for itself: one more user, until it is here
  uint32_t users = 0;     // attempts that pin it
  Place place = Place::kMemory;
  LocalKey key;
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;
  SpillId spill = 0;                // kSpilling
  uint64_t next_use = kUnknownUse;  // order of the task that reads it next
  uint64_t idle_since = 0;          // its number in idle_; 0: not there
  uint32_t waiters_done = 0;        // prefix of `waiters` that has been told
  Rank rank;                        // best of those that ever waited
  WorkerId peer;                    // kWanted: in whose queue
  FetchId fetch = 0;                // kInFlight
  std::vector<Candidate> candidates;
  std::vector<Waiter> waiters;
};

struct Fetch {
  WorkerId peer;          // none: the bytes came with a message, and are on their way to the store
  SessionId session = 0;  // in which it was asked
  uint32_t in_use = 0;    // items whose piece has users
  bool cancelled = false;
  bool abandoned = false;  // asked for another cluster: what arrives is not what its name says now
  std::vector<uint32_t> pieces;
};

// A piece that may go to disk. First comes what nobody reads, then what was read or of which it is not known
// (idle longest first), then what is read last.
struct IdlePiece {
  uint64_t nearness = 0;  // the complement of Piece::next_use
  uint64_t since = 0;
  uint32_t piece = 0;
  auto operator<=>(const IdlePiece&) const = default;
};

struct PieceOrder {
  Rank rank;
  uint32_t piece = 0;
  auto operator<=>(const PieceOrder&) const = default;
};

struct Peer {
  absl::btree_set<PieceOrder> queue;
  uint32_t active = 0;  // requests under way
  uint64_t busy_until = 0;
  std::optional<PieceOrder> ready;  // its entry in ready_
  uint64_t timer = 0;               // its entry in timers_; 0: none
};

// What is left of an event that was cut by the budget. No later event is looked at before it is
// done.
struct Work {
  enum class Kind : uint8_t {
    kFetchItems,
    kArrived,
    kExhausted,
    kLost,
    kReset,
    kInventory,
    kDialogs,
    kOutcomes,
    kStop
  };
  Kind kind = Kind::kArrived;
  uint32_t piece = 0;
  uint32_t cursor = 0;
  event::FetchDone fetch_done;
};

struct Unacked {
  Outcome outcome;
  bool held = false;  // the batches that its attempt submitted go in front of it
};

class WorkerCore::Impl {
 public:
  explicit Impl(const Config& config) : config_(config), units_(config.capacity) {}

  uint64_t Step(uint64_t now_ns, std::span<Event> events, uint32_t budget,
                std::vector<Action>& actions);
  const Counters& counters() const { return counters_; }
  std::string Validate() const;

 private:
  // worker_core.cc: the loop.
  void Handle(Event& event);
  bool Continue(Work& work);  // true: done
  void Spend(uint64_t amount) { budget_ -= static_cast<int64_t>(amount); }
  template <typename A>
  void Emit(A action) {
    actions_->emplace_back(std::move(action));
  }
  bool Current(SessionId session) const { return connected_ && session == session_; }

  // attempts.cc
  void OnAssign(event::Assign& event);
  void Admit(const event::Assign& event);
  void OnRetract(const AttemptRef& ref);
  void OnCancel(const AttemptRef& ref);
  void OnExecDone(event::ExecDone& event);
  void KeepOutputs(const Attempt& attempt, const std::vector<StoredOutput>& outputs);
  void DropOutputs(const Attempt& attempt, const std::vector<StoredOutput>& outputs);
  void StartWhatFits();
  bool FitsNow(const Resources& need) const {
    return need.Fits(config_.capacity, in_use_) && units_.CanGrant(need);
  }
  void Start(uint32_t slot);
  void Enqueue(uint32_t slot);
  void Dequeue(uint32_t slot);
  // Reports `outcome` (its attempt and fetched bytes are filled in), then lets go of the attempt.
  void End(uint32_t slot, Outcome outcome);
  void Report(const Unacked& unacked);
  void EndSilently(uint32_t slot);
  void Remove(uint32_t slot);
  uint32_t FindAttempt(const AttemptRef& ref) const;
  bool Alive(const Waiter& waiter) const {
    return attempts_[waiter.attempt].phase != Phase::kUnused &&
           attempts_[waiter.attempt].generation == waiter.generation;
  }

  // dialog.cc
  void OnExecSubmit(const event::ExecSubmit& event);
  void OnExecYield(event::ExecYield& event);
  void OnSubmitAnswered(const event::SubmitAnswered& event);
  void OnResume(const AttemptRef& ref);
  bool ResumeWhatFits();
  void SendHeld(const AttemptRef& ref, uint32_t batches);
  bool ContinueDialogs(Work& work);

  // pieces.cc
  void PinInputs(uint32_t slot, const event::Assign& event);
  uint32_t PieceFor(const InputObject& object, PartRange parts);
  void AddHolders(Piece& piece, const InputObject& object);
  void AddWaiter(uint32_t index, uint32_t slot);
  void Unpin(uint32_t index);
  void RemoveIfUnused(uint32_t index);
  void BecomeLocal(uint32_t index, uint64_t size_bytes, uint32_t crc32c, bool on_disk);
  void LeaveStore(uint32_t index);
  void MakeEmpty(uint32_t index);
  void OnFree(const ObjectVersion& object);
  void OnReplicaLost(const ObjectVersion& object);
  bool ContinueLost(Work& work);
  bool ContinueArrived(Work& work);
  bool ContinueExhausted(Work& work);
  uint32_t FindPiece(const LocalKey& key) const;
  uint32_t NewPiece(const LocalKey& key);
  void FreePiece(uint32_t index);

  // memory.cc
  void TakePlace(uint32_t index, bool on_disk);
  void LeavePlace(uint32_t index);
  void BecomeIdle(uint32_t index);
  void NotIdle(uint32_t index);
  void SpillWhatMust();
  void StartSpill();
  void OnSpilled(const event::Spilled& event);
  // What memory holds when all that is on its way to disk has arrived there.
  uint64_t StayingBytes() const { return counters_.memory_bytes - spilling_bytes_; }

  // gather.cc
  void OnGather(const event::Gather& event);
  void EndGather(uint32_t index);
  std::vector<BadHolder> BadHolders(const Piece& piece) const;

  // fetch.cc
  void Route(uint32_t index);
  void QueueAt(uint32_t index, WorkerId peer);
  void Unqueue(uint32_t index);
  void Refresh(WorkerId worker);
  void WakePeers();
  void PlanFetches();
  void StartFetch(WorkerId worker);
  void TakeValues(std::vector<uint32_t> pieces, const ValuesRef& values);
  void OnFetchDone(event::FetchDone& event);
  bool ContinueFetchItems(Work& work);
  void OnFetchItem(const Fetch& fetch, uint32_t index, const event::FetchDone::Item& item);
  void CountItem(const Fetch& fetch, const Piece& piece, const event::FetchDone::Item& item);
  void NoLongerUsed(FetchId id);

  // session.cc
  void OnSessionUp(const event::SessionUp& event);
  void OnAckOutcomes(uint64_t sequence);
  void OnShutdown();
  bool ContinueReset(Work& work);
  bool ContinueInventory(Work& work);
  bool ContinueOutcomes(Work& work);
  bool ContinueStop(Work& work);
  void StopWhenIdle();

  // validate.cc
  std::string ValidateAttempts() const;
  std::string ValidatePieces() const;
  std::string ValidatePeers() const;
  std::string ValidateTotals() const;
  std::string ValidateMemory() const;

  const Config config_;
  Counters counters_;

  // Of the step that runs.
  uint64_t now_ns_ = 0;
  int64_t budget_ = 0;
  std::vector<Action>* actions_ = nullptr;

  std::deque<Event> inbox_;
  std::deque<Work> work_;

  // The session.
  SessionId session_ = 0;
  bool connected_ = false;
  WorkerId self_;
  bool stopping_ = false;
  bool stopped_ = false;

  // Attempts.
  std::vector<Attempt> attempts_;
  std::vector<uint32_t> attempts_unused_;
  absl::flat_hash_map<AttemptRef, uint32_t> attempt_index_;
  absl::btree_map<Resources, absl::btree_set<std::pair<Rank, uint32_t>>> queues_;  // by need
  Resources in_use_;
  Units units_;

  // Pieces and requests.
  std::vector<Piece> pieces_;
  std::vector<uint32_t> pieces_unused_;
  absl::flat_hash_map<LocalKey, uint32_t> piece_index_;
  std::map<WorkerId, Peer> peers_;  // nodes stay where they are
  absl::btree_set<std::pair<PieceOrder, WorkerId>>
      ready_;  // peers that may be asked now, by their best piece
  absl::btree_set<std::pair<uint64_t, WorkerId>> timers_;  // busy peers that are to be asked again
  std::map<FetchId, Fetch> fetches_;
  FetchId last_fetch_ = 0;
  uint32_t requests_ = 0;  // fetches under way

  // Memory of the store.
  absl::btree_set<IdlePiece> idle_;  // in memory, and nobody's; empty when there is no budget
  uint64_t last_idle_ = 0;
  uint64_t spilling_bytes_ = 0;
  bool relieving_ = false;  // above the upper mark, and not yet below the lower one
  uint64_t no_spill_before_ns_ = 0;
  std::map<SpillId, std::vector<uint32_t>> spills_;  // under way: their pieces
  SpillId last_spill_ = 0;

  std::deque<AttemptRef> resuming_;  // some may have ended

  // Outcomes not yet acknowledged, by sequence, and their attempts.
  std::deque<Unacked> outcomes_;
  absl::flat_hash_set<AttemptRef> ended_;
  uint64_t last_sequence_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_CORE_IMPL_H_
