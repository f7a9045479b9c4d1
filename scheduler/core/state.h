// Everything the scheduler core knows, and the functions over it, one file a concept:
//
//   jobs.cc         batches, sealing, cancelling, the end of a job
//   imports.cc      inputs that are objects of other jobs; datasets
//   children.cc     what tasks submit
//   delegate.cc     outputs that are objects of what a task submitted
//   yield.cc        attempts that wait without resources
//   clients.cc      wants of clients, their leases and ephemeral jobs
//   history.cc      forgetting: by command, time to live, or because the history is full
//   tasks.cc        task states: start, ready, done, failed, run again
//   retry.cc        cancelling tasks; putting failed ones back
//   propagate.cc    the worklist: presence of objects told to consumers, wants acquired and released
//   holders.cc      the lists of replicas, by object and by worker
//   replicas.cc     who holds what; freeing
//   copies.cc       further copies of objects, and when a worker is drained
//   assign.cc       the attempt and its message
//   attempts.cc     started, outcomes, cancel, lost
//   suspects.cc     tasks that may kill their workers run alone
//   quarantine.cc   workers on which tasks fail that run well elsewhere
//   stragglers.cc   second attempts of what runs too long
//   workers.cc      hello, inventory, loss, return, drain
//   prefetch.cc     asking for memory that is going to be needed
//   timers.cc       what is due
//   placement.cc    homes and costs
//   links.cc        what workers have to send
//   early.cc        inputs fetched before their task is ready
//   memory.cc       what workers' stores have room for
//   fit.cc          variants, placement rules, cluster pools, kinds of workers
//   fair_share, ready_queue, shares.cc   who goes first
//   restore.cc      replaying the journal; attempts and results of earlier starts
//   balance.cc      queues, free slots, look-ahead, moving and taking back
//   validate.cc, views.cc    read only
//
// The worklist is strictly first in, first out, and one item is finished before the next begins.
// Placement happens only when it is empty. So a placement never sees a half-told change.
#ifndef TASKD_SCHEDULER_CORE_STATE_H_
#define TASKD_SCHEDULER_CORE_STATE_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "common/base/check.h"
#include "common/base/timer_wheel.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/count_index.h"
#include "scheduler/core/events.h"
#include "scheduler/core/job_table.h"
#include "scheduler/core/records.h"
#include "scheduler/core/scheduler_core.h"
#include "scheduler/core/shape_set.h"
#include "scheduler/core/views.h"
#include "scheduler/core/work.h"

namespace taskd::scheduler {

class Reasons;

class State {
 public:
  explicit State(const Config& config) : config(config) {}

  uint64_t Step(uint64_t now, std::span<Event> events, uint32_t step_budget,
                std::vector<Action>& out);

  // --- prefetch.cc
  void PrefetchReports(std::span<const Event> events, size_t at);
  void PrefetchStarted(const event::WorkerReport& report, size_t at);
  void PrefetchOutcomes(const event::WorkerReport& report, size_t at);
  std::array<uint16_t, 8> reporters = {};  // slots of the workers of the next reports
  void PrefetchWork();
  void PrefetchWorkers(const std::deque<uint16_t>& slots);

  // --- events
  void On(event::WorkerHello& e);
  void On(event::WorkerInventory& e);
  void On(event::InventoryDone& e);
  void On(event::WorkerReport& e);
  void On(event::WorkerGoodbye& e);
  void On(event::WorkerClosed& e);
  void On(event::DrainWorker& e);
  void On(event::SetPool& e);
  void On(event::OpenJob& e);
  void On(event::AddBatch& e);
  void On(event::SealJob& e);
  void On(event::SetRanks& e);
  void On(event::CancelJob& e);
  void On(event::CancelTasks& e);
  void On(event::RetryTasks& e);
  void On(event::ForgetJob& e);
  void On(event::SetWants& e);
  void On(event::ClientGone& e);
  void On(event::ClientBack& e);

  // --- propagate.cc
  void Enqueue(Work work) { worklist.push_back(work); }
  // Does one unit of the front item. False: it is finished.
  bool Advance(Work& work);
  bool Sweep(Job& job, Work& work);
  Presence Actual(const Job& job, const ObjectRec& object) const;
  void PresenceMayHaveChanged(Job& job, Ordinal object);
  void AcquireSource(Job& job, uint32_t source);
  void ReleaseSource(Job& job, uint32_t source);
  void AcquireObject(Job& job, Ordinal object);
  void ReleaseObject(Job& job, Ordinal object);
  Presence SourcePresence(const Job& job, uint32_t source) const;
  void MemberChanged(Job& job, uint32_t index, Ordinal member, Presence before, Presence after);
  void CollectionMayHaveChanged(Job& job, uint32_t index);

