// The worklist. A change of an object's presence is told to its consumers by one item, which is
// finished before the next begins: so the counts of every task that is not `starting` agree with
// the presences of its inputs whenever no item is half done, however small the budget of a step.
#include <algorithm>

#include "common/base/mutant.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

Presence State::Actual(const Job& job, const ObjectRec& object) const {
  if (object.usable > 0) return Presence::kAvailable;
  if (object.alias) return job.BehindAlias(object).presence;
  const TaskRec& producer = job.tasks[object.producer];
  // Also of a task that failed when it should run again: somebody may hold it.
  if (object.unclaimed && Ended(producer.state)) return Presence::kAway;
  if (producer.state == TaskState::kFailed || producer.state == TaskState::kCancelled)
    return Presence::kDead;
  // A rebuild under way needs no second one: consumers wait for it, or for the return of the
  // holder.
  if (object.replicas != kNil && producer.state == TaskState::kDone) return Presence::kAway;
  return Presence::kMissing;
}

Presence State::SourcePresence(const Job& job, uint32_t source) const {
  if (source & kCollectionBit) return job.collections[source & ~kCollectionBit].presence;
  return job.objects[source].presence;
}

void State::PresenceMayHaveChanged(Job& job, Ordinal ordinal) {
  ObjectRec& object = job.objects[ordinal];
  if (object.announced || Actual(job, object) == object.presence) return;
  object.announced = true;
  Enqueue({.kind = WorkKind::kAnnounceObject, .job = job.id, .index = ordinal});
}

Presence CollectionPresence(const CollectionRec& c) {
  if (c.dead > 0) return Presence::kDead;
  if (c.missing > 0) return Presence::kMissing;
  return c.away > 0 ? Presence::kAway : Presence::kAvailable;
}

void CountMember(CollectionRec& c, Ordinal member, Presence presence, int32_t by) {
  if (presence == Presence::kMissing) c.missing += by;
  if (presence == Presence::kAway) c.away += by;
  if (presence != Presence::kDead) return;
  c.dead += by;
  if (by > 0) c.dead_member = member;
}

void State::AcquireObject(Job& job, Ordinal ordinal) {
  ObjectRec& object = job.objects[ordinal];
  if (object.live_consumers++ == 0 && object.idle) SetIdle(job, ordinal, false);
}

void State::ReleaseObject(Job& job, Ordinal ordinal) {
  ObjectRec& object = job.objects[ordinal];
  TASKD_CHECK(object.live_consumers > 0);
  --object.live_consumers;
  if (TASKD_MUTANT(kFreedTooEarly) && object.live_consumers > 0 && job.sealed && !object.graph_want)
    return DropReplicas(job, {job.id, ordinal});
  FreeIfUnwanted(job, ordinal);
  if (object.live_consumers == 0 && object.replicas != kNil) SetIdle(job, ordinal, true);
}

void State::AcquireSource(Job& job, uint32_t source) {
  if (!(source & kCollectionBit)) return AcquireObject(job, source);
  CollectionRec& c = job.collections[source & ~kCollectionBit];
  if (c.live_consumers++ == 0) {
    Enqueue({.kind = WorkKind::kAcquireMembers, .job = job.id, .index = source & ~kCollectionBit});
  }
}

void State::ReleaseSource(Job& job, uint32_t source) {
  if (!(source & kCollectionBit)) return ReleaseObject(job, source);
  CollectionRec& c = job.collections[source & ~kCollectionBit];
  TASKD_CHECK(c.live_consumers > 0);
  if (--c.live_consumers == 0) {
    Enqueue({.kind = WorkKind::kReleaseMembers, .job = job.id, .index = source & ~kCollectionBit});
  }
}

namespace {

// Tells one consumer per call, from `work.cursor` on.
bool TellConsumers(State& state, Job& job, Work& work, uint32_t source) {
  if (work.cursor == kNil) return false;
  const EdgeRec& edge = job.edges[work.cursor];
  work.cursor = edge.next;
  if (edge.consumer & kCollectionBit) {
    uint32_t index = edge.consumer & ~kCollectionBit;
    state.MemberChanged(job, index, work.index, work.before, work.after);
  } else {
    state.InputChanged(job, edge.consumer, source, work.before, work.after);
    if (work.after == Presence::kAvailable && !(source & kCollectionBit))
      state.FetchEarly(job, edge.consumer, source);
  }
  return work.cursor != kNil;
}

}  // namespace

void State::MemberChanged(Job& job, uint32_t index, Ordinal member, Presence before,
                          Presence after) {
  CollectionRec& c = job.collections[index];
  CountMember(c, member, before, -1);
  CountMember(c, member, after, +1);
  CollectionMayHaveChanged(job, index);
  if (after == Presence::kAvailable && c.live_consumers == 1 && !c.foreign())
    FetchEarly(job, job.edges[c.consumers].consumer, member);
}

