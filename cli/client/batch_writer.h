// Turns tables and tasks, one after the other, into GraphBatch frames: numbers what is added,
// interns collections and shapes, cuts batches at the limits, and folds columns whose elements are
// all the same.
#ifndef TASKD_CLI_CLIENT_BATCH_WRITER_H_
#define TASKD_CLI_CLIENT_BATCH_WRITER_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/session.h"
#include "common/graph/template_names.h"

namespace taskd::v1 {
class Body;
class GraphBatch;
class Shape;
class TaskOptions;
class Template;
}  // namespace taskd::v1

namespace taskd::client {

// One input of a task. `source` comes from BatchWriter::Source.
struct Edge {
  uint32_t source = 0;
  uint32_t slot = 0;  // of the body
  PartRange parts;    // {0, 0}: whole objects
};

struct GraphCounts {
  uint32_t batches = 0;
  uint64_t tasks = 0, objects = 0, edges = 0;
  uint64_t templates = 0, bodies = 0, collections = 0, wants = 0;
};

class BatchWriter {
 public:
  BatchWriter();
  ~BatchWriter();

  // Tables. Each returns the job's index of what was added; equal bodies, shapes and options share
  // one.
  uint32_t AddBody(const v1::Body& body);
  uint32_t AddShape(const Resources& need);  // cpus and memory, anywhere
  uint32_t AddShape(const v1::Shape& shape);
  uint32_t AddOptions(const v1::TaskOptions& options);
  uint32_t AddTemplate(const v1::Template& definition);
  // What an edge names: an object, or an interned collection when the run has several.
  uint32_t Source(const graph::Run& objects);
  // All of a dataset.
  uint32_t DatasetSource(const std::string& name);
  uint32_t ForeignSource(ObjectId object);  // of another job

  // The next task: row `row` of a template. Rows of a template come in ascending order. `args` is a
  // serialized TaskArgs, or empty. The objects that edges name must have been made by earlier
  // tasks.
  struct Task {
    uint32_t template_index = 0, row = 0;
    uint32_t body = 0, shape = 0, option = 0;
    uint32_t output_count = 0;
    std::span<const Edge> edges;
    std::string_view args;
  };
  void AddTask(const Task& task);
  void Want(Ordinal object);

  Ordinal next_task() const { return static_cast<Ordinal>(counts_.tasks); }
  Ordinal next_object() const { return static_cast<Ordinal>(counts_.objects); }

  // Ends the graph: one zstd-compressed GraphBatch a frame, in order. Errors: something was over a
  // limit, said in words; the writer is used up either way.
  absl::StatusOr<std::vector<std::string>> Finish();
  const GraphCounts& counts() const { return counts_; }

 private:
  template <typename Message>
  uint32_t Intern(const Message& message, absl::flat_hash_map<std::string, uint32_t>& table,
                  Message* (v1::GraphBatch::*add)(), std::string_view what);
  void Reserve(uint64_t bytes,
               std::string_view what);  // flushes when the batch would grow over its limit
  void Flush();
  void Fail(std::string what);

  absl::Status status_;
  std::unique_ptr<v1::GraphBatch> batch_;
  uint64_t batch_bytes_ = 0;  // at most what the batch takes when serialized
  uint32_t batch_tasks_ = 0;
  bool slots_needed_ = false;  // an edge of this batch does not fill the slot of its own number
  bool parts_needed_ = false;
  absl::flat_hash_map<std::string, uint32_t> bodies_, shapes_, options_;
  absl::flat_hash_map<std::pair<uint64_t, uint32_t>, uint32_t> collections_;
  absl::flat_hash_map<std::string, uint32_t> datasets_;
  absl::flat_hash_map<ObjectId, uint32_t> foreign_;
  uint32_t next_collection_ = 0;
  std::vector<Ordinal> wants_;
  std::vector<std::string> frames_;
  GraphCounts counts_;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_BATCH_WRITER_H_
