// Every group of verbs adds its subcommands to the app. `context` outlives the app; the verbs do
// their work in CLI11 callbacks and set context.exit_code. taskctl graph ... stands in
// graph_verbs.h.
#ifndef TASKD_CLI_TASKCTL_VERBS_H_
#define TASKD_CLI_TASKCTL_VERBS_H_

#include "cli/taskctl/context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace taskd::cli {

void AddClusterCommands(CLI::App& app, Context& context);
void AddRunCommands(CLI::App& app, Context& context);  // run, submit
void AddJobCommands(CLI::App& app, Context& context);
void AddTaskCommands(CLI::App& app, Context& context);
void AddObjectCommands(CLI::App& app, Context& context);
void AddWorkerCommands(CLI::App& app, Context& context);
void AddDatasetCommands(CLI::App& app, Context& context);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_VERBS_H_
