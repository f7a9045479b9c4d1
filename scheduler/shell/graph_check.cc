#include "scheduler/shell/graph_check.h"

#include <algorithm>
#include <iterator>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/graph/template_names.h"
#include "scheduler/shell/shape_check.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {
namespace {

// A column is empty (0 for every task), has one element (the same for all), or one a task.
template <class Column>
bool FitsColumn(const Column& column, uint64_t tasks) {
  return column.size() <= 1 || static_cast<uint64_t>(column.size()) == tasks;
}

template <class Column>
uint32_t At(const Column& column, uint64_t i) {
  if (column.empty()) return 0;
  return column.Get(column.size() == 1 ? 0 : static_cast<int>(i));
}

constexpr std::string_view kBuiltins[] = {"noop",     "sleep",    "busy", "concat",
                                          "checksum", "generate", "put"};

bool IsPut(const v1::Body& body) { return body.has_builtin() && body.builtin().name() == "put"; }

}  // namespace

const GraphTables::Span& GraphTables::SpanOfObject(Ordinal object) const {
  auto after = std::upper_bound(spans_.begin(), spans_.end(), object,
                                [](Ordinal o, const Span& span) { return o < span.object; });
  // Spans without outputs share their first object with the next one; that one is found.
  return *std::prev(after);
}

uint32_t GraphTables::PartsOf(Ordinal object) const {
  const Span& span = SpanOfObject(object);
  return bodies_[span.body]->outputs((object - span.object) % span.output_count).parts();
}

GraphTables::Rows GraphTables::rows() const {
  return {static_cast<uint32_t>(kept_.bodies),
          kept_.shapes,
          kept_.options,
          static_cast<uint32_t>(kept_.templates),
          static_cast<uint32_t>(kept_.collections),
          static_cast<uint32_t>(kept_.objects)};
}

void GraphTables::Commit() {
  now_.last_span_count = spans_.empty() ? 0 : spans_.back().count;
  kept_ = now_;
}

void GraphTables::Rollback() {
  bodies_.resize(kept_.bodies);
  one_worker_.resize(kept_.shapes);
  puts_.resize(kept_.options);
  templates_.resize(kept_.templates);
  collections_.resize(kept_.collections);
  spans_.resize(kept_.spans);
  if (!spans_.empty()) spans_.back().count = kept_.last_span_count;
  for (size_t i = kept_.groups; i < group_order_.size(); ++i) groups_.erase(group_order_[i]);
  group_order_.resize(kept_.groups);
  now_ = kept_;
}

// One check; the steps stand in the order in which Run takes them.
class BatchCheck {
 public:
  BatchCheck(GraphTables& tables, v1::GraphBatch& batch) : t_(tables), batch_(batch) {}

  absl::Status Run(GraphTables::Checked* out) {
    out_ = out;
    for (auto step :
         {&BatchCheck::Bodies, &BatchCheck::Shapes, &BatchCheck::Options, &BatchCheck::Templates,
          &BatchCheck::Runs, &BatchCheck::Columns, &BatchCheck::Tasks, &BatchCheck::Collections,
          &BatchCheck::Edges, &BatchCheck::Args, &BatchCheck::Wants}) {
      if (absl::Status status = (this->*step)(); !status.ok()) return status;
    }
    t_.now_.bodies = t_.bodies_.size();
    t_.now_.templates = t_.templates_.size();
    t_.now_.collections = t_.collections_.size();
    t_.now_.spans = t_.spans_.size();
    t_.now_.groups = t_.group_order_.size();
    return absl::OkStatus();
  }

 private:
  absl::Status Bad(std::string_view what) const {
    return absl::InvalidArgumentError(StrCat("batch ", batch_.number(), ": ", what));
  }
  absl::Status BadTask(uint64_t i, std::string_view what) const {
    return Bad(StrCat(TaskName(i), " ", what));
  }
  absl::Status Unsupported(std::string_view what) const {
    return absl::UnimplementedError(
        StrCat("batch ", batch_.number(), ": ", what, " is not supported yet"));
  }

