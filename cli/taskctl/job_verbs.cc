// taskctl job list | show | wait | cancel | retry | forget
#include <CLI/CLI.hpp>
#include <algorithm>
#include <ctime>
#include <memory>
#include <optional>

#include "cli/client/client_session.h"
#include "cli/client/connection.h"
#include "cli/taskctl/inside_task.h"
#include "cli/taskctl/interrupt.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

std::string LocalTime(uint64_t ms) {
  auto seconds = static_cast<time_t>(ms / 1000);
  tm local = {};
  char text[32];
  if (ms == 0 || localtime_r(&seconds, &local) == nullptr) return "";
  return std::string(text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S", &local));
}

constexpr uint32_t kNormalWeight = 100;
constexpr uint64_t kNsPerMs = 1'000'000;

std::vector<Column> JobColumns() {
  return {{"JOB", Column::kRight},       {"NAME", Column::kLeft, true}, {"STATE"},
          {"DONE", Column::kRight},      {"TOTAL", Column::kRight},     {"RUNNING", Column::kRight},
          {"FAILED", Column::kRight},    {"ELAPSED", Column::kRight},   {"SUBMITTED"},
          {"OWNER", Column::kLeft, true}};
}

Row JobRow(const v1::JobInfo& job) {
  return {StrCat(job.job()),
          job.name(),
          {StrCat(StateName(job.state()), job.forgotten() ? ", forgotten" : ""),
           StateCell(StateName(job.state())).style},
          FormatCount(job.done()),
          FormatCount(job.total()),
          FormatCount(job.running()),
          {FormatCount(job.failed()), job.failed() > 0 ? Style::kBad : Style::kPlain},
          FormatDuration(job.elapsed_ms() * 1'000'000),
          LocalTime(job.submitted_ms()),
          job.owner()};
}

struct ListOptions {
  std::string state;
  std::string owner;
  uint32_t limit = 100;
  bool children = false;
};

std::optional<v1::JobState> StateOf(std::string_view name) {
  const google::protobuf::EnumDescriptor* states = v1::JobState_descriptor();
  for (int i = 0; i < states->value_count(); ++i) {
    auto state = static_cast<v1::JobState>(states->value(i)->number());
    if (StateName(state) == name) return state;
  }
  return std::nullopt;
}

// The newest last, so that they stand above the prompt.
void List(Context& context, const ListOptions& options) {
  if (Printable(options.owner) != options.owner) {
    return context.Fail(kExitUsage, absl::InvalidArgumentError(StrCat(
                                        "--owner ", Printable(options.owner),
                                        ": no owner has such a name; it is not text in UTF-8")));
  }
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  std::vector<v1::JobInfo> jobs;
  uint32_t count = options.limit == 0 ? ~0u : options.limit;
  v1::ListJobsRequest request;
  if (auto state = StateOf(options.state)) request.add_states(*state);
  request.set_owner(options.owner);
  request.set_with_children(options.children);
  absl::StatusOr<bool> more = ForNewestJobs(**connection, count, request,
                                            [&](const v1::JobInfo& job) { jobs.push_back(job); });
  if (!more.ok()) return context.Fail(more.status());
  ListWriter writer(context, "jobs", JobColumns());
  for (auto job = jobs.rbegin(); job != jobs.rend(); ++job)
    writer.Add(*job, StrCat(job->job()), JobRow(*job));
  writer.End(options.state.empty() && options.owner.empty()
                 ? "no job yet; `taskctl run FILE` starts one"
                 : "there is no such job");
  if (*more) Note(context, StrCat("the newest ", jobs.size(), " jobs; --limit 0 shows all"));
}

std::string JobText(const v1::JobInfo& job) {
  std::vector<std::pair<std::string, Cell>> fields = {
      {"job", StrCat(job.job(), job.name().empty() ? "" : "  ", job.name())},
      {"submitted by",
       job.has_parent() ? StrCat("task ", job.parent_key(), " of job ", job.parent().job()) : ""},
      {"state", StateCell(StateName(job.state()))},
      {"forgotten", job.forgotten() ? "its tasks and results are gone" : ""},
      {"owner", job.owner()},
      {"priority", job.priority() == 0 ? "" : StrCat(job.priority())},
      {"weight", job.weight() == kNormalWeight ? "" : StrCat(job.weight())},
      {"max running", job.max_running() == 0 ? "" : FormatCount(job.max_running())},
      {"kept", job.ttl_ms() == 0 || job.forgotten()
                   ? ""
                   : FormatDuration(job.ttl_ms() * kNsPerMs) + " after its end"},
      {"ephemeral", job.ephemeral() ? "cancelled when the client that sent it has left" : ""},
      {"submitted", LocalTime(job.submitted_ms())},
      {"elapsed", FormatDuration(job.elapsed_ms() * 1'000'000)},
      {"tasks",
       StrCat(FormatCount(job.total()), ":  ", FormatCount(job.waiting()), " waiting  ",
              FormatCount(job.ready()), " ready  ", FormatCount(job.active()), " active (",
              FormatCount(job.running()), " running)  ", FormatCount(job.done()), " done  ",
              FormatCount(job.failed()), " failed  ", FormatCount(job.cancelled()), " cancelled")},
      {"below it", job.children() == 0
                       ? ""
                       : StrCat(FormatCount(job.children()),
                                " jobs that tasks submitted; their tasks count here, too")},
      {"again", job.retried() + job.recomputed() == 0
                    ? ""
                    : StrCat(FormatCount(job.retried()), " retried  ",
                             FormatCount(job.recomputed()), " recomputed after losses")},
      {"input bytes", StrCat(FormatBytes(job.bytes_moved()), " moved  ",
                             FormatBytes(job.bytes_saved()), " already there")},
  };
  std::string text = Fields(fields);
  if (std::string wants = WantsText(job); !wants.empty()) text += "results\n" + wants;
  if (std::string failures = FailureText(job); !failures.empty()) text += "failures\n" + failures;
  return text;
}

void ShowJobs(Context& context, const std::string& selector) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> id = ResolveOneJob(**connection, selector);
  if (!id.ok()) return context.Fail(id.status());
  absl::StatusOr<v1::JobInfo> job = GetJob(**connection, *id);
  if (!job.ok()) return context.Fail(job.status());
  Show(context, *job, StrCat(*id), [&] { return JobText(*job); });
}

