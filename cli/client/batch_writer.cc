#include "cli/client/batch_writer.h"

#include <algorithm>

#include "cli/client/tgraph.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {
namespace {

constexpr uint32_t kCollectionBit = 0x80000000u;
constexpr uint64_t kSoftBytes = limits::kBatchBytes / 2;  // cut here: the first tasks start sooner
constexpr uint64_t kTaskBytes = 9 * 4;                    // of all columns, rank and tail included
constexpr uint64_t kEdgeBytes = 4 * 4;
constexpr uint64_t kTableItemBytes = 16;  // tag and length around a table's item, and to spare

// Columns of equal elements become one element, of zeros none.
void Fold(google::protobuf::RepeatedField<uint32_t>* column) {
  if (column->empty()) return;
  uint32_t first = column->Get(0);
  if (std::any_of(column->begin(), column->end(), [first](uint32_t v) { return v != first; }))
    return;
  column->Truncate(first == 0 ? 0 : 1);
}

}  // namespace

BatchWriter::BatchWriter() : batch_(std::make_unique<v1::GraphBatch>()) {}
BatchWriter::~BatchWriter() = default;

void BatchWriter::Fail(std::string what) {
  if (status_.ok()) status_ = absl::InvalidArgumentError(std::move(what));
}

void BatchWriter::Reserve(uint64_t bytes, std::string_view what) {
  if (bytes > limits::kBatchBytes - 4096) {
    return Fail(StrCat(what, " takes ", FormatBytes(bytes), "; the limit is ",
                       FormatBytes(limits::kBatchBytes)));
  }
  if (batch_bytes_ > 0 && batch_bytes_ + bytes > kSoftBytes) Flush();
  batch_bytes_ += bytes;
}

template <typename Message>
uint32_t BatchWriter::Intern(const Message& message,
                             absl::flat_hash_map<std::string, uint32_t>& table,
                             Message* (v1::GraphBatch::*add)(), std::string_view what) {
  auto [at, fresh] =
      table.emplace(message.SerializeAsString(), static_cast<uint32_t>(table.size()));
  if (fresh) {
    Reserve(message.ByteSizeLong() + kTableItemBytes, what);
    *(batch_.get()->*add)() = message;
  }
  return at->second;
}

uint32_t BatchWriter::AddBody(const v1::Body& body) {
  uint32_t index = Intern(body, bodies_, &v1::GraphBatch::add_bodies,
                          "a task's text with its inputs and variables");
  counts_.bodies = bodies_.size();
  return index;
}

uint32_t BatchWriter::AddShape(const Resources& need) {
  v1::Shape shape;
  shape.mutable_need()->set_cpus_milli(need.cpus_milli);
  shape.mutable_need()->set_memory_bytes(need.memory_bytes);
  return AddShape(shape);
}

uint32_t BatchWriter::AddShape(const v1::Shape& shape) {
  uint32_t index = Intern(shape, shapes_, &v1::GraphBatch::add_shapes, "a resource request");
  if (shapes_.size() > limits::kShapesPerJob) {
    Fail(StrCat("more than ", limits::kShapesPerJob,
                " different resource requests; use fewer sizes"));
  }
  return index;
}

