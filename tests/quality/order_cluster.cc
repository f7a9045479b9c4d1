#include "tests/quality/order_cluster.h"

#include <algorithm>
#include <numeric>

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

std::vector<uint32_t> LevelRanks(const Graph& graph) {
  std::vector<uint32_t> level(graph.tasks.size()), order(level.size()), rank(level.size());
  for (size_t t = 0; t < level.size(); ++t) {
    for (auto [source, output] : graph.tasks[t].inputs)
      level[t] = std::max(level[t], level[source] + 1);
  }
  std::iota(order.begin(), order.end(), 0u);
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return level[a] < level[b]; });
  for (uint32_t i = 0; i < order.size(); ++i) rank[order[i]] = i;
  return rank;
}

}  // namespace

Result RunOnCluster(const DaskGraph& dask, const Setting& setting, RanksOf ranks,
                    StoreBudget store) {
  const Graph graph = Timed(dask);
  const std::vector<uint32_t> levels = LevelRanks(graph);
  JobSpec job{.graph = &graph, .hints = false, .keep_results = true};
  if (ranks == RanksOf::kDask) job.ranks = &dask.dask_rank;
  if (ranks == RanksOf::kLevels) job.ranks = &levels;
  return Cluster(setting, {job}, store).Run();
}

}  // namespace taskd::quality