  // --- tasks.cc
  void SetTaskState(Job& job, TaskRec& task, TaskState state);
  // How it starts: for the first time, with its inputs' consumer lists to join; put back, its inputs
  // to be acquired anew; or again, with inputs that were acquired when that was decided.
  enum class Start : uint8_t { kFirst, kRevived, kAgain };
  void StartTask(Job& job, Ordinal ordinal, Start start);
  void LinkInputs(Job& job, const TaskRec& task);
  void Reopen(Job& job);
  void RunAgain(Job& job, Ordinal ordinal);
  void DropImpure(Job& job, const TaskRec& task);
  void InputChanged(Job& job, Ordinal ordinal, uint32_t source, Presence before, Presence after);
  void CheckStillNeeded(Job& job, Ordinal ordinal);
  void DemandAwayInputs(Job& job, Ordinal ordinal);
  void Settle(Job& job, Ordinal ordinal);  // waiting or ready, by its counts
  void Requeue(Job& job, Ordinal ordinal, uint64_t not_before_ns);
  // Takes the outputs out of the outcome.
  void FinishTask(Job& job, Ordinal ordinal, const AttemptRec& attempt, Outcome& outcome);
  void EndTask(Job& job, Ordinal ordinal, TaskState state);
  void FailTask(Job& job, Ordinal ordinal, FailureClass failure, Ordinal culprit);
  // An input will never exist: it fails as its culprit did, or is cancelled as that was.
  void EndByInput(Job& job, Ordinal ordinal, uint32_t source);
  void KeepFailure(Job& job, FailureView failure);
  void DropFailure(Job& job, Ordinal ordinal);
  void CancelTask(Job& job, Ordinal ordinal);
  void CancelUnended(Job& job, Ordinal ordinal);
  void ReleaseInputs(Job& job, const TaskRec& task);
  void JoinRecovery(TaskRec& task);
  void LeaveRecovery(TaskRec& task);

  // --- retry.cc
  std::string CheckRanges(const Job& job, const std::vector<OrdinalRange>& ranges) const;
  uint32_t DeadSource(const Job& job, const TaskRec& task) const;  // kNil: none
  ObjectId DeadBehind(const Job& job, uint32_t source) const;
  Ordinal CulpritOfTask(const Job& job, Ordinal ordinal) const;
  void RetryWhole(Job& job, bool cancelled_too);
  void PutBackCancelled(Job& job);
  void RetryTask(Job& job, Ordinal ordinal, const Work& work);
  void RetryInputs(Job& job, const TaskRec& task, bool cancelled_too);
  void ReviveTask(Job& job, Ordinal ordinal);
  void FollowCulprit(Job& job, Ordinal ordinal);
  void EndRetry(Job& job);
  // --- holders.cc
  uint32_t* FindLink(ObjectId id, ObjectRec& object, uint16_t slot);
  void Widen(ObjectId id, ObjectRec& object);
  void Narrow(ObjectId id, ObjectRec& object);
  ReplicaRec* FindReplica(ObjectId id, uint16_t slot);  // null: that worker has none
  bool HoldsUsable(ObjectId id, const ObjectRec& object, uint16_t slot) const;
  ReplicaRec& LinkReplica(Worker& worker, ObjectId id, ObjectRec& object);
  void UnlinkReplica(Worker& worker, ObjectId id, ObjectRec& object, uint32_t* link);

  // --- replicas.cc
  bool Wanted(const Job& job, const ObjectRec& object) const;
  void AddReplica(Worker& worker, ObjectId id, bool usable);
  bool RemoveReplica(Worker& worker, ObjectId id);  // false: it had none
  bool StrikeOut(const BadHolder& bad);             // true: a replica that is not there is gone
  void SetUsable(ObjectRec& object, ReplicaRec& replica, bool usable);
  void DropReplicas(Job& job, ObjectId id);  // frees them at their workers
  void FreeIfUnwanted(Job& job, Ordinal object);
  void MakeIfWanted(Job& job, Ordinal object);
  void Hold(Job& job, Ordinal object);
  void LetGo(Job& job, Ordinal object);
  void ReportReplica(Worker& worker, const Replica& replica);
  ObjectRec* FindObject(ObjectId id) const;  // null: it is not known

