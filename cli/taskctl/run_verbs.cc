// taskctl run FILE | submit FILE
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/client/client_session.h"
#include "cli/client/connection.h"
#include "cli/client/load_graph.h"
#include "cli/taskctl/inside_task.h"
#include "cli/taskctl/interrupt.h"
#include "cli/taskctl/job_flags.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

struct SubmitOptions {
  std::string file;
  std::vector<std::string> defines;
  JobFlags job;
  std::string timeout;
  bool outside = false;  // inside of a task, too, a job of its own
  InsideOptions inside;
};

// "words.yaml" in any folder -> "words".
std::string NameOfFile(std::string_view file) {
  file = file.substr(file.rfind('/') + 1);
  size_t dot = file.rfind('.');
  return std::string(dot == 0 ? file : file.substr(0, dot));
}

absl::StatusOr<client::LoadedGraph> Load(const SubmitOptions& options) {
  absl::StatusOr<client::Defines> defines = client::ParseDefines(options.defines);
  if (!defines.ok()) return defines.status();
  return client::LoadGraph(options.file, *defines);
}

absl::StatusOr<client::Submission> MakeSubmission(const SubmitOptions& options) {
  client::Submission submission;
  submission.name = NameOfFile(options.file);
  submission.owner = UserName();
  if (absl::Status status = Apply(options.job, &submission); !status.ok()) return status;
  absl::StatusOr<client::LoadedGraph> graph = Load(options);
  if (!graph.ok()) return graph.status();
  auto frames = std::make_shared<std::vector<std::string>>(std::move(graph->frames));
  submission.batches = static_cast<uint32_t>(frames->size());
  submission.frame = [frames](uint32_t number) -> absl::StatusOr<std::string> {
    return (*frames)[number];
  };
  return submission;
}

// Sends the graph. An interrupt before it is whole cancels the job: half a graph is of no use to
// anybody.
absl::StatusOr<JobId> Submit(Context& context, client::Connection& connection,
                             client::ClientSession& session, client::Submission submission) {
  JobId opened = 0;
  absl::StatusOr<JobId> job = session.Submit(std::move(submission), [&](JobId id) { opened = id; });
  if (job.ok() || opened == 0) return job;
  v1::CancelJobRequest request;
  request.set_job(opened);
  absl::StatusOr<v1::JobInfo> cancelled = connection.CancelJob(request);
  if (cancelled.ok())
    Note(context, StrCat("job ", opened, " was not sent completely and is cancelled"));
  return job;
}

// Inside of a task. What is only of jobs of their own is refused.
void RunOrSubmitInside(Context& context, client::TaskSocket& task, const SubmitOptions& options,
                       bool wait) {
  const JobFlags& job = options.job;
  if (job.name || job.owner || job.priority || job.weight || job.max_running || job.ttl ||
      job.ephemeral || !options.timeout.empty()) {
    return context.Fail(
        kExitUsage, absl::InvalidArgumentError(
                        "inside of a task the graph becomes part of the task's own job, with its "
                        "name, owner and limits: leave these flags out, or give --outside"));
  }
  absl::StatusOr<client::LoadedGraph> graph = Load(options);
  if (!graph.ok()) return context.Fail(kExitUsage, graph.status());
  InsideOptions inside = options.inside;
  inside.wait = wait;
  SubmitInside(context, task, *graph, inside);
}

