#include "cli/client/compile.h"

#include <sys/stat.h>

#include <algorithm>
#include <optional>

#include "absl/container/flat_hash_set.h"
#include "cli/client/axes.h"
#include "cli/client/body_reader.h"
#include "cli/client/references.h"
#include "common/base/text.h"

namespace taskd::client {
namespace {

// The per-task bytes (TaskArgs) of one template's rows.
class ArgsMaker {
 public:
  ArgsMaker(const FileContext& context, const Definition& d) : context_(context), d_(d) {}

  // Compiles the paths. Their files are looked for when the rows are made.
  absl::Status Prepare() {
    std::vector<std::string> names = d_.AxisNames();
    for (const AxisDef& axis : d_.axes) {
      if (axis.is_path) names.push_back(axis.axis.name() + ".path");
    }
    for (const InputDef& input : d_.inputs) {
      if (input.kind != InputDef::kPath) continue;
      auto pieces = ExpandBraces(input.text, context_.vars, names);
      if (!pieces.ok()) return context_.Error(input.line, pieces.status());
      Path& path = paths_.emplace_back();
      path.input = &input;
      for (const Piece& piece : *pieces) {
        int axis = -1;
        for (size_t k = 0; k < d_.axes.size(); ++k) {
          const std::string& name = d_.axes[k].axis.name();
          if (piece.is_name && (piece.text == name || piece.text == name + ".path"))
            axis = static_cast<int>(k);
        }
        path.pieces.push_back({axis, piece.text});
      }
    }
    return absl::OkStatus();
  }

  // The serialized TaskArgs of a row; empty when it has nothing of its own. Valid until the next
  // call.
  absl::StatusOr<std::string_view> Make(uint32_t row) {
    // Commands and functions get their axis values; a built-in has no use for them.
    bool values = !d_.body.has_builtin() && !d_.axes.empty();
    if (!values && paths_.empty()) return std::string_view();
    args_.Clear();
    positions_.clear();
    for (uint32_t k = 0; k < d_.axes.size(); ++k) positions_.push_back(d_.names->Position(row, k));
    for (size_t k = 0; values && k < d_.axes.size(); ++k) {
      const AxisDef& axis = d_.axes[k];
      v1::Value* value = args_.add_values();
      value->set_name(axis.axis.name());
      value->set_value(graph::AxisValue(axis.axis, positions_[k]));
      if (axis.lists.empty()) continue;
      v1::Value* list = args_.add_lists();
      list->set_name(axis.axis.name() + "_list");
      list->set_value(axis.lists[positions_[k]]);
    }
    for (const Path& path : paths_) {
      std::string text;
      for (const auto& [axis, literal] : path.pieces) {
        text += axis < 0 ? literal
                         : graph::AxisValue(d_.axes[static_cast<size_t>(axis)].axis,
                                            positions_[static_cast<size_t>(axis)]);
      }
      text = context_.Absolute(text);
      if (auto s = CheckExists(*path.input, text); !s.ok()) return s;
      v1::Value* value = args_.add_paths();
      value->set_name(path.input->name);
      value->set_value(std::move(text));
    }
    bytes_.clear();
    args_.AppendToString(&bytes_);
    return std::string_view(bytes_);
  }

 private:
  struct Path {
    const InputDef* input = nullptr;
    std::vector<std::pair<int, std::string>> pieces;  // axis, or -1 and the text
  };

  absl::Status CheckExists(const InputDef& input, const std::string& path) {
    if (!seen_.insert(path).second) return absl::OkStatus();
    struct stat info;
    if (stat(path.c_str(), &info) == 0) return absl::OkStatus();
    return context_.Error(input.line,
                          StrCat("the input '", input.name, "': there is no file ", path));
  }

  const FileContext& context_;
  const Definition& d_;
  std::vector<Path> paths_;
  absl::flat_hash_set<std::string> seen_;
  std::vector<uint32_t> positions_;
  v1::TaskArgs args_;
  std::string bytes_;
};

class Compiler {
 public:
  explicit Compiler(GraphModel& model) : model_(model), context_(model.context) {}

  absl::StatusOr<Compiled> Run() {
    Errors errors;
    ResolveAxes(model_, errors);
    if (errors.any()) return errors.Take();
    plans_.resize(model_.definitions.size());
    for (size_t i = 0; i < model_.definitions.size(); ++i) {
      errors.Add(Plan(i));
      errors.Add(FinishBody(context_, model_.definitions[i]));
    }
    for (const WantDef& want : model_.wants) errors.Add(CheckWant(want));
    if (errors.any()) return errors.Take();
    auto order = SortTemplates(model_, plans_);
    if (!order.ok()) return order.status();
    first_object_.resize(model_.definitions.size());
    for (size_t i : *order) {
      if (auto s = Emit(i); !s.ok()) return s;
    }
    for (const WantDef& want : model_.wants) {
      if (auto s = EmitWant(want); !s.ok()) return s;
    }
    Compiled compiled;
    auto frames = writer_.Finish();
    if (!frames.ok())
      return absl::Status(frames.status().code(),
                          StrCat(context_.file, ": ", ToStd(frames.status().message())));
    compiled.frames = *std::move(frames);
    compiled.counts = writer_.counts();
    return compiled;
  }

