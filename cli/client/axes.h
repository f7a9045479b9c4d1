// `over` and `except`: what each template is repeated over. Lists, ranges, globs, lines of a file,
// globs cut into lists, and the axes of other templates; several make the cross product.
#ifndef TASKD_CLI_CLIENT_AXES_H_
#define TASKD_CLI_CLIENT_AXES_H_

#include "cli/client/graph_model.h"

namespace taskd::client {

// Fills in axes, names and table of every definition. Reads folders and files.
void ResolveAxes(GraphModel& model, Errors& errors);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_AXES_H_
