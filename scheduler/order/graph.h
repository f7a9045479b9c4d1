// A whole graph as columns, as much of it as ordering needs.
#ifndef TASKD_SCHEDULER_ORDER_GRAPH_H_
#define TASKD_SCHEDULER_ORDER_GRAPH_H_

#include <cstdint>
#include <vector>

namespace taskd::order {

inline constexpr uint32_t kCollectionBit = 0x80000000u;

// Objects first, first + stride, ...; count of them.
struct Collection {
  uint32_t first = 0;
  uint32_t count = 0;
  uint32_t stride = 1;
};

// What the user expects of a task. 0: not known.
struct Hint {
  uint64_t ns = 0;
  uint64_t bytes = 0;  // of all its outputs
};

// Tasks in a topological order; their outputs are objects numbered through in that order. Every
// input names an object of an earlier task, or a collection of such objects.
struct Graph {
  std::vector<uint16_t> output_count;  // a task
  std::vector<uint16_t> input_count;   // a task
  std::vector<uint32_t> input;         // of the tasks, in order: object, or collection with the bit
  std::vector<Collection> collections;
  std::vector<uint32_t> wants;  // objects that stay to the end. Empty: those that nobody reads
  std::vector<Hint> hints;      // a table, indexed by `hint`
  std::vector<uint16_t> hint;   // a task; empty: nothing is known

  uint32_t task_count() const { return static_cast<uint32_t>(output_count.size()); }
};

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_GRAPH_H_
