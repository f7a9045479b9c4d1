#include "cli/taskctl/inside_task.h"

#include <chrono>
#include <cstdlib>
#include <memory>
#include <thread>
#include <utility>

#include "cli/taskctl/jobs.h"
#include "cli/taskctl/output.h"
#include "common/base/text.h"

namespace taskd::cli {
namespace {

using Delegation = std::pair<std::string, Ordinal>;

absl::StatusOr<std::vector<Delegation>> ParseDelegations(const client::LoadedGraph& graph,
                                                         const std::vector<std::string>& pairs) {
  std::vector<Delegation> delegations;
  for (const std::string& pair : pairs) {
    const size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return absl::InvalidArgumentError(
          StrCat("--delegate ", pair, ": write it like --delegate OUTPUT=TEMPLATE.NAME"));
    }
    auto named = graph.names.Resolve(std::string_view(pair).substr(equals + 1));
    if (!named.ok())
      return absl::InvalidArgumentError(
          StrCat("--delegate ", pair, ": ", ToStd(named.status().message())));
    if (!named->is_object || named->has_parts) {
      return absl::InvalidArgumentError(
          StrCat("--delegate ", pair, ": name one whole object of the graph, as in top.words"));
    }
    delegations.emplace_back(pair.substr(0, equals), named->object);
  }
  return delegations;
}

// A task can only be waited for by what it makes.
absl::Status CheckAwaitable(const client::LoadedGraph& graph) {
  const uint32_t tasks = graph.names.task_count();
  for (Ordinal task = 0; task < tasks; ++task) {
    const Ordinal next =
        task + 1 < tasks ? graph.names.FirstOutput(task + 1) : graph.names.object_count();
    if (graph.names.FirstOutput(task) != next) continue;
    return absl::InvalidArgumentError(
        StrCat("task ", graph.names.TaskKey(task),
               " has no output: inside of a task `run` waits for outputs, so give it one, or use "
               "`taskctl submit`"));
  }
  return absl::OkStatus();
}

// The last outputs are there; that their tasks have ended follows at once. Unless the task has submitted more, which goes on.
absl::StatusOr<v1::JobInfo> JobAtRest(client::Connection& connection, JobId job) {
  for (int looks = 1;; ++looks) {
    absl::StatusOr<v1::JobInfo> info = GetJob(connection, job);
    if (!info.ok() || info->waiting() + info->ready() + info->active() == 0 || looks == 100)
      return info;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
}

void WaitInside(Context& context, client::TaskSocket& task, const client::LoadedGraph& graph,
                const client::TaskSocket::Submitted& submitted) {
  const JobId job = submitted.job;
  std::vector<ObjectId> objects;
  for (Ordinal object = 0; object < graph.names.object_count(); ++object)
    objects.push_back({job, submitted.first_object + object});
  if (absl::Status status = task.Await(objects); !status.ok()) return context.Fail(status);
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<v1::JobInfo> info = JobAtRest(**connection, job);
  if (!info.ok()) return context.Fail(info.status());
  Show(context, *info, StrCat(job), [&] {
    return StrCat("job ", job, ": ", info->done(), " done, ", info->failed(), " failed, ",
                  info->cancelled(), " cancelled\n");
  });
  if (std::string failures = FailureText(*info); !failures.empty()) Note(context, failures);
  if (info->failed() > 0) {
    context.exit_code = kExitTaskFailed;
  } else if (info->cancelled() > 0) {
    context.exit_code = kExitCancelled;
  }
}

}  // namespace

void SubmitInside(Context& context, client::TaskSocket& task, const client::LoadedGraph& graph,
                  const InsideOptions& options) {
  absl::StatusOr<std::vector<Delegation>> delegations = ParseDelegations(graph, options.delegated);
  if (!delegations.ok()) return context.Fail(kExitUsage, delegations.status());
  if (absl::Status status = options.wait ? CheckAwaitable(graph) : absl::OkStatus(); !status.ok())
    return context.Fail(kExitUsage, status);
  auto submitted = task.Submit(graph.frames, options.early || options.wait);
  if (!submitted.ok()) return context.Fail(submitted.status());
  for (const auto& [output, object] : *delegations) {
    if (absl::Status status = task.Delegate(output, submitted->first_object + object); !status.ok())
      return context.Fail(status);
  }
  if (options.wait) return WaitInside(context, task, graph, *submitted);
  if (submitted->job == 0) return Note(context, "held: it starts when this task has succeeded");
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<v1::JobInfo> info = GetJob(**connection, submitted->job);
  if (!info.ok()) return context.Fail(info.status());
  Show(context, *info, StrCat(submitted->job), [&] { return StrCat(submitted->job, "\n"); });
}

bool IsOfThisTask(const v1::JobInfo& job) {
  const char* own_job = std::getenv("TASKD_JOB");
  const char* own_task = std::getenv("TASKD_TASK");
  return job.has_parent() && own_job != nullptr && own_task != nullptr &&
         StrCat(job.parent().job()) == own_job && job.parent_key() == own_task;
}

absl::Status AwaitInside(const std::vector<ObjectId>& objects) {
  std::unique_ptr<client::TaskSocket> task = client::TaskSocket::FromEnvironment();
  return task == nullptr ? absl::OkStatus() : task->Await(objects);
}

}  // namespace taskd::cli
