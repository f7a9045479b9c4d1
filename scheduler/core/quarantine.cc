// Workers that are at fault. A task that failed on one worker and then finished on another speaks
// against the first; what finishes there speaks for it. A worker against which several tasks speak gets
// nothing new for a while, twice as long each time; then it is tried again, and one more such task sets
// it aside anew. What runs there goes on, what it holds is served. Never more than a quarter of the
// workers, and never the only one: a cluster of doubtful workers is better than none.
#include <algorithm>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kDoublings = 6;
}  // namespace

void State::Blame(uint16_t slot) {
  Worker* worker = WorkerAt(slot);
  if (worker == nullptr || worker->quarantined) return;
  if (++worker->blamed < limits::kBlamedTasks) return;
  worker->blamed = limits::kBlamedTasks - 1;
  uint64_t up = counters.workers[static_cast<size_t>(WorkerState::kUp)];
  if (!worker->up() || up < 2 || counters.quarantined >= std::max<uint64_t>(up / 4, 1)) return;
  SetQuarantined(*worker, true);
  ++counters.quarantines;
  SetHungry(*worker, false);
  ahead_open.erase(slot);
  if (worker->reserved) SetReserved(*worker, false);
  RetractAhead(*worker);
  if (worker->home_tasks > 0) Enqueue({.kind = WorkKind::kWorkerRehome, .job = slot});
  uint64_t wait = config.quarantine_ns << std::min(worker->quarantines++, kDoublings);
  Arm(TimerKind::kQuarantine, now_ns + wait, slot, worker->id.packed());
}

void State::SetQuarantined(Worker& worker, bool quarantined) {
  if (worker.quarantined == quarantined) return;
  worker.quarantined = quarantined;
  counters.quarantined += quarantined ? 1 : -1;
}

void State::EndQuarantine(uint16_t slot, uint64_t packed_id) {
  Worker* worker = WorkerAt(slot);
  if (worker == nullptr || worker->id.packed() != packed_id) return;
  SetQuarantined(*worker, false);
  MarkDirty(*worker);
}

}  // namespace taskd::scheduler
