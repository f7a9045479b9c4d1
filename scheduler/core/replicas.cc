// Who holds what. An object is wanted while someone may read it; what nobody wants is freed at its
// holders, what is wanted and gone is made again.
#include <algorithm>
#include <utility>

#include "common/base/mutant.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

ObjectRec* State::FindObject(ObjectId id) const {
  Job* job = jobs.Find(id.job);
  return job != nullptr && id.ordinal < job->objects.size() ? &job->objects[id.ordinal] : nullptr;
}

bool State::Wanted(const Job& job, const ObjectRec& object) const {
  if (job.forgetting) return false;
  if (object.live_consumers > 0 || object.outside_wants > 0) return true;
  return !job.cancelled && (object.graph_want || !job.sealed);
}

void State::SetUsable(ObjectRec& object, ReplicaRec& replica, bool usable) {
  if (replica.usable == usable) return;
  replica.usable = usable;
  object.usable += usable ? 1 : -1;
}

void State::AddReplica(Worker& worker, ObjectId id, bool usable) {
  Job& job = *jobs[id.job];
  ObjectRec& object = job.objects[id.ordinal];
  if (worker.reconciling || worker.returning) worker.listed.insert({id, object.version});
  ReplicaRec* replica = nullptr;
  if (uint32_t* link = FindLink(id, object, worker.id.slot)) {
    replica = &replicas[*link];
  } else {
    if (object.replicas == kNil) object.idle = object.live_consumers == 0;
    replica = &LinkReplica(worker, id, object);
    object.unclaimed = false;
    worker.object_bytes += object.size_bytes;
    if (object.idle) worker.idle_bytes += object.size_bytes;
  }
  SetUsable(object, *replica, usable);
  if (object.copies || worker.draining) CheckCopies(job, id.ordinal);
  PresenceMayHaveChanged(job, id.ordinal);
}

bool State::RemoveReplica(Worker& worker, ObjectId id) {
  Job& job = *jobs[id.job];
  ObjectRec& object = job.objects[id.ordinal];
  uint32_t* link = FindLink(id, object, worker.id.slot);
  if (link == nullptr) return false;
  object.usable -= replicas[*link].usable;
  SetToMove(worker, replicas[*link], false);
  UnlinkReplica(worker, id, object, link);
  worker.object_bytes -= object.size_bytes;
  if (object.idle) worker.idle_bytes -= object.size_bytes;
  if (object.copies || drainers > 0) CheckCopies(job, id.ordinal);
  PresenceMayHaveChanged(job, id.ordinal);
  return true;
}

// It answered that it has no such replica; an unreachable one may have it still.
bool State::StrikeOut(const BadHolder& bad) {
  ObjectRec* object = FindObject(bad.id.object);
  Worker* holder = FindWorker(bad.worker);
  return bad.missing && object != nullptr && holder != nullptr &&
         object->version == bad.id.version && RemoveReplica(*holder, bad.id.object);
}

void State::DropReplicas(Job& job, ObjectId id) {
  ObjectRec& object = job.objects[id.ordinal];
  object.unclaimed = false;
  StopCopies(id, object);
  Narrow(id, object);  // they go from the front
  while (object.replicas != kNil) {
    Worker& worker = *workers[replicas[object.replicas].worker];
    // A worker that is away learns it when it comes back and lists the replica.
    if (worker.stream != 0) {
      Emit(action::Free{worker.stream, {id, object.version}});
      object.freed = true;
    }
    RemoveReplica(worker, id);
  }
}

void State::FreeIfUnwanted(Job& job, Ordinal ordinal) {
  ObjectRec& object = job.objects[ordinal];
  bool wanted = Wanted(job, object);
  if (object.alias) {
    if (!wanted) HoldBehind(job, object, false);
    return;
  }
  if (object.replicas != kNil && !wanted) DropReplicas(job, {job.id, ordinal});
  if (object.unclaimed &&
      !wanted) {  // an earlier start freed it, or its holder will hear on its return
    object.unclaimed = false;
    PresenceMayHaveChanged(job, ordinal);
  }
  if (job.tasks[object.producer].again != Again::kNo && (!wanted || object.usable > 0)) {
    Enqueue({.kind = WorkKind::kStillNeeded, .job = job.id, .index = object.producer});
  }
}

bool State::PastRerun(ObjectId id, const ObjectRec& object) const {
  if (object.unclaimed) return false;
  for (uint32_t r = object.replicas; r != kNil; r = replicas[r].next) {
    const Worker& worker = *workers[replicas[r].worker];
    if (worker.state != WorkerState::kAway && worker.state != WorkerState::kLost) return false;
    // It is about to be back, and has said that it has it.
    if (worker.reconciling && worker.listed.contains({id, object.version})) return false;
  }
  return true;
}

namespace {
[[maybe_unused]] bool IsLastOfSeveral(const Job& job, Ordinal ordinal) {
  const TaskRec& producer = job.tasks[job.objects[ordinal].producer];
  return producer.output_count > 1 && ordinal + 1 == producer.first_output + producer.output_count;
}
}  // namespace

void State::MakeIfWanted(Job& job, Ordinal ordinal) {
  const ObjectRec& object = job.objects[ordinal];
  if (object.alias) return MakeAliasIfWanted(job, ordinal);
  if (job.tasks[object.producer].state != TaskState::kDone || !Wanted(job, object)) return;
  if (TASKD_MUTANT(kLineageSkipped) && IsLastOfSeveral(job, ordinal)) return;
  Presence actual = Actual(job, object);
  if (actual == Presence::kMissing || (actual == Presence::kAway && object.outside_wants > 0 &&
                                       PastRerun({job.id, ordinal}, object))) {
    RunAgain(job, object.producer);
  }
}

// From outside of the graph: a client, a dataset, or an attempt that yielded for it.
void State::Hold(Job& job, Ordinal ordinal) {
  ++job.objects[ordinal].outside_wants;
  MakeIfWanted(job, ordinal);
}

void State::LetGo(Job& job, Ordinal ordinal) {
  --job.objects[ordinal].outside_wants;
  FreeIfUnwanted(job, ordinal);
}

void State::ReportReplica(Worker& worker, const Replica& replica) {
  ObjectId id = replica.id.object;
  ObjectRec* object = FindObject(id);
  // A report that crossed the order to free it is no replica.
  if (object != nullptr && object->version == replica.id.version && !object->freed &&
      !object->alias && Wanted(*jobs[id.job], *object)) {
    AddReplica(worker, id, worker.connected());
    return;
  }
  if (object != nullptr && worker.reconciling &&
      Adoptable({{id.job, object->producer}, replica.id.version})) {
    worker.listed.insert(replica.id);
    worker.undecided.push_back(replica);
    return;
  }
  // Made by an attempt whose outcome is still under way: that decides.
  if (object != nullptr && FindAttempt({{id.job, object->producer}, replica.id.version}) != kNil) {
    worker.listed.insert(replica.id);
    return;
  }
  if (object != nullptr && object->version == replica.id.version) object->freed = true;
  Emit(action::Free{worker.stream, replica.id});
}

}  // namespace taskd::scheduler
