#include "cli/client/ranks.h"

#include <algorithm>
#include <cstdint>

#include "cli/client/tgraph.h"
#include "scheduler/order/order.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {
namespace {

template <typename Column>
uint32_t At(const Column& column, uint64_t i) {
  if (column.empty()) return 0;
  return column.Get(column.size() == 1 ? 0 : static_cast<int>(i));
}

uint64_t TasksOf(const v1::GraphBatch& batch) {
  uint64_t tasks = 0;
  for (const v1::TaskRun& run : batch.runs()) tasks += run.count();
  return tasks;
}

bool IsForeign(const v1::Collection& c) { return c.job() != 0 || !c.dataset().empty(); }

// A graph's columns, batch by batch.
class Columns {
 public:
  void Add(const v1::GraphBatch& batch) {
    for (const v1::Body& body : batch.bodies())
      outputs_.push_back(static_cast<uint16_t>(body.outputs_size()));
    for (const v1::TaskOptions& o : batch.options()) {
      graph_.hints.push_back({o.expect_ns(), o.expect_bytes()});
      hinted_ |= o.expect_ns() != 0 || o.expect_bytes() != 0;
    }
    for (const v1::Collection& c : batch.collections())
      graph_.collections.push_back({c.first(), IsForeign(c) ? 0 : c.count(), c.stride()});
    int edge = 0;
    for (uint64_t i = 0, n = TasksOf(batch); i < n; ++i) {
      graph_.output_count.push_back(outputs_.at(At(batch.body(), i)));
      const size_t before = graph_.input.size();
      for (uint32_t k = At(batch.input_count(), i); k > 0; --k)
        AddInput(batch.input_source(edge++));
      graph_.input_count.push_back(static_cast<uint16_t>(graph_.input.size() - before));
      graph_.hint.push_back(static_cast<uint16_t>(At(batch.option(), i)));
    }
    graph_.wants.insert(graph_.wants.end(), batch.want().begin(), batch.want().end());
  }

  // What other jobs make does not change the order.
  void AddInput(uint32_t source) {
    const bool foreign = (source & order::kCollectionBit) != 0 &&
                         graph_.collections[source & ~order::kCollectionBit].count == 0;
    if (!foreign) graph_.input.push_back(source);
  }

  order::Ranks Order() {
    if (!hinted_) graph_.hint.clear();
    return order::Order(graph_);
  }

 private:
  order::Graph graph_;
  std::vector<uint16_t> outputs_;  // of each body
  bool hinted_ = false;
};

}  // namespace

absl::Status GiveRanks(std::vector<std::string>& frames) {
  // Unpacked twice, so that not all batches of a large graph stand in memory at once.
  Columns columns;
  for (const std::string& frame : frames) {
    auto batch = DecompressBatch(frame);
    if (!batch.ok()) return batch.status();
    if (!(*batch)->rank().empty()) return absl::OkStatus();
    columns.Add(**batch);
  }
  const order::Ranks ranks = columns.Order();
  auto rank = ranks.rank.begin(), tail = ranks.tail.begin();
  for (std::string& frame : frames) {
    auto batch = DecompressBatch(frame);
    if (!batch.ok()) return batch.status();
    const auto tasks = static_cast<ptrdiff_t>(TasksOf(**batch));
    (*batch)->mutable_rank()->Assign(rank, rank + tasks);
    (*batch)->mutable_tail()->Assign(tail, tail + tasks);
    rank += tasks;
    tail += tasks;
    auto packed = CompressBatch(**batch);
    if (!packed.ok()) return packed.status();
    frame = *std::move(packed);
  }
  return absl::OkStatus();
}

}  // namespace taskd::client
