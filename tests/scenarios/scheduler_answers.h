// Answers to the questions of a scheduler scenario: one line of text for one view.
#ifndef TASKD_TESTS_SCENARIOS_SCHEDULER_ANSWERS_H_
#define TASKD_TESTS_SCENARIOS_SCHEDULER_ANSWERS_H_

#include <string>

#include "common/base/text.h"
#include "scheduler/core/scheduler_core.h"
#include "tests/scenarios/scheduler_names.h"

namespace taskd::scenario {

// "task a", "explain a", "job 1", "object a.0", "worker w1", "workers", "counters".
std::string AskScheduler(const scheduler::SchedulerCore& core, const SchedulerNames& names,
                         const Words& words);

// "w1/w2", up to the first that is none.
template <typename List>
std::string HoldersText(const SchedulerNames& names, const List& holders) {
  std::string out;
  for (WorkerId holder : holders) {
    if (!holder) break;
    out += StrCat(out.empty() ? "" : "/", names.TextOf(holder));
  }
  return out;
}

}  // namespace taskd::scenario

#endif  // TASKD_TESTS_SCENARIOS_SCHEDULER_ANSWERS_H_