  // --- copies.cc
  void SetToMove(Worker& worker, ReplicaRec& replica, bool to_move);
  bool LacksCopies(const Job& job, ObjectRec& object);
  void CheckCopies(Job& job, Ordinal ordinal);
  void StopCopies(ObjectId id, ObjectRec& object);
  void OrderGather(Worker& target, ObjectId id, ObjectRec& object, uint8_t tries);
  void EndGather(ObjectId id);
  void SetTaker(Worker& worker);
  void GatherEnded(const Worker& worker, const ObjectVersion& object, uint8_t tries);
  void OnGatherFailed(Worker& worker, const GatherFailure& failure);
  void LoseGathers(Worker& worker);
  void RetryCopy(uint64_t packed, uint8_t tries);
  Worker* ChooseTaker(ObjectId id, const ObjectRec& object);
  bool AdvanceCopies();
  bool IsDrained(const Worker& worker) const;
  void CheckDrained(Worker& worker);
  void BecomeDrained(uint16_t slot);

  // --- attempts.cc
  void Assign(Worker& worker, Job& job, Ordinal ordinal, bool slotted, AssignReason reason);
  uint32_t AddAttempt(Worker& worker, Job& job, Ordinal ordinal, AttemptId id, bool slotted,
                      uint8_t variant, bool alone);
  uint64_t NextUse(const Worker& worker, const Job& job, const TaskRec& task) const;
  void BuildAssignment(const Worker& worker, Job& job, Ordinal ordinal, const AttemptRec& attempt,
                       Assignment& out, Fetch& fetch);
  bool NameHolders(const Worker& worker, ObjectId id, ObjectRec& object, Ordinal task,
                   InputObject& input);
  uint32_t NewAttempt();
  uint32_t FindAttempt(AttemptRef ref) const;  // kNil: none
  void EndAttempt(uint32_t index, AttemptEnd end, const Outcome* outcome);
  void OnStarted(Worker& worker, AttemptRef ref);
  void OnOutcome(Worker& worker, Outcome& outcome);
  void NoteRefusal(Worker& worker, uint16_t shape);
  void OnFailed(Job& job, Ordinal ordinal, const AttemptRec& attempt, const Outcome& outcome);
  void OnStuck(Job& job, Ordinal ordinal, const AttemptRec& attempt, const Outcome& outcome);
  void ReleaseOutputs(Worker& worker, const Outcome& outcome);
  bool HasLiveAttempt(const TaskRec& task) const;  // not away, not being cancelled
  void CancelAttempts(TaskRec& task);
  void SetAhead(const Worker& worker, uint16_t shape, uint32_t ahead);
  void TakeSlot(Worker& worker, AttemptRec& attempt);
  void LeaveSlot(Worker& worker, AttemptRec& attempt);
  void Charge(Worker& worker, AttemptRec& attempt);
  void Uncharge(Worker& worker, AttemptRec& attempt);
  void PromoteAhead(Worker& worker);
  void LoseAttempt(uint32_t index);  // its worker is gone or does not know it
  void Absolve(TaskRec& task, AttemptRec& attempt);
  bool CountCrash(Job& job, AttemptRec& attempt);  // true: over the task's crash limit
  void CountRunning(Job& job, int32_t by);
  void SetOrphaned(AttemptRec& attempt, bool orphaned);
  void Orphan(uint32_t index);
  void Unorphan(uint32_t index);

  // --- suspects.cc
  uint32_t CrashLimit(const Job& job, const TaskRec& task) const;
  void FailByCrashes(Job& job, Ordinal ordinal, WorkerId last);
  bool IsSuspect(const Job& job, const TaskRec& task) const;
  void PushSuspect(Job& job, Ordinal ordinal);
  void PopSuspect(Job& job, Ordinal ordinal);
  void SetReserved(Worker& worker, bool is_reserved);
  void RetractAhead(Worker& worker);
  bool TakeSuspect(Worker& worker);

  // --- quarantine.cc
  void Blame(uint16_t slot);
  void SetQuarantined(Worker& worker, bool quarantined);
  void EndQuarantine(uint16_t slot, uint64_t packed_id);

  // --- stragglers.cc
  uint64_t LateNs(const AttemptRec& attempt) const;
  void WatchStraggler(const AttemptRec& attempt);
  void CheckStraggler(Job& job, Ordinal ordinal);

  // --- workers.cc
  Worker* FindStream(StreamId stream);
  Worker* WorkerAt(uint16_t slot) { return slot < workers.size() ? workers[slot].get() : nullptr; }
  Worker* FindWorker(WorkerId id);
  Worker& NewWorker(const event::WorkerHello& e);
  void SetPlace(Worker& worker, const event::WorkerHello& e);
  void ForgetNames(const Worker& worker);
  void SetWorkerState(Worker& worker, WorkerState state);
  void LoseConnection(Worker& worker);
  void BeginDrain(Worker& worker);
  void BecomeAway(Worker& worker, LossCause cause);
  void DemandWhatItHas(Worker& worker);
  void ComeBack(Worker& worker);
  void Forget(Worker& worker);
  void FreeSlot(Worker& worker);
  bool AdvanceWorkerObjects(Work& work);
  bool AdvanceWorkerAttempts(Work& work);
  bool AdvanceRehome(Work& work);
  bool PastRerun(ObjectId id, const ObjectRec& object) const;
  void ReconcileAttempt(Worker& worker, AttemptRef ref, bool running);
  void StartRecovery(uint64_t lost_ns);
  void Arm(TimerKind kind, uint64_t at_ns, uint64_t a, uint64_t b) {
    timers.Insert({at_ns, kind, a, b});
  }
  void Heard(Worker& worker);

