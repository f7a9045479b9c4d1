// The checkers: a naive model of what the scheduler has been told and has answered, kept outside of
// the cores. It reads events and actions only, and says whether each action is allowed.
//
//   * actions go only to streams that are open; a Welcome comes first
//   * an assignment is what the plan says, of accepted versions, to a worker that is large enough
//   * no attempt is assigned or started twice; a second attempt beside a live one needs a worker
//   that is away
//   * at most one finish is accepted for a run of a task, and only one that its executor made
//   * a finished task runs again only if an output had no replica left that could be read, and was
//   needed
//   * a needed object's last replica is not freed
//   * a final failure has its cause: enough failures of its own, or enough crashes while it ran
#ifndef TASKD_TESTS_SIM_CHECKER_H_
#define TASKD_TESTS_SIM_CHECKER_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "common/base/session.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"
#include "tests/sim/plan.h"

namespace taskd::sim {

class SimClient;
class SimWorker;
class World;

class Checker {
 public:
  explicit Checker(World& world);

  // --- around a step of the scheduler core, in this order
  void OnEvent(const scheduler::Event& event);
  void OnAction(const scheduler::Action& action);
  void AfterStep(bool drained);

  // The scheduler has restarted and read these records; what came after them is lost.
  void OnRestart(const std::vector<scheduler::action::Journal>& records);

  // --- at the workers
  void OnStartExec(uint32_t worker, const AttemptRef& attempt);
  void OnExecEnd(const AttemptRef& attempt, AttemptEnd end);
  // What the scheduler answers a running task: where the object is, or that it will never be.
  void OnFound(ObjectId asked, const ObjectVersion& found);
  void OnNever(ObjectId asked);
  // The worker's core has its store drop a whole replica; `last`: no other store has it.
  void OnDrop(uint32_t worker, const ObjectVersion& id, bool last);

  uint32_t IndexOfWorker(WorkerId id);
  // Somebody needs it, and this worker has the only replica that the scheduler knows of.
  bool IsSoleNeeded(uint32_t worker, const ObjectVersion& id);
  bool IsNeeded(const ObjectVersion& id);
  // The core has said that the job is cancelled, also if a retry has put it back since.
  bool Cancelled(JobId job) const;
  // Everything at rest: what the core says about every task and object against the plan; what the
  // stores hold.
  void CheckEnd();
  void CheckForgotten();

 private:
  struct Attempt {
    uint32_t peer = 0;
    bool assigned = false;
    bool alone = false;     // its worker had nothing else when it was assigned
    bool started = false;   // its body ran
    bool reported = false;  // and the scheduler was told
    bool ended = false;     // the scheduler was given its outcome
    uint64_t end_came = 0;  // then the value of drained_
    bool excused = false;   // its worker was away or lost, or did not list it
    bool yielded = false;
    bool lost = false;  // a crash took its job along
    AttemptEnd exec_end = AttemptEnd::kLost;
  };
  struct Task {
    std::vector<AttemptId> attempts;
    AttemptId accepted = 0;  // of the newest accepted finish; 0: none yet
    bool finished = false;   // and not assigned again since, or that was called off
    bool failed = false;
    FailureClass failure = FailureClass::kNone;
    uint32_t failures = 0;      // of its own, delivered, since the last retry
    uint32_t all_failures = 0;  // likewise, ever
    uint64_t finish_came = 0;   // value of drained_ when an outcome said so
  };
  struct Object {
    AttemptId version = 0;   // a finish fixes it, unless the finish's own bytes are freed at once
    bool claimed = false;    // a worker named a replica since the scheduler's restart
    bool gone = false;       // was without a readable replica since its task's finish was accepted
    uint64_t unheld_at = 0;  // value of drained_ when its last replica went
  };
  struct Job {
    std::vector<Task> tasks;
    std::vector<Object> objects;
    bool sealed = false, cancelled = false, cancelled_once = false, forgotten = false;
    uint64_t cancelled_in = 0;                 // value of drained_
    bool retried = false;                      // some of its tasks were put back
    bool accepted = false, discarded = false;  // of what a task submitted
    uint32_t batches = 0;
  };
  struct Peer {  // a worker as the scheduler sees it
    scheduler::StreamId stream = 0;
    uint64_t incarnation = 0;
    bool connected = false, listing = false, draining = false;
    bool back = true;   // it has said hello to this start of the scheduler
    bool named = true;  // and all that it holds
    uint64_t last_heard = 0, closed_at = 0;
    uint64_t ends_at = 0;  // 0: never
    WorkerId id;
    std::set<ObjectVersion> holds, listed;
    std::set<AttemptRef> live, listed_attempts;
  };
  enum class StreamState : uint8_t { kOpen, kClosing, kClosed };
  struct Stream {
    uint32_t peer = 0;
    StreamState state = StreamState::kOpen;
    bool welcomed = false;
    uint64_t last_outcome = 0;  // of the incarnation
  };