void State::CollectionMayHaveChanged(Job& job, uint32_t index) {
  CollectionRec& c = job.collections[index];
  if (c.announced || CollectionPresence(c) == c.presence) return;
  c.announced = true;
  Enqueue({.kind = WorkKind::kAnnounceCollection, .job = job.id, .index = index});
}

namespace {

// Tasks that have ended care only if they failed by it. After a restart what failed tasks had made before
// is away, not dead, until holders have come.
bool EndedCare(const State& state, const Job& job, Presence before) {
  const bool some_failed = job.progress.counts[static_cast<size_t>(TaskState::kFailed)] > 0;
  return before == Presence::kDead || state.restoring || (before == Presence::kAway && some_failed);
}

bool AnnounceObject(State& state, Job& job, Work& work) {
  ObjectRec& object = job.objects[work.index];
  if (!work.begun) {
    work.begun = true;
    work.before = object.presence;
    work.after = state.Actual(job, object);
    object.announced = false;
    object.presence = work.after;
    if (object.alias) state.NoteBehind(job, work.index);
    // Also when it came and went before this item's turn: nobody was told, and it is still to be
    // made.
    if (work.after == Presence::kMissing) state.MakeIfWanted(job, work.index);
    if (object.outside_wants > 0 &&
        (work.after == Presence::kAvailable || work.after == Presence::kDead)) {
      state.Emit(action::ObjectChanged{{job.id, work.index}});
      state.SettleAwaiters({job.id, work.index});
    }
    if (work.before == work.after) return false;
    if (work.after == Presence::kMissing && object.version != 0 && work.before != Presence::kDead &&
        state.Wanted(job, object)) {
      ++state.counters.objects_lost;
    }
    if (work.after == Presence::kAvailable) state.FreeIfUnwanted(job, work.index);
    // Collections keep their counts always.
    bool told =
        object.live_consumers > 0 || object.in_collection || EndedCare(state, job, work.before);
    work.cursor = told ? object.consumers : kNil;
    work.limit = object.exported ? job.last_importer + 1 : 0;
    return work.cursor != kNil || work.limit > 0;
  }
  if (work.cursor != kNil) {
    TellConsumers(state, job, work, work.index);
  } else {
    work.limit = state.TellImporter(job, work.index, work.limit, work.before, work.after);
  }
  return work.cursor != kNil || work.limit > 0;
}

bool AnnounceCollection(State& state, Job& job, Work& work) {
  CollectionRec& c = job.collections[work.index];
  if (!work.begun) {
    work.begun = true;
    work.before = c.presence;
    work.after = CollectionPresence(c);
    c.announced = false;
    c.presence = work.after;
    if (work.before == work.after) return false;
    if (c.alias != kNoOrdinal) state.PresenceMayHaveChanged(job, c.alias);
    bool told = c.live_consumers > 0 || EndedCare(state, job, work.before);
    work.cursor = told ? c.consumers : kNil;
    return work.cursor != kNil;
  }
  return TellConsumers(state, job, work, work.index | kCollectionBit);
}

// True: a consumer of the edge lacks nothing but inputs that are away.
bool NeededNow(const Job& job, uint32_t consumer) {
  if (!(consumer & kCollectionBit)) {
    const TaskRec& task = job.tasks[consumer];
    return task.state == TaskState::kWaiting && !task.starting && task.missing == 0;
  }
  const CollectionRec& c = job.collections[consumer & ~kCollectionBit];
  if (c.presence != Presence::kAway) return false;
  for (uint32_t e = c.consumers; e != kNil; e = job.edges[e].next) {
    if (NeededNow(job, job.edges[e].consumer)) return true;
  }
  return false;
}

bool DemandAway(State& state, Job& job, Work& work) {
  const ObjectRec& object = job.objects[work.index];
  if (!work.begun) {
    work.begun = true;
    work.cursor = object.consumers;
    work.limit = object.exported ? job.last_importer + 1 : 0;
  }
  if (state.Actual(job, object) != Presence::kAway || !state.IsPastRerun({job.id, work.index}))
    return false;
  bool needed = object.outside_wants > 0;
  if (work.cursor != kNil) {
    needed |= NeededNow(job, job.edges[work.cursor].consumer);
    work.cursor = job.edges[work.cursor].next;
  } else if (auto it = job.importers.lower_bound(work.limit); it != job.importers.begin()) {
    work.limit = (--it)->first;
    const Job& reader = *state.FindJob(it->second.job);
    const CollectionRec& c = reader.collections[it->second.collection];
    if (c.alias != kNoOrdinal && c.Has(work.index))
      state.Enqueue({.kind = WorkKind::kDemandAway, .job = reader.id, .index = c.alias});
    needed |= c.Has(work.index) && NeededNow(reader, it->second.collection | kCollectionBit);
  } else {
    work.limit = 0;
  }
  if (needed) state.MakeAgain({job.id, work.index});
  return !needed && (work.cursor != kNil || work.limit > 0);
}

// False: it was the last one.
bool NextOfRange(Work& work) {
  uint64_t next = uint64_t{work.index} + work.cursor;
  work.index = static_cast<uint32_t>(std::min<uint64_t>(next, work.limit));
  return work.index < work.limit;
}

}  // namespace

