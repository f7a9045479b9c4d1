// A worker around its core: session, store, data plane and executors, all simulated. The store maps
// what the worker holds to values; an executor computes its outputs' values from what the store
// really has.
#ifndef TASKD_TESTS_SIM_WORKER_H_
#define TASKD_TESTS_SIM_WORKER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/core/events.h"
#include "tests/sim/plan.h"
#include "tests/sim/values.h"
#include "worker/core/worker_core.h"

namespace taskd::sim {

class World;

class SimWorker {
 public:
  SimWorker(World& world, uint32_t index);

  // --- the process
  void Start();
  // Everything in memory is gone. `stream_told`: the kernel closes its stream.
  void Crash(bool stream_told);
  void Shutdown();
  bool alive() const { return core_ != nullptr; }
  bool connected() const { return alive() && up_; }
  bool stopping() const { return stopping_; }
  uint64_t life() const { return life_; }
  WorkerId id() const { return id_; }
  scheduler::StreamId stream() const { return stream_; }
  uint64_t incarnation() const { return incarnation_; }
  uint64_t ends_at() const { return ends_at_; }  // 0: never
  void SetSlow(uint64_t factor) { slow_ = factor; }
  void SetDiskFull(bool full) { disk_full_ = full; }
  // The process stands still: nothing of it happens before that time.
  void PauseUntil(uint64_t time);

  // --- from the network
  void OnWelcome(scheduler::StreamId stream, WorkerId id);
  void OnAssign(scheduler::StreamId stream, worker::event::Assign assign);
  void OnGather(scheduler::StreamId stream, worker::event::Gather gather);
  void OnFree(scheduler::StreamId stream, const ObjectVersion& id);
  // Of what a body gets: where it is (without a version: to come), or that it will never be.
  void OnFound(scheduler::StreamId stream, uint64_t token, worker::event::Gather where, bool never);
  void Retire();
  void SetBad(bool bad) { bad_ = bad; }
  void OnStreamClosed(scheduler::StreamId stream);
  void Post(worker::Event event);

  // --- the store
  struct Blob {
    uint64_t value = 0;  // of the whole object, also when only parts of it are here
    uint64_t size_bytes = 0;
    bool told = true;  // false: fetched, and no message has named it
    bool on_disk = false;
    uint64_t serial = 0;  // tells it from an earlier one of the same key
  };
  const std::map<worker::LocalKey, Blob>& store() const { return store_; }
  const Blob* FindBlob(const worker::LocalKey& key) const;
  // One of the whole replicas goes. False: it has none.
  bool LoseReplica(uint64_t random, bool noticed);
  void LoseReplica(const ObjectVersion& id);  // if it has one
  // Its bytes change: whoever reads them sees a wrong checksum.
  bool DamageReplica(uint64_t random);
  // The only replica of something that is needed; false: it has no such.
  bool LoseSoleReplica(uint64_t random, bool noticed);
  void NoticeVanished();
  void NoticeVanished(const ObjectVersion& id);

  // "" when nothing is left of past work, else what is.
  std::string Leaks() const;
  const worker::Counters& counters() const { return core_->counters(); }
  uint64_t store_budget() const;  // 0: no limit
  size_t running() const { return execs_.size(); }
  std::string Line() const;

 private:
  struct Exec {
    std::vector<worker::LocalKey> reads;
    Resources need;
    uint64_t digest = 0;
    uint64_t started_ns = 0;
    uint32_t submitted = 0;  // batches
    bool asking = false;     // has no answer to the last one
    JobId child = 0;         // what it submits early
    bool stubborn = false;   // was told to end, and does not hear
    bool waits = false;      // without resources
    bool waited = false;
    bool refused = false;      // it is over, and does not know yet
    uint32_t gets = 0;         // under way
    uint64_t waiting_get = 0;  // for which it waits
  };
  // What the shell keeps of an attempt.
  struct Assigned {
    Assignment assignment;
    uint32_t plan = 0;  // its job's
  };
  // An object that a body asks for while it runs.
  struct Get {
    AttemptRef attempt;
    ObjectId object;
    uint32_t plan = 0;        // its job's
    ObjectVersion gathering;  // version 0: not yet
    uint64_t retry_ns = 0;    // when to look again; 0: an answer comes
    uint64_t tries = 0;
  };
  using Gets = std::map<uint64_t, Get>;
  struct Fetch {
    uint32_t peer_index = 0;
    uint64_t peer_incarnation = 0;
    WorkerId peer;
    std::vector<worker::LocalKey> items;
  };

