// Random events into the worker core, sensible and not, with steps cut anywhere: invariants hold
// after each step, the same seed gives the same actions, and once everything is answered nothing is
// left. Whole stories with a scheduler are the simulator's; this one reaches the corners of the
// worker alone.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "common/base/hash.h"
#include "common/base/prng.h"
#include "worker/core/worker_core.h"

namespace taskd::worker {

class Values {};  // there are no bytes here

namespace {

constexpr uint64_t kStoreBytes = 1500;  // of pieces of 100
constexpr uint32_t kTasks = 30, kObjects = 25, kPeers = 4;

// The world around the core: what it asked for and was not answered yet.
class World {
 public:
  explicit World(uint64_t seed) : prng_(seed), core_(Config{{4000, 1000}, kStoreBytes, 6, 2}) {}

  uint64_t Run(uint32_t steps) {
    Send(event::SessionUp{++session_, {0, 1}, false});
    for (uint32_t i = 0; i < steps; ++i) RandomEvent();
    Heal();
    return hash_;
  }

 private:
  void Send(Event event) {
    events_.push_back(std::move(event));
    if (prng_.Chance(700)) Step();
  }

  void Step() {
    now_ += prng_.Below(20'000'000);
    for (int i = 0; i < 10'000; ++i) {
      std::vector<Action> actions;
      const uint64_t wake = core_.Step(now_, events_, prng_.Chance(500) ? 1 : 1000, actions);
      events_.clear();
      for (const Action& action : actions) std::visit([this](const auto& a) { Do(a); }, action);
      ASSERT_EQ(core_.Validate(), "");
      if (wake > now_ || prng_.Chance(100)) return;  // sometimes more events come before it is done
    }
    FAIL() << "no rest";
  }

  template <typename... A>
  void Note(uint32_t kind, const A&... values) {
    hash_ = HashCombine(hash_, kind);
    ((hash_ = HashCombine(hash_, static_cast<uint64_t>(values))), ...);
  }

