// The same facts as scheduler/order computes, the slow and obvious way.
#ifndef TASKD_TESTS_UNIT_ORDER_ORACLE_H_
#define TASKD_TESTS_UNIT_ORDER_ORACLE_H_

#include <algorithm>
#include <cstdint>
#include <set>
#include <vector>

#include "scheduler/order/graph.h"

namespace taskd::order {

// Objects that each task reads, collections written out.
inline std::vector<std::set<uint32_t>> ReadsOf(const Graph& graph) {
  std::vector<std::set<uint32_t>> reads;
  size_t at = 0;
  for (uint32_t t = 0; t < graph.task_count(); ++t) {
    std::set<uint32_t>& mine = reads.emplace_back();
    for (uint32_t i = 0; i < graph.input_count[t]; ++i, ++at) {
      if (!(graph.input[at] & kCollectionBit)) {
        mine.insert(graph.input[at]);
        continue;
      }
      const Collection& c = graph.collections[graph.input[at] & ~kCollectionBit];
      for (uint32_t k = 0; k < c.count; ++k) mine.insert(c.first + k * c.stride);
    }
  }
  return reads;
}

inline std::vector<uint32_t> ProducersOf(const Graph& graph) {
  std::vector<uint32_t> producers;
  for (uint32_t t = 0; t < graph.task_count(); ++t)
    producers.insert(producers.end(), graph.output_count[t], t);
  return producers;
}

// Whether `rank` numbers the tasks 0, 1, 2 ... with inputs before their readers.
inline bool IsTopological(const Graph& graph, const std::vector<uint32_t>& rank) {
  std::vector<bool> seen(rank.size(), false);
  for (uint32_t r : rank) {
    if (r >= rank.size() || seen[r]) return false;
    seen[r] = true;
  }
  auto reads = ReadsOf(graph);
  auto producers = ProducersOf(graph);
  for (uint32_t t = 0; t < rank.size(); ++t) {
    for (uint32_t object : reads[t]) {
      if (rank[producers[object]] >= rank[t]) return false;
    }
  }
  return rank.size() == graph.task_count();
}

// Most results live at once; every step looks at every object.
inline uint64_t NaivePeak(const Graph& graph, const std::vector<uint32_t>& rank) {
  auto reads = ReadsOf(graph);
  auto producers = ProducersOf(graph);
  std::vector<uint32_t> end(producers.size(), 0);  // rank after which an object is gone
  for (uint32_t t = 0; t < rank.size(); ++t) {
    for (uint32_t object : reads[t]) end[object] = std::max(end[object], rank[t] + 1);
  }
  for (uint32_t object = 0; object < end.size(); ++object) {
    if (graph.wants.empty() && end[object] == 0) end[object] = ~0u;
    if (end[object] == 0) end[object] = rank[producers[object]] + 1;
  }
  for (uint32_t object : graph.wants) end[object] = ~0u;
  uint64_t peak = 0;
  for (uint32_t now = 0; now < rank.size(); ++now) {
    uint64_t live = 0;
    for (uint32_t object = 0; object < end.size(); ++object)
      live += rank[producers[object]] <= now && now < end[object];
    peak = std::max(peak, live);
  }
  return peak;
}

// The best peak over all orders of a small graph with at most 20 tasks.
inline uint64_t BestPeak(const Graph& graph) {
  auto reads = ReadsOf(graph);
  auto producers = ProducersOf(graph);
  const uint32_t tasks = graph.task_count();
  auto live_after = [&](uint32_t ran, uint32_t reading) {
    uint64_t live = 0;
    for (uint32_t object = 0; object < producers.size(); ++object) {
      if (!(ran >> producers[object] & 1)) continue;
      bool read = false, needed = reading != ~0u && reads[reading].contains(object);
      for (uint32_t t = 0; t < tasks; ++t) {
        read |= reads[t].contains(object);
        needed |= !(ran >> t & 1) && reads[t].contains(object);
      }
      live += needed || !read;
    }
    return live;
  };
  std::vector<uint64_t> best(size_t{1} << tasks, ~uint64_t{0});
  best[0] = 0;
  for (uint32_t ran = 0; ran + 1 < best.size(); ++ran) {
    if (best[ran] == ~uint64_t{0}) continue;
    for (uint32_t t = 0; t < tasks; ++t) {
      if (ran >> t & 1) continue;
      bool ready = std::all_of(reads[t].begin(), reads[t].end(),
                               [&](uint32_t o) { return ran >> producers[o] & 1; });
      if (!ready) continue;
      uint32_t next = ran | 1u << t;
      best[next] = std::min(best[next], std::max(best[ran], live_after(next, t)));
    }
  }
  return best.back();
}

}  // namespace taskd::order

#endif  // TASKD_TESTS_UNIT_ORDER_ORACLE_H_