void RunOrSubmit(Context& context, const SubmitOptions& options, bool wait) {
  std::unique_ptr<client::TaskSocket> task = client::TaskSocket::FromEnvironment();
  if (task != nullptr && !options.outside) return RunOrSubmitInside(context, *task, options, wait);
  if (options.inside.early || !options.inside.delegated.empty()) {
    return context.Fail(kExitUsage,
                        absl::InvalidArgumentError("--early and --delegate are for what a task "
                                                   "submits, and this is not inside of one"));
  }
  absl::StatusOr<uint64_t> timeout_ns =
      options.timeout.empty() ? 0 : ParseDuration(options.timeout);
  if (!timeout_ns.ok()) return context.Fail(kExitUsage, timeout_ns.status());
  absl::StatusOr<client::Submission> submission = MakeSubmission(options);
  if (!submission.ok()) return context.Fail(kExitUsage, submission.status());
  submission->follow = wait;
  InterruptGuard guard;
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  client::ClientSession::Options session_options;
  session_options.note = [&](std::string_view text) { Note(context, text); };
  client::ClientSession session(**connection, session_options);
  InterruptAction action(guard, [&] { session.Interrupt(); });
  absl::StatusOr<JobId> job = Submit(context, **connection, session, *std::move(submission));
  if (!job.ok()) return context.Fail(job.status());
  if (wait) {
    return WaitForJobs(context, **connection, session, {*job}, *timeout_ns,
                       options.job.ephemeral ? WhenLeft::kCancel : WhenLeft::kGoOn);
  }
  absl::StatusOr<v1::JobInfo> info = GetJob(**connection, *job);
  if (!info.ok()) return context.Fail(info.status());
  Show(context, *info, StrCat(*job), [&] { return StrCat(*job, "\n"); });
  Note(context, StrCat("submitted as job ", *job, "; watch it: `taskctl job wait ", *job, "`"));
}

CLI::App* AddCommon(CLI::App& app, const char* verb, const char* help, SubmitOptions& options) {
  CLI::App* sub = app.add_subcommand(verb, help);
  sub->add_option("FILE", options.file, "A graph: YAML, JSON or .tgraph")->required();
  sub->add_option("-D,--define", options.defines, "Set a variable of the graph, as in -D parts=4")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  JobFlags& job = options.job;
  sub->add_option("-n,--name", job.name, "Name of the job (default: the file's)")
      ->type_name("NAME");
  sub->add_option("--owner", job.owner,
                  "Whose job it is (default: you); owners have equal shares of the cluster")
      ->type_name("NAME");
  sub->add_option("--priority", job.priority, "Larger goes first; default 0")->type_name("N");
  sub->add_option("--weight", job.weight,
                  "Its share against the owner's other jobs of that priority; default 100")
      ->type_name("N");
  sub->add_option("--max-running", job.max_running, "At most so many of its tasks at once")
      ->type_name("N");
  sub->add_option("--delegate", options.inside.delegated,
                  "Inside of a task: its OUTPUT is this object of the graph")
      ->type_name("OUTPUT=OBJECT")
      ->allow_extra_args(false);
  sub->add_flag("--outside", options.outside,
                "Inside of a task: as a job of its own, which the task's end does not touch");
  sub->add_option("--ttl", job.ttl, "Forget it, and its results, so long after its end, as in 1h")
      ->type_name("TIME");
  return sub;
}

}  // namespace

void AddRunCommands(CLI::App& app, Context& context) {
  auto running = std::make_shared<SubmitOptions>();
  CLI::App* run = AddCommon(
      app, "run", "Submit a graph, show its progress, and wait for its end; Ctrl-C detaches",
      *running);
  run->add_option("-t,--timeout", running->timeout,
                  "Stop waiting after this time (exit code 5); the job goes on");
  run->add_flag(
      "--ephemeral", running->job.ephemeral,
      "Cancel it when taskctl ends before it: on Ctrl-C, a timeout, or 30 s after a kill");
  run->footer(
      "\nExamples:\n  taskctl run words.yaml\n  taskctl run words.yaml -D maps=8 -D "
      "src=/usr/share/doc/b* --name small\n"
      "  taskctl run big.tgraph -q\nExit code: 0 done, 1 a task failed, 2 the graph is wrong, 6 "
      "cancelled, 130 detached.");
  run->callback([&context, running] { RunOrSubmit(context, *running, true); });

  auto submitted = std::make_shared<SubmitOptions>();
  CLI::App* submit =
      AddCommon(app, "submit", "Submit a graph and print the number of its job", *submitted);
  submit->add_flag("--early", submitted->inside.early,
                   "Inside of a task: start it now, not when the task has succeeded");
  submit->footer("\nExamples:\n  job=$(taskctl submit words.yaml -q) && taskctl job wait $job");
  submit->callback([&context, submitted] { RunOrSubmit(context, *submitted, false); });
}

}  // namespace taskd::cli