  void Do(const action::SendInventory& a) {
    Note(1, a.chunk.replicas.size(), a.chunk.assigned.size(), a.chunk.running.size());
  }
  void Do(const action::SendInventoryDone& a) { Note(2, a.session); }
  void Do(const action::SendStarted& a) { Note(3, a.attempt.task.ordinal, a.attempt.attempt); }
  void Do(const action::SendOutcome& a) {
    Note(4, a.outcome.sequence, a.outcome.end);
    EXPECT_LE(a.session, session_);
    highest_outcome_ = std::max(highest_outcome_, a.outcome.sequence);
  }
  void Do(const action::SendReplicaAdded& a) { Note(5, a.replica.id.object.ordinal); }
  void Do(const action::SendReplicaLost& a) { Note(6, a.object.object.ordinal); }
  void Do(const action::SendGatherFailed&) {}
  void Do(const action::StartFetch& a) {
    Note(7, a.fetch, a.peer.packed(), a.items.size());
    EXPECT_FALSE(a.items.empty());
    for (const LocalKey& key : a.items)
      EXPECT_TRUE(under_way_.insert(key).second) << "fetched twice at a time";
    fetches_[a.fetch] = a;
    uint32_t peers = 0;
    for (const auto& [id, fetch] : fetches_) peers += fetch.peer == a.peer;
    EXPECT_LE(peers, 2u);
    EXPECT_LE(fetches_.size(), 6u);
  }
  void Do(const action::CancelFetch& a) { Note(8, a.fetch); }
  void Do(const action::StartExec& a) {
    Note(9, a.attempt.task.ordinal);
    EXPECT_TRUE(running_.insert(a.attempt).second) << "runs twice";
    EXPECT_LE(running_.size() - waiting_.size(), 4u);
  }
  void Do(const action::SendSubmit& a) {
    Note(15, a.attempt.task.ordinal, a.number, a.early);
    EXPECT_TRUE(kept_.contains(a.attempt)) << "sends what it has released";
  }
  void Do(const action::SendYield& a) {
    Note(16, a.attempt.task.ordinal, a.awaits.size());
    EXPECT_LE(a.session, session_);
  }
  void Do(const action::ResumeExec& a) {
    Note(17, a.attempt.task.ordinal);
    EXPECT_EQ(waiting_.erase(a.attempt), running_.contains(a.attempt)) << "it did not wait";
    EXPECT_LE(running_.size() - waiting_.size(), 4u);
  }
  void Do(const action::ReleaseSubmission& a) {
    Note(18, a.attempt.task.ordinal);
    EXPECT_EQ(kept_.erase(a.attempt), 1u) << "released twice";
  }
  void Do(const action::KillExec& a) {
    Note(10, a.attempt.task.ordinal);
    if (running_.contains(a.attempt))
      killed_.insert(a.attempt);  // else its end is on its way to the core
  }
  void Do(const action::ReleaseAttempt& a) {
    Note(11, a.attempt.task.ordinal);
    EXPECT_FALSE(running_.contains(a.attempt)) << "released while it runs";
  }
  void Do(const action::PutValues& a) {
    Note(19, a.items.at(0).id.object.ordinal, a.items.size(), a.fetch);
    EXPECT_EQ(a.values != nullptr, a.fetch != 0);
    for (const LocalKey& key : a.items) EXPECT_TRUE(key.parts.whole());
    if (a.fetch == 0) return;
    for (const LocalKey& key : a.items)
      EXPECT_TRUE(under_way_.insert(key).second) << "comes twice at a time";
    values_[a.fetch].assign(a.items.begin(), a.items.end());
  }
  void Do(const action::Spill& a) {
    Note(20, a.spill, a.items.size());
    EXPECT_FALSE(a.items.empty());
    EXPECT_TRUE(spills_.emplace(a.spill, a.items.size()).second);
    EXPECT_LE(spills_.size(), limits::kSpillsAtOnce);
  }
  void Do(const action::Drop& a) { Note(12, a.key.id.object.ordinal, a.key.parts.lo); }
  void Do(const action::DropAll&) { Note(13); }
  void Do(const action::Stopped&) {
    Note(14);
    stopped_ = true;
    EXPECT_TRUE(running_.empty());
  }

  AttemptRef SomeAttempt() {
    return {{1, static_cast<Ordinal>(prng_.Below(kTasks))},
            static_cast<AttemptId>(prng_.Between(1, 3))};
  }
  ObjectVersion SomeObject() {
    return {{1, static_cast<Ordinal>(prng_.Below(kObjects))},
            static_cast<AttemptId>(prng_.Between(1, 2))};
  }
  SessionId SomeSession() { return prng_.Chance(50) && session_ > 1 ? session_ - 1 : session_; }

  InputObject SomeInput() {
    InputObject object{SomeObject(), prng_.Chance(100) ? 0u : 100u, {}};
    const uint64_t holders = prng_.Below(4);
    for (uint64_t h = 0; h < holders; ++h)
      object.holders[h] = {static_cast<uint16_t>(prng_.Below(kPeers)), 1};
    return object;
  }

  Assignment SomeAssignment() {
    Assignment a;
    a.attempt = SomeAttempt();
    a.need = {static_cast<uint32_t>(prng_.Chance(30) ? 5000 : 1000 * prng_.Between(1, 3)),
              prng_.Below(500)};
    a.priority = static_cast<int32_t>(prng_.Below(3)) - 1;
    a.order = prng_.Below(5);
    a.output_count = static_cast<uint32_t>(prng_.Below(3));
    a.first_output = 100 + a.attempt.task.ordinal * 3;
    for (uint64_t e = prng_.Below(3); e > 0; --e) {
      InputEdge edge{0,
                     static_cast<uint32_t>(a.objects.size()),
                     static_cast<uint32_t>(prng_.Between(1, 4)),
                     {}};
      if (prng_.Chance(400)) edge.parts = {static_cast<uint32_t>(prng_.Below(2)), 2};
      for (uint32_t i = 0; i < edge.count; ++i) {
        a.objects.push_back(SomeInput());
      }
      a.edges.push_back(edge);
    }
    return a;
  }

