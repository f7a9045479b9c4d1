// The life of a worker's connection:
//
//   hello -> (inventory, unacked outcomes) -> inventory done: up
//   up -> closed: suspect -> rerun_after: away -> forget_after: lost
//   up -> silent: away -> heard again: up; or forget_after: lost
//   goodbye, or a hello of another incarnation: lost at once
//
// What a worker holds is walked by the worklist, an object at a time.
#include <algorithm>
#include <utility>

#include "common/base/mutant.h"
#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

Worker* State::FindStream(StreamId stream) {
  auto it = slot_of_stream.find(stream);
  return it == slot_of_stream.end() ? nullptr : workers[it->second].get();
}

Worker* State::FindWorker(WorkerId id) {
  Worker* worker = WorkerAt(id.slot);
  return worker != nullptr && worker->id == id ? worker : nullptr;
}

void State::SetWorkerState(Worker& worker, WorkerState state) {
  --counters.workers[static_cast<size_t>(worker.state)];
  worker.state = state;
  ++counters.workers[static_cast<size_t>(state)];
  up_cpus_milli -= worker.counted_cpus;
  worker.counted_cpus = worker.up() ? worker.capacity.cpus_milli : 0;
  up_cpus_milli += worker.counted_cpus;
  SetTaker(worker);
  if (state != WorkerState::kUp) {
    SetHungry(worker, false);
    SetShortOfMemory(worker, false);
    if (worker.reserved) SetReserved(worker, false);
    ahead_open.erase(worker.id.slot);
    if (worker.home_tasks > 0) Enqueue({.kind = WorkKind::kWorkerRehome, .job = worker.id.slot});
  }
}

Worker& State::NewWorker(const event::WorkerHello& e) {
  uint16_t slot = static_cast<uint16_t>(workers.size());
  if (free_slots.empty()) {
    workers.emplace_back();
    generations.push_back(0);
    hosts.push_back(0);
  } else {
    slot = *free_slots.begin();
    free_slots.erase(free_slots.begin());
  }
  if (++generations[slot] == 0) ++generations[slot];
  workers[slot] = std::make_unique<Worker>();
  Worker& worker = *workers[slot];
  worker.id = {slot, generations[slot]};
  worker.identity = e.identity;
  worker.incarnation = e.incarnation;
  ++counters.workers[static_cast<size_t>(worker.state)];
  slot_of_identity[e.identity] = slot;
  return worker;
}

// What it says of itself may differ from its last hello.
void State::SetPlace(Worker& worker, const event::WorkerHello& e) {
  ForgetNames(worker);
  worker.host = hosts[worker.id.slot] = e.host;
  worker.name = e.name;
  for (uint32_t name : {e.name, e.host}) slots_of_name[name].insert(worker.id.slot);
  worker.capacity = e.capacity;
  worker.attributes = e.attributes;
  worker.ends_ns = e.ends_after_ns == 0 ? 0 : now_ns + e.ends_after_ns;
  worker.store_budget_bytes = e.store_budget_bytes;
  Classify(worker);
}

void State::ForgetNames(const Worker& worker) {
  for (uint32_t name : {worker.name, worker.host}) {
    auto it = slots_of_name.find(name);
    if (it == slots_of_name.end()) continue;
    it->second.erase(worker.id.slot);
    if (it->second.empty()) slots_of_name.erase(it);
  }
}

void State::On(event::WorkerHello& e) {
  Worker* worker = nullptr;
  if (auto it = slot_of_identity.find(e.identity); it != slot_of_identity.end()) {
    worker = workers[it->second].get();
    if (worker->incarnation != e.incarnation) {
      ++counters.workers_lost[static_cast<size_t>(LossCause::kRestarted)];
      StartRecovery(now_ns);
      Forget(*worker);
      worker = nullptr;
    }
  }
  if (worker == nullptr) {
    if (workers.size() >= limits::kWorkers && free_slots.empty()) {
      Emit(action::Refuse{e.stream,
                          "the scheduler has its largest number of workers (65,535) already"});
      return;
    }
    worker = &NewWorker(e);
  }
  if (worker->stream != 0) {
    Emit(action::CloseStream{worker->stream});
    slot_of_stream.erase(worker->stream);
    if (worker->connected()) LoseConnection(*worker);
  }
  worker->stream = e.stream;
  slot_of_stream[e.stream] = worker->id.slot;
  SetPlace(*worker, e);
  worker->reconciling = true;
  worker->returning = false;
  worker->listed.clear();
  worker->undecided.clear();
  for (uint32_t a = worker->first_attempt; a != kNil; a = attempts[a].next)
    attempts[a].listed = false;
  worker->last_heard_ns = now_ns;
  worker->epoch = ++last_epoch;
  Arm(TimerKind::kSilent, now_ns + config.silent_ns, worker->id.slot, worker->epoch);
  // It may stop half-way: then it goes as one that never came.
  Arm(TimerKind::kForget, now_ns + config.forget_after_ns, worker->id.slot, worker->epoch);
  if (worker->state == WorkerState::kSuspect && worker->lost_ns != 0) {
    Arm(TimerKind::kRerun, std::max(now_ns, worker->lost_ns + config.rerun_after_closed_ns),
        worker->id.slot, worker->epoch);
  }
  Emit(action::Welcome{e.stream, worker->id});
}

