#include "cli/client/graph_stats.h"

#include <algorithm>

#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {
namespace {

constexpr uint32_t kCollectionBit = 0x80000000u;

template <typename Column>
uint32_t At(const Column& column, uint64_t i) {
  if (column.size() == 0) return 0;
  return column.Get(column.size() == 1 ? 0 : static_cast<int>(i));
}

absl::Status Bad(const v1::GraphBatch& batch, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("batch ", batch.number(), ": ", what));
}

}  // namespace

absl::Status StatsMaker::CheckColumns(const v1::GraphBatch& batch, uint64_t tasks) const {
  auto fits = [](const auto& column, uint64_t n) {
    auto size = static_cast<uint64_t>(column.size());
    return size <= 1 || size == n;
  };
  if (!fits(batch.body(), tasks) || !fits(batch.shape(), tasks) || !fits(batch.option(), tasks) ||
      !fits(batch.rank(), tasks) || !fits(batch.tail(), tasks) ||
      !fits(batch.input_count(), tasks) || !fits(batch.args_size(), tasks)) {
    return Bad(batch, "a column has a wrong length");
  }
  uint64_t edges = 0;
  for (uint64_t i = 0; i < tasks; ++i) {
    if (At(batch.body(), i) >= outputs_of_body_.size() || At(batch.shape(), i) >= shapes_ ||
        At(batch.option(), i) >= options_) {
      return Bad(batch, "a task names a body, shape or option that does not exist");
    }
    edges += At(batch.input_count(), i);
  }
  auto whole = [&](const auto& column) {
    return column.empty() || static_cast<uint64_t>(column.size()) == edges;
  };
  if (static_cast<uint64_t>(batch.input_source_size()) != edges || !whole(batch.input_part_lo()) ||
      !whole(batch.input_part_hi()) || !whole(batch.input_slot())) {
    return Bad(batch, "a column of inputs has a wrong length");
  }
  return absl::OkStatus();
}

uint32_t StatsMaker::LevelAfter(uint32_t source, uint64_t& inputs) {
  if ((source & kCollectionBit) == 0) {
    ++inputs;
    return source < object_level_.size() ? object_level_[source] + 1 : 0;
  }
  uint32_t index = source & ~kCollectionBit;
  if (index >= collections_.size()) return 0;
  Collection& c = collections_[index];
  inputs += c.count;
  if (c.level > 0) return c.level;
  uint64_t last = c.first + uint64_t{c.count - 1} * c.stride;
  if (c.count == 0 || last >= object_level_.size()) return 0;
  for (uint32_t i = 0; i < c.count; ++i)
    c.level = std::max(c.level, object_level_[c.first + i * c.stride] + 1);
  return c.level;
}

absl::Status StatsMaker::AddBatch(const v1::GraphBatch& batch) {
  for (const v1::Body& body : batch.bodies())
    outputs_of_body_.push_back(static_cast<uint32_t>(body.outputs_size()));
  shapes_ += static_cast<uint64_t>(batch.shapes_size());
  options_ += static_cast<uint64_t>(batch.options_size());
  for (const v1::Collection& c : batch.collections()) {
    const bool foreign = c.job() != 0 || !c.dataset().empty();  // made before any of these tasks
    collections_.push_back({c.first(), foreign ? 0 : c.count(), c.stride(), foreign ? 1u : 0u});
  }
  for (const v1::Template& t : batch.templates()) stats_.templates.emplace_back().name = t.name();
  uint64_t tasks = 0;
  for (const v1::TaskRun& run : batch.runs()) tasks += run.count();
  if (auto s = CheckColumns(batch, tasks); !s.ok()) return s;

  uint64_t i = 0, edge = 0;
  for (const v1::TaskRun& run : batch.runs()) {
    if (run.template_index() >= stats_.templates.size())
      return Bad(batch, "a run names a template that does not exist");
    TemplateStats& t = stats_.templates[run.template_index()];
    for (uint32_t n = 0; n < run.count(); ++n, ++i) {
      uint32_t level = 0, edges = At(batch.input_count(), i);
      for (uint32_t e = 0; e < edges; ++e, ++edge) {
        uint32_t after = LevelAfter(batch.input_source(static_cast<int>(edge)), t.inputs);
        if (after == 0)
          return Bad(batch, StrCat("task ", stats_.tasks + i,
                                   " reads an object that no earlier task makes"));
        level = std::max(level, after);
      }
      uint32_t outputs = outputs_of_body_[At(batch.body(), i)];
      object_level_.insert(object_level_.end(), outputs, level);
      if (level >= tasks_at_level_.size()) tasks_at_level_.resize(level + 1);
      ++tasks_at_level_[level];
      t.level_min = t.tasks == 0 ? level : std::min(t.level_min, level);
      t.level_max = std::max(t.level_max, level);
      ++t.tasks;
      t.objects += outputs;
      t.edges += edges;
    }
  }
  ++stats_.batches;
  stats_.tasks += tasks;
  stats_.collections += static_cast<uint64_t>(batch.collections_size());
  stats_.wants += static_cast<uint64_t>(batch.want_size());
  return absl::OkStatus();
}

GraphStats StatsMaker::Take() {
  stats_.objects = object_level_.size();
  for (const TemplateStats& t : stats_.templates) {
    stats_.edges += t.edges;
    stats_.inputs += t.inputs;
  }
  stats_.depth = tasks_at_level_.size();
  for (uint64_t tasks : tasks_at_level_) stats_.width = std::max(stats_.width, tasks);
  return std::move(stats_);
}

}  // namespace taskd::client