  // --- fit.cc
  bool MatchesRule(const Worker& worker, const Batch::Shape& rule) const;
  bool EndsTooSoon(const Worker& worker, const Batch::Shape& shape) const;
  // The best variant that fits the worker beside `used`; kNoVariant: none, or its rule or the
  // worker's end forbid it.
  uint8_t FittingVariant(const Worker& worker, uint16_t shape, const Resources& used) const;
  // Likewise in what is free now, pools of the cluster included.
  uint8_t VariantNow(const Worker& worker, uint16_t shape) const;
  bool CanRun(const Worker& worker, uint16_t shape) const {
    return VariantNow(worker, shape) != kNoVariant;
  }
  bool FitsIdle(const Worker& worker, uint16_t shape) const {
    return FittingVariant(worker, shape, {}) != kNoVariant;
  }
  bool PoolsFree(const Batch::Variant& variant) const;
  void UsePools(const Batch::Variant& variant);
  void ReturnPools(const Batch::Variant& variant);
  void WakeForPool(const ClusterPool& pool);
  bool SomeNamedLeft(uint16_t shape);
  void CheckNamed(uint16_t shape);  // fails what waits in it when its rule names nobody any more
  void CheckAllNamed();
  bool FailOneOf(uint16_t shape);
  const TaskId* SuspectOf(uint16_t shape) const;  // null: none of that shape
  uint64_t PreferenceNs(const Worker& worker, uint16_t shape) const;
  void Classify(Worker& worker);
  const Batch::Variant& VariantOf(const AttemptRec& attempt) const {
    return shapes[attempt.shape].spec.variants[attempt.variant];
  }
  // Workers that the rule names, until `visit` returns true.
  template <typename Visit>
  void VisitNamed(const Batch::Shape& rule, Visit visit) {
    for (const auto* names : {&rule.workers, &rule.hosts}) {
      for (uint32_t name : *names) {
        auto it = slots_of_name.find(name);
        if (it == slots_of_name.end()) continue;
        for (uint16_t slot : it->second) {
          if (visit(*workers[slot])) return;
        }
      }
    }
  }
  // Workers with something free and nothing to do, least busy first in each kind, a few of each.
  template <typename Visit>
  void VisitHungry(uint32_t of_each_kind, Visit visit) {
    uint32_t kinds = 0;
    for (auto it = hungry.begin(); it != hungry.end() && kinds < limits::kKindsLooked;) {
      uint16_t kind = it->first.first;
      for (uint32_t n = 0; n < of_each_kind && it != hungry.end() && it->first.first == kind;
           ++n, ++it) {
        if (visit(*workers[it->second])) return;
      }
      it = hungry.lower_bound({{static_cast<uint16_t>(kind + 1), 0}, 0});
      ++kinds;
    }
  }
  // --- restore.cc
  absl::Status Restore(uint64_t now, const action::Journal& record, Event* request);
  absl::Status Replay(const action::Journal& record, Event* request);
  absl::Status ReplayRequest(const action::Journal& record, Event* request);
  absl::Status ReplayForget(Job& job, const action::Journal& record);
  void WorkOff();  // the worklist, to its end
  void ReplayFinish(Job& job, const action::Journal& record);
  void ReplayFinalFailure(Job& job, const action::Journal& record);
  void ReplayRetry(Job& job, const action::Journal& record);
  void EndRestore();
  bool AdvanceEndGrace(Work& work);
  bool Postpone(const Job& job, Ordinal ordinal);  // true: a dead input does not end it yet
  void EndIfInputDead(Job& job, Ordinal ordinal);
  void NoteTakenIn(Job& job);
  bool Adoptable(AttemptRef ref) const;
  uint32_t Adopt(Worker& worker, AttemptRef ref);  // kNil: it is not
  uint32_t AdoptOutcome(Worker& worker, const Outcome& outcome);