void State::ReconcileAttempt(Worker& worker, AttemptRef ref, bool running) {
  uint32_t index = FindAttempt(ref);
  if (index == kNil) index = Adopt(worker, ref);
  if (index == kNil || attempts[index].worker != worker.id) {
    Emit(action::Cancel{worker.stream, ref});
    return;
  }
  AttemptRec& attempt = attempts[index];
  attempt.listed = true;
  if (attempt.state == AttemptState::kCancelling) {
    Emit(action::Cancel{worker.stream, ref});
  } else if (attempt.state == AttemptState::kRetracting) {
    attempt.state =
        AttemptState::kAssigned;  // the retract was lost with the stream; balance asks again
    if (Worker* asker = WorkerAt(attempt.retract_for))
      asker->retracts_pending -= asker->retracts_pending > 0;
    attempt.retract_for = kNoSlot;
  }
  if (running) OnStarted(worker, ref);
}

void State::On(event::WorkerInventory& e) {
  Worker* worker = FindStream(e.stream);
  if (worker == nullptr || !worker->reconciling) return;
  worker->last_heard_ns = now_ns;
  for (const AttemptRef& ref : e.chunk.assigned) ReconcileAttempt(*worker, ref, false);
  for (const AttemptRef& ref : e.chunk.running) ReconcileAttempt(*worker, ref, true);
  if (TASKD_MUTANT(kReplicasNotReadded)) return;
  for (const Replica& replica : e.chunk.replicas) ReportReplica(*worker, replica);
}

void State::On(event::InventoryDone& e) {
  Worker* worker = FindStream(e.stream);
  if (worker == nullptr || !worker->reconciling) return;
  worker->reconciling = false;
  for (uint32_t a = worker->first_attempt; a != kNil;) {
    uint32_t next = attempts[a].next;
    if (attempts[a].listed) {
      Unorphan(a);
    } else {
      LoseAttempt(a);
    }
    a = next;
  }
  worker->returning = true;
  ComeBack(*worker);
  for (const Replica& replica : std::exchange(worker->undecided, {}))
    ReportReplica(*worker, replica);
}

void State::ComeBack(Worker& worker) {
  worker.last_heard_ns = now_ns;
  worker.lost_ns = 0;
  worker.epoch = ++last_epoch;
  SetWorkerState(worker, worker.draining ? WorkerState::kDraining : WorkerState::kUp);
  Arm(TimerKind::kSilent, now_ns + config.silent_ns, worker.id.slot, worker.epoch);
  ++worker.walks;
  Enqueue({.kind = WorkKind::kWorkerReturn,
           .job = worker.id.slot,
           .limit = static_cast<uint32_t>(worker.epoch)});
  if (worker.draining) BeginDrain(worker);
  stranded_left = static_cast<uint32_t>(stranded.size());
  ResumeWhatFits(worker);
  PromoteAhead(worker);
  MarkDirty(worker);
  CheckDrained(worker);
}

void State::Heard(Worker& worker) {
  worker.last_heard_ns = now_ns;
  if (worker.connected() || worker.reconciling) {
    if (worker.hungry || worker.short_of_memory)
      MarkDirty(worker);  // times and queues of others have changed since
    return;
  }
  // It was silent; its stream has lost nothing.
  for (uint32_t a = worker.first_attempt; a != kNil; a = attempts[a].next) Unorphan(a);
  ComeBack(worker);
}

