#include "tests/bench/client/edges.h"

#include <fstream>
#include <sstream>

#include "cli/client/batch_writer.h"
#include "cli/client/builder.h"
#include "cli/client/ranks.h"
#include "cli/client/tgraph.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::bench {
namespace {

absl::Status ReadEdges(const std::string& file, std::vector<std::vector<uint32_t>>& inputs) {
  std::ifstream in(file);
  if (!in) return absl::NotFoundError(StrCat("cannot read ", file));
  for (std::string line; std::getline(in, line);) {
    std::istringstream words(line);
    std::vector<uint32_t>& of_task = inputs.emplace_back();
    for (uint32_t input = 0; words >> input;) {
      if (input + 1 >= inputs.size())
        return absl::InvalidArgumentError(
            StrCat(file, ":", inputs.size(), ": reads task ", input, ", which is not earlier"));
      of_task.push_back(input);
    }
    if (!words.eof())
      return absl::InvalidArgumentError(StrCat(file, ":", inputs.size(), ": not a number"));
  }
  if (inputs.empty()) return absl::InvalidArgumentError(StrCat(file, " has no task"));
  return absl::OkStatus();
}

constexpr uint64_t kLeafBytes = 16;

v1::Body NativeBody(const EdgeGraph& graph, const std::vector<std::string>& slots) {
  v1::Body body;
  body.mutable_native()->set_library(graph.library);
  body.mutable_native()->set_function("burn");
  for (const std::string& slot : slots) body.add_inputs()->set_name(slot);
  v1::OutputSlot* output = body.add_outputs();
  output->set_name("v");
  output->set_kind(v1::OutputSlot::VALUE);
  v1::Value* us = body.add_vars();
  us->set_name("us");
  us->set_value(StrCat(graph.duration_us));
  return body;
}

v1::Body MakeBody(const EdgeGraph& graph, size_t inputs) {
  std::vector<std::string> slots;
  for (size_t i = 0; i < inputs; ++i) slots.push_back(StrCat("i", i));
  if (graph.body == "native") return NativeBody(graph, slots);
  if (graph.body != "command")
    return client::BuiltinBody(graph.body, slots, {"v"}, graph.duration_us * 1000, kLeafBytes);
  v1::Body body;
  body.mutable_command()->add_argv()->add_pieces()->set_literal("/bin/true");
  for (const std::string& slot : slots) body.add_inputs()->set_name(slot);
  v1::OutputSlot* output = body.add_outputs();
  output->set_name("v");
  output->set_kind(v1::OutputSlot::STDOUT);
  return body;
}

}  // namespace

absl::Status CompileEdges(const std::string& file, const EdgeGraph& graph, const std::string& out) {
  std::vector<std::vector<uint32_t>> inputs;
  if (absl::Status status = ReadEdges(file, inputs); !status.ok()) return status;
  std::vector<bool> read(inputs.size());
  for (const std::vector<uint32_t>& of_task : inputs)
    for (uint32_t input : of_task) read[input] = true;

  client::BatchWriter writer;
  // Without inputs, checksums were all the same.
  const bool distinct = graph.body == "checksum";
  EdgeGraph leaf = graph;
  if (distinct) leaf.body = "generate";
  const uint32_t option = writer.AddOptions(v1::TaskOptions());
  std::vector<uint32_t> shapes;
  for (const std::string& worker : graph.workers) {
    v1::Shape shape;
    shape.mutable_need()->set_cpus_milli(1000);
    shape.add_workers(worker);
    shapes.push_back(writer.AddShape(shape));
  }
  if (shapes.empty()) shapes.push_back(writer.AddShape(Resources{1000, 0}));
  v1::Template definition;
  definition.set_name("t");
  definition.set_task_count(static_cast<uint32_t>(inputs.size()));
  v1::Axis* axis = definition.add_axes();
  axis->set_name("i");
  axis->set_step(1);
  axis->set_count(definition.task_count());
  const uint32_t tasks = writer.AddTemplate(definition);

  // A task and its only output have the same ordinal.
  std::vector<client::Edge> edges;
  for (uint32_t row = 0; row < inputs.size(); ++row) {
    edges.clear();
    for (uint32_t input : inputs[row])
      edges.push_back({writer.Source({input, 1, 1}), static_cast<uint32_t>(edges.size())});
    const bool is_leaf = inputs[row].empty();
    const uint32_t body = writer.AddBody(MakeBody(is_leaf ? leaf : graph, inputs[row].size()));
    writer.AddTask({tasks, row, body, shapes[row % shapes.size()], option, 1, edges, {}});
    if (!read[row] || (distinct && is_leaf)) writer.Want(row);
  }
  absl::StatusOr<std::vector<std::string>> frames = writer.Finish();
  if (!frames.ok()) return frames.status();
  if (absl::Status status = client::GiveRanks(*frames); !status.ok()) return status;
  return client::WriteTgraph(out, *frames);
}

}  // namespace taskd::bench
