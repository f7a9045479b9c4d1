#include "scheduler/core/fair_share.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/muldiv.h"

namespace taskd::scheduler {

// Nothing else adds to the maps, so nothing moves what was asked for last.
uint64_t& FairShare::WeightOf(uint32_t owner) {
  if (last_weight_ == nullptr || last_owner_ != owner) {
    last_weight_ = &busy_weight_[owner];
    last_owner_ = owner;
  }
  return *last_weight_;
}

uint64_t& FairShare::ClockOf(int32_t priority) {
  if (last_clock_ == nullptr || last_priority_ != priority) {
    last_clock_ = &clock_us_[priority];
    last_priority_ = priority;
  }
  return *last_clock_;
}

void FairShare::BecomeBusy(const Share& share) { WeightOf(share.owner) += share.weight; }

void FairShare::BecomeIdle(const Share& share) {
  auto it = busy_weight_.find(share.owner);
  TASKD_CHECK(it != busy_weight_.end() && it->second >= share.weight);
  it->second -= share.weight;
  if (it->second > 0) return;
  busy_weight_.erase(it);
  last_weight_ = nullptr;
}

void FairShare::TaskReady(Share& share) {
  if (share.ready++ > 0) return;
  share.virtual_us = std::max(share.virtual_us, ClockOf(share.priority));
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
  uint64_t& clock = ClockOf(share.priority);
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
  if (cpu_us == 0) return;
  share.virtual_us += MulDiv(cpu_us, WeightOf(share.owner), share.weight);
}

}  // namespace taskd::scheduler
