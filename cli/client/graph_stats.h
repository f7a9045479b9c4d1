// The size and form of a graph, from its batches.
#ifndef TASKD_CLI_CLIENT_GRAPH_STATS_H_
#define TASKD_CLI_CLIENT_GRAPH_STATS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace taskd::v1 {
class GraphBatch;
}

namespace taskd::client {

struct TemplateStats {
  std::string name;
  uint64_t tasks = 0, objects = 0;
  uint64_t edges = 0;                     // records: a whole axis is one
  uint64_t inputs = 0;                    // objects read: a whole axis counts each
  uint32_t level_min = 0, level_max = 0;  // longest way from a task without inputs
};

struct GraphStats {
  uint64_t batches = 0, tasks = 0, objects = 0, edges = 0, inputs = 0, collections = 0, wants = 0;
  uint64_t depth = 0;  // tasks on the longest path
  uint64_t width = 0;  // most tasks on one level: an upper hint for how many workers help
  std::vector<TemplateStats> templates;
};

// O(tasks + edges + members of collections): all-to-all costs M + N.
class StatsMaker {
 public:
  // The next batch. Refuses columns of a wrong length, indices that do not exist, and inputs that
  // no earlier task makes.
  absl::Status AddBatch(const v1::GraphBatch& batch);
  GraphStats Take();

 private:
  struct Collection {
    uint32_t first = 0, count = 0, stride = 1;
    uint32_t level = 0;  // 1 + that of its deepest producer; 0: not looked at yet
  };
  absl::Status CheckColumns(const v1::GraphBatch& batch, uint64_t tasks) const;
  // The level of a task that reads `source`; 0 when it does not exist yet.
  uint32_t LevelAfter(uint32_t source, uint64_t& inputs);

  GraphStats stats_;
  std::vector<Collection> collections_;
  std::vector<uint32_t> outputs_of_body_;
  uint64_t shapes_ = 0, options_ = 0;
  std::vector<uint32_t> object_level_;
  std::vector<uint64_t> tasks_at_level_;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_GRAPH_STATS_H_
