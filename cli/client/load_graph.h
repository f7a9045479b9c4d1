// A graph from a file, ready to be submitted: YAML or JSON is compiled, a .tgraph file is read and
// checked.
#ifndef TASKD_CLI_CLIENT_LOAD_GRAPH_H_
#define TASKD_CLI_CLIENT_LOAD_GRAPH_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/graph_stats.h"
#include "common/base/ids.h"
#include "common/graph/job_names.h"

namespace taskd::client {

using Defines = std::map<std::string, std::string>;

// "name=value" pairs as given by -D.
absl::StatusOr<Defines> ParseDefines(const std::vector<std::string>& pairs);

struct LoadedGraph {
  std::vector<std::string>
      frames;  // one zstd-compressed GraphBatch each: SubmitBatch.frame, in order
  graph::JobNames names;
  GraphStats stats;
  std::vector<Ordinal> wants;                  // objects that the graph wants kept, in order
  std::vector<std::string> WantNames() const;  // "top.words", in the same order
};

// NotFound: there is no such file. InvalidArgument: something in it is wrong, as "file:line: what"
// a line each, or the defines do not fit it. Unimplemented never: what is not supported yet is one
// of the wrong things.
absl::StatusOr<LoadedGraph> LoadGraph(const std::string& path, const Defines& defines);

// The same for frames that a program made.
absl::StatusOr<LoadedGraph> GraphFromFrames(std::vector<std::string> frames);

// From YAML or JSON text; `file` is for messages, relative paths start at `folder`.
absl::StatusOr<LoadedGraph> GraphFromText(std::string_view content, std::string_view file,
                                          std::string_view folder, const Defines& defines);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_LOAD_GRAPH_H_
