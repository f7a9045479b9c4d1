// Describer::Summary: a task's state and reason as a sentence.
#include <string_view>

#include "common/base/names.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/rpc/interned_names.h"
#include "scheduler/shell/describe.h"

namespace taskd::scheduler {
namespace {

std::string Tries(uint32_t attempts) {
  return attempts == 1 ? "" : StrCat(" at attempt ", attempts);
}

std::string HowFailed(const FailureView& failure) {
  switch (failure.failure) {
    case FailureClass::kExit:
      return StrCat("exited with code ", failure.exit_code);
    case FailureClass::kSignal:
      return StrCat("was killed by signal ", failure.exit_code);
    case FailureClass::kTimeout:
      return "ran over its time limit";
    case FailureClass::kCannotStart:
      return "could not be started";
    case FailureClass::kOutputMissing:
      return "did not write a declared output";
    case FailureClass::kInputChanged:
      return "changed one of its inputs";
    case FailureClass::kInputPath:
      return "did not find an input path";
    case FailureClass::kBadBody:
      return "has a body or arguments that its worker does not understand";
    case FailureClass::kStore:
      return "could not keep its outputs";
    case FailureClass::kCrashLimit:
      return "was running on too many workers when they died";
    case FailureClass::kInputLost:
      return "lost an input that no task can make again";
    case FailureClass::kOutOfMemory:
      return "used more memory than it may";
    case FailureClass::kUnschedulable:
      return "is pinned, and no worker is left that its placement rule names";
    case FailureClass::kInputFailed:
    case FailureClass::kNone:
      break;
  }
  return "failed";
}

// The last line that says something: of a message that ends with what the task wrote, its last
// words.
std::string LastLine(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  size_t newline = text.rfind('\n');
  return std::string(
      text.substr(newline == std::string_view::npos ? 0 : newline + 1).substr(0, 200));
}

}  // namespace

std::string Describer::Summary(const Explanation& view) const {
  const TaskView& task = view.task;
  std::string key = Key(task.task);
  switch (task.state) {
    case TaskState::kDone:
      return StrCat(key, " is done: it ran ", FormatDuration(task.run_ns), " on ",
                    directory_.Name(task.worker), Tries(task.attempts), ".");
    case TaskState::kFailed:
      return FailureText(view);
    case TaskState::kCancelled:
      return StrCat(key, " was cancelled with its job.");
    default:
      return Waiting(view);
  }
}

std::string Describer::FailureText(const Explanation& view) const {
  const FailureView& failure = view.failure;
  std::string key = Key(view.task.task);
  TaskId culprit{view.task.task.job, view.task.culprit};
  if (view.task.culprit != kNoOrdinal && culprit != view.task.task) {
    return StrCat(key, " cannot run because ", Key(culprit),
                  ", which it depends on, failed; see taskctl task explain ", culprit.job, " '",
                  Key(culprit), "'.");
  }
  std::string where = failure.worker ? StrCat(" on ", directory_.Name(failure.worker)) : "";
  std::string said = LastLine(failure.message);
  return StrCat(key, " ", HowFailed(failure), where, Tries(view.task.attempts),
                said.empty() ? "" : ": ", said, "; its output is in taskctl task logs ",
                culprit.job, " '", key, "'.");
}

std::string Describer::Waiting(const Explanation& view) const {
  std::string key = Key(view.task.task);
  switch (view.task.reason) {
    case WaitReason::kNone:
      return view.task.running ? AttemptText(view) : StrCat(key, " is about to be placed.");
    case WaitReason::kInputs:
      return StrCat(key, " waits for ", InputsText(view), ".");
    case WaitReason::kInputRebuild:
      return StrCat(key,
                    " waits for an input that was lost and is being made again: ", InputsText(view),
                    ".");
    case WaitReason::kInputAway:
      return StrCat(key,
                    " waits for the worker that holds its input to come back; if it does not, the "
                    "input is made ",
                    "again.");
    case WaitReason::kBehindOthers:
      return StrCat(key, " is ready; every worker that fits is busy", Fitting(view),
                    view.standing.ahead > 0
                        ? StrCat(", and ", view.standing.about ? "about " : "", view.standing.ahead,
                                 view.standing.ahead == 1 ? " task goes first" : " tasks go first")
                        : "",
                    ". Add workers to go faster.");
    case WaitReason::kNoWorker:
      return StrCat(key, " is ready, but no worker is connected; start one with taskd-worker.");
    case WaitReason::kUnschedulable:
      return StrCat(key, " is ready, but no connected worker fits", Fitting(view),
                    "; start one that does, or ask for less.");
    case WaitReason::kPool:
      return StrCat(key, " is ready, but a pool of the cluster is used up", Fitting(view), ".");
    case WaitReason::kRefused:
      return StrCat(key,
                    " is ready; the workers that fit refused it a moment ago and are asked again.");
    case WaitReason::kSuspect:
      return StrCat(key,
                    " was on workers that died before they said whether it ran; it waits for a "
                    "worker of its own.");
    case WaitReason::kDrain:
      return StrCat(
          key, " is ready, but every worker that fits is draining or away; start another one.");
    case WaitReason::kBackoff:
      return StrCat(key, " failed and is tried again after a pause (", view.task.attempts,
                    " attempts so far).");
    case WaitReason::kJobLimit:
      return StrCat(key, " is ready, but its job runs as many tasks at once as it may have.");
    case WaitReason::kMemory:
      return StrCat(key, " is ready; it waits until what runs leaves it room in a worker's store",
                    Fitting(view), ". More workers, or a larger --store, let it start sooner.");
    case WaitReason::kRestart:
      return StrCat(key,
                    " is ready; the scheduler has just started again and waits a moment for "
                    "workers to say what they still run.");
    case WaitReason::kWorkerAway:
      return StrCat(
          key,
          " is on a worker whose connection broke. It is tried elsewhere in a moment, or, if it "
          "has lost ",
          "as many workers as its crash limit allows, once that worker is back or forgotten.");
    case WaitReason::kAtWorker:
      return AttemptText(view);
    case WaitReason::kHeld:
      return StrCat(key, " was submitted by a task that has not succeeded yet: it starts then.");
    case WaitReason::kYielded:
      return StrCat(key,
                    " gave its slot back, and goes on when what it waits for is there and its "
                    "worker has room.");
    case WaitReason::kJobOpen:
      return StrCat(key, " waits for its job to be sealed.");
  }
  return StrCat(key, " is ", taskd::Name(view.task.state), ".");
}

// "map[3].p (running) and 2 more inputs"
std::string Describer::InputsText(const Explanation& view) const {
  if (view.inputs.empty()) return "its inputs";
  const WaitingInputView& first = view.inputs.front();
  uint64_t others = view.inputs_missing > 1 ? view.inputs_missing - 1 : 0;
  return StrCat(
      jobs_.ObjectName(first.object), " (its task is ", taskd::Name(first.producer), ")",
      others == 0 ? "" : StrCat(" and ", others, " more of its ", view.inputs_total, " inputs"));
}

std::string Describer::AttemptText(const Explanation& view) const {
  std::string key = Key(view.task.task);
  const AttemptView* live = nullptr;
  for (const AttemptView& attempt : view.attempts) {
    if (!attempt.ended) live = &attempt;
  }
  if (live == nullptr)
    return StrCat(key, " is assigned to ", directory_.Name(view.task.worker), ".");
  std::string worker = directory_.Name(live->worker);
  switch (live->state) {
    case AttemptState::kRunning:
      return StrCat(key, " has been running on ", worker, " for ", FormatDuration(live->run_ns),
                    Tries(view.task.attempts), ".");
    case AttemptState::kRetracting:
      return StrCat(key, " is being taken back from ", worker, " to run elsewhere.");
    case AttemptState::kCancelling:
      return StrCat(key, " is being cancelled on ", worker, ".");
    case AttemptState::kYielded:
      return StrCat(key, " gave its slot on ", worker, " back until what it waits for is there.");
    case AttemptState::kAssigned:
      break;
  }
  return StrCat(key, " is at ", worker, ": it fetches its inputs, or waits for a free slot there.");
}

// " (worker-1 has 4 cpus, the task needs 16)"
std::string Describer::Fitting(const Explanation& view) const {
  for (const WorkerFitView& fit : view.workers) {
    if (fit.limit.kind == LimitKind::kNone) continue;
    std::string who = fit.count == 1 ? directory_.Name(fit.worker)
                                     : StrCat("each of ", fit.count, " workers like ",
                                              directory_.Name(fit.worker));
    return StrCat(" (", who, " ", ToString(fit.limit, rpc::PoolName(fit.limit.pool)), ")");
  }
  return "";
}

}  // namespace taskd::scheduler
