#include "scheduler/core/fair_share.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/muldiv.h"

namespace taskd::scheduler {

void FairShare::BecomeBusy(const Share& share) { busy_weight_[share.owner] += share.weight; }

void FairShare::BecomeIdle(const Share& share) {
  auto it = busy_weight_.find(share.owner);
  TASKD_CHECK(it != busy_weight_.end() && it->second >= share.weight);
  it->second -= share.weight;
  if (it->second == 0) busy_weight_.erase(it);
}

void FairShare::TaskReady(Share& share) {
  if (share.ready++ > 0) return;
  share.virtual_us = std::max(share.virtual_us, clock_us_[share.priority]);
  if (share.attempts == 0) BecomeBusy(share);
}

void FairShare::TaskUnready(Share& share) {
  TASKD_CHECK(share.ready > 0);
  if (--share.ready == 0 && share.attempts == 0) BecomeIdle(share);
}

void FairShare::AttemptCounts(Share& share) {
  if (share.attempts++ == 0 && share.ready == 0) BecomeBusy(share);
}

void FairShare::AttemptCountsNot(Share& share) {
  TASKD_CHECK(share.attempts > 0);
  if (--share.attempts == 0 && share.ready == 0) BecomeIdle(share);
}

void FairShare::Charge(Share& share, uint64_t cpu_us) {
  uint64_t& clock = clock_us_[share.priority];
  clock = std::max(clock, share.virtual_us);
  Advance(share, cpu_us);
}

void FairShare::Correct(Share& share, uint64_t more_us, uint64_t less_us) {
  share.credit_us += less_us;
  Advance(share, more_us);
}

void FairShare::Advance(Share& share, uint64_t cpu_us) {
  uint64_t paid = std::min(cpu_us, share.credit_us);
  share.credit_us -= paid;
  cpu_us -= paid;
  uint64_t of_owner = busy_weight_[share.owner];
  share.virtual_us += MulDiv(cpu_us, of_owner, share.weight);
}

}  // namespace taskd::scheduler