void State::On(event::WorkerReport& e) {
  Worker* worker = FindStream(e.stream);
  if (worker == nullptr) return;
  Heard(*worker);
  for (size_t i = 0; i < e.started.size(); ++i) {
    PrefetchStarted(e, i);
    OnStarted(*worker, e.started[i]);
  }
  for (size_t i = 0; i < e.outcomes.size(); ++i) {
    PrefetchOutcomes(e, i);
    Outcome& outcome = e.outcomes[i];
    if (outcome.sequence <= worker->outcomes_seen) continue;
    worker->outcomes_seen = outcome.sequence;
    OnOutcome(*worker, outcome);
  }
  if (!e.outcomes.empty()) Emit(action::AckOutcomes{e.stream, worker->outcomes_seen});
  for (const Replica& replica : e.replicas_added) {
    ReportReplica(*worker, replica);
    GatherEnded(*worker, replica.id, 0);
  }
  for (const ObjectVersion& lost : e.replicas_lost) {
    ObjectRec* object = FindObject(lost.object);
    worker->listed.erase(lost);
    if (object != nullptr && object->version == lost.version) RemoveReplica(*worker, lost.object);
  }
  for (const GatherFailure& failure : e.gathers_failed) OnGatherFailed(*worker, failure);
}

void State::On(event::WorkerClosed& e) {
  Worker* worker = FindStream(e.stream);
  if (worker == nullptr) return;
  slot_of_stream.erase(e.stream);
  worker->stream = 0;
  worker->reconciling = worker->returning = false;
  if (worker->connected()) {
    LoseConnection(*worker);
    return;
  }
  // Half-way through its return, or silent before: the clocks of the first loss go on.
  if (worker->lost_ns == 0) worker->lost_ns = std::max<uint64_t>(now_ns, 1);
  worker->epoch = ++last_epoch;
  if (worker->state == WorkerState::kSuspect) {
    Arm(TimerKind::kRerun, std::max(now_ns, worker->lost_ns + config.rerun_after_closed_ns),
        worker->id.slot, worker->epoch);
  } else if (worker->state == WorkerState::kAway) {
    DemandWhatItHas(*worker);  // some of it was left alone while it seemed to come
  }
  Arm(TimerKind::kForget, std::max(now_ns, worker->lost_ns + config.forget_after_ns),
      worker->id.slot, worker->epoch);
}

void State::LoseConnection(Worker& worker) {
  worker.lost_ns = std::max<uint64_t>(now_ns, 1);
  worker.epoch = ++last_epoch;
  LoseGathers(worker);
  SetWorkerState(worker, WorkerState::kSuspect);
  ++worker.walks;
  Enqueue({.kind = WorkKind::kWorkerAway, .job = worker.id.slot});
  Arm(TimerKind::kRerun, now_ns + config.rerun_after_closed_ns, worker.id.slot, worker.epoch);
  Arm(TimerKind::kForget, now_ns + config.forget_after_ns, worker.id.slot, worker.epoch);
}

void State::BecomeAway(Worker& worker, LossCause cause) {
  SetWorkerState(worker, WorkerState::kAway);
  ++counters.workers_lost[static_cast<size_t>(cause)];
  StartRecovery(worker.lost_ns);
  Enqueue({.kind = WorkKind::kWorkerOrphan,
           .job = worker.id.slot,
           .limit = static_cast<uint32_t>(worker.epoch)});
  DemandWhatItHas(worker);
}

// What unfinished tasks need of it is made again.
void State::DemandWhatItHas(Worker& worker) {
  ++worker.walks;
  Enqueue({.kind = WorkKind::kWorkerDemand,
           .job = worker.id.slot,
           .limit = static_cast<uint32_t>(worker.epoch)});
}

void State::Forget(Worker& worker) {
  slot_of_identity.erase(worker.identity);
  if (worker.stream != 0) {
    Emit(action::CloseStream{worker.stream});
    slot_of_stream.erase(worker.stream);
    worker.stream = 0;
  }
  worker.reconciling = worker.returning = false;
  worker.leaving = true;
  LoseGathers(worker);
  SetWorkerState(worker, WorkerState::kLost);
  CheckAllNamed();
  ++worker.walks;
  Enqueue({.kind = WorkKind::kWorkerDropAttempts, .job = worker.id.slot});
  Enqueue({.kind = WorkKind::kWorkerForget, .job = worker.id.slot});
}

void State::On(event::WorkerGoodbye& e) {
  Worker* worker = FindStream(e.stream);
  if (worker == nullptr) return;
  ++counters.workers_lost[static_cast<size_t>(LossCause::kGoodbye)];
  StartRecovery(now_ns);
  worker->said_goodbye = true;
  Forget(*worker);
}

