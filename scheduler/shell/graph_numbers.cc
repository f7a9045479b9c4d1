#include "scheduler/shell/graph_numbers.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kNothing = ~kCollectionBit;  // no table has so many rows
}

GraphNumbers::Counts GraphNumbers::CountsOf(const GraphTables::Rows& rows) {
  return {rows.bodies, rows.shapes, rows.options, rows.templates, rows.collections, rows.objects};
}

// As they are once the batch is in the job: what it brings lies behind all that there is.
class GraphNumbers::Numbers {
 public:
  Numbers(const GraphNumbers& of, const Counts& before) : of_(of), before_(before) {}

  uint32_t InJob(Table table, uint32_t own) const {
    uint64_t number = 0;
    if (own >= of_.own_[table]) {
      number = uint64_t{before_[table]} + (own - of_.own_[table]);
    } else {
      const Stretch& stretch = Of(table, own);
      number = uint64_t{stretch.in_job} + (own - stretch.own);
    }
    return static_cast<uint32_t>(std::min<uint64_t>(number, kNothing));
  }

  bool SideBySide(Table table, uint32_t first, uint64_t last) const {
    return last <= kNothing && InJob(table, static_cast<uint32_t>(last)) - InJob(table, first) ==
                                   static_cast<uint32_t>(last) - first;
  }

 private:
  const Stretch& Of(Table table, uint32_t own) const {
    const std::vector<Stretch>& all = of_.stretches_[table];
    auto after = std::upper_bound(all.begin(), all.end(), own,
                                  [](uint32_t n, const Stretch& s) { return n < s.own; });
    return *std::prev(after);
  }

  const GraphNumbers& of_;
  const Counts& before_;
};

absl::Status GraphNumbers::Renumber(const GraphTables::Rows& before, JobId job,
                                    v1::GraphBatch& batch) {
  const Counts counts = CountsOf(before);
  const Numbers numbers(*this, counts);
  const auto column = [&](Table table, auto* values) {
    // An empty one names row 0.
    if (values->empty() && numbers.InJob(table, 0) != 0) values->Add(0);
    for (uint32_t& value : *values) value = numbers.InJob(table, value);
  };
  column(kBodies, batch.mutable_body());
  column(kShapes, batch.mutable_shape());
  column(kOptions, batch.mutable_option());
  for (v1::TaskRun& run : *batch.mutable_runs())
    run.set_template_index(numbers.InJob(kTemplates, run.template_index()));
  for (v1::Collection& c : *batch.mutable_collections()) {
    if (!c.dataset().empty() || (c.job() != 0 && c.job() != job)) continue;
    if (c.job() != 0) {
      c.set_job(0);
      continue;
    }
    const uint64_t last = c.first() + uint64_t{c.stride()} * (std::max(c.count(), 1u) - 1);
    if (!numbers.SideBySide(kObjects, c.first(), last)) {
      return absl::InvalidArgumentError(
          StrCat("a collection reaches from object ", c.first(), " to ", last,
                 ", between which the task submitted something else: submit a graph as a whole, "
                 "before others"));
    }
    c.set_first(numbers.InJob(kObjects, c.first()));
  }
  for (uint32_t& source : *batch.mutable_input_source()) {
    source = source & kCollectionBit
                 ? numbers.InJob(kCollections, source & ~kCollectionBit) | kCollectionBit
                 : numbers.InJob(kObjects, source);
  }
  for (auto* objects : {batch.mutable_want(), batch.mutable_no_more_consumers()}) {
    for (uint32_t& object : *objects) object = numbers.InJob(kObjects, object);
  }
  return absl::OkStatus();
}

void GraphNumbers::Commit(const GraphTables::Rows& before, const GraphTables::Rows& after) {
  const Counts from = CountsOf(before), to = CountsOf(after);
  for (size_t table = 0; table < kTables; ++table) {
    const uint32_t added = to[table] - from[table];
    if (added == 0) continue;
    std::vector<Stretch>& all = stretches_[table];
    // It goes on where the last one ended.
    const bool more =
        !all.empty() && all.back().in_job - all.back().own == from[table] - own_[table];
    if (!more) all.push_back({own_[table], from[table]});
    own_[table] += added;
  }
}

}  // namespace taskd::scheduler
