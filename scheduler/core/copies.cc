// Further copies of objects: as many as their task asks for (`replicas`), and one elsewhere of what
// only workers that leave hold. An object of which copies lack is `copying` and stands in one place: in
// the queue, with a gather under way, before a retry, or stranded while no worker can take it. A gather
// makes one copy; then the object is looked at again. A worker that leaves counts its replicas that have
// to move; without attempts and with none of these it is drained.
#include <algorithm>
#include <tuple>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint64_t kRetryNs = 100'000'000;  // doubles with each failure in a row
constexpr uint8_t kRetryDoublings = 8;

uint64_t Packed(ObjectId id) { return uint64_t{id.job} << 32 | id.ordinal; }
}  // namespace

void State::SetToMove(Worker& worker, ReplicaRec& replica, bool to_move) {
  if (replica.to_move == to_move) return;
  replica.to_move = to_move;
  worker.to_move += to_move ? 1 : -1;
  if (to_move && worker.state == WorkerState::kDrained)
    SetWorkerState(worker, WorkerState::kDraining);
  CheckDrained(worker);
}

// Whether it lacks copies that are to be made. Marks replicas that have to move: where one does, the
// object is `copying`, so only then there may be marks to take away.
bool State::LacksCopies(const Job& job, ObjectRec& object) {
  if (object.usable == 0 || !Wanted(job, object)) return false;
  uint32_t enough = 1;
  if (object.copies) enough = job.options[job.tasks[object.producer].option].replicas;
  uint32_t staying = 0;
  for (uint32_t r = object.replicas; r != kNil && staying < enough; r = replicas[r].next) {
    staying += replicas[r].usable && workers[replicas[r].worker]->up();
    --budget;
  }
  if (drainers > 0 && (staying == 0 || object.copying)) {
    for (uint32_t r = object.replicas; r != kNil; r = replicas[r].next) {
      Worker& worker = *workers[replicas[r].worker];
      if (worker.draining) SetToMove(worker, replicas[r], staying == 0 && replicas[r].usable);
      --budget;
    }
  }
  return staying < enough;
}

void State::CheckCopies(Job& job, Ordinal ordinal) {
  ObjectRec& object = job.objects[ordinal];
  if (!LacksCopies(job, object) || object.copying) return;
  object.copying = true;
  copy_queue.push_back({{job.id, ordinal}, 0});
}

// What nobody wants any more, or will be made anew.
void State::StopCopies(ObjectId id, ObjectRec& object) {
  object.copying = false;
  if (gathers.empty()) return;
  auto gather = gathers.find(id);
  if (gather == gathers.end()) return;
  Worker& target = *workers[gather->second.target.slot];
  if (target.stream != 0) Emit(action::Free{target.stream, {id, gather->second.version}});
  EndGather(id);
}

void State::EndGather(ObjectId id) {
  auto gather = gathers.find(id);
  Worker& target = *workers[gather->second.target.slot];
  target.gathering_bytes -= gather->second.bytes;
  gathers.erase(gather);
  target.gathering.erase(id);
  SetTaker(target);
  if (early.contains(target.id.slot)) early_open.push_back(target.id.slot);
  if (gathers.empty()) stranded_left = static_cast<uint32_t>(stranded.size());
}

void State::SetTaker(Worker& worker) {
  if (worker.up() && worker.gathering.size() < limits::kGathersPerWorker) {
    takers.insert(worker.id.slot);
  } else {
    takers.erase(worker.id.slot);
  }
}

// A copy is where one was ordered, or never will be by that order.
void State::GatherEnded(const Worker& worker, const ObjectVersion& object, uint8_t tries) {
  if (gathers.empty()) return;
  auto gather = gathers.find(object.object);
  if (gather == gathers.end() || gather->second.target != worker.id ||
      gather->second.version != object.version) {
    return;
  }
  EndGather(object.object);
  if (tries == 0) return copy_queue.push_back({object.object, 0});
  uint64_t wait = kRetryNs << std::min(tries, kRetryDoublings);
  Arm(TimerKind::kCopy, now_ns + wait, Packed(object.object), tries);
}

void State::OnGatherFailed(Worker& worker, const GatherFailure& failure) {
  auto gather = gathers.find(failure.object.object);
  if (gather == gathers.end() || gather->second.target != worker.id) return;
  ++counters.gathers_failed;
  uint8_t tries = gather->second.tries;
  GatherEnded(worker, failure.object, tries < 255 ? tries + 1 : tries);
  for (const BadHolder& bad : failure.bad_holders) {
    if (bad.id == failure.object) StrikeOut(bad);
  }
}