  // --- placement.cc
  uint64_t BandwidthInto(const Worker& worker) const;  // bytes a second
  uint64_t TransferNs(const Worker& worker, uint64_t bytes) const;
  const UnderWay* FindUnderWay(ObjectId id, const ObjectRec& object) const;
  template <typename Visit>
  void VisitUnderWay(ObjectId id, const ObjectRec& object, Visit visit) const {
    const UnderWay* found = FindUnderWay(id, object);
    if (found == nullptr) return;
    for (uint16_t slot : found->slots) {
      if (slot == kNoSlot || workers[slot] == nullptr) continue;  // that one was forgotten
      if (!HoldsUsable(id, object, slot)) visit(slot);
    }
  }
  // True: it was not known, and is large.
  bool NoteUnderWay(ObjectId id, const ObjectRec& object, uint16_t slot);
  void NoteInputsUnderWay(const Job& job, const TaskRec& task, uint16_t slot);
  void LearnBandwidth(Worker& worker, const AttemptRec& attempt);
  uint64_t ExpectedNs(const Job& job, const TaskRec& task) const;
  uint64_t WaitNs(const Worker& worker, uint16_t shape, uint64_t task_ns) const;
  Move MoveTo(const Worker& worker, const Job& job, Ordinal ordinal) const;
  uint16_t ChooseHome(const Job& job, Ordinal ordinal);
  uint16_t SinkHome(const Job& job, Ordinal ordinal) const;
  // For a task that waits, and is going to read about `all_bytes`; null: none yet.
  const Worker* ChooseSinkHome(const Job& job, Ordinal ordinal, uint64_t all_bytes);

  // --- links.cc
  void BeginSend(AttemptRec& attempt, const Fetch& fetch);
  void EndSend(AttemptRec& attempt, bool arrived);
  uint64_t SendNs(const Worker& sender) const;  // until what it has to send is sent
  bool HasEnoughToSend(const Worker& sender) const;

  // --- early.cc
  void FetchEarly(Job& job, Ordinal ordinal, Ordinal input);
  bool IsSink(const Job& job, const TaskRec& task, uint64_t bytes) const;
  void AskForAll(Job& job, Ordinal ordinal);
  void AskEarly(Sink& sink, ObjectId id, TaskId task);
  bool AdvanceEarly();

  // --- memory.cc
  uint64_t ExpectedBytes(const Job& job, const TaskRec& task) const;  // outputs; 0: not known
  void LearnBytes(Job& job, const TaskRec& task, const Outcome& outcome);
  void SetIdle(Job& job, Ordinal object, bool idle);
  void Promise(Worker& worker, const Job& job, AttemptRec& attempt, uint64_t fetched);
  // When the attempt started its inputs are there; when it ended its outputs are, or never will be.
  void ReturnPromise(Worker& worker, AttemptRec& attempt, bool ended);
  // Inputs that are not made yet: as if they were there, and so large.
  Footprint FootprintOf(const Worker& worker, const Job& job, Ordinal ordinal,
                        uint64_t unmade_bytes = 0) const;
  uint64_t MostAddedBySizes(const Job& job, Ordinal ordinal) const;
  uint64_t MostAdded(const Job& job, Ordinal ordinal) const;
  bool MakesRoom(const Worker& worker, const Job& job, Ordinal ordinal, const Footprint& own) const;
  FitLimit StoreLimit(const Worker& worker, const Job& job, Ordinal ordinal) const;
  Room RoomFor(const Worker& worker, const Job& job, Ordinal ordinal) const;
  Room RoomFor(const Worker& worker, const Precedence& head);
  // The best head that makes room, if any, in a slot or as look-ahead.
  void PreferWhatMakesRoom(Worker& worker, bool slotted, Precedence* best);
  // It needs most of a store, and has waited long: nothing that comes after it goes before it here.
  bool WaitsForStore(const Worker& worker, const Precedence& head);
  void SetShortOfMemory(Worker& worker, bool is_short);
  bool WakeShortOfMemory(uint16_t shape);
  uint64_t MemoryNs(const Worker& worker, uint64_t bytes) const;

  // --- balance.cc
  ReadyQueue& QueueAt(QueuePlace place);
  bool TopOf(QueuePlace place, Precedence* head) { return QueueAt(place).Top(*this, place, head); }
  void PushReady(Job& job, Ordinal ordinal);
  void PopReady(Job& job, Ordinal ordinal);  // takes it out of its queue
  bool HasAheadRoom(const Worker& worker, uint16_t shape, uint64_t expected_ns) const;
  ShapeLoad& Load(Worker& worker, uint16_t shape);
  const ShapeLoad* FindLoad(const Worker& worker, uint16_t shape) const;
  void MarkDirty(Worker& worker);
  void SetHungry(Worker& worker, bool hungry);
  void WakeFor(uint16_t shape, uint16_t home);
  void WakeTaker();               // an idle worker looks what it could take from others' homes
  bool FillSlot(Worker& worker);  // false: nothing for it
  // Whether a task that fits the worker when idle, but has waited long, goes before all others here.
  bool WaitsLong(const Worker& worker, QueuePlace place, Precedence* head);
  bool HasWaitedLong(const Precedence& head) const;
  bool KeptFor(const Worker& worker, uint16_t shape);
  bool FillAhead(Worker& worker);
  bool IsTooEarly(Worker& worker, const Precedence& head);
  bool PreferWhatFills(Worker& worker, Precedence* best);
  bool TakeFromHomes(Worker& worker, uint16_t shape, const Precedence* like);
  bool TakeFromHome(Worker& worker, uint16_t shape, Worker& victim, const Precedence* like);
  Move CheapestMove(const Worker& worker, const ReadyQueue& home, Precedence* head);
  uint64_t CpusOf(uint16_t shape) const { return shapes[shape].spec.variants[0].need.cpus_milli; }
  void Take(Worker& worker, const Precedence& item, bool slotted);
  void AskBack(Worker& worker);
  bool Balance();  // one unit; false: nothing to do

