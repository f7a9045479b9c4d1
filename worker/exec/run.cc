#include "worker/exec/run.h"

#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::worker {

event::ExecDone FailedDone(const ExecRequest& request, ExecError error, uint64_t run_ns) {
  event::ExecDone done;
  done.attempt = request.assignment.attempt;
  // Not the body's fault: the scheduler hears of the loss and places the task again.
  const bool lost = error.failure == FailureClass::kInputLost;
  done.end = lost ? AttemptEnd::kStuck : AttemptEnd::kFailed;
  done.failure = lost ? FailureClass::kNone : error.failure;
  done.message = std::move(error.message);
  done.run_ns = run_ns;
  return done;
}

event::ExecDone CancelledDone(const ExecRequest& request, uint64_t run_ns) {
  event::ExecDone done;
  done.attempt = request.assignment.attempt;
  done.end = AttemptEnd::kCancelled;
  done.run_ns = run_ns;
  return done;
}

event::ExecDone TimeoutDone(const ExecRequest& request, uint64_t run_ns) {
  return FailedDone(
      request,
      {FailureClass::kTimeout, StrCat("stopped after its time limit of ",
                                      FormatDuration(request.assignment.time_limit_ns))},
      run_ns);
}

event::ExecDone EmptyDone(Store& store, const ExecRequest& request, uint64_t run_ns) {
  const Assignment& a = request.assignment;
  event::ExecDone done;
  done.attempt = a.attempt;
  done.run_ns = run_ns;
  done.outputs.resize(a.output_count);
  for (uint32_t i = 0; i < a.output_count; ++i)
    (void)store.Put(OutputKey(a, i), {});  // no bytes: cannot fail
  return done;
}

LocalKey OutputKey(const Assignment& a, uint32_t index) {
  return {{{a.attempt.task.job, a.first_output + index}, a.attempt.attempt}, {}};
}

}  // namespace taskd::worker
