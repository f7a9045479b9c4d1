#include "tests/bench/core/graphs.h"

#include <algorithm>

#include "common/base/limits.h"

namespace taskd::bench {

namespace {
constexpr uint32_t kStencilWidth = 1000;
constexpr uint32_t kAllToAllWidth = 100;
}  // namespace

std::string_view Name(Pattern pattern) {
  switch (pattern) {
    case Pattern::kIndependent:
      return "independent";
    case Pattern::kTree:
      return "tree";
    case Pattern::kStencil:
      return "stencil";
    case Pattern::kAllToAll:
      return "all_to_all";
  }
  return "";
}

std::optional<Pattern> FindPattern(std::string_view name) {
  for (Pattern pattern : kPatterns) {
    if (Name(pattern) == name) return pattern;
  }
  return std::nullopt;
}

void GraphSource::AddTask(scheduler::Batch& batch) {
  uint32_t t = next_++;
  scheduler::Batch::Task task{.rank = t, .output_count = 1};
  auto read = [&](uint32_t source) {
    batch.edges.push_back({.source = source, .slot = task.edge_count++});
  };
  if (pattern_ == Pattern::kTree) {
    uint32_t leaves = tasks_ / 2 + 1;
    if (t >= leaves) {
      read(2 * (t - leaves));
      read(2 * (t - leaves) + 1);
    }
  } else if (pattern_ == Pattern::kStencil && t >= kStencilWidth) {
    uint32_t column = t % kStencilWidth;
    uint32_t above = t - column - kStencilWidth;
    read(above + (column + kStencilWidth - 1) % kStencilWidth);
    read(above + column);
    read(above + (column + 1) % kStencilWidth);
  } else if (pattern_ == Pattern::kAllToAll) {
    uint32_t row = t / kAllToAllWidth;
    if (row > 0) read((row - 1) | scheduler::kCollectionBit);
    if ((t + 1) % kAllToAllWidth == 0)
      batch.collections.push_back(
          {.first = t + 1 - kAllToAllWidth, .count = kAllToAllWidth, .stride = 1});
  }
  batch.tasks.push_back(task);
}

scheduler::Batch GraphSource::Next() {
  scheduler::Batch batch;
  if (batches_++ == 0) {
    batch.shapes.push_back(scheduler::Batch::Shape::Of({.cpus_milli = 1000}));
    batch.options.emplace_back();
  }
  uint32_t size = std::min(limits::kTasksPerBatch, tasks_ - next_);
  batch.tasks.reserve(size);
  for (uint32_t i = 0; i < size; ++i) AddTask(batch);
  return batch;
}

}  // namespace taskd::bench
