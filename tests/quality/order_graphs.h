// Graphs with the ranks that dask.order gives them, as dask_graphs.py writes them.
#ifndef TASKD_TESTS_QUALITY_ORDER_GRAPHS_H_
#define TASKD_TESTS_QUALITY_ORDER_GRAPHS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "scheduler/order/graph.h"

namespace taskd::quality {

struct DaskGraph {
  std::string name;  // "tensordot"
  std::string size;  // "8x8"
  order::Graph graph;
  std::vector<uint32_t> dask_rank;  // a task: 0, 1, 2 ...
};

// All `*.graph` files of a folder, by name and number of tasks. Errors name file and line.
absl::StatusOr<std::vector<DaskGraph>> ReadDaskGraphs(const std::string& folder);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_ORDER_GRAPHS_H_
