// Checks one GraphBatch against everything that the job has so far, and turns it into the core's
// columns. Pure: no I/O, no clock; run by intake, off the core thread (DESIGN law 2).
#ifndef TASKD_SCHEDULER_SHELL_GRAPH_CHECK_H_
#define TASKD_SCHEDULER_SHELL_GRAPH_CHECK_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "scheduler/core/events.h"
#include "scheduler/shell/job_store.h"

namespace taskd::scheduler {

// What checking needs to know about the batches before: sizes of the tables, and where each body's
// tasks lie.
class GraphTables {
 public:
  // Nothing is kept from a batch until Commit. The result is what the core gets.
  struct Checked {
    Batch batch;
    std::vector<BodyPtr> bodies;
    ArgsColumn args;
    bool ranked = false;  // the user gave ranks
  };
  // Errors name the batch and the task, and say what to change. Every index is in range afterwards,
  // and every edge names an object of an earlier task.
  absl::StatusOr<Checked> Check(v1::GraphBatch& batch);
  // Keeps what the last Check added; only after one that succeeded.
  void Commit();

  uint32_t task_count() const { return kept_.tasks; }

  // Rows of the tables, and objects.
  struct Rows {
    uint32_t bodies = 0, shapes = 0, options = 0, templates = 0, collections = 0, objects = 0;
  };
  Rows rows() const;

 private:
  friend class BatchCheck;
  // Consecutive tasks of one body; their objects are consecutive too.
  struct Span {
    Ordinal task = 0, object = 0;
    uint32_t count = 0, body = 0, output_count = 0;
  };
  struct CollectionInfo {
    Ordinal last = 0;      // the largest object
    uint32_t parts = 0;    // of its first object
    bool foreign = false;  // of another job; neither is known
  };
  struct TemplateInfo {
    std::string name;
    bool keyed = false;  // its tasks have keys in the batches
  };
  struct Sizes {
    size_t bodies = 0, templates = 0, collections = 0, spans = 0, groups = 0;
    uint32_t shapes = 0, options = 0, tasks = 0;
    uint64_t objects = 0;
    uint32_t last_span_count = 0;  // the last span may have grown
  };

  uint32_t PartsOf(Ordinal object) const;
  const Span& SpanOfObject(Ordinal object) const;
  void Rollback();

  std::vector<BodyPtr> bodies_;
  std::vector<bool> one_worker_;  // by shape: its rule names one
  std::vector<bool> puts_;        // by set of options
  std::vector<TemplateInfo> templates_;
  std::vector<CollectionInfo> collections_;
  std::vector<Span> spans_;
  absl::flat_hash_map<std::pair<uint32_t, uint32_t>, uint16_t> groups_;  // by (body, shape)
  std::vector<std::pair<uint32_t, uint32_t>> group_order_;
  Sizes now_, kept_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_GRAPH_CHECK_H_
