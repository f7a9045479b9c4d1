// An attempt that waits for objects, most often of tasks that it submitted, gives its resources back
// and goes on when each of them is there or never will be, ahead of all that its worker has not
// started. While it waits it counts neither against its job's limit nor for what its worker's store
// has promised: else what it waits for might never start. It keeps its place and its inputs.
#include <algorithm>
#include <utility>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

void State::On(event::YieldAttempt& e) {
  Worker* worker = FindStream(e.stream);
  if (worker == nullptr) return;
  Heard(*worker);
  const uint32_t index = FindAttempt(e.attempt);
  if (index == kNil || attempts[index].worker != worker->id || attempts[index].started_ns == 0) {
    ++counters.stale_messages;
    return;
  }
  AttemptRec& attempt = attempts[index];
  if (attempt.state == AttemptState::kCancelling) return;
  attempt.state = AttemptState::kYielded;
  const std::vector<ObjectId> before = StopAwaiting(e.attempt);
  Awaits& mine = awaits[e.attempt];
  std::sort(e.awaits.begin(), e.awaits.end());
  e.awaits.erase(std::unique(e.awaits.begin(), e.awaits.end()), e.awaits.end());
  for (ObjectId id : e.awaits) Await(e.attempt, id, mine);
  LetGoAwaited(before);  // now: some of it may be awaited anew
  budget -= static_cast<int64_t>(e.awaits.size());
  if (!attempt.yielded) GiveBack(*worker, attempt);
  if (mine.left == 0) worker->to_resume.push_back(e.attempt);
  ResumeWhatFits(*worker);
  PromoteAhead(*worker);
  MarkDirty(*worker);
}

// What is not known is not waited for: its job was forgotten.
void State::Await(AttemptRef ref, ObjectId id, Awaits& mine) {
  ObjectRec* object = FindObject(id);
  if (object == nullptr || jobs[id.job]->forgetting) return;
  Job& job = *jobs[id.job];
  mine.objects.push_back(id);
  const Presence actual = Actual(job, *object);
  if (actual != Presence::kAvailable && actual != Presence::kDead) {
    ++mine.left;
    awaiters[id].push_back(ref);
  }
  CountOutside(job, +1);
  Hold(job, id.ordinal);
}

void State::DropAwaits(AttemptRef ref) { LetGoAwaited(StopAwaiting(ref)); }

// They are held still.
std::vector<ObjectId> State::StopAwaiting(AttemptRef ref) {
  auto found = awaits.find(ref);
  if (found == awaits.end()) return {};
  std::vector<ObjectId> objects = std::move(found->second.objects);
  awaits.erase(found);
  for (ObjectId id : objects) {
    auto it = awaiters.find(id);
    if (it == awaiters.end()) continue;
    std::erase(it->second, ref);
    if (it->second.empty()) awaiters.erase(it);
  }
  return objects;
}

void State::LetGoAwaited(const std::vector<ObjectId>& objects) {
  for (ObjectId id : objects) {
    Job* job = FindJob(id.job);
    if (job == nullptr) continue;  // forgotten meanwhile
    LetGo(*job, id.ordinal);
    CountOutside(*job, -1);
  }
}

// The object is there, or never will be.
void State::SettleAwaiters(ObjectId id) {
  auto found = awaiters.find(id);
  if (found == awaiters.end()) return;
  for (AttemptRef ref : std::exchange(found->second, {})) {
    if (--awaits.at(ref).left > 0) continue;
    Worker& worker = *workers[attempts[FindAttempt(ref)].worker.slot];
    worker.to_resume.push_back(ref);
    ResumeWhatFits(worker);
  }
  awaiters.erase(id);
}

void State::GiveBack(Worker& worker, AttemptRec& attempt) {
  attempt.yielded = true;
  ++worker.yielded;
  if (std::exchange(attempt.alone, false)) worker.alone = false;
  LeaveSlot(worker, attempt);
  worker.promised_bytes -= attempt.promised_out_bytes;
  if (attempt.orphaned) return;
  Family& family = *jobs[attempt.job]->family;
  shares.AttemptCountsNot(family.share);
  Unpark(family);
}

void State::Resume(Worker& worker, AttemptRec& attempt) {
  attempt.yielded = false;
  --worker.yielded;
  TakeSlot(worker, attempt);
  worker.promised_bytes += attempt.promised_out_bytes;
  if (!attempt.orphaned) shares.AttemptCounts(jobs[attempt.job]->family->share);
  attempt.state = AttemptState::kRunning;
  Emit(action::Resume{worker.stream, {{attempt.job, attempt.task}, attempt.id}});
}

// In the order in which they became ready. One that has no room yet lets nothing new in before it. One
// whose worker is out of reach yields again when that is back; until that has said all, a resume would cross
// with the yield and be followed by another, which the body's next wait would take for its own.
void State::ResumeWhatFits(Worker& worker) {
  while (!worker.to_resume.empty() && !worker.alone && !worker.reconciling) {
    const AttemptRef ref = worker.to_resume.front();
    const uint32_t index = FindAttempt(ref);
    auto waits = awaits.find(ref);
    const bool due = index != kNil && attempts[index].state == AttemptState::kYielded &&
                     waits != awaits.end() && waits->second.left == 0 && worker.stream != 0;
    if (due) {
      const Batch::Variant& variant = VariantOf(attempts[index]);
      if (!variant.need.Fits(worker.capacity, worker.used) && worker.used != Resources{}) break;
      if (PoolsFree(variant)) {
        Resume(worker, attempts[index]);
      } else {
        resume_for_pools.push_back(ref);
      }
    }
    worker.to_resume.pop_front();
  }
  const bool waited = std::exchange(worker.resuming, !worker.to_resume.empty());
  if (waited && !worker.resuming) MarkDirty(worker);
}

// Before others that wait for the pools; meanwhile its worker is not kept for it.
void State::ResumeForPools() {
  for (AttemptRef ref : std::exchange(resume_for_pools, {})) {
    const uint32_t index = FindAttempt(ref);
    if (index == kNil) continue;
    Worker& worker = *workers[attempts[index].worker.slot];
    worker.to_resume.push_back(ref);
    ResumeWhatFits(worker);
  }
}

}  // namespace taskd::scheduler
