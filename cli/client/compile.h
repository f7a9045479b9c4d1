// From a graph file's model to batches of columns.
#ifndef TASKD_CLI_CLIENT_COMPILE_H_
#define TASKD_CLI_CLIENT_COMPILE_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client/batch_writer.h"
#include "cli/client/graph_model.h"

namespace taskd::client {

struct Compiled {
  std::vector<std::string> frames;  // zstd-compressed GraphBatch messages
  GraphCounts counts;
};

// Resolves axes and references, sorts the templates, and counts the tasks out. Everything wrong
// that one pass can find is in the error, a line each. Paths of inputs are looked at: a missing
// file is an error.
absl::StatusOr<Compiled> Compile(GraphModel& model);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_COMPILE_H_
