// `run` and `submit` inside of a task: the graph becomes a job below the task's own.
#ifndef TASKD_CLI_TASKCTL_INSIDE_TASK_H_
#define TASKD_CLI_TASKCTL_INSIDE_TASK_H_

#include <string>
#include <vector>

#include "cli/client/connection.h"
#include "cli/client/load_graph.h"
#include "cli/client/task_socket.h"
#include "cli/taskctl/context.h"

namespace taskd::cli {

struct InsideOptions {
  bool early = false;  // now, not when the task has succeeded
  bool wait = false;   // early, and until all of it has ended
  std::vector<std::string>
      delegated;  // "OUTPUT=OBJECT": the task's output is that object of the graph
};

void SubmitInside(Context& context, client::TaskSocket& task, const client::LoadedGraph& graph,
                  const InsideOptions& options);

// Whether this process is of the task that submitted the job.
bool IsOfThisTask(const v1::JobInfo& job);

// Before a wait for objects: who is a task gives its resources to others meanwhile.
absl::Status AwaitInside(const std::vector<ObjectId>& objects);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_INSIDE_TASK_H_