uint32_t BatchWriter::AddOptions(const v1::TaskOptions& options) {
  uint32_t index = Intern(options, options_, &v1::GraphBatch::add_options, "a set of options");
  if (options_.size() > 65'535) Fail("more than 65535 different sets of task options; use fewer");
  return index;
}

uint32_t BatchWriter::AddTemplate(const v1::Template& definition) {
  Reserve(definition.ByteSizeLong() + kTableItemBytes,
          StrCat("the list of axis values of '", definition.name(), "'"));
  *batch_->add_templates() = definition;
  return static_cast<uint32_t>(counts_.templates++);
}

uint32_t BatchWriter::Source(const graph::Run& objects) {
  if (objects.count == 1) return objects.first;
  std::pair<uint64_t, uint32_t> key{uint64_t{objects.first} << 32 | objects.count, objects.stride};
  auto [at, fresh] = collections_.emplace(key, next_collection_);
  if (fresh) {
    Reserve(15 + kTableItemBytes, "a collection");
    v1::Collection* c = batch_->add_collections();
    c->set_first(objects.first);
    c->set_count(objects.count);
    c->set_stride(objects.stride);
    ++next_collection_;
    ++counts_.collections;
  }
  return at->second | kCollectionBit;
}

uint32_t BatchWriter::DatasetSource(const std::string& name) {
  auto [at, fresh] = datasets_.emplace(name, next_collection_);
  if (fresh) {
    Reserve(name.size() + kTableItemBytes, "a dataset");
    batch_->add_collections()->set_dataset(name);
    ++next_collection_;
    ++counts_.collections;
  }
  return at->second | kCollectionBit;
}

uint32_t BatchWriter::ForeignSource(ObjectId object) {
  auto [at, fresh] = foreign_.emplace(object, next_collection_);
  if (fresh) {
    Reserve(kTableItemBytes, "an object of another job");
    v1::Collection* c = batch_->add_collections();
    c->set_job(object.job);
    c->set_first(object.ordinal);
    c->set_count(1);
    c->set_stride(1);
    ++next_collection_;
    ++counts_.collections;
  }
  return at->second | kCollectionBit;
}

void BatchWriter::AddTask(const Task& task) {
  if (!status_.ok()) return;
  if (task.edges.size() > limits::kInputsPerTask) {
    return Fail(StrCat("a task has ", task.edges.size(), " inputs; the limit is ",
                       limits::kInputsPerTask, "; read a whole axis instead"));
  }
  if (task.args.size() > limits::kArgsBytes) {
    return Fail(StrCat("the values and lists of one task take ", FormatBytes(task.args.size()),
                       "; the limit is ", FormatBytes(limits::kArgsBytes),
                       "; cut the files into more lists"));
  }
  if (counts_.tasks >= limits::kTasksPerJob ||
      counts_.objects + task.output_count > limits::kTasksPerJob) {
    return Fail(StrCat("more than ", limits::kTasksPerJob, " tasks or objects in one job"));
  }
  Reserve(kTaskBytes + kEdgeBytes * task.edges.size() + task.args.size(), "a task");
  if (batch_tasks_ == limits::kTasksPerBatch) {
    Flush();
    batch_bytes_ = kTaskBytes + kEdgeBytes * task.edges.size() + task.args.size();
  }
  v1::TaskRun* run =
      batch_->runs_size() == 0 ? nullptr : batch_->mutable_runs(batch_->runs_size() - 1);
  if (run == nullptr || run->template_index() != task.template_index ||
      run->first() + run->count() != task.row) {
    run = batch_->add_runs();
    run->set_template_index(task.template_index);
    run->set_first(task.row);
    batch_bytes_ += 15 + kTableItemBytes;
  }
  run->set_count(run->count() + 1);
  batch_->add_body(task.body);
  batch_->add_shape(task.shape);
  batch_->add_option(task.option);
  batch_->add_input_count(static_cast<uint32_t>(task.edges.size()));
  for (size_t i = 0; i < task.edges.size(); ++i) {
    const Edge& edge = task.edges[i];
    batch_->add_input_source(edge.source);
    batch_->add_input_part_lo(edge.parts.lo);
    batch_->add_input_part_hi(edge.parts.hi);
    batch_->add_input_slot(edge.slot);
    slots_needed_ |= edge.slot != i;
    parts_needed_ |= !edge.parts.whole();
  }
  batch_->mutable_args()->append(task.args.data(), task.args.size());
  batch_->add_args_size(static_cast<uint32_t>(task.args.size()));
  ++batch_tasks_;
  ++counts_.tasks;
  counts_.objects += task.output_count;
  counts_.edges += task.edges.size();
}

void BatchWriter::Want(Ordinal object) { wants_.push_back(object); }

void BatchWriter::Flush() {
  if (!status_.ok()) return;
  batch_->set_number(counts_.batches);
  for (auto* column : {batch_->mutable_body(), batch_->mutable_shape(), batch_->mutable_option(),
                       batch_->mutable_input_count()}) {
    Fold(column);
  }
  // Not folded to one element: the bytes are those of every task, so their sizes are told for every
  // task.
  if (batch_->args().empty()) batch_->clear_args_size();
  if (!slots_needed_) batch_->clear_input_slot();
  if (!parts_needed_) {
    batch_->clear_input_part_lo();
    batch_->clear_input_part_hi();
  }
  auto frame = CompressBatch(*batch_);
  if (!frame.ok()) {
    status_ = frame.status();
    return;
  }
  frames_.push_back(*std::move(frame));
  ++counts_.batches;
  batch_->Clear();
  batch_bytes_ = 0;
  batch_tasks_ = 0;
  slots_needed_ = parts_needed_ = false;
}

absl::StatusOr<std::vector<std::string>> BatchWriter::Finish() {
  std::sort(wants_.begin(), wants_.end());
  wants_.erase(std::unique(wants_.begin(), wants_.end()), wants_.end());
  counts_.wants = wants_.size();
  // The job is open until its last batch, so nothing is freed before the wants arrive there.
  for (Ordinal object : wants_) {
    Reserve(4, "a want");
    batch_->add_want(object);
  }
  if (batch_bytes_ > 0 || frames_.empty()) Flush();
  if (!status_.ok()) return status_;
  return std::move(frames_);
}

}  // namespace taskd::client