  // "map[3]" when the batch itself holds the template, else the template and the row.
  std::string TaskName(uint64_t i) const {
    uint64_t first = 0;
    for (const v1::TaskRun& run : batch_.runs()) {
      if (i - first < run.count()) {
        uint32_t row = run.first() + static_cast<uint32_t>(i - first);
        size_t old = t_.kept_.templates;
        if (run.template_index() >= old &&
            run.template_index() - old < static_cast<size_t>(batch_.templates_size())) {
          auto names = graph::TemplateNames::Create(
              batch_.templates(static_cast<int>(run.template_index() - old)));
          if (names.ok() && row < names->task_count()) return StrCat("task ", names->Key(row));
        }
        return StrCat("task ", row, " of template '", t_.templates_[run.template_index()].name,
                      "'");
      }
      first += run.count();
    }
    return StrCat("task ", i);
  }

  absl::Status Bodies() {
    for (v1::Body& body : *batch_.mutable_bodies()) {
      if (absl::Status status = OneBody(body); !status.ok()) return status;
      auto kept = std::make_shared<v1::Body>(std::move(body));
      // JobNames reads the outputs' names from the batch after this.
      *body.mutable_outputs() = kept->outputs();
      out_->bodies.push_back(kept);
      t_.bodies_.push_back(std::move(kept));
    }
    return absl::OkStatus();
  }

  absl::Status OneBody(const v1::Body& body) {
    std::string name = StrCat("body ", t_.bodies_.size());
    switch (body.kind_case()) {
      case v1::Body::kCommand:
        if (body.command().sh().empty() == body.command().argv().empty()) {
          return Bad(StrCat(name, ": a command has either sh text or argv"));
        }
        break;
      case v1::Body::kBuiltin:
        if (std::find(std::begin(kBuiltins), std::end(kBuiltins), body.builtin().name()) ==
            std::end(kBuiltins)) {
          return Bad(StrCat(name, ": there is no built-in '", body.builtin().name(),
                            "'; there are noop, sleep, busy, concat, checksum and generate"));
        }
        break;
      case v1::Body::kNative:
      case v1::Body::kPython:
        if (absl::Status status = Function(body, name); !status.ok()) return status;
        break;
      case v1::Body::KIND_NOT_SET:
        return Bad(StrCat(name, " has no kind"));
    }
    if (body.outputs_size() > static_cast<int>(limits::kOutputsPerTask)) {
      return Bad(StrCat(name, " has ", body.outputs_size(), " outputs; at most ",
                        limits::kOutputsPerTask, " are allowed: use an output of parts"));
    }
    return Slots(body, name);
  }

  static bool IsText(const std::string& text, uint32_t most) {
    return text.size() <= most && text.find('\0') == std::string::npos;
  }

  absl::Status Function(const v1::Body& body, const std::string& name) const {
    const v1::NativeBody& native = body.native();
    const v1::PythonBody& python = body.python();
    for (const std::string* path : {&native.library(), &python.path(), &python.interpreter()}) {
      if ((path == &native.library() && body.has_native()) || !path->empty()) {
        if (!path->starts_with('/') || !IsText(*path, limits::kLibraryPathBytes))
          return Bad(StrCat(name, ": a function is in a file of an absolute path of at most ",
                            limits::kLibraryPathBytes, " bytes, and so is its interpreter"));
      }
    }
    const bool named = body.has_native() ? !native.function().empty()
                                         : !python.function().empty() && !python.module().empty();
    if (named == !python.pickle().empty())
      return Bad(StrCat(name, ": a function is named, or else comes as a pickle"));
    for (const std::string* text : {&native.function(), &python.module(), &python.function()}) {
      if (!IsText(*text, limits::kFunctionNameBytes))
        return Bad(StrCat(name, ": the name of a function has more than ",
                          limits::kFunctionNameBytes, " bytes, or a zero byte"));
    }
    if (python.pickle().size() > limits::kPickleBytes) {
      return Bad(StrCat(name, ": a pickled function has ", python.pickle().size(),
                        " bytes; at most ", limits::kPickleBytes,
                        " are allowed: put the data that it closes over into a task of its own"));
    }
    for (const v1::OutputSlot& slot : body.outputs()) {
      if (slot.kind() != v1::OutputSlot::VALUE)
        return Bad(StrCat(name, ", output '", slot.name(), "': a function makes values"));
    }
    return absl::OkStatus();
  }

