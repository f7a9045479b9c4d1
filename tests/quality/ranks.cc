#include "tests/quality/ranks.h"

#include "scheduler/order/order.h"

namespace taskd::quality {

void GiveRanks(scheduler::Batch& batch) {
  order::Graph graph;
  bool told = false;
  for (const scheduler::Batch::Task& task : batch.tasks) {
    graph.output_count.push_back(task.output_count);
    graph.input_count.push_back(static_cast<uint16_t>(task.edge_count));
    graph.hint.push_back(task.option);
  }
  for (const scheduler::Batch::Edge& edge : batch.edges) graph.input.push_back(edge.source);
  for (const scheduler::Batch::Options& options : batch.options) {
    graph.hints.push_back({options.expect_ns, options.expect_bytes});
    told |= options.expect_ns != 0 || options.expect_bytes != 0;
  }
  if (!told) graph.hint.clear();
  order::Ranks ranks = order::Order(graph);
  for (size_t t = 0; t < batch.tasks.size(); ++t) {
    batch.tasks[t].rank = ranks.rank[t];
    batch.tasks[t].tail = ranks.tail[t];
  }
}

}  // namespace taskd::quality