void Wait(Context& context, const std::string& selector, const std::string& timeout) {
  absl::StatusOr<uint64_t> timeout_ns = timeout.empty() ? 0 : ParseDuration(timeout);
  if (!timeout_ns.ok()) return context.Fail(kExitUsage, timeout_ns.status());
  InterruptGuard guard;
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<std::vector<JobId>> jobs = ResolveJobs(**connection, selector);
  if (!jobs.ok()) return context.Fail(jobs.status());
  for (JobId job : *jobs) {
    absl::StatusOr<v1::JobInfo> info = GetJob(**connection, job);
    if (!info.ok()) return context.Fail(info.status());
    if (IsOfThisTask(*info)) {
      return context.Fail(
          kExitUsage, absl::FailedPreconditionError(StrCat(
                          "job ", job,
                          " is of this very task, and goes on until the task has ended; wait for "
                          "its results: `taskctl object await ",
                          job, " NAME`")));
    }
  }
  client::ClientSession::Options options;
  options.note = [&](std::string_view text) { Note(context, text); };
  client::ClientSession session(**connection, options);
  InterruptAction action(guard, [&] { session.Interrupt(); });
  WaitForJobs(context, **connection, session, *jobs, *timeout_ns);
}

// One admin call for each of the jobs; what fails for one is said, the others are done all the same.
// The call returns the job, or nothing to be shown.
template <typename Call>
void ForJobs(Context& context, const std::string& selector, Call call) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<std::vector<JobId>> jobs = ResolveJobs(**connection, selector);
  if (!jobs.ok()) return context.Fail(jobs.status());
  ListWriter writer(context, "jobs", JobColumns());
  for (JobId id : *jobs) {
    absl::StatusOr<std::optional<v1::JobInfo>> job = call(**connection, id);
    if (!job.ok()) {
      context.Fail(job.status());
    } else if (job->has_value()) {
      writer.Add(**job, StrCat(id), JobRow(**job));
    }
  }
  writer.End("");
}

void Cancel(Context& context, const std::string& selector) {
  using Shown = absl::StatusOr<std::optional<v1::JobInfo>>;
  ForJobs(context, selector, [&](client::Connection& connection, JobId id) -> Shown {
    absl::StatusOr<v1::JobInfo> before = GetJob(connection, id);
    if (!before.ok()) return before.status();
    if (HasEnded(before->state())) {
      Note(context, StrCat("job ", id, " is ", StateName(before->state()), " already"));
      return std::nullopt;
    }
    v1::CancelJobRequest request;
    request.set_job(id);
    return connection.CancelJob(request);
  });
}

