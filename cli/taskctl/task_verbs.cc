// taskctl task list | show | explain | logs | cancel
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "cli/client/connection.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/json.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/selectors.h"
#include "cli/taskctl/task_logs.h"
#include "cli/taskctl/tasks.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

constexpr uint32_t kPage = 1000;

// The short name of an enum's value; a value that this taskctl does not know is "unknown".
template <typename E>
std::string EnumName(E value, const google::protobuf::EnumDescriptor* type) {
  const google::protobuf::EnumValueDescriptor* known = type->FindValueByNumber(value);
  std::string name = known == nullptr ? "unknown" : ShortName(*known);
  std::replace(name.begin(), name.end(), '_', ' ');
  return name;
}
std::string FailureName(v1::FailureClass failure) {
  return EnumName(failure, v1::FailureClass_descriptor());
}

}  // namespace

std::string NameOf(v1::TaskState state) { return EnumName(state, v1::TaskState_descriptor()); }

bool IsPending(const v1::TaskInfo& task) {
  return task.state() == v1::TASK_WAITING || task.state() == v1::TASK_READY ||
         task.state() == v1::TASK_ACTIVE;
}

namespace {

// "active" is the scheduler's word for given to a worker; people want to know whether it runs.
std::string StateText(const v1::TaskInfo& task) {
  return task.running() ? "running" : NameOf(task.state());
}

std::string WhyText(const v1::TaskInfo& task) {
  if (task.state() == v1::TASK_FAILED || task.failure() != v1::FAILURE_CLASS_UNSPECIFIED) {
    std::string why = FailureName(task.failure());
    bool own = task.culprit_key().empty() || task.culprit_key() == task.key();
    return own ? why : StrCat(why, ": ", task.culprit_key());
  }
  return task.reason() == v1::WAIT_NONE ? "" : EnumName(task.reason(), v1::WaitReason_descriptor());
}

std::string RunText(uint64_t run_ms) {
  return run_ms == 0 ? "" : FormatDuration(run_ms * 1'000'000);
}

struct ListOptions {
  std::string job;
  std::string pattern;
  std::vector<std::string> states;
  uint32_t limit = kPage;
};

void List(Context& context, const ListOptions& options) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> job = ResolveOneJob(**connection, options.job);
  if (!job.ok()) return context.Fail(job.status());
  v1::ListTasksRequest request;
  request.set_job(*job);
  request.set_pattern(options.pattern);
  bool running = false;
  for (const std::string& name : options.states) {
    std::string upper = "TASK_" + name;
    std::transform(upper.begin(), upper.end(), upper.begin(),
                   [](unsigned char c) { return std::toupper(c); });
    v1::TaskState state = v1::TASK_STATE_UNSPECIFIED;
    if (name == "running") {
      running = true;
      state = v1::TASK_ACTIVE;
    } else {
      v1::TaskState_Parse(upper, &state);
    }
    request.add_states(state);
  }
  ListWriter writer(context, "tasks",
                    {{"TASK", Column::kLeft, true},
                     {"STATE"},
                     {"WORKER", Column::kLeft, true},
                     {"TRIES", Column::kRight},
                     {"RUN TIME", Column::kRight},
                     {"WHY", Column::kLeft, true}});
  bool only_running = running && options.states.size() == 1;
  for (;;) {
    uint64_t left = options.limit == 0 ? kPage : options.limit - writer.count();
    request.set_limit(static_cast<uint32_t>(std::min<uint64_t>(kPage, left)));
    absl::StatusOr<v1::TaskList> page = (*connection)->ListTasks(request);
    if (!page.ok()) {
      absl::Status known = GetJob(**connection, *job).status();
      return context.Fail(known.ok() ? page.status() : known);
    }
    for (const v1::TaskInfo& task : page->tasks()) {
      if (only_running && !task.running()) continue;
      writer.Add(task, task.key(),
                 {task.key(), StateCell(StateText(task)), task.worker(), StrCat(task.attempts()),
                  RunText(task.run_ms()), WhyText(task)});
    }
    writer.EndPage();
    request.set_cursor(page->next_cursor());
    if (page->next_cursor() == 0 || (options.limit != 0 && writer.count() >= options.limit)) break;
  }
  writer.End(options.pattern.empty() && options.states.empty() ? "the job has no tasks"
                                                               : "no task matches");
  if (request.cursor() != 0)
    Note(context, StrCat("the first ", writer.count(), " tasks; --limit 0 shows all"));
}

std::string AttemptsText(const v1::TaskExplanation& e) {
  Table table({{"  TRY", Column::kRight},
               {"WORKER", Column::kLeft, true},
               {"STATE"},
               {"WHY", Column::kLeft, true},
               {"EXIT", Column::kRight},
               {"RUN TIME", Column::kRight}},
              TerminalWidth(STDOUT_FILENO), UseColour(STDOUT_FILENO));
  for (const v1::AttemptInfo& a : e.attempts()) {
    bool ended = a.end() != v1::ATTEMPT_END_UNSPECIFIED;
    std::string state = ended ? EnumName(a.end(), v1::AttemptEnd_descriptor())
                              : EnumName(a.state(), v1::AttemptState_descriptor());
    bool failed = a.failure() != v1::FAILURE_CLASS_UNSPECIFIED;
    table.Add({StrCat(TryNumber(a.attempt())), a.worker(), StateCell(state),
               failed ? FailureName(a.failure()) : "", failed ? StrCat(a.exit_code()) : "",
               RunText(a.run_ms())});
  }
  return table.Take();
}

