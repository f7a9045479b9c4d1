#include "cli/taskctl/jobs.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <optional>

#include "cli/taskctl/json.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/selectors.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/clock.h"

namespace taskd::cli {
namespace {

constexpr uint32_t kPage = 1000;
constexpr int kFailuresShown = 5;
constexpr int kMessageLines = 12;
constexpr uint64_t kStalledNs = 5'000'000'000;  // nothing runs for so long: say why

std::string KeyOf(const v1::TaskFailure& failure) { return Printable(failure.key()); }

// How the command line names the failed task: a key that is not text only goes by its ordinal.
std::string Handle(const v1::TaskFailure& failure) {
  if (KeyOf(failure) == failure.key()) return ShellQuote(failure.key());
  return StrCat("@", failure.task().ordinal());
}

// The last lines of a message, indented.
std::string Tail(std::string_view message) {
  while (message.ends_with('\n')) message.remove_suffix(1);
  std::vector<std::string_view> lines;
  for (size_t at = 0; at <= message.size() && !message.empty();) {
    size_t end = std::min(message.find('\n', at), message.size());
    lines.push_back(message.substr(at, end - at));
    at = end + 1;
  }
  std::string text;
  for (size_t i = lines.size() > kMessageLines ? lines.size() - kMessageLines : 0; i < lines.size();
       ++i) {
    text += StrCat("    | ", Printable(lines[i]), "\n");
  }
  return text;
}

std::string Reason(const v1::TaskFailure& failure) {
  std::string name = ShortName(*v1::FailureClass_descriptor()->FindValueByNumber(
      v1::FailureClass_IsValid(failure.failure()) ? failure.failure()
                                                  : v1::FAILURE_CLASS_UNSPECIFIED));
  switch (failure.failure()) {
    case v1::FAILURE_EXIT:
      return StrCat("exit code ", failure.exit_code());
    case v1::FAILURE_SIGNAL:
      return StrCat("killed by signal ", failure.exit_code());
    case v1::FAILURE_TIMEOUT:
      return "over its time limit";
    default:
      std::replace(name.begin(), name.end(), '_', ' ');
      return name;
  }
}

// What waits for jobs: prints progress, and says why when nothing moves.
class Watcher {
 public:
  Watcher(Context& context, client::Connection& connection)
      : context_(context),
        connection_(connection),
        progress_(STDERR_FILENO, context.format != OutputFormat::kTable) {}

  void Update(const v1::JobUpdate* update) {
    uint64_t now = io::NowNs();
    if (update != nullptr) {
      auto [name, fresh] = names_.try_emplace(update->job());
      if (fresh) {
        absl::StatusOr<v1::JobInfo> job = GetJob(connection_, update->job());
        if (job.ok()) name->second = job->name();
      }
      figures_ = FiguresOf(*update, name->second);
      if (update->active() > 0 || moved_ns_ == 0 || figures_->ended) moved_ns_ = now;
    }
    if (!figures_) return;
    progress_.Update(now, *figures_);
    if (!figures_->ended && now - moved_ns_ > kStalledNs) ExplainStall();
  }

  void Finish() { progress_.Finish(); }

 private:
  void ExplainStall() {
    if (stall_told_) return;
    stall_told_ = true;
    absl::StatusOr<v1::ClusterStatus> status = connection_.GetStatus();
    if (!status.ok()) return;
    progress_.Finish();
    if (status->workers_up() == 0) {
      Note(context_, "nothing runs: no worker is up; see `taskctl worker list`");
    } else {
      Note(context_, StrCat("nothing of job ", figures_->job, " runs; why: `taskctl task list ",
                            figures_->job, " --state ready`, then `taskctl task explain ",
                            figures_->job, " NAME`"));
    }
  }