  void On(const scheduler::event::WorkerHello& e);
  void On(const scheduler::event::WorkerInventory& e);
  void On(const scheduler::event::InventoryDone& e);
  void On(const scheduler::event::WorkerReport& e);
  void On(const scheduler::event::WorkerGoodbye& e);
  void On(const scheduler::event::WorkerClosed& e);
  void On(const scheduler::event::SetWants& e);
  void On(const scheduler::event::RetryTasks& e);
  void On(const scheduler::event::SetPool& e) { licences_milli_ = e.capacity_milli; }
  void On(const scheduler::event::ClientGone& e);
  void On(const scheduler::event::ClientBack& e);
  void On(const scheduler::event::PublishDataset& e);
  void On(const scheduler::event::DropDataset& e);
  void On(const scheduler::event::YieldAttempt& e);
  void OnOutcome(uint32_t peer, const Outcome& outcome);
  void Hold(Peer& peer, const ObjectVersion& id);
  void UnholdMissing(const std::vector<BadHolder>& bad_holders);
  void Replay(const scheduler::action::Journal& record);
  void MarkReported(const AttemptRef& attempt);

  void On(const scheduler::action::Welcome& a);
  void On(const scheduler::action::Assign& a);
  void On(const scheduler::action::Free& a);
  void On(const scheduler::action::Gather& a);
  void On(const scheduler::action::Retire& a);
  void On(const scheduler::action::Resume& a);
  void On(const scheduler::action::Cancel& a);
  void On(const scheduler::action::AckOutcomes& a);
  void On(const scheduler::action::Journal& a);
  void CheckStream(scheduler::StreamId stream, bool welcome);
  void CheckAssignment(const Peer& peer, const Assignment& a);
  void CheckInputs(const Assignment& a);
  const scheduler::Batch::Options& OptionsOf(TaskId id);
  void CheckSingle(const Assignment& a);
  void CheckJobLimit(const Assignment& a);
  void CheckPlace(const Peer& peer, const Assignment& a);
  void CheckLicences(const Assignment& a);
  const scheduler::Batch::Shape& ShapeOf(TaskId id);
  void CheckRerun(const Assignment& a);
  void OnFinish(const scheduler::action::Journal& a);
  void OnFinalFailure(const scheduler::action::Journal& a);
  void CheckFailureCause(TaskId id, FailureClass failure);

  Peer* Current(scheduler::StreamId stream);  // null: not its worker's newest stream
  void Heard(Peer& peer);
  void Disconnect(Peer& peer);
  void WasAway(uint32_t peer);
  bool Readable(const Peer& peer) const;
  bool HasReadable(ObjectId id) const;
  // No replica anywhere, readable or not, and everything that follows from that has been worked
  // off.
  bool KnownLost(ObjectId id) const;
  bool IsHeld(ObjectId id) const;
  // A finish whose outcome has just come may replace the version.
  bool MayBeReplaced(ObjectId id);
  bool SomethingGone(TaskId id);
  bool IsMadeAnew(TaskId task, ObjectId but);
  std::string HoldersText(ObjectId id) const;
  void NoteGone(ObjectId id);
  void Unhold(uint32_t peer, const ObjectVersion& id);
  void ClearPeer(uint32_t peer);
  void ForgetUnneeded();
  bool MayBeUnneeded(ObjectId id);
  void CloseRebuilds();
  void FollowRetries();
  void GiveUpInputs(JobId id);
  Job& JobOf(JobId id);
  Task* FindTask(TaskId id);
  // A set of wants that was just given may be in force or not yet.
  enum class Wants : uint8_t { kCertain, kPossible };
  bool WantedByClient(ObjectId id, Wants wants) const;
  struct Client;
  bool LeaseMayBeOver(const Client& client) const;
  bool MayBeLeft(scheduler::ClientId id) const;
  bool WantsMayGo() const;
  bool WantedByDataset(ObjectId id, Wants wants) const;
  void OnDatasetRecord(const scheduler::action::Journal& a);
  void DatasetsAtRest();
  bool HasBatch(JobId job, uint32_t number);
  bool MayBeRetriedFor(ObjectId id);
  void ClientsAtRest();
  void OnRestartOfClients();
  void CheckCancel(JobId job);
  // Whether somebody needs the object, naively: through everything that has to run because of it.
  // "" when nobody does, else who; ends with "again" when only a rebuild does.
  struct Closure {
    Wants wants = Wants::kCertain;
    std::map<TaskId, std::string> memo;
  };
  std::string WhoNeeds(ObjectId id, Wants wants);
  std::string WhoNeeds(ObjectId id, Closure& closure);
  std::string WhyRun(TaskId id, Closure& closure);
  void Fail(const std::string& what);

