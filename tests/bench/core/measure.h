// What the core benchmarks measure, a function each.
#ifndef TASKD_TESTS_BENCH_CORE_MEASURE_H_
#define TASKD_TESTS_BENCH_CORE_MEASURE_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/core/cluster.h"
#include "tests/bench/core/graphs.h"

namespace taskd::bench {

struct RunFigures {
  uint64_t submit_ns = 0;  // batches taken and their tasks started, before any report of a worker
  uint64_t run_ns = 0;     // from the first report to everything freed
  uint64_t inputs = 0;     // input objects of all assignments
  uint64_t steps = 0;
  uint64_t peak_rss_bytes = 0;        // of the process so far
  uint64_t submitted_heap_bytes = 0;  // allocated by the core after submission
};
// A graph from its submission to its last object freed.
RunFigures Run(Pattern pattern, uint32_t tasks, const ClusterOptions& options);

// One worker of many is lost: what each stage of it costs.
struct LossFigures {
  uint64_t objects = 0, attempts = 0;  // of the lost worker
  uint64_t closed_ns = 0;              // its connection broke: its objects are away
  uint64_t rerun_ns = 0;               // rerun_after: its attempts go elsewhere
  uint64_t forget_ns = 0;              // forget_after: its objects are lost, and made again
};
LossFigures LoseWorker(uint32_t workers, uint32_t objects_per_worker);

// Loaded workers, then idle ones: look-ahead is taken back and given to those.
struct RetractFigures {
  uint64_t retracts = 0;
  uint64_t core_ns = 0;
};
RetractFigures Retract(uint32_t loaded, uint32_t joining);

// A page of tasks that wait in queues, as a client lists them.
struct ListFigures {
  uint64_t tasks = 0;
  uint64_t core_ns = 0;
};
ListFigures ListReady(uint32_t workers, uint64_t store_bytes);

// Bytes that the core allocates for one more of something, by the allocator's own count.
struct SizeFigure {
  std::string what;
  int64_t milli_bytes = 0;  // thousandths: an average
  std::optional<uint32_t> budget_bytes;
};
std::vector<SizeFigure> MeasureSizes(uint32_t tasks);

}  // namespace taskd::bench

#endif  // TASKD_TESTS_BENCH_CORE_MEASURE_H_
