// Graph files as text in, and what was compiled as text out, so that one case is one line.
#ifndef TASKD_TESTS_UNIT_CLI_GRAPH_FIXTURE_H_
#define TASKD_TESTS_UNIT_CLI_GRAPH_FIXTURE_H_

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "cli/client/load_graph.h"
#include "cli/client/tgraph.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {

// A folder of its own for each test.
class GraphTest : public testing::Test {
 protected:
  GraphTest() {
    std::string name =
        StrCat(std::filesystem::temp_directory_path().string(), "/taskd_graph_XXXXXX");
    folder_ = mkdtemp(name.data());
  }
  ~GraphTest() override { std::filesystem::remove_all(folder_); }

  std::string Write(const std::string& name, std::string_view content) const {
    std::filesystem::path path = std::filesystem::path(folder_) / name;
    std::filesystem::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << content;
    return path.string();
  }
  std::string Read(const std::string& path) const {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  absl::StatusOr<LoadedGraph> Load(std::string_view text, const Defines& defines = {}) const {
    return GraphFromText(text, "g.yaml", folder_, defines);
  }
  // The graph file that `tasks`, the lines of the list, make.
  static std::string File(std::string_view tasks) { return StrCat("taskd: 1\ntasks:\n", tasks); }
  // The message; "" when the text is right.
  std::string ErrorOf(std::string_view text, const Defines& defines = {}) const {
    return std::string(Load(text, defines).status().message());
  }
  // The keys of all tasks, in order, separated by blanks.
  std::string Keys(std::string_view text, const Defines& defines = {}) const {
    auto graph = Load(text, defines);
    if (!graph.ok()) return StrCat("error: ", ToStd(graph.status().message()));
    std::string keys;
    for (Ordinal t = 0; t < graph->names.task_count(); ++t)
      keys += StrCat(keys.empty() ? "" : " ", graph->names.TaskKey(t));
    return keys;
  }

  static std::vector<v1::GraphBatch> Batches(const LoadedGraph& graph) {
    std::vector<v1::GraphBatch> batches;
    for (const std::string& frame : graph.frames) batches.push_back(**DecompressBatch(frame));
    return batches;
  }

  std::string folder_;
};

// One task with everything that the columns say about it.
struct TaskText {
  std::string key;
  std::string inputs;  // "r=map[0].p+64*1[3..3]" a slot; "+count*stride" of a collection,
                       // "[lo..hi]" of parts
  v1::TaskArgs args;
  v1::Body body;
  v1::Shape shape;
  v1::TaskOptions options;
};

inline std::vector<TaskText> Describe(const LoadedGraph& graph) {
  std::vector<TaskText> tasks;
  std::vector<v1::Body> bodies;
  std::vector<v1::Shape> shapes;
  std::vector<v1::TaskOptions> options;
  std::vector<v1::Collection> collections;
  for (const std::string& frame : graph.frames) {
    v1::GraphBatch b = **DecompressBatch(frame);
    for (auto& x : b.bodies()) bodies.push_back(x);
    for (auto& x : b.shapes()) shapes.push_back(x);
    for (auto& x : b.options()) options.push_back(x);
    for (auto& x : b.collections()) collections.push_back(x);
    int count = 0, edge = 0;
    size_t args = 0;
    for (auto& run : b.runs()) count += static_cast<int>(run.count());
    auto at = [](const auto& column, int i) {
      return column.empty() ? 0u : column.Get(column.size() == 1 ? 0 : i);
    };
    for (int i = 0; i < count; ++i) {
      TaskText& t = tasks.emplace_back();
      t.key = graph.names.TaskKey(static_cast<Ordinal>(tasks.size() - 1));
      t.body = bodies.at(at(b.body(), i));
      t.shape = shapes.at(at(b.shape(), i));
      t.options = options.at(at(b.option(), i));
      uint32_t size = at(b.args_size(), i);
      EXPECT_TRUE(t.args.ParseFromString(b.args().substr(args, size)));
      args += size;
      for (uint32_t e = 0; e < at(b.input_count(), i); ++e, ++edge) {
        uint32_t slot = b.input_slot().empty() ? e : b.input_slot(edge),
                 source = b.input_source(edge);
        t.inputs +=
            StrCat(t.inputs.empty() ? "" : " ", t.body.inputs(static_cast<int>(slot)).name(), "=");
        if (source & 0x80000000u) {
          const v1::Collection& c = collections.at(source & 0x7FFFFFFFu);
          t.inputs += StrCat(graph.names.ObjectName(c.first()), "+", c.count(), "*", c.stride());
        } else {
          t.inputs += graph.names.ObjectName(source);
        }
        uint32_t hi = at(b.input_part_hi(), edge);
        if (hi > 0) t.inputs += StrCat("[", b.input_part_lo(edge), "..", hi - 1, "]");
      }
    }
  }
  return tasks;
}

}  // namespace taskd::client

#endif  // TASKD_TESTS_UNIT_CLI_GRAPH_FIXTURE_H_