 private:
  absl::Status Plan(size_t i) {
    Definition& d = model_.definitions[i];
    for (uint32_t slot = 0; slot < d.inputs.size(); ++slot) {
      const InputDef& input = d.inputs[slot];
      if (input.kind != InputDef::kObjects) continue;
      auto plan = InputPlan::Create(model_, d, input, slot);
      if (!plan.ok()) return plan.status();
      if (plan->is_folder())
        d.body.mutable_inputs(static_cast<int>(slot))->set_kind(v1::InputSlot::AXIS);
      plans_[i].push_back(*std::move(plan));
    }
    return absl::OkStatus();
  }

  absl::Status Emit(size_t i) {
    Definition& d = model_.definitions[i];
    ArgsMaker args(context_, d);
    if (auto s = args.Prepare(); !s.ok()) return s;
    BatchWriter::Task task;
    task.template_index = writer_.AddTemplate(d.table);
    task.body = writer_.AddBody(d.body);
    task.shape = writer_.AddShape(d.shape);
    task.option = writer_.AddOptions(d.options);
    task.output_count = static_cast<uint32_t>(d.body.outputs_size());
    first_object_[i] = writer_.next_object();
    std::vector<Edge> edges;
    for (uint32_t row = 0; row < d.names->task_count(); ++row) {
      edges.clear();
      auto plan = plans_[i].begin();
      for (uint32_t slot = 0; slot < d.inputs.size(); ++slot) {
        const InputDef& input = d.inputs[slot];
        if (input.kind == InputDef::kPath) break;  // they come last
        if (input.kind == InputDef::kDataset) {
          edges.push_back({writer_.DatasetSource(input.text), slot});
          continue;
        }
        if (input.kind == InputDef::kForeign) {
          edges.push_back({writer_.ForeignSource(input.object), slot});
          continue;
        }
        auto s =
            plan->AppendEdges(context_, d, row, first_object_[plan->producer()], writer_, edges);
        if (!s.ok()) return s;
        ++plan;
      }
      auto bytes = args.Make(row);
      if (!bytes.ok()) return bytes.status();
      task.row = row;
      task.edges = edges;
      task.args = *bytes;
      writer_.AddTask(task);
    }
    plans_[i].clear();
    return absl::OkStatus();
  }

  absl::StatusOr<std::vector<graph::Run>> RowsOfWant(const WantDef& want, Reference& reference) {
    auto found = FindReference(model_, want.line, want.name);
    if (!found.ok()) return found.status();
    reference = *std::move(found);
    if (reference.name.has_parts) {
      return context_.Error(want.line,
                            StrCat("'", want.name, "': whole objects are kept, not parts; want ",
                                   want.name.substr(0, want.name.rfind('['))));
    }
    auto rows = model_.definitions[reference.definition].names->Match(reference.name.selectors);
    if (!rows.ok())
      return context_.Error(want.line,
                            StrCat("'", want.name, "': ", ToStd(rows.status().message())));
    if (rows->empty())
      return context_.Error(want.line,
                            StrCat("'", want.name, "' matches nothing: 'except' takes it out"));
    return rows;
  }

  absl::Status CheckWant(const WantDef& want) {
    Reference reference;
    return RowsOfWant(want, reference).status();
  }

  absl::Status EmitWant(const WantDef& want) {
    Reference reference;
    auto rows = RowsOfWant(want, reference);
    if (!rows.ok()) return rows.status();
    auto outputs =
        static_cast<uint32_t>(model_.definitions[reference.definition].body.outputs_size());
    for (const graph::Run& run : *rows) {
      for (uint32_t i = 0; i < run.count; ++i) {
        uint32_t row = run.first + i * run.stride;
        writer_.Want(first_object_[reference.definition] + row * outputs + reference.output);
      }
    }
    return absl::OkStatus();
  }

  GraphModel& model_;
  const FileContext& context_;
  std::vector<std::vector<InputPlan>> plans_;  // by definition
  std::vector<Ordinal> first_object_;          // by definition, of its row 0
  BatchWriter writer_;
};

}  // namespace

absl::StatusOr<Compiled> Compile(GraphModel& model) { return Compiler(model).Run(); }

}  // namespace taskd::client
