// The graphs that the core benchmarks run, made batch by batch so that a graph of ten million tasks
// never stands in memory twice.
#ifndef TASKD_TESTS_BENCH_CORE_GRAPHS_H_
#define TASKD_TESTS_BENCH_CORE_GRAPHS_H_

#include <cstdint>
#include <optional>
#include <string_view>

#include "scheduler/core/events.h"

namespace taskd::bench {

enum class Pattern : uint8_t {
  kIndependent,  // no inputs
  kTree,         // half are leaves, the others read two each, down to one
  kStencil,      // rows of 1,000; a task reads three neighbours of the row before
  kAllToAll,     // rows of 100; a task reads the whole row before, as one collection
};

inline constexpr Pattern kPatterns[] = {Pattern::kIndependent, Pattern::kTree, Pattern::kStencil,
                                        Pattern::kAllToAll};
std::string_view Name(Pattern pattern);
std::optional<Pattern> FindPattern(std::string_view name);

// Tasks of one pattern in order, every one with one output, one cpu and its ordinal as its rank.
class GraphSource {
 public:
  GraphSource(Pattern pattern, uint32_t tasks) : pattern_(pattern), tasks_(tasks) {}

  uint32_t tasks() const { return tasks_; }
  bool done() const { return next_ == tasks_; }
  uint32_t batches() const { return batches_; }  // made so far
  // At most limits::kTasksPerBatch tasks. Only when not done.
  scheduler::Batch Next();

 private:
  void AddTask(scheduler::Batch& batch);

  Pattern pattern_;
  uint32_t tasks_;
  uint32_t next_ = 0;
  uint32_t batches_ = 0;
};

}  // namespace taskd::bench

#endif  // TASKD_TESTS_BENCH_CORE_GRAPHS_H_