void State::On(event::DrainWorker& e) {
  Worker* worker = FindWorker(e.worker);
  if (worker == nullptr) return Answer(e.token, 5, StrCat("no worker ", ToString(e.worker)));
  drainers += !worker->draining;
  worker->draining = true;
  worker->retire |= e.retire;
  CheckAllNamed();
  if (worker->up()) {
    SetWorkerState(*worker, WorkerState::kDraining);
    BeginDrain(*worker);
    for (uint32_t a = worker->first_attempt; a != kNil; a = attempts[a].next) {
      if (attempts[a].state != AttemptState::kAssigned) continue;
      attempts[a].state = AttemptState::kRetracting;
      ++counters.retracts_sent;
      Emit(action::Retract{worker->stream, {{attempts[a].job, attempts[a].task}, attempts[a].id}});
    }
  } else if (worker->state == WorkerState::kDrained && e.retire) {
    Emit(action::Retire{worker->stream});
  }
  Answer(e.token, 0, "");
}

void State::BeginDrain(Worker& worker) {
  Emit(action::Drain{worker.stream});
  ++worker.walks;
  Enqueue({.kind = WorkKind::kWorkerDrain,
           .job = worker.id.slot,
           .limit = static_cast<uint32_t>(worker.epoch)});
}

bool State::AdvanceWorkerObjects(Work& work) {
  Worker& worker = *workers[work.job];
  if (!work.begun) {
    work.begun = true;
    work.cursor = worker.held.size();
  }
  work.cursor = std::min(work.cursor, worker.held.size());
  // A newer connection has its own items.
  bool current = work.kind == WorkKind::kWorkerForget || work.kind == WorkKind::kWorkerAway ||
                 work.limit == static_cast<uint32_t>(worker.epoch);
  if (work.kind == WorkKind::kWorkerAway && worker.connected()) current = false;
  if (!current || work.cursor == 0) {
    --worker.walks;
    if (work.kind == WorkKind::kWorkerReturn && current) {
      worker.returning = false;
      worker.listed.clear();
    }
    CheckDrained(worker);
    if (work.kind == WorkKind::kWorkerForget) FreeSlot(worker);
    return false;
  }
  ObjectId id = worker.held[--work.cursor];
  ObjectRec* object = FindObject(id);
  ReplicaRec* replica = FindReplica(id, worker.id.slot);
  switch (work.kind) {
    case WorkKind::kWorkerAway:
      SetUsable(*object, *replica, false);
      SetToMove(worker, *replica, false);  // until it is back
      PresenceMayHaveChanged(*jobs[id.job], id.ordinal);
      if (drainers > 0) CheckCopies(*jobs[id.job], id.ordinal);
      break;
    case WorkKind::kWorkerDrain:
      CheckCopies(*jobs[id.job], id.ordinal);
      break;
    case WorkKind::kWorkerDemand:
      if (object->copies) CheckCopies(*jobs[id.job], id.ordinal);
      Enqueue({.kind = WorkKind::kDemandAway, .job = id.job, .index = id.ordinal});
      break;
    case WorkKind::kWorkerReturn:
      if (worker.returning && !worker.listed.contains({id, object->version})) {
        RemoveReplica(worker, id);
      } else {
        SetUsable(*object, *replica, true);
        if (object->copies) CheckCopies(*jobs[id.job], id.ordinal);
        PresenceMayHaveChanged(*jobs[id.job], id.ordinal);
      }
      break;
    default:
      RemoveReplica(worker, id);
  }
  return true;
}

bool State::AdvanceWorkerAttempts(Work& work) {
  Worker& worker = *workers[work.job];
  if (work.kind == WorkKind::kWorkerDropAttempts) {
    if (worker.first_attempt != kNil) LoseAttempt(worker.first_attempt);
    return worker.first_attempt != kNil;
  }
  // Nothing is assigned to a worker that is away: its list only shrinks, from any place.
  if (worker.state != WorkerState::kAway || work.limit != static_cast<uint32_t>(worker.epoch))
    return false;
  for (uint32_t a = worker.first_attempt; a != kNil; a = attempts[a].next) {
    if (!attempts[a].orphaned) Orphan(a);
    --budget;
  }
  return false;
}

bool State::AdvanceRehome(Work& work) {
  Worker& worker = *workers[work.job];
  if (worker.up() && !worker.Closed()) return false;
  for (auto& load : worker.loads) {
    if (load == nullptr || load->home.empty()) continue;
    auto [id, ordinal] = load->home.Any();
    Job& job = *jobs[id];
    PopReady(job, ordinal);
    PushReady(job, ordinal);
    return true;
  }
  return false;
}

void State::FreeSlot(Worker& worker) {
  TASKD_CHECK(worker.held.empty() && worker.attempts == 0 && worker.home_tasks == 0 &&
              worker.walks == 0);
  ForgetNames(worker);
  drainers -= worker.draining;
  SetQuarantined(worker, false);
  --counters.workers[static_cast<size_t>(worker.state)];
  free_slots.insert(worker.id.slot);
  workers[worker.id.slot].reset();
}

}  // namespace taskd::scheduler