  // --- clients.cc
  void AddWant(ObjectId id);
  void DropWant(ObjectId id);
  void EndLease(ClientId id, uint64_t epoch);
  bool DropClient(Work& work);
  void BindToClient(Job& job, ClientId client);

  // --- imports.cc
  void On(event::PublishDataset& e);
  void On(event::DropDataset& e);
  std::string ResolveImports(const Job& job, Batch& batch) const;  // "" or what is wrong
  void AppendImport(Job& job, const Batch::Collection& from);
  uint32_t TellImporter(Job& job, Ordinal object, uint32_t below, Presence before, Presence after);
  void LetGoImport(Job& job, const Import& import);
  void EndImport(Job& job, const Import& import);
  void CutImporter(Job& job);
  std::string WhoReads(const Job& job) const;  // why it is not to be forgotten yet; "": nothing
  FailureView ImportFailure(const Job& job, Ordinal ordinal, uint32_t source) const;
  // The job whose objects are in the collection; null: it was forgotten.
  Job* MembersOf(Job& job, const CollectionRec& c) { return c.foreign() ? jobs.Find(c.job) : &job; }
  // Objects of a source.
  static uint32_t CountOf(const Job& job, uint32_t source) {
    return source & kCollectionBit ? job.collections[source & ~kCollectionBit].count : 1;
  }
  const Job* MembersOf(const Job& job, const CollectionRec& c) const {
    return c.foreign() ? jobs.Find(c.job) : &job;
  }
  // To blame for an end by this source: the task itself, when that is another job's.
  Ordinal CulpritFor(const Job& job, Ordinal ordinal, uint32_t source) const;

  // --- children.cc
  void On(event::SubmitFromTask& e);
  std::string CheckSubmitter(const event::SubmitFromTask& e);
  std::string CheckSubmission(const event::SubmitFromTask& e, const Job& child) const;
  std::string CheckMade(const Batch& batch) const;
  void InheritCrashes(const Job& job, Job& child, Ordinal first);
  static bool IsCounted(const Job& job) { return job.child != ChildState::kDiscarded; }
  // count(Progress&), in the job and in its family.
  template <typename Count>
  static void CountIn(Job& job, Count count) {
    count(job.progress);
    if (!job.is_root() && IsCounted(job)) count(job.family->of_children);
  }
  void CountOutside(Job& job, int32_t by);
  Job* ChildFor(const Job& job, Ordinal ordinal, AttemptId attempt) const;
  bool HasSubmission(const Job& job, const AttemptRec& attempt, Outcome& outcome);
  void AcceptChild(Job& job, Ordinal ordinal, AttemptId attempt);
  void LeaveChild(Job& job, Ordinal ordinal, AttemptId attempt);
  void Discard(Job& child);
  void DiscardLate(Job& job, Ordinal ordinal);
  template <typename Is>
  const Job* FirstAbove(const Job& job, Is is) const;
  bool CancelledAbove(const Job& job) const;
  bool AdvanceCancelChildren(Job& job, Work& work);
  void ForgetIfDiscarded(Job& job);
  void RetryChildren(Job& job, bool cancelled_too);

  // --- delegate.cc
  ObjectId Behind(const Job& job, Ordinal object) const;
  void NoteBehind(Job& job, Ordinal object);
  std::string CheckDelegated(const Outcome& outcome, const Job* child) const;
  bool Delegate(Job& job, Ordinal object, AttemptId attempt, Ordinal to);
  void EndAlias(Job& job, Ordinal object);
  void EndAliasesOf(Job& job, Ordinal ordinal, JobId child);
  void HoldBehind(Job& job, const ObjectRec& alias, bool hold);
  void MakeAliasIfWanted(Job& job, Ordinal object);
  bool IsPastRerun(ObjectId id) const;  // of an object, or of what is behind it
  void MakeAgain(ObjectId id);
  void FollowDelegated(Job& job, Ordinal ordinal, uint32_t source);