  void OnSubmit(const scheduler::action::Journal& a);
  void SealChild(TaskId parent, AttemptId attempt);
  void OnDiscard(JobId job);
  bool CanBeDiscarded(JobId job);
  void LoseJobs();
  bool Known(ObjectId id) const;  // else a crash took it along
  // Of an output that was delegated; ObjectId{}: it was not, or not yet.
  ObjectId NextBehind(ObjectId id);
  ObjectId Behind(ObjectId id);     // the end of the chain; itself, if it was not delegated
  ObjectId StandsFor(ObjectId id);  // the other way round, one step
  bool IsDelegated(ObjectId id) { return NextBehind(id) != ObjectId{}; }
  bool IsKept(ObjectId id);  // at the end, under whatever name
  bool FollowsAnew(TaskId id);
  const SimClient& ClientOf(JobId job) const;

  void CheckJobEnd(uint32_t plan);
  uint64_t CheckTasksEnd(JobId id);  // how many have failed
  void CheckTaskEnd(TaskId id);
  bool ImportExplains(TaskId id);
  bool MakerExplains(ObjectId input, TaskId reader);
  bool CulpritExplains(const JobPlan& plan, Ordinal task, Ordinal culprit) const;
  void CheckObjectEnd(ObjectId id, const ObjectPlan& plan);
  void CheckWanted(ObjectId id, const ObjectPlan& plan);
  bool MayReturn(JobId of, JobId root);
  void CheckStores();
  static std::string MemoryOf(const SimWorker& worker);
  void CheckCopies(ObjectId id, uint32_t wanted);

  World& world_;
  std::map<JobId, Job> jobs_;
  uint64_t restarted_at_ = 0;  // 0: this is the first start
  uint64_t drained_ = 1;       // steps that left no work
  uint32_t licences_milli_ = 0;
  bool needs_changed_ = false;  // in this step somebody may have ceased to need something
  std::map<AttemptRef, Attempt> attempts_;
  std::set<TaskId> rebuilds_;  // assigned again, not finished again yet
  // Jobs of which failed tasks may be put back any moment; true: by a record of an earlier start, and
  // failures since then have been counted.
  std::map<JobId, bool> retries_;
  std::set<ObjectVersion> freed_;  // ever
  // Of which a copy went, or its worker, since the core had no work left: what it did before counts on it.
  std::set<ObjectVersion> left_now_;
  std::set<ObjectVersion> dead_;  // accepted versions that were freed: a later report is stale
  std::vector<Peer> peers_;       // by the worker's index
  std::map<scheduler::StreamId, Stream> streams_;
  std::map<uint32_t, uint32_t> index_of_worker_;  // by packed WorkerId
  // Of all sets that a client gave since the last step that left no work: in each of them, in any
  // of them.
  struct Client {
    std::set<ObjectId> now = {}, certain = {}, possible = {};
    bool gone = false;
    uint64_t lease_ends = 0;  // while it is gone
    bool settled = false;     // what it wanted was dropped
    bool unclear = false;     // back, perhaps after its lease, and has not said what it wants
  };
  std::map<scheduler::ClientId, Client> clients_;
  struct Dataset {
    scheduler::ObjectRange objects;
    bool held = false;  // each of them, for sure
    bool dropped = false;
  };
  std::map<std::string, Dataset> datasets_;
  std::map<scheduler::Token, std::pair<std::string, scheduler::ObjectRange>> dataset_requests_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_CHECKER_H_
