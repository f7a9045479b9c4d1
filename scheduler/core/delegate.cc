// Outputs that are delegated: what a task was to make is an object of what it submitted. Its own object
// is then an *alias*. That has no replicas and no task makes it: a collection of one stands for the
// object behind it, as if the job read that. Through it the alias is told of changes, and while somebody
// wants the alias it holds what is behind.
//
// Aliases may be of aliases: a task that submits its own successor, and delegates to it, makes a chain.
// Each link is told by an item of the worklist of its own, from the far end on, and takes over what the
// one before knows is behind: no length of a chain is a recursion, or a walk for who reads it.
#include <numeric>
#include <utility>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

// The object itself, or the end of its chain; ObjectId{}: the job of that is forgotten.
ObjectId State::Behind(const Job& job, Ordinal ordinal) const {
  const Job* at = &job;
  while (at != nullptr && at->objects[ordinal].alias) {
    const CollectionRec& c = at->BehindAlias(at->objects[ordinal]);
    if (c.behind != ObjectId{}) return FindJob(c.behind.job) == nullptr ? ObjectId{} : c.behind;
    ordinal = c.first;
    at = FindJob(c.job);
  }
  return at == nullptr ? ObjectId{} : ObjectId{at->id, ordinal};
}

// Its presence is told.
void State::NoteBehind(Job& job, Ordinal ordinal) {
  ObjectRec& alias = job.objects[ordinal];
  CollectionRec& c = job.BehindAlias(alias);
  c.behind = {};
  if (alias.presence != Presence::kAvailable && alias.presence != Presence::kAway) return;
  c.behind = Behind(job, ordinal);
  if (const ObjectRec* behind = FindObject(c.behind)) {
    alias.size_bytes = behind->size_bytes;
    job.largest_bytes = std::max(job.largest_bytes, alias.size_bytes);
  }
}

// "" or what of the outcome is delegated to nothing.
std::string State::CheckDelegated(const Outcome& outcome, const Job* child) const {
  for (size_t i = 0; i < outcome.outputs.size(); ++i) {
    const Ordinal to = outcome.outputs[i].delegated;
    const uint32_t objects = child == nullptr ? 0 : child->objects.size();
    if (to == kNoOrdinal || to < objects) continue;
    return StrCat("output ", i, " is delegated to object ", to,
                  " of what the task submitted, which has ", objects, " objects");
  }
  return "";
}

// An accepted finish says so. False: what is there stays.
bool State::Delegate(Job& job, Ordinal ordinal, AttemptId attempt, Ordinal to) {
  ObjectRec& object = job.objects[ordinal];
  const Job* child = ChildFor(job, object.producer, attempt);
  if (object.alias || object.usable > 0 || child == nullptr || to >= child->objects.size())
    return false;
  DropReplicas(job, {job.id, ordinal});
  object.unclaimed = false;
  object.version = attempt;
  object.size_bytes = 0;
  object.alias = true;
  object.crc32c = static_cast<uint32_t>(job.collections.size());
  if (job.aliases++ == 0) {
    job.numbered.resize(job.collections.size());
    std::iota(job.numbered.begin(), job.numbered.end(), 0);
  }
  AppendImport(job, {to, 1, 1, child->id});
  job.collections.back().alias = ordinal;
  return true;
}

// What was behind it is discarded, or goes with what is.
void State::EndAlias(Job& job, Ordinal ordinal) {
  ObjectRec& object = job.objects[ordinal];
  HoldBehind(job, object, false);
  job.BehindAlias(object).alias = kNoOrdinal;
  object.alias = false;
  object.crc32c = 0;
  PresenceMayHaveChanged(job, ordinal);
}

// Of a task's outputs, those that were delegated to this child.
void State::EndAliasesOf(Job& job, Ordinal ordinal, JobId child) {
  const TaskRec& task = job.tasks[ordinal];
  for (Ordinal o = task.first_output; o < task.first_output + task.output_count; ++o) {
    const ObjectRec& object = job.objects[o];
    if (object.alias && job.BehindAlias(object).job == child) EndAlias(job, o);
  }
}

void State::HoldBehind(Job& job, const ObjectRec& alias, bool hold) {
  if (std::exchange(job.BehindAlias(alias).held, hold) == hold) return;
  const uint32_t source = alias.crc32c | kCollectionBit;
  hold ? AcquireSource(job, source) : ReleaseSource(job, source);
}

void State::MakeAliasIfWanted(Job& job, Ordinal ordinal) {
  const ObjectRec& alias = job.objects[ordinal];
  if (!Wanted(job, alias)) return;
  HoldBehind(job, alias, true);
  const ObjectId id{job.id, ordinal};
  if (alias.outside_wants > 0 && Actual(job, alias) == Presence::kAway && IsPastRerun(id))
    MakeAgain(id);
}

bool State::IsPastRerun(ObjectId id) const {
  const ObjectId behind = Behind(*jobs[id.job], id.ordinal);
  const ObjectRec* object = FindObject(behind);
  return object != nullptr && PastRerun(behind, *object);
}

void State::MakeAgain(ObjectId id) {
  const ObjectId behind = Behind(*jobs[id.job], id.ordinal);
  if (const ObjectRec* object = FindObject(behind)) RunAgain(*jobs[behind.job], object->producer);
}

// A delegated input of a task that failed is not dead any more. Blame stays within a job, so the task
// is its own culprit, and follows once who makes what it reads has not failed: put back by a retry, or
// submitted anew. Not when just a lost result returned.
void State::FollowDelegated(Job& job, Ordinal ordinal, uint32_t source) {
  const TaskRec& task = job.tasks[ordinal];
  if (task.failure != FailureClass::kInputFailed || job.cancelled) return;
  auto will_be_made = [&](Ordinal input) {
    const ObjectId behind = Behind(job, input);
    const ObjectRec* object = FindObject(behind);
    return object != nullptr && !Failed(jobs[behind.job]->tasks[object->producer]);
  };
  budget -= task.edge_count;
  bool follows = true;
  if (source & kCollectionBit) {
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    follows = !c.foreign();
    for (uint32_t i = 0; i < c.count && follows; ++i) {
      follows = will_be_made(c.first + i * c.stride);
      --budget;
    }
  } else {
    follows = will_be_made(source);
  }
  if (follows && DeadSource(job, task) == kNil) ReviveTask(job, ordinal);
}

}  // namespace taskd::scheduler
