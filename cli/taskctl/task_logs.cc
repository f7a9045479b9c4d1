#include "cli/taskctl/task_logs.h"

#include <chrono>
#include <cstdio>
#include <memory>
#include <thread>
#include <utility>

#include "cli/client/connection.h"
#include "cli/client/worker_data.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/json.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/selectors.h"
#include "cli/taskctl/tasks.h"
#include "common/base/text.h"

namespace taskd::cli {
namespace {

constexpr auto kAskAgain = std::chrono::milliseconds(200);  // whether a followed task has started

// The attempt whose log is asked for: the given try, else the newest one that a worker has.
absl::StatusOr<v1::AttemptInfo> ChooseAttempt(const v1::TaskExplanation& e, uint32_t wanted) {
  const v1::AttemptInfo* best = nullptr;
  for (const v1::AttemptInfo& a : e.attempts()) {
    bool asked = wanted == 0 || wanted == a.attempt() || wanted == TryNumber(a.attempt());
    // Without a wish: one that left a log rather than one that never started.
    if (asked && (best == nullptr || !a.data_address().empty() || best->data_address().empty()))
      best = &a;
  }
  std::string key = Printable(e.task().key());
  if (best == nullptr && wanted != 0) {
    return absl::NotFoundError(
        StrCat(key, " has no try ", wanted, " that is remembered; see `taskctl task show`"));
  }
  if (best == nullptr)
    return absl::NotFoundError(
        StrCat(key, " is ", NameOf(e.task().state()), " and has written nothing yet"));
  if (best->data_address().empty()) {
    return absl::NotFoundError(StrCat("the log of ", key, " was on ",
                                      best->worker().empty() ? "a worker" : best->worker(),
                                      ", which is gone"));
  }
  return *best;
}

// Both streams as they come, or kept for JSON.
class LogSink {
 public:
  LogSink(const Context& context, const LogOptions& options)
      : json_(context.format == OutputFormat::kJson), stderr_to_stdout_(options.only_stderr) {}

  void Add(bool is_stderr, std::string_view bytes, bool truncated) {
    cut_ |= truncated;
    if (json_) {
      (is_stderr ? err_ : out_).append(bytes);
    } else if (is_stderr && !stderr_to_stdout_) {
      std::fwrite(bytes.data(), 1, bytes.size(), stderr);
    } else {
      PrintOut(bytes);
    }
  }

  void Finish(Context& context, const v1::TaskExplanation& task, const v1::AttemptInfo& attempt) {
    if (json_) {
      PrintOut(StrCat("{\"task\":", JsonString(task.task().key()), ",\"attempt\":",
                      TryNumber(attempt.attempt()), ",\"worker\":", JsonString(attempt.worker()),
                      ",\"stdout\":", JsonString(out_), ",\"stderr\":", JsonString(err_),
                      ",\"truncated\":", cut_ ? "true" : "false", "}\n"));
    }
    if (cut_) Note(context, "the log was over its limit: its middle is not there");
  }

 private:
  const bool json_, stderr_to_stdout_;
  std::string out_, err_;
  bool cut_ = false;
};

}  // namespace

void Logs(Context& context, const LogOptions& options) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> job = ResolveOneJob(**connection, options.job);
  if (!job.ok()) return context.Fail(job.status());
  LogSink sink(context, options);
  for (bool told = false;; std::this_thread::sleep_for(kAskAgain)) {
    absl::StatusOr<v1::TaskExplanation> task = ExplainTask(**connection, *job, options.task);
    if (!task.ok()) return context.Fail(task.status());
    absl::StatusOr<v1::AttemptInfo> attempt = ChooseAttempt(*task, options.attempt);
    absl::Status status = attempt.status();
    if (attempt.ok()) {
      client::LogSpec spec{attempt->data_address(),
                           {{*job, task->task().task().ordinal()}, attempt->attempt()},
                           !options.only_stderr,
                           !options.only_stdout,
                           options.follow};
      status = client::ReadLog(spec, (*connection)->access().client_key,
                               [&sink](bool is_stderr, std::string_view bytes, bool truncated) {
                                 sink.Add(is_stderr, bytes, truncated);
                                 return true;
                               });
    }
    if (status.ok()) return sink.Finish(context, *task, *attempt);
    // A worker that has not started it yet has no log of it either.
    if (!options.follow || !absl::IsNotFound(status) || !IsPending(task->task()))
      return context.Fail(status);
    if (!std::exchange(told, true))
      Note(context, StrCat(Printable(task->task().key()), " has not started yet: waiting for it"));
  }
}

}  // namespace taskd::cli
