// Makes big graphs from a program, in column form: a million no-ops take a fraction of a second.
//
//   GraphBuilder g;
//   auto noop = g.AddBody(BuiltinBody("noop", {}, {"v"}));
//   auto a = g.AddTasks({.name = "a", .count = 1'000'000, .body = noop});
//   auto sum = g.AddTasks({.name = "sum", .body = ..., .edges = [&](uint32_t, std::vector<Edge>& e)
//   {
//                            e.push_back({g.All(a, 0)}); }});
//   g.Want(g.Object(sum, 0, 0));
//   auto frames = g.Finish();       // for WriteTgraph or a Submission
#ifndef TASKD_CLI_CLIENT_BUILDER_H_
#define TASKD_CLI_CLIENT_BUILDER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "cli/client/batch_writer.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {

// Bodies for AddBody. Inputs are named in slot order; outputs of a built-in are values, of a
// command files of the same name in the task's folder.
v1::Body BuiltinBody(std::string_view name, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs, uint64_t duration_ns = 0,
                     uint64_t size_bytes = 0);
v1::Body ShellBody(std::string_view sh, const std::vector<std::string>& inputs,
                   const std::vector<std::string>& outputs);

class GraphBuilder {
 public:
  using TemplateId = uint32_t;

  uint32_t AddBody(const v1::Body& body);
  uint32_t AddShape(const Resources& need) { return writer_.AddShape(need); }
  uint32_t AddOptions(const v1::TaskOptions& options) { return writer_.AddOptions(options); }

  // `count` tasks with the keys name[0], name[1] ... (one task: name). Without a shape or options,
  // those of the first that was added, or the defaults: no cpus asked for are one cpu.
  struct Tasks {
    std::string name;
    uint32_t count = 1;
    uint32_t body = 0;
    uint32_t shape = 0, option = 0;
    std::function<void(uint32_t row, std::vector<Edge>& edges)>
        edges;  // appends the row's edges; may be empty
    std::function<void(uint32_t row, v1::TaskArgs& args)>
        args;  // fills in the row's values; may be empty
  };
  TemplateId AddTasks(const Tasks& tasks);

  // Object ordinals, and sources for edges.
  Ordinal Object(TemplateId tasks, uint32_t row, uint32_t output) const;
  uint32_t All(TemplateId tasks, uint32_t output);  // of every task of the template
  uint32_t Source(const graph::Run& objects) { return writer_.Source(objects); }
  void Want(Ordinal object) { writer_.Want(object); }

  absl::StatusOr<std::vector<std::string>> Finish() { return writer_.Finish(); }
  const GraphCounts& counts() const { return writer_.counts(); }

 private:
  struct Made {
    Ordinal first_object = 0;
    uint32_t count = 0, outputs = 0;
  };
  void AddDefaults();

  BatchWriter writer_;
  absl::flat_hash_map<uint32_t, uint32_t> outputs_of_body_;
  std::vector<Made> made_;
  bool started_ = false;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_BUILDER_H_
