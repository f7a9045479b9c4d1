// taskctl graph validate|stats|compile: graph files without a cluster.
#ifndef TASKD_CLI_TASKCTL_GRAPH_VERBS_H_
#define TASKD_CLI_TASKCTL_GRAPH_VERBS_H_

#include "cli/taskctl/context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace taskd::cli {

// As in verbs.h: the verbs do their work in callbacks. `context` outlives the app.
void AddGraphCommands(CLI::App& app, Context& context);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_GRAPH_VERBS_H_
