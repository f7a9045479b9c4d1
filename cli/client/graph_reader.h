// A graph file's YAML as a model: keys, types, variables, bodies, inputs and outputs. What needs
// the other templates (axes, references) comes after: axes.h, references.h.
#ifndef TASKD_CLI_CLIENT_GRAPH_READER_H_
#define TASKD_CLI_CLIENT_GRAPH_READER_H_

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "cli/client/graph_model.h"

namespace taskd::client {

// `defines` replace variables that the file has (-D name=value). `folder` is absolute: relative
// paths start there.
absl::StatusOr<std::unique_ptr<GraphModel>> ReadGraph(
    std::string_view content, std::string_view file, std::string_view folder,
    const std::map<std::string, std::string>& defines);

// Text of a node; an error with the place and a hint when it is something else. `what` is "a name",
// "the time limit".
absl::StatusOr<std::string> TextOf(const FileContext& context, const YamlNode& node,
                                   std::string_view what);

// The same with its variables replaced.
absl::StatusOr<std::string> ExpandedTextOf(const FileContext& context, const YamlNode& node,
                                           std::string_view what);

// Refuses keys that are neither known nor planned, and says "not supported yet" for the planned
// ones. Both lists are separated by spaces.
absl::Status CheckKeys(const FileContext& context, const YamlNode& map, std::string_view where,
                       std::string_view known, std::string_view planned);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_GRAPH_READER_H_