  // --- yield.cc
  void On(event::YieldAttempt& e);
  void Await(AttemptRef ref, ObjectId id, Awaits& mine);
  void DropAwaits(AttemptRef ref);
  std::vector<ObjectId> StopAwaiting(AttemptRef ref);
  void LetGoAwaited(const std::vector<ObjectId>& objects);
  void SettleAwaiters(ObjectId id);
  void GiveBack(Worker& worker, AttemptRec& attempt);
  void Resume(Worker& worker, AttemptRec& attempt);
  void ResumeWhatFits(Worker& worker);
  void ResumeForPools();

  // --- put.cc
  void AskForPut(Job& job, Ordinal ordinal);
  void TakePut(Job& job, Ordinal ordinal);

  // --- history.cc
  Job* JobForCommand(Token token, JobId id);  // null: there is none, and the reply says so
  void Reclassify(Job& job);
  void BeginForget(Job& job);
  void ExpireJob(JobId id);
  bool ForgetObject(Job& job, Work& work);
  void ForgetIfSwept(Job& job);
  void ForgetChildRecords(Job& job);
  void KeepCompact(Job& job);
  void ForgetRecords(Job& job);
  bool DropHusk();

  // --- shares.cc
  bool IsUrgent(const Job& job, uint32_t tail_ms) const;
  uint64_t CpuUs(const TaskRec& task, uint64_t ns) const;  // its cpus for that time
  uint64_t ToldCpuUs(const Job& job, const TaskRec& task) const;
  void ChargeShare(Job& job, AttemptRec& attempt);
  void SettleShare(Job& job, const AttemptRec& attempt, const Outcome* outcome);
  void Unpark(Family& family);  // if it is below its limit
  bool AdvanceUnpark(Work& work);

  // --- jobs.cc
  Job* FindJob(JobId id) { return jobs.Find(id); }
  const Job* FindJob(JobId id) const { return jobs.Find(id); }
  Job& RootOf(const Job& job) const { return *jobs[job.family->root]; }
  void Changed(Job& job);
  void CheckJobEnd(Job& job);
  void CancelWhole(Job& job, Token token);
  void CancelUnlessCancelled(Job& job, Token token);
  uint16_t InternShape(const Batch::Shape& spec);
  void AppendBatch(Job& job, const Batch& batch);
  void RefuseForChild(Token token, const Job& job);
  void Answer(Token token, uint32_t code, std::string message, JobId job = 0,
              uint32_t next_batch = 0);

  // --- explain.cc
  TaskView ViewOf(const Job& job, Ordinal ordinal, Reasons& reasons) const;

  // --- timers.cc
  void RunTimers();
  void RunTimer(const Timer& timer);
  void RunWorkerTimer(Worker& worker, const Timer& timer);
  void EndBackoff(Job& job, Ordinal ordinal);

  template <typename A>
  void Emit(A&& action) {
    actions->emplace_back(std::forward<A>(action));
  }
  // To be filled in where it lies, before anything else is emitted.
  template <typename A>
  A& EmitNew() {
    return *std::get_if<A>(&actions->emplace_back(std::in_place_type<A>));
  }

  Config config;
  uint64_t now_ns = 0;
  std::vector<Action>* actions = nullptr;  // of the step under way
  int64_t budget = 0;

  JobTable jobs;
  absl::btree_map<JobId, ForgottenJob> forgotten;
  std::deque<JobId> forgotten_order;                      // the first ones forgotten go first
  absl::btree_set<std::pair<uint64_t, JobId>> idle_jobs;  // (ended_ns, id): may be forgotten
  std::deque<std::unique_ptr<Job>> husks;                 // forgotten, their memory to be freed
  std::vector<std::unique_ptr<Worker>> workers;           // by slot; null: free
  std::vector<uint16_t> generations;                      // by slot
  std::vector<uint32_t> hosts;                            // of workers, by slot
  absl::btree_set<uint16_t> free_slots;
  std::vector<Shape> shapes;
  std::vector<uint16_t> fail_fast_shapes;
  Segments<ReplicaRec> replicas;
  absl::flat_hash_map<ObjectId, WideIndex> wide_objects;  // looked up, never iterated
  Segments<AttemptRec> attempts;
  uint32_t free_replica = kNil, free_attempt = kNil;  // threaded through `next`