  Context& context_;
  client::Connection& connection_;
  Progress progress_;
  std::map<JobId, std::string> names_;
  std::optional<JobFigures> figures_;
  uint64_t moved_ns_ = 0;
  bool stall_told_ = false;
};

void ShowEnd(Context& context, const v1::JobInfo& job) {
  Show(context, job, StrCat(job.job()), [&] { return Outcome(job) + "\n" + WantsText(job); });
  std::string failures = FailureText(job);
  if (!failures.empty() && failures.back() == '\n') failures.pop_back();
  if (!failures.empty()) Note(context, failures);
}

// Shows what became of the jobs, and takes their exit codes into the context's. One job alone is
// one JSON object.
void ShowEnds(Context& context, const std::vector<v1::JobInfo>& jobs) {
  ListWriter list(context, "jobs", {{""}});
  for (const v1::JobInfo& job : jobs) {
    context.exit_code = WorseExitCode(context.exit_code, JobExitCode(job.state()));
    if (jobs.size() > 1 && context.format != OutputFormat::kTable) {
      list.Add(job, StrCat(job.job()), {""});
    } else {
      ShowEnd(context, job);
    }
  }
  if (list.count() > 0) list.End("");
}

std::string Names(const std::vector<JobId>& jobs) {
  std::string text;
  for (JobId job : jobs) text += StrCat(text.empty() ? "" : ",", job);
  return text;
}

// Cancels ephemeral jobs that are left, and says so.
std::string Cancelled(client::Connection& connection, const std::vector<JobId>& jobs) {
  for (JobId job : jobs) {
    v1::CancelJobRequest request;
    request.set_job(job);
    absl::StatusOr<v1::JobInfo> info = connection.CancelJob(request);
    if (!info.ok()) {
      return StrCat("job ", job, " is ephemeral and will be cancelled by the scheduler (",
                    ToStd(info.status().message()), ")");
    }
  }
  return StrCat("job ", Names(jobs), " is ephemeral and is cancelled");
}

}  // namespace

absl::StatusOr<bool> ForNewestJobs(client::Connection& connection, uint32_t count,
                                   v1::ListJobsRequest request,
                                   const std::function<void(const v1::JobInfo&)>& visit) {
  request.set_newest_first(true);
  while (count > 0) {
    request.set_limit(std::min(count, kPage));
    absl::StatusOr<v1::JobList> page = connection.ListJobs(request);
    if (!page.ok()) return page.status();
    for (const v1::JobInfo& job : page->jobs()) visit(job);
    count -= std::min(count, static_cast<uint32_t>(page->jobs_size()));
    request.set_cursor(page->next_cursor());
    if (page->next_cursor() == 0) return false;
  }
  return true;
}

absl::Status ForEachJob(client::Connection& connection,
                        const std::function<void(const v1::JobInfo&)>& visit) {
  v1::ListJobsRequest request;
  request.set_limit(kPage);
  for (;;) {
    absl::StatusOr<v1::JobList> page = connection.ListJobs(request);
    if (!page.ok()) return page.status();
    for (const v1::JobInfo& job : page->jobs()) visit(job);
    if (page->next_cursor() == 0) return absl::OkStatus();
    request.set_cursor(page->next_cursor());
  }
}

absl::StatusOr<std::vector<JobId>> ResolveJobs(client::Connection& connection,
                                               std::string_view text) {
  absl::StatusOr<JobSelector> selector = ParseJobSelector(text);
  if (!selector.ok()) return selector.status();
  std::vector<JobId> jobs = selector->ids;
  if (!selector->all && !selector->last) return jobs;
  std::vector<JobId> known;
  auto note = [&](const v1::JobInfo& job) { known.push_back(job.job()); };
  absl::Status status = selector->all ? ForEachJob(connection, note)
                                      : ForNewestJobs(connection, 1, {}, note).status();
  if (!status.ok()) return status;
  if (known.empty())
    return absl::NotFoundError("the cluster has no job yet; `taskctl run FILE` starts one");
  if (selector->all) return known;
  if (std::find(jobs.begin(), jobs.end(), known.back()) == jobs.end()) jobs.push_back(known.back());
  return jobs;
}

absl::StatusOr<JobId> ResolveOneJob(client::Connection& connection, std::string_view selector) {
  absl::StatusOr<std::vector<JobId>> jobs = ResolveJobs(connection, selector);
  if (!jobs.ok()) return jobs.status();
  if (jobs->size() == 1) return jobs->front();
  return absl::InvalidArgumentError(
      StrCat("'", selector, "' names ", jobs->size(), " jobs; this verb takes one"));
}

absl::Status ForEachObject(client::Connection& connection, JobId job, const std::string& pattern,
                           const std::function<bool(const v1::ObjectInfo&)>& visit) {
  v1::ListObjectsRequest request;
  request.set_job(job);
  request.set_pattern(pattern);
  do {
    absl::StatusOr<v1::ObjectList> page = connection.ListObjects(request);
    if (!page.ok()) return page.status();
    for (const v1::ObjectInfo& object : page->objects()) {
      if (!visit(object)) return absl::OkStatus();
    }
    request.set_cursor(page->next_cursor());
  } while (request.cursor() != 0);
  return absl::OkStatus();
}

absl::StatusOr<v1::JobInfo> GetJob(client::Connection& connection, JobId job) {
  v1::GetJobRequest request;
  request.set_job(job);
  absl::StatusOr<v1::JobInfo> info = connection.GetJob(request);
  if (absl::IsNotFound(info.status()))
    return absl::NotFoundError(StrCat("there is no job ", job, "; see `taskctl job list`"));
  return info;
}

bool HasEnded(v1::JobState state) {
  return state == v1::JOB_DONE || state == v1::JOB_FAILED || state == v1::JOB_CANCELLED;
}

std::string StateName(v1::JobState state) {
  return ShortName(*v1::JobState_descriptor()->FindValueByNumber(
      v1::JobState_IsValid(state) ? state : v1::JOB_STATE_UNSPECIFIED));
}

int JobExitCode(v1::JobState state) {
  if (state == v1::JOB_FAILED) return kExitTaskFailed;
  return state == v1::JOB_CANCELLED ? kExitCancelled : kExitOk;
}

int WorseExitCode(int a, int b) {
  if (a == kExitOk) return b;
  if (a == kExitCancelled && b != kExitOk) return b;
  return a;
}

JobFigures FiguresOf(const v1::JobUpdate& u, std::string_view name) {
  JobFigures f;
  f.job = u.job();
  f.name = name;
  f.state = StateName(u.state());
  f.ended = HasEnded(u.state());
  f.done = u.done();
  f.failed = u.failed();
  f.cancelled = u.cancelled();
  f.running = u.running();
  f.total = u.total();
  f.recomputed = u.recomputed();
  f.retried = u.retried();
  return f;
}

std::string Outcome(const v1::JobInfo& job) {
  std::string text = StrCat("job ", job.job(), job.name().empty() ? "" : " ", Printable(job.name()),
                            " ", StateName(job.state()), ": ", FormatCount(job.done()), " of ",
                            FormatCount(job.total()), " tasks done");
  if (job.failed() > 0) text += StrCat(", ", FormatCount(job.failed()), " failed");
  if (job.cancelled() > 0) text += StrCat(", ", FormatCount(job.cancelled()), " cancelled");
  if (job.retried() > 0) text += StrCat(", ", FormatCount(job.retried()), " retried");
  if (job.recomputed() > 0) text += StrCat(", ", FormatCount(job.recomputed()), " recomputed");
  text += StrCat(", ", FormatDuration(job.elapsed_ms() * 1'000'000));
  if (job.bytes_moved() + job.bytes_saved() > 0) {
    text += StrCat(", ", FormatBytes(job.bytes_moved()), " of input moved, ",
                   FormatBytes(job.bytes_saved()), " already there");
  }
  return text;
}

std::string CulpritText(const v1::TaskFailure& f) {
  return StrCat("  ", KeyOf(f), ": ", Reason(f), f.worker().empty() ? "" : " on ", f.worker(), "\n",
                Tail(f.message()));
}

std::string FailureText(const v1::JobInfo& job) {
  int shown = std::min(job.failures_size(), kFailuresShown);
  if (shown == 0) return "";
  std::string text;
  for (int i = 0; i < shown; ++i) text += CulpritText(job.failures(i));
  if (job.failed() > static_cast<uint64_t>(shown)) {
    text += StrCat("  and ", FormatCount(job.failed() - static_cast<uint64_t>(shown)),
                   " more, those that depend on them included:  ", "taskctl task list ", job.job(),
                   " --state failed\n");
  }
  const v1::TaskFailure& first = job.failures(0);  // perhaps of a job that a task submitted
  std::string name = StrCat(first.task().job(), " ", Handle(first));
  text += StrCat("  what it wrote:  taskctl task logs ", name, "\n");
  text += StrCat("  every attempt:  taskctl task explain ", name, "\n");
  return text;
}

std::string WantsText(const v1::JobInfo& job) {
  std::string text;
  for (const v1::WantedObject& want : job.wants()) {
    if (!want.available()) continue;
    text +=
        StrCat("  ", Printable(want.name()), "  ", FormatBytes(want.size_bytes()),
               "  taskctl object get ", job.job(), " ", ShellQuote(Printable(want.name())), "\n");
  }
  return text;
}

std::string ShellQuote(std::string_view word) {
  bool plain = !word.empty() && std::all_of(word.begin(), word.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 ||
           std::string_view("._-/@%+=:,").find(c) != std::string_view::npos;
  });
  if (plain) return std::string(word);
  std::string quoted = "'";
  for (char c : word) {
    if (c == '\'') {
      quoted += "'\\''";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

void WaitForJobs(Context& context, client::Connection& connection, client::ClientSession& session,
                 const std::vector<JobId>& jobs, uint64_t timeout_ns, WhenLeft left) {
  Watcher watcher(context, connection);
  uint64_t deadline = timeout_ns == 0 ? client::kNoDeadline : io::NowNs() + timeout_ns;
  absl::Status status = session.Follow(
      jobs, [&](const v1::JobUpdate* update) { watcher.Update(update); }, deadline);
  watcher.Finish();
  std::string back = StrCat("taskctl job wait ", Names(jobs));
  const bool cancels = left == WhenLeft::kCancel;
  if (absl::IsAborted(status)) {
    context.exit_code = kExitInterrupted;
    Note(context, cancels ? StrCat("left; ", Cancelled(connection, jobs))
                          : StrCat(jobs.size() == 1 ? "detached; the job goes on"
                                                    : "detached; the jobs go on",
                                   ". Come back: `", back, "`, or end it: `taskctl job cancel ",
                                   Names(jobs), "`"));
    return;
  }
  if (absl::IsDeadlineExceeded(status)) {
    return context.Fail(absl::DeadlineExceededError(StrCat(
        "not done within ", FormatDuration(timeout_ns), "; ",
        cancels ? Cancelled(connection, jobs) : StrCat("it goes on. Wait again: `", back, "`"))));
  }
  if (!status.ok()) return context.Fail(status);
  std::vector<v1::JobInfo> ends;
  for (JobId job : jobs) {
    absl::StatusOr<v1::JobInfo> info = GetJob(connection, job);
    if (!info.ok()) return context.Fail(info.status());
    ends.push_back(*std::move(info));
  }
  ShowEnds(context, ends);
}

}  // namespace taskd::cli
