// What jobs are charged for, what of them is left, and their limit of attempts.
#include <algorithm>

#include "common/base/muldiv.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kLeastCpusMilli = 100;  // a task without cpus takes some share, too
// A task counts as urgent a little before its path is as long as the rest of the job: the rest
// never packs perfectly.
constexpr uint64_t kUrgentTimes = 5, kUrgentOf = 4;
// And only while it is long against the whole job: near its end nearly every path is as long as the
// rest, and to go by paths then keeps more results alive than it saves time.
constexpr uint64_t kLongPathOf = 16;
}  // namespace

uint64_t State::CpuUs(const TaskRec& task, uint64_t ns) const {
  uint64_t cpus = std::max(shapes[task.shape].spec.variants[0].need.cpus_milli, kLeastCpusMilli);
  return MulDiv(ns, cpus, 1'000'000);
}

// Of one task this never changes: sums of it stay right.
uint64_t State::ToldCpuUs(const Job& job, const TaskRec& task) const {
  uint64_t told = job.options[task.option].expect_ns;
  return CpuUs(task, told == 0 ? limits::kUnknownTaskNs : told);
}

bool State::IsUrgent(const Job& job, uint32_t tail_ms) const {
  if (tail_ms == 0) return false;
  using Wide = unsigned __int128;
  const Family& family = *job.family;
  const Wide path_us = Wide{tail_ms} * up_cpus_milli;
  return path_us * kUrgentTimes >= Wide{family.left_cpu_us} * kUrgentOf &&
         path_us * kLongPathOf >= family.most_left_cpu_us;
}

void State::ChargeShare(Job& job, AttemptRec& attempt) {
  const TaskRec& task = job.tasks[attempt.task];
  uint64_t expected_ns = ExpectedNs(job, task);
  attempt.charged_us = CpuUs(task, expected_ns == 0 ? limits::kUnknownTaskNs : expected_ns);
  shares.AttemptCounts(job.family->share);
  shares.Charge(job.family->share, attempt.charged_us);
}

void State::SettleShare(Job& job, const AttemptRec& attempt, const Outcome* outcome) {
  uint64_t ran_ns = 0;
  if (outcome != nullptr) {
    ran_ns = outcome->run_ns;
  } else if (attempt.started_ns != 0) {
    ran_ns = now_ns - attempt.started_ns;
  }
  uint64_t used = CpuUs(job.tasks[attempt.task], ran_ns);
  shares.Correct(job.family->share, used - std::min(used, attempt.charged_us),
                 attempt.charged_us - std::min(used, attempt.charged_us));
  if (attempt.orphaned || attempt.yielded) return;
  shares.AttemptCountsNot(job.family->share);
  Unpark(*job.family);
}

void State::Unpark(Family& family) {
  if (family.parked.empty() || family.unparking || family.share.at_limit()) return;
  family.unparking = true;
  Enqueue({.kind = WorkKind::kUnpark, .job = family.root});
}

bool State::AdvanceUnpark(Work& work) {
  Job* root = FindJob(work.job);
  if (root == nullptr) return false;  // forgotten
  Family& family = *root->family;
  // At its limit again, they would be held back as they are looked at.
  if (family.parked.empty() || family.share.at_limit()) {
    family.unparking = false;
    return false;
  }
  const auto [place, id] = family.parked.back();
  family.parked.pop_back();
  const Job* job = FindJob(id);
  bool gone = job == nullptr || (place.home != kNoSlot && WorkerAt(place.home) == nullptr);
  if (!gone && QueueAt(place).Unpark(*job)) WakeFor(place.shape, place.home);
  return true;
}

}  // namespace taskd::scheduler
