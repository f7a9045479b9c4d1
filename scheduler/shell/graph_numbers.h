// One of several graphs that become one job. Each counts its tables and objects from 0 on, and its batches come between
// those of others; this says what its rows are in the job.
#ifndef TASKD_SCHEDULER_SHELL_GRAPH_NUMBERS_H_
#define TASKD_SCHEDULER_SHELL_GRAPH_NUMBERS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "scheduler/shell/graph_check.h"

namespace taskd::v1 {
class GraphBatch;
}

namespace taskd::scheduler {

class GraphNumbers {
 public:
  // Writes the job's numbers into the graph's next batch. `before`: what the job has. `job`: its id; what the batch
  // reads by that name is of the job, with the job's numbers. InvalidArgument: a range of objects that do not lie side by
  // side in the job. Numbers of nothing stay numbers of nothing.
  absl::Status Renumber(const GraphTables::Rows& before, JobId job, v1::GraphBatch& batch);
  // That batch is in the job now, which has so much.
  void Commit(const GraphTables::Rows& before, const GraphTables::Rows& after);

 private:
  enum Table { kBodies, kShapes, kOptions, kTemplates, kCollections, kObjects, kTables };
  using Counts = std::array<uint32_t, kTables>;
  static Counts CountsOf(const GraphTables::Rows& rows);

  struct Stretch {
    uint32_t own = 0, in_job = 0;  // of the first row
  };
  class Numbers;

  std::array<std::vector<Stretch>, kTables> stretches_;
  Counts own_ = {};  // rows of the graph
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_GRAPH_NUMBERS_H_