  void Connect();
  uint64_t LeftNs() const;
  void Heartbeat();
  void SendReport();
  template <typename T>
  void Report(uint32_t order, std::vector<T> scheduler::event::WorkerReport::*list, T item);
  void StepAt(uint64_t time);
  void Step();
  void Carry(worker::Action& action);
  void CarrySend(worker::Action& action);
  // A callback that is forgotten when the process dies.
  void After(uint64_t delay, std::function<void()> call);

  void StartExec(const AttemptRef& attempt);
  bool ReadInputs(const Assignment& assignment, Exec& exec);
  void EndExec(const AttemptRef& attempt, bool killed);
  void FailExec(const AttemptRef& attempt, FailureClass failure);
  void KillExec(const AttemptRef& attempt);
  worker::event::ExecDone FinishExec(const AttemptRef& attempt, const Exec& exec);
  uint64_t OutputBytes(const AttemptRef& attempt) const;
  void PostExecDone(worker::event::ExecDone done);
  void CheckResources();
  const JobPlan& PlanOf(const AttemptRef& attempt) const;
  void Submit(const AttemptRef& attempt);
  bool IsSubmitting(const AttemptRef& attempt);
  bool IsWaiting(const AttemptRef& attempt);
  void ResumeExec(const AttemptRef& attempt);
  void SendSubmission(const worker::action::SendSubmit& a);

  Ordinal DrawGet(const JobPlan& job, Ordinal end);
  void GetSome(const AttemptRef& attempt, uint32_t plan, ObjectId end);
  void GetOfChild(const AttemptRef& attempt, const Exec& exec);
  void LookUp(uint64_t token, Get& get);
  void LookUpAll();
  void OnReplica(const ObjectVersion& id);
  void ReadFor(const ObjectVersion& id);
  void OnGatherFailed(const ObjectVersion& id);
  Gets::iterator EndGet(Gets::iterator get);
  void ReleaseGets(const AttemptRef& attempt);

  void StartFetch(const worker::action::StartFetch& action);
  void FinishFetch(worker::FetchId fetch, bool cancelled);
  void Lose(const worker::LocalKey& key, bool noticed);
  // True: on disk. What is over the budget goes there at once.
  bool PutBlob(const worker::LocalKey& key, Blob blob);
  void PutEmpty(const worker::LocalKey& key);
  void PutValues(const worker::action::PutValues& put);
  void NoteValues(const Outcome& outcome);
  bool HasRoom(uint64_t bytes) const;
  void StartSpill(const worker::action::Spill& spill);
  void FinishSpill(worker::SpillId id,
                   const std::vector<std::pair<worker::LocalKey, uint64_t>>& items);
  const worker::LocalKey* PickWhole(uint64_t random) const;
  void CheckFetchLimits(const worker::action::StartFetch& action);
  void Drop(const worker::LocalKey& key);
  void Told(const ObjectVersion& id);
  void NoteAddresses(const InputObject& input);
  void MutateOutcome(Outcome& outcome);

  World& world_;
  const uint32_t index_;
  const Resources capacity_;
  Prng rng_;
  std::string name_;

  std::unique_ptr<worker::WorkerCore> core_;
  uint64_t life_ = 0;  // grows with every start and every end
  uint64_t incarnation_ = 0;
  uint64_t ends_at_ = 0;
  uint64_t slow_ = 1;
  bool bad_ = false;  // every body that ends fails
  bool stopping_ = false;
  bool disk_full_ = false;
  uint64_t paused_until_ = 0;
  WorkerId id_;
  scheduler::StreamId stream_ = 0;  // 0: none
  bool up_ = false;                 // welcomed

  std::deque<worker::Event> inbox_;
  bool work_left_ = false;
  uint64_t next_step_ = worker::kNever;
  uint64_t steps_ = 0;
  std::vector<worker::Action> actions_;
  scheduler::event::WorkerReport report_;  // gathered in one step
  uint32_t report_order_ = 0;

  std::map<worker::LocalKey, Blob> store_;
  uint64_t last_serial_ = 0;
  std::set<worker::SpillId> spills_;  // under way
  // Who a name of an assignment was at that time: names of an earlier start of the scheduler stay
  // good.
  struct Address {
    uint32_t index = 0;
    uint64_t incarnation = 0;
  };
  std::map<WorkerId, Address> addresses_;
  std::set<ObjectVersion> damaged_;   // in the store, with wrong bytes
  std::set<ObjectVersion> vanished_;  // gone, and the core does not know yet
  std::set<ObjectVersion> noticed_;   // of these, those that the core is being told
  std::map<AttemptRef, Assigned> assignments_;
  std::map<AttemptRef, uint32_t> submissions_;  // the plan's jobs, until they are released
  std::map<AttemptRef, Exec> execs_;
  Gets gets_;  // by token
  uint64_t last_get_ = 0;
  Prng gets_rng_;
  std::map<worker::FetchId, Fetch> fetches_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_WORKER_H_
