#include "tests/quality/order_cluster.h"

#include "common/base/hash.h"

namespace taskd::quality {

namespace {

constexpr uint64_t kLeastNs = 500'000'000, kSpreadNs = 1'000'000'000;

Graph Timed(const DaskGraph& dask) {
  Graph graph{dask.name, {}};
  auto input = dask.graph.input.begin();
  for (uint32_t t = 0; t < dask.graph.task_count(); ++t) {
    GraphTask& task = graph.tasks.emplace_back();
    task.duration_ns = kLeastNs + Mix64(t) % kSpreadNs;
    task.output_bytes = {kResultBytes};
    for (uint32_t i = 0; i < dask.graph.input_count[t]; ++i) task.inputs.emplace_back(*input++, 0);
  }
  return graph;
}

}  // namespace

ClusterRun RunOnCluster(const DaskGraph& dask, const Setting& setting, bool by_dask) {
  const Graph graph = Timed(dask);
  JobSpec job{.graph = &graph, .hints = false, .keep_results = true};
  if (by_dask) job.ranks = &dask.dask_rank;
  const Result result = Cluster(setting, {job}).Run();
  return {result.peak, static_cast<double>(result.makespan_ns[0]) / 1e9, result.error};
}

}  // namespace taskd::quality