// Its stream is gone, and with it the orders.
void State::LoseGathers(Worker& worker) {
  while (!worker.gathering.empty()) {
    ObjectId id = *worker.gathering.begin();
    EndGather(id);
    copy_queue.push_back({id, 0});
  }
}

void State::RetryCopy(uint64_t packed, uint8_t tries) {
  copy_queue.push_back(
      {{static_cast<JobId>(packed >> 32), static_cast<Ordinal>(packed & 0xFFFFFFFFu)}, tries});
}

// Of some that may take one: where the store has room and on a host of its own if possible, then where
// least is held.
Worker* State::ChooseTaker(ObjectId id, const ObjectRec& object) {
  auto on_host_of_holder = [&](const Worker& worker) {
    uint32_t looked = 0;
    for (uint32_t r = object.replicas; r != kNil && looked < limits::kHoldersPerInput;
         r = replicas[r].next, ++looked) {
      const Worker& holder = *workers[replicas[r].worker];
      if (holder.up() && holder.host == worker.host) return true;
    }
    return false;
  };
  Worker* best = nullptr;
  std::tuple<bool, bool, uint64_t, uint16_t> best_key;
  uint32_t candidates =
      std::min<uint32_t>(limits::kCandidates, static_cast<uint32_t>(takers.size()));
  auto next = takers.upper_bound(last_taker);
  for (uint32_t i = 0; i < candidates; ++i, ++next) {
    if (next == takers.end()) next = takers.begin();
    Worker& worker = *workers[*next];
    if (FindReplica(id, worker.id.slot) != nullptr) continue;
    const bool spills = worker.store_budget_bytes != 0 &&
                        worker.InUse() + object.size_bytes > worker.store_budget_bytes;
    std::tuple<bool, bool, uint64_t, uint16_t> key = {spills, on_host_of_holder(worker),
                                                      worker.object_bytes, worker.id.slot};
    if (best != nullptr && best_key < key) continue;
    best = &worker;
    best_key = key;
  }
  budget -= candidates;
  if (best != nullptr) last_taker = best->id.slot;
  return best;
}

// One unit. False: nothing to do, or nothing can be done now.
bool State::AdvanceCopies() {
  bool again = copy_queue.empty();
  if (again && stranded_left == 0) return false;
  if (takers.empty() && !gathers.empty()) return false;  // the end of one calls again
  std::deque<CopyAsk>& from = again ? stranded : copy_queue;
  if (again) --stranded_left;
  CopyAsk ask = from.front();
  from.pop_front();
  ObjectRec* object = FindObject(ask.id);
  if (object == nullptr || !object->copying || gathers.contains(ask.id)) return true;
  if (!LacksCopies(*jobs[ask.id.job], *object)) {
    object->copying = false;
    return true;
  }
  Worker* target = ChooseTaker(ask.id, *object);
  if (target == nullptr) {
    stranded.push_back(ask);
    return true;
  }
  OrderGather(*target, ask.id, *object, ask.tries);
  return true;
}

void State::OrderGather(Worker& target, ObjectId id, ObjectRec& object, uint8_t tries) {
  gathers[id] = {target.id, object.version, tries, object.size_bytes};
  target.gathering.insert(id);
  target.gathering_bytes += object.size_bytes;
  SetTaker(target);
  ++counters.gathers;
  counters.gathered_bytes += object.size_bytes;
  InputObject input{{id, object.version}, object.size_bytes};
  NameHolders(target, id, object, 0, input);
  Emit(action::Gather{target.stream, input});
}

bool State::IsDrained(const Worker& worker) const {
  return worker.state == WorkerState::kDraining && worker.attempts == 0 && worker.to_move == 0 &&
         worker.walks == 0;
}

// Decided when everything of the event is told: an attempt ends before its results are here.
void State::CheckDrained(Worker& worker) {
  if (!IsDrained(worker) || worker.draining_checked) return;
  worker.draining_checked = true;
  Enqueue({.kind = WorkKind::kCheckDrained, .job = worker.id.slot});
}

void State::BecomeDrained(uint16_t slot) {
  Worker* worker = WorkerAt(slot);
  if (worker == nullptr) return;
  worker->draining_checked = false;
  if (!IsDrained(*worker)) return;
  SetWorkerState(*worker, WorkerState::kDrained);
  if (worker->retire) Emit(action::Retire{worker->stream});
}

}  // namespace taskd::scheduler
