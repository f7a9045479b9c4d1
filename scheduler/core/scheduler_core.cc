#include "scheduler/core/scheduler_core.h"

#include <algorithm>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

uint64_t State::Step(uint64_t now, std::span<Event> events, uint32_t step_budget,
                     std::vector<Action>& out) {
  TASKD_CHECK(now >= now_ns);
  now_ns = now;
  actions = &out;
  budget = std::max<uint32_t>(step_budget, 1);
  if (restoring) EndRestore();
  for (size_t i = 0; i < events.size(); ++i) {
    PrefetchReports(events, i);
    std::visit([this](auto& event) { On(event); }, events[i]);
  }
  RunTimers();
  bool idle = false;
  while (budget > 0 && !idle) {
    --budget;
    if (!worklist.empty()) {
      // Items may be added meanwhile: a deque keeps the front where it is.
      if (!Advance(worklist.front())) {
        worklist.pop_front();
        PrefetchWork();
      }
    } else if (!commands.empty()) {
      worklist.push_back(commands.front());
      commands.pop_front();
    } else {
      idle = now_ns < hold_until_ns || !Balance();
    }
  }
  for (JobId id : changed_jobs) {
    Job* job = FindJob(id);
    if (job == nullptr) continue;  // forgotten meanwhile
    job->changed = false;
    Emit(action::JobChanged{id});
  }
  changed_jobs.clear();
  actions = nullptr;
  if (!idle) return now_ns;
  return timers.empty() ? kNever : std::max(timers.EarliestNs(), now_ns);
}

SchedulerCore::SchedulerCore(const Config& config) : state_(std::make_unique<State>(config)) {
  TASKD_CHECK(config.start_count > 0 && config.start_count < 4096);
}
SchedulerCore::~SchedulerCore() = default;

uint64_t SchedulerCore::Step(uint64_t now_ns, std::span<Event> events, uint32_t budget,
                             std::vector<Action>& actions) {
  return state_->Step(now_ns, events, budget, actions);
}

absl::Status SchedulerCore::Restore(uint64_t now_ns, const action::Journal& record,
                                    Event* request) {
  return state_->Restore(now_ns, record, request);
}

const Counters& SchedulerCore::counters() const { return state_->counters; }

}  // namespace taskd::scheduler