std::string TaskText(const v1::TaskExplanation& e) {
  const v1::TaskInfo& task = e.task();
  std::string text = Fields({
      {"task", StrCat(task.key(), "  (", task.task().job(), "@", task.task().ordinal(), ")")},
      {"state", {StateText(task), StateCell(StateText(task)).style}},
      {"why", WhyText(task)},
      {"worker", task.worker()},
      {"tries", StrCat(task.attempts())},
      {"run time", RunText(task.run_ms())},
      {"inputs", !IsPending(task)
                     ? ""
                     : StrCat(e.inputs_total() - std::min(e.inputs_missing(), e.inputs_total()),
                              " of ", e.inputs_total(), " there")},
  });
  text += AttemptsText(e);
  if (e.has_failure()) text += "failure\n" + CulpritText(e.failure());
  return text;
}

std::string ExplanationText(const v1::TaskExplanation& e) {
  std::string text = e.summary().empty() ? "" : StrCat(Printable(e.summary()), "\n");
  text += TaskText(e);
  // What it waits for, and who would run it, means something only before it has ended.
  if (!IsPending(e.task())) return text;
  if (e.inputs_size() > 0) {
    Table inputs({{"  WAITS FOR", Column::kLeft, true}, {"ITS TASK IS"}, {"NOTE"}},
                 TerminalWidth(STDOUT_FILENO), UseColour(STDOUT_FILENO));
    for (const v1::WaitingInput& input : e.inputs()) {
      inputs.Add({"  " + input.name(), StateCell(NameOf(input.producer_state())),
                  input.lost() ? "lost, made again" : ""});
    }
    text += inputs.Take();
    uint64_t shown = static_cast<uint64_t>(e.inputs_size());
    if (e.inputs_missing() > shown)
      text += StrCat("  and ", FormatCount(e.inputs_missing() - shown), " more\n");
  }
  if (e.ahead_in_queue() > 0 || e.jobs_taking_turns() > 0)
    text +=
        StrCat(e.ahead_is_about() ? "about " : "", FormatCount(e.ahead_in_queue()),
               e.ahead_in_queue() == 1 ? " task is" : " tasks are", " ahead of it in its queue",
               e.jobs_taking_turns() == 0   ? ""
               : e.jobs_taking_turns() == 1 ? ", and another job takes turns with its own"
                                            : StrCat(", and ", FormatCount(e.jobs_taking_turns()),
                                                     " other jobs take turns with its own"),
               "\n");
  if (e.workers_size() > 0) {
    Table workers({{"  WORKER", Column::kLeft, true},
                   {"FITS NOW"},
                   {"WHEN IDLE"},
                   {"LIMIT", Column::kLeft, true}},
                  TerminalWidth(STDOUT_FILENO), UseColour(STDOUT_FILENO));
    auto yes = [](bool value) {
      return Cell(value ? "yes" : "no", value ? Style::kGood : Style::kWarn);
    };
    for (const v1::WorkerFit& fit : e.workers())
      workers.Add({fit.count() > 1 ? StrCat("  ", fit.count(), " like ", fit.worker())
                                   : "  " + fit.worker(),
                   yes(fit.now()), yes(fit.when_idle()), fit.limit()});
    text += workers.Take();
  }
  return text;
}

void ShowTask(Context& context, const std::string& selector, const std::string& name,
              std::string (*people)(const v1::TaskExplanation&)) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> job = ResolveOneJob(**connection, selector);
  if (!job.ok()) return context.Fail(job.status());
  absl::StatusOr<v1::TaskExplanation> explanation = ExplainTask(**connection, *job, name);
  if (!explanation.ok()) return context.Fail(explanation.status());
  Show(context, *explanation, Printable(explanation->task().key()),
       [&] { return people(*explanation); });
}

void CancelTasks(Context& context, const std::string& selector, const std::string& pattern) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> id = ResolveOneJob(**connection, selector);
  if (!id.ok()) return context.Fail(id.status());
  v1::CancelTasksRequest request;
  request.set_job(*id);
  request.set_pattern(pattern);
  absl::StatusOr<v1::JobInfo> job = (*connection)->CancelTasks(request);
  if (!job.ok()) return context.Fail(job.status());
  Show(context, *job, StrCat(*id),
       [&] { return StrCat("asked; taskctl task list ", *id, " --state cancelled shows them\n"); });
}

}  // namespace