  absl::Status NoParts(const std::string& name, const v1::OutputSlot& slot) const {
    return Bad(StrCat(name, ", output '", slot.name(), "': an output of this kind has no parts"));
  }
  absl::Status WrongParts(const std::string& name, const v1::OutputSlot& slot) const {
    return Bad(StrCat(name, ", output '", slot.name(), "': 1 to ", limits::kPartsPerObject,
                      " parts, not ", slot.parts()));
  }

  absl::Status Slots(const v1::Body& body, const std::string& name) {
    absl::flat_hash_set<std::string> outputs;
    for (const v1::OutputSlot& slot : body.outputs()) {
      if (!outputs.insert(slot.name()).second)
        return Bad(StrCat(name, " has two outputs named '", slot.name(), "'"));
      switch (slot.kind()) {
        case v1::OutputSlot::FILE:
        case v1::OutputSlot::STDOUT:
          if (slot.parts() != 0) return NoParts(name, slot);
          break;
        case v1::OutputSlot::VALUE:
          if (slot.parts() != 0 && body.has_builtin()) return NoParts(name, slot);
          if (slot.parts() > limits::kPartsPerObject) return WrongParts(name, slot);
          break;
        case v1::OutputSlot::PARTS:
          if (slot.parts() == 0 || slot.parts() > limits::kPartsPerObject)
            return WrongParts(name, slot);
          break;
        case v1::OutputSlot::FOLDER:
          return Unsupported(StrCat("a folder as output ('", slot.name(), "')"));
        case v1::OutputSlot::PATH:
          return Unsupported(StrCat("a path as output ('", slot.name(), "')"));
        default:
          return Bad(StrCat(name, ", output '", slot.name(), "': its kind is unknown"));
      }
    }
    absl::flat_hash_set<std::string> inputs;
    for (const v1::InputSlot& slot : body.inputs()) {
      if (!inputs.insert(slot.name()).second)
        return Bad(StrCat(name, " has two inputs named '", slot.name(), "'"));
    }
    return absl::OkStatus();
  }

