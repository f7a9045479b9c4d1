#include "cli/client/builder.h"

#include "common/base/check.h"

namespace taskd::client {
namespace {

void AddInputs(v1::Body& body, const std::vector<std::string>& inputs) {
  for (const std::string& name : inputs) body.add_inputs()->set_name(name);
}

}  // namespace

v1::Body BuiltinBody(std::string_view name, const std::vector<std::string>& inputs,
                     const std::vector<std::string>& outputs, uint64_t duration_ns,
                     uint64_t size_bytes) {
  v1::Body body;
  body.mutable_builtin()->set_name(std::string(name));
  body.mutable_builtin()->set_duration_ns(duration_ns);
  body.mutable_builtin()->set_size_bytes(size_bytes);
  AddInputs(body, inputs);
  for (const std::string& output : outputs) {
    v1::OutputSlot* slot = body.add_outputs();
    slot->set_name(output);
    slot->set_kind(v1::OutputSlot::VALUE);
  }
  return body;
}

v1::Body ShellBody(std::string_view sh, const std::vector<std::string>& inputs,
                   const std::vector<std::string>& outputs) {
  v1::Body body;
  body.mutable_command()->set_sh(std::string(sh));
  AddInputs(body, inputs);
  for (const std::string& output : outputs) {
    v1::OutputSlot* slot = body.add_outputs();
    slot->set_name(output);
    slot->set_file(output);
  }
  return body;
}

uint32_t GraphBuilder::AddBody(const v1::Body& body) {
  uint32_t index = writer_.AddBody(body);
  outputs_of_body_[index] = static_cast<uint32_t>(body.outputs_size());
  return index;
}

// Index 0 of both tables must exist before a task names it.
void GraphBuilder::AddDefaults() {
  if (started_) return;
  started_ = true;
  writer_.AddShape({1000, 0});
  writer_.AddOptions(v1::TaskOptions());
}

GraphBuilder::TemplateId GraphBuilder::AddTasks(const Tasks& tasks) {
  TASKD_CHECK(outputs_of_body_.contains(tasks.body));
  AddDefaults();
  v1::Template definition;
  definition.set_name(tasks.name);
  definition.set_task_count(tasks.count);
  if (tasks.count > 1) {
    v1::Axis* axis = definition.add_axes();
    axis->set_name("i");
    axis->set_step(1);
    axis->set_count(tasks.count);
  }
  uint32_t index = writer_.AddTemplate(definition);
  made_.push_back({writer_.next_object(), tasks.count, outputs_of_body_[tasks.body]});
  std::vector<Edge> edges;
  v1::TaskArgs args;
  std::string args_bytes;
  for (uint32_t row = 0; row < tasks.count; ++row) {
    edges.clear();
    args_bytes.clear();
    if (tasks.edges) tasks.edges(row, edges);
    if (tasks.args) {
      args.Clear();
      tasks.args(row, args);
      args.AppendToString(&args_bytes);
    }
    writer_.AddTask({index, row, tasks.body, tasks.shape, tasks.option, made_.back().outputs, edges,
                     args_bytes});
  }
  return index;
}

Ordinal GraphBuilder::Object(TemplateId tasks, uint32_t row, uint32_t output) const {
  const Made& made = made_[tasks];
  TASKD_CHECK(row < made.count && output < made.outputs);
  return made.first_object + row * made.outputs + output;
}

uint32_t GraphBuilder::All(TemplateId tasks, uint32_t output) {
  const Made& made = made_[tasks];
  return writer_.Source({Object(tasks, 0, output), made.count, made.count == 1 ? 1 : made.outputs});
}

}  // namespace taskd::client
