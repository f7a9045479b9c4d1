// Graphs for the tests of scheduler/order.
#ifndef TASKD_TESTS_UNIT_ORDER_GRAPHS_H_
#define TASKD_TESTS_UNIT_ORDER_GRAPHS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/order/graph.h"

namespace taskd::order {

// Adds tasks one by one. Each has one output unless said otherwise, so object t is task t's.
class GraphMaker {
 public:
  uint32_t Task(const std::vector<uint32_t>& inputs, uint16_t outputs = 1) {
    graph.output_count.push_back(outputs);
    graph.input_count.push_back(static_cast<uint16_t>(inputs.size()));
    graph.input.insert(graph.input.end(), inputs.begin(), inputs.end());
    return graph.task_count() - 1;
  }
  uint32_t Collect(uint32_t first, uint32_t count, uint32_t stride = 1) {
    graph.collections.push_back({first, count, stride});
    return static_cast<uint32_t>(graph.collections.size() - 1) | kCollectionBit;
  }
  // For the last task.
  void Expect(uint64_t ns, uint64_t bytes) {
    if (graph.hints.empty()) graph.hints.push_back({});
    graph.hint.resize(graph.task_count(), 0);
    graph.hint.back() = static_cast<uint16_t>(graph.hints.size());
    graph.hints.push_back({ns, bytes});
  }
  Graph graph;
};

inline Graph Independent(uint32_t tasks) {
  GraphMaker m;
  for (uint32_t i = 0; i < tasks; ++i) m.Task({});
  return m.graph;
}

inline Graph Chain(uint32_t tasks) {
  GraphMaker m;
  m.Task({});
  for (uint32_t i = 1; i < tasks; ++i) m.Task({i - 1});
  return m.graph;
}

// Each diamond is a top, two sides and the next top: 2^n paths.
inline Graph Diamonds(uint32_t count) {
  GraphMaker m;
  uint32_t top = m.Task({});
  for (uint32_t i = 0; i < count; ++i) {
    uint32_t left = m.Task({top}), right = m.Task({top});
    top = m.Task({left, right});
  }
  return m.graph;
}

inline Graph Tree(uint32_t leaves, uint32_t arity) {
  GraphMaker m;
  std::vector<uint32_t> level;
  for (uint32_t i = 0; i < leaves; ++i) level.push_back(m.Task({}));
  while (level.size() > 1) {
    std::vector<uint32_t> next;
    for (size_t i = 0; i < level.size(); i += arity) {
      next.push_back(
          m.Task({level.begin() + static_cast<ptrdiff_t>(i),
                  level.begin() + static_cast<ptrdiff_t>(std::min(level.size(), i + arity))}));
    }
    level = next;
  }
  return m.graph;
}

// Sum of all of (A - its columns' means) B, of side x side blocks: products, sums along `side` of them,
// then sums of two by two blocks at a time.
inline Graph ProductSum(uint32_t side) {
  GraphMaker m;
  std::vector<uint32_t> a, b, means;
  for (uint32_t i = 0; i < side * side; ++i) a.push_back(m.Task({}));
  for (uint32_t i = 0; i < side * side; ++i) b.push_back(m.Task({}));
  for (uint32_t k = 0; k < side; ++k) {
    std::vector<uint32_t> column;
    for (uint32_t i = 0; i < side; ++i) column.push_back(a[i * side + k]);
    means.push_back(m.Task(column));
  }
  std::vector<uint32_t> sums;
  for (uint32_t i = 0; i < side; ++i) {
    for (uint32_t j = 0; j < side; ++j) {
      std::vector<uint32_t> products;
      for (uint32_t k = 0; k < side; ++k)
        products.push_back(m.Task({a[i * side + k], means[k], b[k * side + j]}));
      sums.push_back(m.Task(products));
    }
  }
  for (; side > 1; side = (side + 1) / 2) {
    std::vector<uint32_t> blocks;
    for (uint32_t i = 0; i < side; i += 2) {
      for (uint32_t j = 0; j < side; j += 2) {
        std::vector<uint32_t> block;
        for (uint32_t row = i; row < std::min(side, i + 2); ++row) {
          for (uint32_t column = j; column < std::min(side, j + 2); ++column)
            block.push_back(sums[row * side + column]);
        }
        blocks.push_back(m.Task(block));
      }
    }
    sums = blocks;
  }
  return m.graph;
}

// Each task of a step reads its neighbours of the step before.
inline Graph Stencil(uint32_t width, uint32_t steps) {
  GraphMaker m;
  for (uint32_t i = 0; i < width; ++i) m.Task({});
  for (uint32_t s = 1; s < steps; ++s) {
    for (uint32_t i = 0; i < width; ++i) {
      uint32_t at = (s - 1) * width + i;
      std::vector<uint32_t> inputs = {at};
      if (i > 0) inputs.push_back(at - 1);
      if (i + 1 < width) inputs.push_back(at + 1);
      m.Task(inputs);
    }
  }
  return m.graph;
}

// Rounds of tasks, each of which reads all results of the round before, as one collection.
inline Graph AllToAll(uint32_t width, uint32_t rounds) {
  GraphMaker m;
  for (uint32_t i = 0; i < width; ++i) m.Task({});
  for (uint32_t r = 1; r < rounds; ++r) {
    uint32_t all = m.Collect((r - 1) * width, width);
    for (uint32_t i = 0; i < width; ++i) m.Task({all});
  }
  return m.graph;
}

// Every task reads up to `inputs` objects of up to `reach` tasks before, some a collection.
inline Graph Random(Prng& random, uint32_t tasks, uint32_t inputs, uint32_t reach,
                    bool collections = true) {
  GraphMaker m;
  std::vector<uint32_t> objects;  // first object of each task, and one more
  objects.push_back(0);
  for (uint32_t t = 0; t < tasks; ++t) {
    std::vector<uint32_t> reads;
    uint32_t low = objects[t > reach ? t - reach : 0], span = objects[t] - low;
    for (uint64_t i = 0, n = random.Below(inputs + 1); i < n && span > 0; ++i) {
      uint32_t first = low + static_cast<uint32_t>(random.Below(span));
      if (!collections || random.Below(4) > 0) {
        reads.push_back(first);
        continue;
      }
      uint32_t stride = 1 + static_cast<uint32_t>(random.Below(3));
      reads.push_back(m.Collect(first, 1 + (objects[t] - 1 - first) / stride, stride));
    }
    uint16_t outputs = static_cast<uint16_t>(random.Below(10) < 8 ? 1 : random.Below(4));
    m.Task(reads, outputs);
    objects.push_back(objects.back() + outputs);
    if (random.Below(3) == 0)
      m.Expect(random.Below(2) * 1'000'000 * random.Below(5000), random.Below(3000));
  }
  m.graph.hint.resize(m.graph.hints.empty() ? 0 : tasks, 0);
  return m.graph;
}

}  // namespace taskd::order

#endif  // TASKD_TESTS_UNIT_ORDER_GRAPHS_H_
