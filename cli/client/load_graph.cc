#include "cli/client/load_graph.h"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <utility>

#include "cli/client/compile.h"
#include "cli/client/graph_reader.h"
#include "cli/client/ranks.h"
#include "cli/client/tgraph.h"
#include "common/base/text.h"
#include "common/graph/name_syntax.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {
namespace {

absl::StatusOr<std::string> ReadWhole(const std::string& path) {
  std::error_code error;
  if (std::filesystem::is_directory(path, error)) {
    return absl::InvalidArgumentError(StrCat(path, " is a folder; give a graph file"));
  }
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  if (!in) {
    std::string text = StrCat("cannot read ", path, ": ", std::strerror(errno));
    return errno == ENOENT ? absl::NotFoundError(text) : absl::FailedPreconditionError(text);
  }
  std::ostringstream content;
  content << in.rdbuf();
  if (in.bad()) return absl::FailedPreconditionError(StrCat("cannot read ", path));
  return std::move(content).str();
}

}  // namespace

absl::StatusOr<Defines> ParseDefines(const std::vector<std::string>& pairs) {
  Defines defines;
  for (const std::string& pair : pairs) {
    size_t equals = pair.find('=');
    if (equals == std::string::npos ||
        !graph::IsIdentifier(std::string_view(pair).substr(0, equals))) {
      return absl::InvalidArgumentError(StrCat("-D ", pair, ": write it like -D name=value"));
    }
    if (!defines.emplace(pair.substr(0, equals), pair.substr(equals + 1)).second) {
      return absl::InvalidArgumentError(StrCat("-D ", pair, ": this variable is given twice"));
    }
  }
  return defines;
}

std::vector<std::string> LoadedGraph::WantNames() const {
  std::vector<std::string> text;
  for (Ordinal object : wants) text.push_back(names.ObjectName(object));
  return text;
}

absl::StatusOr<LoadedGraph> GraphFromFrames(std::vector<std::string> frames) {
  LoadedGraph graph;
  StatsMaker stats;
  for (size_t i = 0; i < frames.size(); ++i) {
    auto batch = DecompressBatch(frames[i]);
    if (!batch.ok())
      return absl::InvalidArgumentError(StrCat("batch ", i, ": ", ToStd(batch.status().message())));
    if ((*batch)->number() != i)
      return absl::InvalidArgumentError(
          StrCat("batch ", i, " says that it is ", (*batch)->number()));
    if (auto s = graph.names.AddBatch(**batch); !s.ok()) return s;
    if (auto s = stats.AddBatch(**batch); !s.ok()) return s;
    for (uint32_t want : (*batch)->want()) {
      if (want >= graph.names.object_count())
        return absl::InvalidArgumentError(
            StrCat("batch ", i, " wants an object that does not exist"));
      graph.wants.push_back(want);
    }
  }
  if (graph.names.task_count() == 0) return absl::InvalidArgumentError("the graph is empty");
  graph.stats = stats.Take();
  graph.frames = std::move(frames);
  return graph;
}

absl::StatusOr<LoadedGraph> GraphFromText(std::string_view content, std::string_view file,
                                          std::string_view folder, const Defines& defines) {
  auto model = ReadGraph(content, file, folder, defines);
  if (!model.ok()) return model.status();
  auto compiled = Compile(**model);
  if (!compiled.ok()) {
    // For a caller all of these are one thing: the file cannot be used as it is.
    return absl::InvalidArgumentError(std::string(compiled.status().message()));
  }
  if (absl::Status status = GiveRanks(compiled->frames); !status.ok()) return status;
  return GraphFromFrames(std::move(compiled->frames));
}

absl::StatusOr<LoadedGraph> LoadGraph(const std::string& path, const Defines& defines) {
  if (!LooksLikeTgraph(path)) {
    auto content = ReadWhole(path);
    if (!content.ok()) return content.status();
    if (path.ends_with(".tgraph")) {
      return absl::InvalidArgumentError(
          StrCat(path, ": this is not a .tgraph file; make one with 'taskctl graph compile'"));
    }
    std::error_code error;
    std::string folder =
        std::filesystem::absolute(path, error).lexically_normal().parent_path().string();
    return GraphFromText(*content, path, folder, defines);
  }
  if (!defines.empty()) {
    return absl::InvalidArgumentError(
        StrCat("-D ", defines.begin()->first, "=...: ", path,
               " is compiled, its variables are fixed; compile it again with this -D"));
  }
  auto reader = TgraphReader::Open(path);
  if (!reader.ok()) return reader.status();
  std::vector<std::string> frames;
  for (;;) {
    auto frame = (*reader)->Next();
    if (!frame.ok()) return frame.status();
    if (!frame->has_value()) break;
    frames.push_back(**std::move(frame));
  }
  auto graph = GraphFromFrames(std::move(frames));
  if (!graph.ok())
    return absl::InvalidArgumentError(StrCat(path, ": ", ToStd(graph.status().message())));
  return graph;
}

}  // namespace taskd::client