struct RetryOptions {
  std::string selector;
  std::string tasks;
  bool cancelled = false;
};

void Retry(Context& context, const RetryOptions& options) {
  ForJobs(context, options.selector, [&](client::Connection& connection, JobId id) {
    v1::RetryTasksRequest request;
    request.set_job(id);
    request.set_pattern(options.tasks);
    request.set_cancelled(options.cancelled);
    return connection.RetryTasks(request);
  });
}

void Forget(Context& context, const std::string& selector) {
  ForJobs(context, selector, [](client::Connection& connection, JobId id) {
    v1::ForgetJobRequest request;
    request.set_job(id);
    return connection.ForgetJob(request);
  });
}

void AddSelector(CLI::App* verb, std::string& selector, const char* what) {
  verb->add_option("JOB", selector, what)->required();
}

}  // namespace

void AddJobCommands(CLI::App& app, Context& context) {
  CLI::App* job = app.add_subcommand("job", "List, show, wait for, cancel, retry and forget jobs");
  job->require_subcommand(1);

  auto options = std::make_shared<ListOptions>();
  CLI::App* list = job->add_subcommand("list", "Jobs, the newest last");
  list->add_option("-s,--state", options->state, "Only jobs in this state")
      ->check(CLI::IsMember({"open", "running", "done", "failed", "cancelled"}));
  list->add_option("--owner", options->owner, "Only jobs of this owner")->type_name("NAME");
  list->add_flag("--children", options->children, "Also jobs that tasks submitted");
  list->add_option("-n,--limit", options->limit, "At most so many, the newest; 0: all")
      ->capture_default_str();
  list->footer("\nExamples:\n  taskctl job list\n  taskctl job list --state failed -q");
  list->callback([&context, options] { List(context, *options); });

  auto shown = std::make_shared<std::string>();
  CLI::App* show = job->add_subcommand("show", "One job: counts, results, failures");
  AddSelector(show, *shown, "3 or last");
  show->footer("\nExamples:\n  taskctl job show last\n  taskctl job show 3 -o json | jq .state");
  show->callback([&context, shown] { ShowJobs(context, *shown); });

  struct WaitOptions {
    std::string selector;
    std::string timeout;
  };
  auto waited = std::make_shared<WaitOptions>();
  CLI::App* wait =
      job->add_subcommand("wait", "Wait until jobs have ended; Ctrl-C leaves them alone");
  AddSelector(wait, waited->selector, "3, 3,5, 3-7, last or all");
  wait->add_option("-t,--timeout", waited->timeout,
                   "Give up waiting after this time (exit code 5), as in 10m");
  wait->footer(
      "\nExamples:\n  taskctl job wait last\n  taskctl job wait 3-7 --timeout 1h && echo all good"
      "\nExit code: 0 all done, 1 one failed, 6 one was cancelled.");
  wait->callback([&context, waited] { Wait(context, waited->selector, waited->timeout); });

  auto cancelled = std::make_shared<std::string>();
  CLI::App* cancel =
      job->add_subcommand("cancel", "End jobs: what runs is stopped, the rest never starts");
  AddSelector(cancel, *cancelled, "3, 3,5, 3-7, last or all");
  cancel->footer("\nExamples:\n  taskctl job cancel 3\n  taskctl job cancel all");
  cancel->callback([&context, cancelled] { Cancel(context, *cancelled); });

  auto retried = std::make_shared<RetryOptions>();
  CLI::App* retry = job->add_subcommand(
      "retry", "Put failed tasks back, and what failed because of them; the job goes on");
  AddSelector(retry, retried->selector, "3, 3,5, 3-7, last or all");
  retry->add_option("TASKS", retried->tasks, "Only these, as in 'map[*]', and failures above them");
  retry->add_flag("--cancelled", retried->cancelled, "Cancelled tasks, too");
  retry->footer(
      "\nExamples:\n  taskctl job retry last\n  taskctl job retry 3 'map[7]'\n  taskctl job retry "
      "3 --cancelled");
  retry->callback([&context, retried] { Retry(context, *retried); });

  auto forgotten = std::make_shared<std::string>();
  CLI::App* forget =
      job->add_subcommand("forget", "Free the results and records of jobs that have ended");
  AddSelector(forget, *forgotten, "3, 3,5, 3-7, last or all");
  forget->footer("\nExamples:\n  taskctl job forget 3\n  taskctl job forget 3-7");
  forget->callback([&context, forgotten] { Forget(context, *forgotten); });
}

}  // namespace taskd::cli
