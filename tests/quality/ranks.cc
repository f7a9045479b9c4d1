#include "tests/quality/ranks.h"

#include <algorithm>
#include <cstdint>
#include <vector>

namespace taskd::quality {

namespace {
constexpr uint64_t kUnknownNs = 1'000'000'000;
}

void GiveRanks(scheduler::Batch& batch) {
  std::vector<uint32_t> producer;
  for (uint32_t t = 0; t < batch.tasks.size(); ++t)
    producer.insert(producer.end(), batch.tasks[t].output_count, t);
  std::vector<uint64_t> tail(batch.tasks.size());
  size_t edge = batch.edges.size();
  for (uint32_t t = static_cast<uint32_t>(batch.tasks.size()); t-- > 0;) {
    uint64_t expect = batch.options[batch.tasks[t].option].expect_ns;
    tail[t] += expect == 0 ? kUnknownNs : expect;
    for (uint32_t i = 0; i < batch.tasks[t].edge_count; ++i) {
      uint64_t& source = tail[producer[batch.edges[--edge].source]];
      source = std::max(source, tail[t]);
    }
  }
  std::vector<uint32_t> order(batch.tasks.size());
  for (uint32_t t = 0; t < order.size(); ++t) order[t] = t;
  std::stable_sort(order.begin(), order.end(),
                   [&](uint32_t a, uint32_t b) { return tail[a] > tail[b]; });
  for (uint32_t i = 0; i < order.size(); ++i) {
    batch.tasks[order[i]].rank = i;
    batch.tasks[order[i]].tail = static_cast<uint32_t>(tail[order[i]] / 1'000'000);
  }
}

}  // namespace taskd::quality
