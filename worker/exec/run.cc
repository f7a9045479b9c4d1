#include "worker/exec/run.h"

#include <signal.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstring>

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

event::ExecDone ExitDone(const ExecRequest& request, std::string_view who, int wait_status,
                         bool out_of_memory, uint64_t run_ns) {
  // The shell of a pipeline says of a killed part that it ended with 128 + 9.
  const bool killed = WIFSIGNALED(wait_status) ? WTERMSIG(wait_status) == SIGKILL
                                               : WEXITSTATUS(wait_status) == 128 + SIGKILL;
  if (killed && out_of_memory) {
    const uint64_t asked = request.assignment.need.memory_bytes;
    return FailedDone(request,
                      {FailureClass::kOutOfMemory,
                       StrCat("the node ran out of memory, and its kernel killed ", who,
                              ", which had asked for ", asked == 0 ? "none" : FormatBytes(asked),
                              "; say what it needs with resources: {mem: ...}")},
                      run_ns);
  }
  const bool exited = WIFEXITED(wait_status);
  const int number = exited ? WEXITSTATUS(wait_status) : WTERMSIG(wait_status);
  std::string message =
      exited ? StrCat(who, " ended with exit code ", number)
             : StrCat(who, " was killed by signal ", number, " (", strsignal(number), ")");
  event::ExecDone done = FailedDone(
      request, {exited ? FailureClass::kExit : FailureClass::kSignal, std::move(message)}, run_ns);
  done.exit_code = number;
  return done;
}

event::ExecDone TooMuchMemoryDone(const ExecRequest& request, std::string_view who,
                                  uint64_t used_bytes, bool kept, uint64_t run_ns) {
  return FailedDone(
      request,
      {FailureClass::kOutOfMemory,
       StrCat(who, " used ", FormatBytes(used_bytes), " of memory", kept ? ", wanted more" : "",
              " and was killed: it may use ", FormatBytes(request.assignment.need.memory_bytes),
              "; give it more with resources: {mem: ...}")},
      run_ns);
}

event::ExecDone WithStderr(event::ExecDone done, const AttemptLog& log) {
  constexpr std::string_view kLead = "; its stderr ends:\n";
  // The end of it is what matters, so that the whole must fit.
  const size_t used = std::min<size_t>(limits::kMessageBytes, done.message.size() + kLead.size());
  const std::string tail = log.ErrTail(static_cast<uint32_t>(limits::kMessageBytes - used));
  if (!tail.empty()) done.message += StrCat(kLead, tail);
  return done;
}

std::string FolderName(ExecContext& context, const AttemptRef& attempt) {
  return StrCat(attempt.task.job, "-", attempt.task.ordinal, "-", absl::Hex(attempt.attempt), ".",
                context.next_folder++);
}

ExecError InputError(const std::string& what, const absl::Status& status) {
  std::string message = StrCat(what, ": ", ToStd(status.message()));
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kDataLoss:
      return {FailureClass::kInputLost, std::move(message)};
    case absl::StatusCode::kOutOfRange:
      return BadBody(std::move(message));
    default:
      return {FailureClass::kStore, std::move(message)};
  }
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