  event::Assign SomeAssign() {
    event::Assign event{SomeSession(), SomeAssignment(), came_};
    for (uint32_t i = 0; i < event.assignment.objects.size(); ++i) {
      if (prng_.Chance(300)) event.valued.push_back(i);
    }
    return event;
  }

  void AnswerValues(bool well) {
    if (values_.empty()) return;
    event::FetchDone done{values_.begin()->first, {}};
    for (const LocalKey& key : values_.begin()->second) {
      under_way_.erase(key);
      const auto status = well || prng_.Chance(800) ? FetchStatus::kOk : FetchStatus::kIoError;
      done.items.push_back({status, 100, 7, prng_.Chance(200)});
    }
    values_.erase(values_.begin());
    Send(std::move(done));
  }

  void AnswerFetch(bool well) {
    if (!values_.empty() && prng_.Chance(500)) return AnswerValues(well);
    if (fetches_.empty()) return;
    auto it = fetches_.begin();
    std::advance(it, prng_.Below(fetches_.size()));
    event::FetchDone done{it->first, {}};
    for (const LocalKey& key : it->second.items) {
      under_way_.erase(key);
      const uint64_t status = well || prng_.Chance(600) ? 0 : prng_.Between(1, 4);
      done.items.push_back({static_cast<FetchStatus>(status), 100, 7, prng_.Chance(200)});
    }
    if (!well && prng_.Chance(30)) done.items.pop_back();
    fetches_.erase(it);
    Send(std::move(done));
  }

  void EndBody() {
    if (running_.empty()) return;
    auto it = running_.begin();
    std::advance(it, prng_.Below(running_.size()));
    event::ExecDone done;
    done.attempt = *it;
    done.run_ns = 5;
    if (killed_.contains(*it) && prng_.Chance(700)) {
      done.end = AttemptEnd::kCancelled;
    } else if (prng_.Chance(200)) {
      done.end = AttemptEnd::kFailed;
      done.failure = FailureClass::kExit;
    } else {
      done.outputs.resize(prng_.Below(3), {{100, 7}, prng_.Chance(200)});
      for (StoredOutput& output : done.outputs) {
        if (prng_.Chance(100)) output = {{.delegated = 0}};
      }
    }
    if (waiting_.contains(*it) && done.end != AttemptEnd::kCancelled) return;
    killed_.erase(*it);
    waiting_.erase(*it);
    asking_.erase(*it);
    running_.erase(it);
    Send(std::move(done));
  }

  void AnswerSpill(bool well) {
    if (spills_.empty()) return;
    auto it = spills_.begin();
    std::advance(it, prng_.Below(spills_.size()));
    event::Spilled spilled{it->first, {}};
    for (uint64_t i = 0; i < it->second; ++i)
      spilled.results.push_back(static_cast<event::Spilled::Result>(well ? 0 : prng_.Below(3)));
    if (!well && prng_.Chance(30)) spilled.results.pop_back();
    spills_.erase(it);
    Send(std::move(spilled));
  }

  // It submits, always early or always held, or waits.
  void BodySays() {
    if (running_.empty()) return;
    auto it = running_.begin();
    std::advance(it, prng_.Below(running_.size()));
    if (waiting_.contains(*it) || asking_.contains(*it)) return;
    if (prng_.Chance(400)) {
      event::ExecYield yield{*it, {}};
      for (uint64_t n = prng_.Below(3); n > 0; --n) yield.awaits.push_back(SomeObject().object);
      waiting_.insert(*it);
      return Send(std::move(yield));
    }
    const bool early = it->task.ordinal % 2 == 0;
    kept_.insert(*it);
    if (early) ++asking_[*it];
    Send(event::ExecSubmit{*it, early});
  }

