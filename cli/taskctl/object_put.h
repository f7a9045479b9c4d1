// taskctl object put
#ifndef TASKD_CLI_TASKCTL_OBJECT_PUT_H_
#define TASKD_CLI_TASKCTL_OBJECT_PUT_H_

#include "cli/taskctl/context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace taskd::cli {

void AddObjectPut(CLI::App& object, Context& context);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_OBJECT_PUT_H_