  absl::Status Shapes() {
    for (const v1::Shape& shape : batch_.shapes()) {
      absl::StatusOr<Batch::Shape> checked = CheckShape(shape);
      if (!checked.ok()) {
        return absl::Status(checked.status().code(), Bad(StrCat("shape ", t_.now_.shapes, " ",
                                                                ToStd(checked.status().message())))
                                                         .message());
      }
      t_.one_worker_.push_back(checked->workers.size() == 1 && checked->hosts.empty() &&
                               !checked->preferred);
      out_->batch.shapes.push_back(*std::move(checked));
      if (++t_.now_.shapes > limits::kShapesPerJob) {
        return Bad(StrCat("more than ", limits::kShapesPerJob,
                          " different resource requests in one job; round them"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Options() {
    for (const v1::TaskOptions& from : batch_.options()) {
      Batch::Options& to = out_->batch.options.emplace_back();
      to.retries = from.retries();
      to.backoff_ns = std::min<uint64_t>(from.backoff_ns(), limits::kBackoffMaxNs);
      to.time_limit_ns = from.time_limit_ns();
      to.priority = from.priority();
      to.crash_limit = from.crash_limit();
      to.expect_ns = from.expect_ns();
      to.expect_bytes = from.expect_bytes();
      if (from.retry_chosen()) to.retry_on = from.retry_on();
      to.retry_exit_codes.assign(from.retry_exit_codes().begin(), from.retry_exit_codes().end());
      to.impure = from.impure();
      to.put = from.put();
      t_.puts_.push_back(to.put);
      to.straggler_milli = from.straggler_milli();
      to.replicas = from.replicas();
      if (to.replicas > limits::kReplicas) {
        return Bad(StrCat("a task asks for ", to.replicas, " replicas of its outputs; at most ",
                          limits::kReplicas, " are kept"));
      }
      if (++t_.now_.options > 65'535)
        return Bad("more than 65535 different sets of options in one job");
    }
    return absl::OkStatus();
  }

  absl::Status Templates() {
    for (const v1::Template& from : batch_.templates()) {
      t_.templates_.push_back({from.name(), from.axes().empty() && from.task_count() > 1});
    }
    return absl::OkStatus();
  }

  absl::Status Runs() {
    uint64_t keyed = 0;
    for (const v1::TaskRun& run : batch_.runs()) {
      if (run.template_index() >= t_.templates_.size()) {
        return Bad(StrCat("a run names template ", run.template_index(), ", but the job has ",
                          t_.templates_.size()));
      }
      tasks_ += run.count();
      if (t_.templates_[run.template_index()].keyed) keyed += run.count();
    }
    if (tasks_ > limits::kTasksPerBatch) {
      return Bad(StrCat(tasks_, " tasks; at most ", limits::kTasksPerBatch,
                        " fit into one batch: send more batches"));
    }
    if (t_.now_.tasks + tasks_ > limits::kTasksPerJob) {
      return Bad(StrCat("more than ", limits::kTasksPerJob, " tasks in one job; use several jobs"));
    }
    if (!FitsColumn(batch_.key_size(), keyed))
      return Bad("the column key_size does not fit the tasks with keys");
    return absl::OkStatus();
  }

  absl::Status Columns() {
    struct Column {
      const char* name;
      bool fits;
    };
    for (const Column& column : {Column{"body", FitsColumn(batch_.body(), tasks_)},
                                 {"shape", FitsColumn(batch_.shape(), tasks_)},
                                 {"option", FitsColumn(batch_.option(), tasks_)},
                                 {"rank", FitsColumn(batch_.rank(), tasks_)},
                                 {"tail", FitsColumn(batch_.tail(), tasks_)},
                                 {"input_count", FitsColumn(batch_.input_count(), tasks_)},
                                 {"args_size", FitsColumn(batch_.args_size(), tasks_)}}) {
      if (!column.fits) {
        return Bad(StrCat("the column ", column.name, " must have 0, 1 or ", tasks_,
                          " elements, one a task"));
      }
    }
    return absl::OkStatus();
  }

  absl::Status Tasks() {
    out_->batch.tasks.reserve(tasks_);
    out_->ranked = !batch_.rank().empty();
    uint64_t edges = 0;
    for (uint64_t i = 0; i < tasks_; ++i) {
      Batch::Task task;
      task.body = At(batch_.body(), i);
      uint32_t shape = At(batch_.shape(), i), option = At(batch_.option(), i);
      if (task.body >= t_.bodies_.size())
        return OutOfTable(i, "body", task.body, t_.bodies_.size());
      if (shape >= t_.now_.shapes) return OutOfTable(i, "shape", shape, t_.now_.shapes);
      if (option >= t_.now_.options)
        return OutOfTable(i, "set of options", option, t_.now_.options);
      task.rank = At(batch_.rank(), i);
      task.tail = At(batch_.tail(), i);
      task.shape = static_cast<uint16_t>(shape);
      task.option = static_cast<uint16_t>(option);
      task.group = Group(task.body, shape);
      task.output_count = static_cast<uint16_t>(t_.bodies_[task.body]->outputs_size());
      task.edge_count = At(batch_.input_count(), i);
      if (absl::Status status = Put(i, task); !status.ok()) return status;
      if (task.edge_count > limits::kInputsPerTask) {
        return BadTask(i, StrCat("has ", task.edge_count, " inputs; at most ",
                                 limits::kInputsPerTask, " are allowed: use a collection"));
      }
      edges += task.edge_count;
      AddToSpan(task);
      if (t_.now_.objects > limits::kTasksPerJob)
        return Bad("too many objects for one job; use several jobs");
      out_->batch.tasks.push_back(task);
    }
    if (edges != static_cast<uint64_t>(batch_.input_source_size())) {
      return Bad(StrCat("the tasks have ", edges, " inputs, but the column input_source has ",
                        batch_.input_source_size(), " elements"));
    }
    return absl::OkStatus();
  }

  absl::Status Put(uint64_t i, const Batch::Task& task) const {
    const v1::Body& body = *t_.bodies_[task.body];
    if (IsPut(body) != t_.puts_[task.option])
      return BadTask(i, "has the built-in put or the option put, and not both");
    if (IsPut(body) &&
        (!t_.one_worker_[task.shape] || task.edge_count > 0 || task.output_count != 1)) {
      return BadTask(i,
                     "stands for what was put: it has one output, no inputs, and a shape that "
                     "names one worker");
    }
    return absl::OkStatus();
  }

  absl::Status OutOfTable(uint64_t i, std::string_view table, uint32_t index, size_t size) const {
    return BadTask(i, StrCat("names ", table, " ", index, ", but the job has ", size));
  }

  // Tasks counted together: those of one body and shape, the last group taking what is too much.
  uint16_t Group(uint32_t body, uint32_t shape) {
    auto [it, added] = t_.groups_.try_emplace(std::pair(body, shape), 0);
    if (added) {
      it->second = static_cast<uint16_t>(
          std::min<size_t>(t_.group_order_.size(), limits::kGroupsPerJob - 1));
      t_.group_order_.emplace_back(body, shape);
    }
    return it->second;
  }

  void AddToSpan(const Batch::Task& task) {
    if (t_.spans_.empty() || t_.spans_.back().body != task.body) {
      t_.spans_.push_back(
          {t_.now_.tasks, static_cast<Ordinal>(t_.now_.objects), 0, task.body, task.output_count});
    }
    ++t_.spans_.back().count;
    ++t_.now_.tasks;
    t_.now_.objects += task.output_count;
  }

  absl::Status Collections() {
    for (const v1::Collection& from : batch_.collections()) {
      uint64_t last = from.first() + uint64_t{from.stride()} * (uint64_t{from.count()} - 1);
      std::string name = StrCat("collection ", t_.collections_.size());
      if (from.job() != 0 || !from.dataset().empty()) {
        if (absl::Status status = Import(name, from); !status.ok()) return status;
        continue;
      }
      if (from.count() == 0 || from.stride() == 0)
        return Bad(StrCat(name, " is empty, or its stride is 0"));
      if (last >= t_.now_.objects) {
        return Bad(
            StrCat(name, " reaches to object ", last, ", but the job has ", t_.now_.objects));
      }
      t_.collections_.push_back({static_cast<Ordinal>(last), t_.PartsOf(from.first())});
      out_->batch.collections.push_back({from.first(), from.count(), from.stride()});
    }
    return absl::OkStatus();
  }

  // Of another job: what there is of it is the core's to say.
  absl::Status Import(const std::string& name, const v1::Collection& from) {
    if (from.job() != 0 && !from.dataset().empty())
      return Bad(StrCat(name, " is of a job and of a dataset; it can be of one only"));
    const bool whole = !from.dataset().empty() && from.count() == 0;
    if (!whole && (from.count() == 0 || from.stride() == 0))
      return Bad(StrCat(name, " is empty, or its stride is 0"));
    t_.collections_.push_back({.foreign = true});
    out_->batch.collections.push_back(
        {from.first(), from.count(), from.stride(), from.job(), from.dataset()});
    return absl::OkStatus();
  }

  absl::Status Edges() {
    const int edges = batch_.input_source_size();
    auto fits = [&](const auto& column) { return column.empty() || column.size() == edges; };
    if (!fits(batch_.input_part_lo()) || !fits(batch_.input_part_hi()) ||
        !fits(batch_.input_slot()) || batch_.input_part_lo_size() != batch_.input_part_hi_size()) {
      return Bad(StrCat("the columns input_part_lo, input_part_hi and input_slot must have 0 or ",
                        edges, " elements, one an input"));
    }
    out_->batch.edges.reserve(edges);
    uint64_t first_output = t_.kept_.objects;
    int e = 0;
    for (uint64_t i = 0; i < tasks_; ++i) {
      const Batch::Task& task = out_->batch.tasks[i];
      for (uint32_t slot = 0; slot < task.edge_count; ++slot, ++e) {
        if (absl::Status status = OneEdge(i, e, slot, first_output); !status.ok()) return status;
      }
      first_output += task.output_count;
    }
    return absl::OkStatus();
  }

  absl::Status OneEdge(uint64_t i, int e, uint32_t slot, uint64_t first_output) {
    Batch::Edge edge;
    edge.source = batch_.input_source(e);
    edge.slot = batch_.input_slot().empty() ? slot : batch_.input_slot(e);
    uint64_t last = edge.source;
    bool foreign = false;
    if (edge.source & kCollectionBit) {
      uint32_t index = edge.source & ~kCollectionBit;
      if (index >= t_.collections_.size())
        return OutOfTable(i, "collection", index, t_.collections_.size());
      last = t_.collections_[index].last;
      foreign = t_.collections_[index].foreign;
      edge.parts_total = t_.collections_[index].parts;
    }
    if (!foreign && last >= t_.now_.objects) {
      return BadTask(i, StrCat("reads object ", last, ", but the job has ", t_.now_.objects));
    }
    if (!foreign && last >= first_output) {
      return BadTask(i, StrCat("reads object ", last,
                               ", which is its own or made by a later task; send tasks after ",
                               "those that they read from (the compiler sorts them)"));
    }
    if (!(edge.source & kCollectionBit)) edge.parts_total = t_.PartsOf(edge.source);
    const v1::Body& body = *t_.bodies_[out_->batch.tasks[i].body];
    if (edge.slot >= static_cast<uint32_t>(body.inputs_size()) && !body.has_builtin()) {
      return BadTask(
          i, StrCat("fills input slot ", edge.slot, ", but its body has ", body.inputs_size()));
    }
    if (!batch_.input_part_lo().empty()) {
      edge.parts = {batch_.input_part_lo(e), batch_.input_part_hi(e)};
      if (absl::Status status = Parts(i, edge); !status.ok()) return status;
    }
    out_->batch.edges.push_back(edge);
    return absl::OkStatus();
  }

  absl::Status Parts(uint64_t i, const Batch::Edge& edge) const {
    if (edge.parts == PartRange{}) return absl::OkStatus();
    std::string range = StrCat("parts ", edge.parts.lo, " to ", edge.parts.hi);
    if (edge.parts.lo >= edge.parts.hi)
      return BadTask(i, StrCat("reads ", range, ", an empty range"));
    if (edge.parts_total == 0) {
      return BadTask(i, StrCat("reads ", range,
                               " of an object that has no parts, or is of another job: those are "
                               "read whole"));
    }
    if (edge.parts.hi > edge.parts_total) {
      return BadTask(i, StrCat("reads ", range, ", but the object has ", edge.parts_total));
    }
    return absl::OkStatus();
  }

  absl::Status Args() {
    ArgsColumn& args = out_->args;
    args.first_task = t_.kept_.tasks;
    args.count = static_cast<uint32_t>(tasks_);
    uint64_t total = 0;
    for (uint64_t i = 0; i < tasks_ && !batch_.args_size().empty(); ++i) {
      uint32_t size = At(batch_.args_size(), i);
      if (size > limits::kArgsBytes) {
        return BadTask(i, StrCat("has ", size, " bytes of arguments; at most ", limits::kArgsBytes,
                                 " are allowed: put large values into files"));
      }
      total += size;
      if (batch_.args_size().size() > 1) args.ends.push_back(total);
    }
    if (total != batch_.args().size()) {
      return Bad(StrCat("the column args has ", batch_.args().size(),
                        " bytes, but args_size adds up to ", total));
    }
    if (batch_.args_size().size() == 1) args.each = batch_.args_size(0);
    args.bytes = std::move(*batch_.mutable_args());
    return absl::OkStatus();
  }

  absl::Status Wants() {
    for (uint32_t object : batch_.want()) {
      if (object >= t_.now_.objects) {
        return Bad(StrCat("wants object ", object, ", but the job has ", t_.now_.objects));
      }
      out_->batch.wants.push_back(object);
    }
    for (uint32_t object : batch_.no_more_consumers()) {
      if (object >= t_.now_.objects) {
        return Bad(
            StrCat("ends the consumers of object ", object, ", but the job has ", t_.now_.objects));
      }
    }
    return absl::OkStatus();
  }

  GraphTables& t_;
  v1::GraphBatch& batch_;
  GraphTables::Checked* out_ = nullptr;
  uint64_t tasks_ = 0;
};

absl::StatusOr<GraphTables::Checked> GraphTables::Check(v1::GraphBatch& batch) {
  Rollback();
  Checked checked;
  if (absl::Status status = BatchCheck(*this, batch).Run(&checked); !status.ok()) return status;
  return checked;
}

}  // namespace taskd::scheduler