  absl::flat_hash_map<uint64_t, uint16_t> slot_of_identity;
  absl::flat_hash_map<StreamId, uint16_t> slot_of_stream;
  absl::btree_map<std::pair<uint64_t, uint64_t>, JobId> job_of_submission;
  absl::btree_map<std::string, ObjectRange> datasets;
  absl::btree_map<ClientId, Client> clients;  // with wants or ephemeral jobs
  absl::btree_map<Batch::Shape, uint16_t> shape_of_spec;
  absl::btree_map<uint16_t, ClusterPool> pools;
  // Workers by their own name and by their host's.
  absl::flat_hash_map<uint32_t, absl::btree_set<uint16_t>> slots_of_name;
  absl::btree_map<std::pair<Resources, std::vector<uint32_t>>, uint16_t> kind_of_worker;

  absl::btree_map<uint16_t, uint16_t> kept;  // by shape: the worker that takes nothing else
  std::vector<UnderWay> under_way;  // by hash: a later object takes the place of an earlier one
  uint64_t in_bytes_per_s = 0;      // into any worker, as learned; 0: not yet
  FairShare shares;
  uint64_t up_cpus_milli = 0;  // of workers that are up

  std::deque<Work> worklist;
  std::deque<Work> commands;         // go to the worklist one by one, when that is empty
  std::deque<uint16_t> dirty;        // workers that may have a free slot
  std::deque<uint16_t> dirty_ahead;  // workers whose slots are full and look-ahead is not
  // ((kind, busy cpus per mille), slot): something free, nothing to do.
  absl::btree_set<std::pair<std::pair<uint16_t, uint64_t>, uint16_t>> hungry;
  absl::btree_set<TaskId> suspects;           // ready tasks that run alone, the oldest job's first
  absl::btree_set<uint16_t> reserved;         // workers that are emptied for them
  absl::btree_set<uint16_t> short_of_memory;  // workers that left a task in its queue for that
  uint16_t last_short = 0;                    // of these, the last one looked at
  absl::btree_set<uint16_t> ahead_open;       // slots full, room for look-ahead, nothing to take
  ShapeSet queued_shapes;                     // that have tasks in a queue
  ShapeSet ahead_shapes;                      // that have look-ahead somewhere
  // By shape, workers with look-ahead and with home tasks.
  std::vector<CountIndex> ahead_of_shape, homes_of_shape;
  std::deque<CopyAsk> copy_queue, stranded;
  uint32_t stranded_left = 0;  // of these, to be looked at again: a worker came, or room
  absl::btree_map<ObjectId, Gather> gathers;
  absl::btree_set<uint16_t> takers;  // workers that are up and may be told to gather more
  uint16_t last_taker = 0;
  absl::btree_map<uint16_t, std::deque<EarlyAsk>> early;  // by home, not ordered yet
  std::deque<uint16_t> early_open;                        // homes that may take more of these
  uint32_t drainers = 0;                                  // workers that are to leave
  TimerWheel<Timer> timers;
  std::vector<JobId> changed_jobs;
  absl::btree_map<uint16_t, Recovery> recoveries;
  uint16_t last_recovery = 0;
  uint64_t last_epoch = 0;
  bool restoring = false;                      // from the first replayed record to the first Step
  uint32_t replayed_start = 0;                 // to which the record under way belongs
  std::vector<TaskId> postponed, unfollowed;   // while restoring
  absl::btree_map<AttemptRef, Awaits> awaits;  // of live attempts that yielded
  std::vector<AttemptRef> resume_for_pools;    // some may have ended
  absl::flat_hash_map<ObjectId, std::vector<AttemptRef>> awaiters;  // looked up, never iterated
  absl::btree_map<AttemptRef, std::string> refused_submissions;     // of live attempts, held ones
  uint64_t grace_until_ns = 0;  // before, what no worker has named may still come with one
  uint64_t hold_until_ns = 0;   // nothing is placed before: who runs what is not known yet
  Counters counters;
};

Presence CollectionPresence(const CollectionRec& c);
void CountMember(CollectionRec& c, Ordinal member, Presence presence, int32_t by);

// Also of a job that goes on: what a client sees.
JobState StateOf(const Job& job);
JobView CompactView(const Job& job);

// An average with weight 1/8 for the newest; 0: unknown.
inline uint64_t Learned(uint64_t average, uint64_t sample) {
  return average == 0 ? std::max<uint64_t>(sample, 1) : (average * 7 + sample) / 8 + 1;
}

inline bool Ended(TaskState s) {
  return s == TaskState::kDone || s == TaskState::kFailed || s == TaskState::kCancelled;
}

inline bool Failed(const TaskRec& task) {
  return task.state == TaskState::kFailed || task.state == TaskState::kCancelled;
}

// Of what a task takes, as much is left for the job: of one that runs a half on average.
inline uint64_t HalvesLeft(TaskState s) { return Ended(s) ? 0 : s == TaskState::kActive ? 1 : 2; }

// "" or the first broken invariant. See validate.cc.
std::string ValidateState(const State& state);

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_STATE_H_
