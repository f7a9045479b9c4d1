// Keys of one template's tasks, derived from its axes: row number -> "sim[0.10,3]" and back.
//
// Row i is the i-th row of the axes' cross product, last axis fastest, excluded rows left out.
#ifndef TASKD_COMMON_GRAPH_TEMPLATE_NAMES_H_
#define TASKD_COMMON_GRAPH_TEMPLATE_NAMES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/graph/name_syntax.h"

namespace taskd::v1 {
class Axis;
class Template;
}  // namespace taskd::v1

namespace taskd::graph {

uint32_t AxisSize(const v1::Axis& axis);
std::string AxisValue(const v1::Axis& axis, uint32_t i);  // i < AxisSize
// The position of `value` in the axis, or -1.
int64_t FindAxisValue(const v1::Axis& axis, std::string_view value);

// first, first + stride, ...: rows of a template, tasks of a job, or objects of a job.
struct Run {
  uint32_t first = 0;
  uint32_t count = 0;
  uint32_t stride = 1;
  bool operator==(const Run&) const = default;
};
// Adds `next` at the end, as a part of the last run where it continues its progression.
void AppendToRuns(std::vector<Run>& runs, uint32_t next);

// Immutable, so any number of threads may read it.
class TemplateNames {
 public:
  // Refuses a template whose task_count is not that of its axes, or whose tables are out of range.
  static absl::StatusOr<TemplateNames> Create(const v1::Template& definition);
  ~TemplateNames();
  TemplateNames(TemplateNames&&) noexcept;
  TemplateNames& operator=(TemplateNames&&) noexcept;

  const std::string& name() const;
  uint32_t task_count() const { return task_count_; }
  uint32_t axis_count() const { return static_cast<uint32_t>(sizes_.size()); }
  const v1::Axis& axis(uint32_t i) const;
  uint32_t axis_size(uint32_t i) const { return sizes_[i]; }

  // "map[3]"; "top" for a template of one task without axes. A template without axes and several
  // tasks has its keys in the batches: here its rows are numbered, name[0], name[1] ...
  std::string Key(uint32_t row) const;
  // The position of row `row` on axis `axis`.
  uint32_t Position(uint32_t row, uint32_t axis) const;

  // The rows that `selectors` name, ascending, as few runs as the axes allow; none selects every
  // row. Errors name the value that the axis does not have (and the nearest one) or the number of
  // axes.
  absl::StatusOr<std::vector<Run>> Match(const std::vector<Selector>& selectors) const;
  // The same for positions on the axes: half-open, one interval an axis, not empty, within the
  // axis.
  struct Interval {
    uint32_t lo = 0, hi = 0;
  };
  std::vector<Run> MatchIntervals(const std::vector<Interval>& intervals) const;
  // The positions that one selector names on one axis; the errors of Match.
  absl::StatusOr<Interval> MatchAxis(uint32_t axis, const Selector& selector) const;

 private:
  TemplateNames() = default;
  uint64_t FullRow(uint32_t row) const;    // number in the product without exclusions
  int64_t RowOf(uint64_t full_row) const;  // -1: excluded

  std::unique_ptr<v1::Template> definition_;
  std::vector<uint32_t> sizes_;
  std::vector<uint64_t> strides_;  // of each axis in the full product
  uint32_t task_count_ = 0;
};

}  // namespace taskd::graph

#endif  // TASKD_COMMON_GRAPH_TEMPLATE_NAMES_H_