// One object, then one import a call.
bool State::Sweep(Job& job, Work& work) {
  const uint32_t objects = job.objects.size();
  if (work.index < objects) {
    FreeIfUnwanted(job, work.index);
  } else if (work.index - objects < job.imports.size()) {
    const Import& import = job.imports[work.index - objects];
    if (job.collections[import.collection].alias == kNoOrdinal) LetGoImport(job, import);
  }
  return ++work.index < objects + job.imports.size();
}

bool State::Advance(Work& work) {
  switch (work.kind) {
    case WorkKind::kEndGrace:
      return AdvanceEndGrace(work);
    case WorkKind::kCheckDrained:
      BecomeDrained(static_cast<uint16_t>(work.job));
      return false;
    case WorkKind::kWorkerDrain:
    case WorkKind::kWorkerAway:
    case WorkKind::kWorkerDemand:
    case WorkKind::kWorkerReturn:
    case WorkKind::kWorkerForget:
      return AdvanceWorkerObjects(work);
    case WorkKind::kWorkerOrphan:
    case WorkKind::kWorkerDropAttempts:
      return AdvanceWorkerAttempts(work);
    case WorkKind::kUnpark:
      return AdvanceUnpark(work);
    case WorkKind::kWorkerRehome:
      return AdvanceRehome(work);
    case WorkKind::kFailShape:
      return FailOneOf(static_cast<uint16_t>(work.index));
    default:
      break;
  }
  if (work.kind == WorkKind::kDropHusk) return DropHusk();
  if (work.kind == WorkKind::kDropClient) return DropClient(work);
  Job* found = FindJob(work.job);
  if (found == nullptr) return false;  // forgotten meanwhile
  Job& job = *found;
  switch (work.kind) {
    case WorkKind::kStartTasks:
      StartTask(job, work.index++, Start::kFirst);
      return work.index < work.limit;
    case WorkKind::kRestartTask:
      StartTask(job, work.index, Start::kAgain);
      return false;
    case WorkKind::kReviveTask:
      StartTask(job, work.index, Start::kRevived);
      return false;
    case WorkKind::kTakePut:
      TakePut(job, work.index);
      return false;
    case WorkKind::kCancelRange:
      if (work.index >= work.limit) return false;
      CancelUnended(job, work.index);
      return NextOfRange(work);
    case WorkKind::kRetryRange:
      if (work.index < work.limit) {
        RetryTask(job, work.index, work);
        if (NextOfRange(work)) return true;
      }
      EndRetry(job);
      return false;
    case WorkKind::kRevisitWants:
      if (work.index < job.wants.size()) MakeIfWanted(job, job.wants[work.index++]);
      return work.index < job.wants.size();
    case WorkKind::kEndByInput:
      EndIfInputDead(job, work.index);
      return false;
    case WorkKind::kFollowCulprit:
      FollowCulprit(job, work.index);
      return false;
    case WorkKind::kStillNeeded:
      CheckStillNeeded(job, work.index);
      return false;
    case WorkKind::kAnnounceObject:
      return AnnounceObject(*this, job, work);
    case WorkKind::kAnnounceCollection:
      return AnnounceCollection(*this, job, work);
    case WorkKind::kReleaseMembers:
    case WorkKind::kAcquireMembers: {
      const CollectionRec& c = job.collections[work.index];
      Job* owner = MembersOf(job, c);
      if (work.cursor == kNil) work.cursor = 0;
      if (work.cursor >= c.count || owner == nullptr) return false;
      Ordinal member = c.first + work.cursor++ * c.stride;
      if (work.kind == WorkKind::kAcquireMembers) {
        AcquireObject(*owner, member);
        MakeIfWanted(*owner, member);
      } else {
        ReleaseObject(*owner, member);
      }
      return work.cursor < c.count;
    }
    case WorkKind::kDemandAway:
      return DemandAway(*this, job, work);
    case WorkKind::kCancelTasks:
      if (work.index >= job.tasks.size()) return false;
      CancelTask(job, work.index++);
      return work.index < job.tasks.size();
    case WorkKind::kCancelChildren:
      return AdvanceCancelChildren(job, work);
    case WorkKind::kHoldDataset:
    case WorkKind::kLetGoDataset:
      work.kind == WorkKind::kHoldDataset ? Hold(job, work.index) : LetGo(job, work.index);
      return NextOfRange(work);
    case WorkKind::kForgetObjects:
      return ForgetObject(job, work);
    case WorkKind::kForgetRecords:
      ForgetRecords(job);
      return false;
    case WorkKind::kSweepObjects:
      // Goes once round the worklist: tasks that start before it may acquire members of collections
      // first.
      if (!work.begun) {
        work.begun = true;
        Enqueue(work);
        return false;
      }
      if (!job.sealed) {
        job.sealed = true;
        CheckJobEnd(job);
      }
      return Sweep(job, work);
    default:
      TASKD_CHECK(false);
      return false;
  }
}

}  // namespace taskd::scheduler