absl::StatusOr<v1::ResolvedName> ResolveName(client::Connection& connection, JobId job,
                                             std::string_view name) {
  if (std::optional<Ordinal> ordinal = ParseOrdinal(name)) {
    v1::ResolvedName resolved;
    resolved.mutable_task()->set_job(job);
    resolved.mutable_task()->set_ordinal(*ordinal);
    return resolved;
  }
  v1::ResolveNameRequest request;
  request.set_job(job);
  request.set_name(std::string(name));
  absl::StatusOr<v1::ResolvedName> resolved = connection.ResolveName(request);
  if (!absl::IsNotFound(resolved.status())) return resolved;
  absl::StatusOr<v1::JobInfo> known = GetJob(connection, job);
  return known.ok() ? resolved.status() : known.status();
}

absl::StatusOr<v1::TaskExplanation> ExplainTask(client::Connection& connection, JobId job,
                                                std::string_view name) {
  absl::StatusOr<v1::ResolvedName> resolved = ResolveName(connection, job, name);
  if (!resolved.ok()) return resolved.status();
  if (resolved->is_object()) {
    return absl::InvalidArgumentError(
        StrCat("'", name, "' is an object: name its task, or print it with `taskctl object get ",
               job, " ", ShellQuote(name), "`"));
  }
  v1::ExplainTaskRequest request;
  *request.mutable_task() = resolved->task();
  return connection.ExplainTask(request);
}

void AddTaskCommands(CLI::App& app, Context& context) {
  CLI::App* task = app.add_subcommand("task", "List and explain tasks, read their logs");
  task->require_subcommand(1);

  auto options = std::make_shared<ListOptions>();
  CLI::App* list = task->add_subcommand("list", "Tasks of a job");
  list->add_option("JOB", options->job, "3 or last")->required();
  list->add_option("PATTERN", options->pattern, "Names to show, as in 'map[*]'");
  list->add_option("-s,--state", options->states,
                   "Only tasks in these states, as in failed,cancelled")
      ->delimiter(',')
      ->check(
          CLI::IsMember({"waiting", "ready", "active", "running", "done", "failed", "cancelled"}));
  list->add_option("-n,--limit", options->limit, "At most so many; 0: all")->capture_default_str();
  list->footer(
      "\nExamples:\n  taskctl task list last --state failed\n  taskctl task list 3 'map[*]' "
      "--limit 10");
  list->callback([&context, options] { List(context, *options); });

  struct Named {
    std::string job;
    std::string name;
  };
  auto add_named = [&](const char* verb, const char* help, const char* footer,
                       std::string (*people)(const v1::TaskExplanation&)) {
    auto named = std::make_shared<Named>();
    CLI::App* sub = task->add_subcommand(verb, help);
    sub->add_option("JOB", named->job, "3 or last")->required();
    sub->add_option("TASK", named->name, "Its name, as in 'map[3]', or @ORDINAL")->required();
    sub->footer(footer);
    sub->callback(
        [&context, named, people] { ShowTask(context, named->job, named->name, people); });
  };
  add_named("show", "One task: state, worker, attempts, failure",
            "\nExamples:\n  taskctl task show 3 'map[3]'", &TaskText);
  add_named("explain",
            "Why a task is where it is: what it waits for, which workers would fit, what was tried",
            "\nExamples:\n  taskctl task explain 3 'map[3]'\n  taskctl task explain last top -o "
            "json | jq .summary",
            &ExplanationText);

  auto log = std::make_shared<LogOptions>();
  CLI::App* logs =
      task->add_subcommand("logs", "What a task wrote: its stdout to stdout, its stderr to stderr");
  logs->add_option("JOB", log->job, "3 or last")->required();
  logs->add_option("TASK", log->task, "Its name, as in 'map[3]', or @ORDINAL")->required();
  CLI::Option* out = logs->add_flag("--stdout", log->only_stdout, "Only its stdout");
  logs->add_flag("--stderr", log->only_stderr, "Only its stderr, to stdout")->excludes(out);
  logs->add_option("-a,--attempt", log->attempt, "Which try (default: the newest that left a log)")
      ->check(CLI::PositiveNumber);
  logs->add_flag("-f,--follow", log->follow,
                 "Wait until it starts, and go on with what it writes until it ends");
  logs->footer(
      "\nExamples:\n  taskctl task logs last 'map[3]'\n  taskctl task logs -f last train\n  "
      "taskctl task logs 3 top --stderr "
      "--attempt 1 | less");
  logs->callback([&context, log] { Logs(context, *log); });

  struct Pattern {
    std::string job;
    std::string tasks;
  };
  auto cancelled = std::make_shared<Pattern>();
  CLI::App* cancel = task->add_subcommand(
      "cancel", "End tasks, and what depends on them; the rest of the job goes on");
  cancel->add_option("JOB", cancelled->job, "3 or last")->required();
  cancel->add_option("TASKS", cancelled->tasks, "Their names, as in 'map[3]' or 'map[*]'")
      ->required();
  cancel->footer(
      "\nExamples:\n  taskctl task cancel 3 'map[7]'\n  taskctl task cancel last 'sim[0.2,*]'");
  cancel->callback(
      [&context, cancelled] { CancelTasks(context, cancelled->job, cancelled->tasks); });
}

}  // namespace taskd::cli
