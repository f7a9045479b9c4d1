// The options that a task and `defaults` share: retries, limits, resources, placement, hints.
#ifndef TASKD_CLI_CLIENT_OPTION_READER_H_
#define TASKD_CLI_CLIENT_OPTION_READER_H_

#include <string_view>

#include "absl/status/status.h"
#include "cli/client/graph_model.h"
#include "cli/client/yaml_node.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {

inline constexpr std::string_view kOptionKeys =
    "retry time_limit needs_time resources placement priority expect crash_limit pure straggler "
    "replicas";
inline constexpr std::string_view kPlannedOptionKeys = "environment group replicas";

v1::Shape DefaultShape();  // one cpu, anywhere

// Reads what `map` has of them over what is there; other keys are the caller's. Errors name the
// line.
absl::Status ReadOptions(const FileContext& context, const YamlNode& map, v1::Shape& shape,
                         v1::TaskOptions& options);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_OPTION_READER_H_