  void AnswerBody(bool well) {
    if (!asking_.empty() && prng_.Chance(500)) {
      const AttemptRef attempt = asking_.begin()->first;
      const auto number = static_cast<uint32_t>(prng_.Below(3));
      const bool taken = prng_.Chance(700);
      asking_.erase(attempt);
      return Send(event::SubmitAnswered{SomeSession(), attempt, number, taken});
    }
    if (waiting_.empty()) return;
    auto it = waiting_.begin();
    std::advance(it, prng_.Below(waiting_.size()));
    Send(event::Resume{well ? session_ : SomeSession(), *it});
  }

  void RandomEvent() {
    switch (prng_.Below(23)) {
      case 0:
      case 1:
      case 2:
      case 3:
        return Send(SomeAssign());
      case 4:
        return Send(event::Retract{SomeSession(), SomeAttempt()});
      case 5:
        return Send(event::Cancel{SomeSession(), SomeAttempt()});
      case 6:
        return Send(event::Free{SomeSession(), SomeObject()});
      case 7:
        return Send(event::ReplicaLost{SomeObject()});
      case 8:
        return Send(event::AckOutcomes{SomeSession(), prng_.Below(highest_outcome_ + 1)});
      case 9:
      case 10:
      case 11:
        return AnswerFetch(false);
      case 12:
      case 13:
        return EndBody();
      case 14:
        if (prng_.Chance(800)) return Step();
        return Send(event::SessionDown{session_});
      case 15:
        return Send(event::Gather{SomeSession(), SomeInput(), prng_.Chance(500) ? came_ : nullptr});
      case 16:
      case 17:
        return BodySays();
      case 18:
      case 19:
        return AnswerBody(false);
      case 20:
      case 21:
        return AnswerSpill(false);
      default:
        if (prng_.Chance(700)) return;
        // A reset forgets outcomes: their numbers are not acknowledged later.
        return Send(event::SessionUp{++session_, {0, 1}, prng_.Chance(100)});
    }
  }

  void Heal() {
    Step();
    Send(event::SessionUp{++session_, {0, 1}, false});
    for (int i = 0; i < 100'000; ++i) {
      const Counters& c = core_.counters();
      Step();
      if (fetches_.empty() && values_.empty() && running_.empty() &&
          c.fetching + c.queued + c.running == 0)
        break;
      AnswerFetch(true);
      AnswerBody(true);
      EndBody();
    }
    while (!spills_.empty()) AnswerSpill(true);
    Step();
    Send(event::AckOutcomes{session_, ~uint64_t{0}});
    for (int i = 0; i < 100; ++i) Step();
    const Counters& c = core_.counters();
    EXPECT_EQ(c.fetching + c.queued + c.running, 0u) << "something is stuck";
    EXPECT_EQ(c.outcomes_unacked, 0u);
    EXPECT_TRUE(kept_.empty()) << "a submission is kept for nobody";
    Send(event::Shutdown{});
    for (int i = 0; i < 100; ++i) Step();
    EXPECT_TRUE(stopped_);
  }

  Prng prng_;
  WorkerCore core_;
  std::vector<Event> events_;
  uint64_t now_ = 0, hash_ = 0, highest_outcome_ = 0;
  SessionId session_ = 0;
  std::map<FetchId, action::StartFetch> fetches_;
  std::map<FetchId, std::vector<LocalKey>> values_;
  const ValuesRef came_ = std::make_shared<const Values>();
  std::set<LocalKey> under_way_;
  std::map<SpillId, uint64_t> spills_;  // how many items
  std::set<AttemptRef> running_, killed_;
  std::set<AttemptRef> waiting_;  // of the running ones: without resources
  std::set<AttemptRef> kept_;     // what they submitted is
  std::map<AttemptRef, uint32_t> asking_;
  bool stopped_ = false;
};

TEST(WorkerCoreRandom, InvariantsHoldAndNothingIsLeft) {
  for (uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(testing::Message() << "seed " << seed);
    const uint64_t first = World(seed).Run(600);
    if (testing::Test::HasFatalFailure() || testing::Test::HasNonfatalFailure()) return;
    if (seed % 20 == 0) {
      EXPECT_EQ(World(seed).Run(600), first) << "the same seed gave other actions";
    }
  }
}

}  // namespace
}  // namespace taskd::worker
