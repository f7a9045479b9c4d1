// What the scheduler core makes of stores that are too small for a graph: the same runs with budgets
// that it is told of, and with budgets that are only counted.
#ifndef TASKD_TESTS_QUALITY_ORDER_MEMORY_H_
#define TASKD_TESTS_QUALITY_ORDER_MEMORY_H_

#include <ostream>
#include <vector>

#include "tests/quality/order_cluster.h"

namespace taskd::quality {

// Each worker's budget is `share` of the most that any worker held without one, by our ranks.
struct MemoryRow {
  std::string graph, size;
  RanksOf ranks = RanksOf::kOurs;
  double share = 0;
  uint64_t budget_bytes = 0;
  Result untold, told;
};

std::vector<MemoryRow> CompareMemory(const DaskGraph& graph, const Setting& setting, double share);

void PrintMemory(const std::vector<MemoryRow>& rows, std::ostream& out);
// A list.
void WriteMemoryJson(const std::vector<MemoryRow>& rows, std::ostream& out);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_ORDER_MEMORY_H_
