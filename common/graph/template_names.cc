#include "common/graph/template_names.h"

#include <algorithm>
#include <charconv>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::graph {
namespace {

constexpr size_t kSuggestValues = 1000;  // of an axis, looked at for a suggestion

}  // namespace

uint32_t AxisSize(const v1::Axis& axis) {
  return axis.values_size() > 0 ? static_cast<uint32_t>(axis.values_size()) : axis.count();
}

std::string AxisValue(const v1::Axis& axis, uint32_t i) {
  if (axis.values_size() > 0) return axis.values(static_cast<int>(i));
  return StrCat(axis.first() + axis.step() * static_cast<int64_t>(i));
}

int64_t FindAxisValue(const v1::Axis& axis, std::string_view value) {
  for (int i = 0; i < axis.values_size(); ++i) {
    if (axis.values(i) == value) return i;
  }
  if (axis.values_size() > 0 || axis.count() == 0) return -1;
  int64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return -1;
  if (StrCat(number) != value) return -1;  // "03" is not the value 3
  int64_t step = axis.step() == 0 ? 1 : axis.step();
  __int128 distance = static_cast<__int128>(number) - axis.first();
  if (distance % step != 0 || distance / step < 0 || distance / step >= axis.count()) return -1;
  return static_cast<int64_t>(distance / step);
}

void AppendToRuns(std::vector<Run>& runs, uint32_t next) {
  if (!runs.empty()) {
    Run& last = runs.back();
    if (last.count == 1 && next > last.first) {
      last.stride = next - last.first;
      ++last.count;
      return;
    }
    if (last.count > 1 && next == last.first + last.count * last.stride) {
      ++last.count;
      return;
    }
    // Two elements that are no progression with the third stand better alone: the second may begin
    // a longer one.
    if (last.count == 2 && last.stride > 1 && next > last.first + last.stride) {
      uint32_t second = last.first + last.stride;
      last = {last.first, 1, 1};
      runs.push_back({second, 2, next - second});
      return;
    }
  }
  runs.push_back({next, 1, 1});
}

TemplateNames::~TemplateNames() = default;
TemplateNames::TemplateNames(TemplateNames&&) noexcept = default;
TemplateNames& TemplateNames::operator=(TemplateNames&&) noexcept = default;

absl::StatusOr<TemplateNames> TemplateNames::Create(const v1::Template& definition) {
  TemplateNames names;
  names.definition_ = std::make_unique<v1::Template>(definition);
  names.task_count_ = definition.task_count();
  if (!IsTemplateName(definition.name())) {
    return absl::InvalidArgumentError(
        StrCat("template '", definition.name(), "': that is not a template's name"));
  }
  auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(StrCat("template '", definition.name(), "': ", what));
  };
  uint64_t rows = 1;
  for (const v1::Axis& axis : definition.axes()) {
    uint32_t size = AxisSize(axis);
    names.sizes_.push_back(size);
    rows *= size;
    if (rows > limits::kTasksPerJob)
      return bad("the product of its axes is over the limit of tasks in a job");
  }
  names.strides_.resize(names.sizes_.size());
  uint64_t stride = 1;
  for (size_t k = names.sizes_.size(); k-- > 0; stride *= names.sizes_[k])
    names.strides_[k] = stride;
  for (int i = 0; i < definition.excluded_size(); ++i) {
    if (definition.excluded(i) >= rows ||
        (i > 0 && definition.excluded(i) <= definition.excluded(i - 1))) {
      return bad("its excluded rows are not ascending row numbers");
    }
  }
  if (!names.sizes_.empty() &&
      names.task_count_ != rows - static_cast<uint64_t>(definition.excluded_size())) {
    return bad(StrCat("task_count is ", names.task_count_, ", but its axes make ",
                      rows - static_cast<uint64_t>(definition.excluded_size())));
  }
  return names;
}

const std::string& TemplateNames::name() const { return definition_->name(); }
const v1::Axis& TemplateNames::axis(uint32_t i) const {
  return definition_->axes(static_cast<int>(i));
}

std::string TemplateNames::Key(uint32_t row) const {
  std::string key = definition_->name();
  if (sizes_.empty()) {
    if (task_count_ != 1) key += StrCat("[", row, "]");
    return key;
  }
  uint64_t full = FullRow(row);
  for (uint32_t k = 0; k < sizes_.size(); ++k) {
    key += k == 0 ? '[' : ',';
    AppendValue(key, AxisValue(axis(k), static_cast<uint32_t>(full / strides_[k] % sizes_[k])));
  }
  key += ']';
  return key;
}

uint32_t TemplateNames::Position(uint32_t row, uint32_t axis) const {
  return static_cast<uint32_t>(FullRow(row) / strides_[axis] % sizes_[axis]);
}

uint64_t TemplateNames::FullRow(uint32_t row) const {
  const auto& excluded = definition_->excluded();
  // The number of excluded rows before it: those with excluded[j] - j <= row, which ascends with j.
  int lo = 0, hi = excluded.size();
  while (lo < hi) {
    int mid = lo + (hi - lo) / 2;
    if (excluded[mid] - static_cast<uint32_t>(mid) <= row) {
      lo = mid + 1;
    } else {
      hi = mid;
    }
  }
  return uint64_t{row} + static_cast<uint64_t>(lo);
}

int64_t TemplateNames::RowOf(uint64_t full_row) const {
  const auto& excluded = definition_->excluded();
  auto at = std::lower_bound(excluded.begin(), excluded.end(), full_row);
  if (at != excluded.end() && *at == full_row) return -1;
  return static_cast<int64_t>(full_row) - (at - excluded.begin());
}

std::vector<Run> TemplateNames::MatchIntervals(const std::vector<Interval>& intervals) const {
  TASKD_CHECK(intervals.size() == sizes_.size());
  std::vector<Run> runs;
  if (task_count_ == 0) return runs;
  if (intervals.empty()) return {{0, task_count_, 1}};
  // The innermost axes that are taken whole, or in part up to one axis, are one progression of the
  // full product.
  size_t k = intervals.size();
  uint64_t count = 1, stride = 1;
  while (k > 0 && intervals[k - 1].hi - intervals[k - 1].lo == 1) --k;
  if (k > 0) {
    stride = strides_[k - 1];
    bool whole = true;
    while (k > 0 && whole) {
      --k;
      uint32_t width = intervals[k].hi - intervals[k].lo;
      count *= width;
      whole = width == sizes_[k];
    }
  }
  uint64_t first = 0;
  for (size_t j = 0; j < intervals.size(); ++j) first += intervals[j].lo * strides_[j];
  std::vector<uint32_t> at(k, 0);  // an odometer over the outer axes
  for (;;) {
    uint64_t start = first;
    for (size_t j = 0; j < k; ++j) start += at[j] * strides_[j];
    if (definition_->excluded_size() == 0 && count > 1) {
      runs.push_back({static_cast<uint32_t>(start), static_cast<uint32_t>(count),
                      static_cast<uint32_t>(stride)});
    } else {
      for (uint64_t i = 0; i < count; ++i) {
        int64_t row = RowOf(start + i * stride);
        if (row >= 0) AppendToRuns(runs, static_cast<uint32_t>(row));
      }
    }
    size_t j = k;
    while (j > 0 && ++at[j - 1] == intervals[j - 1].hi - intervals[j - 1].lo) at[--j] = 0;
    if (j == 0) return runs;
  }
}

absl::StatusOr<std::vector<Run>> TemplateNames::Match(
    const std::vector<Selector>& selectors) const {
  if (task_count_ == 0) return std::vector<Run>();
  bool all =
      std::all_of(selectors.begin(), selectors.end(), [](const Selector& s) { return s.all; });
  if (selectors.empty() || (all && selectors.size() == sizes_.size()))
    return std::vector<Run>{{0, task_count_, 1}};
  if (selectors.size() != sizes_.size()) {
    std::string axes;
    for (const v1::Axis& axis : definition_->axes())
      axes += StrCat(axes.empty() ? "" : ", ", axis.name());
    return absl::InvalidArgumentError(
        sizes_.empty()
            ? StrCat("'", name(), "' has no axes, so nothing stands in brackets after it")
            : StrCat("'", name(), "' has ", sizes_.size(),
                     sizes_.size() == 1 ? " axis (" : " axes (", axes, "), but ", selectors.size(),
                     " values are given"));
  }
  std::vector<Interval> intervals;
  for (uint32_t k = 0; k < sizes_.size(); ++k) {
    auto interval = MatchAxis(k, selectors[k]);
    if (!interval.ok()) return interval.status();
    intervals.push_back(*interval);
  }
  return MatchIntervals(intervals);
}

absl::StatusOr<TemplateNames::Interval> TemplateNames::MatchAxis(uint32_t k,
                                                                 const Selector& selector) const {
  if (selector.all) return Interval{0, sizes_[k]};
  int64_t lo = FindAxisValue(axis(k), selector.value), hi = lo;
  size_t dots = selector.value.find("..");
  if (lo < 0 && dots != std::string::npos) {
    lo = FindAxisValue(axis(k), std::string_view(selector.value).substr(0, dots));
    hi = FindAxisValue(axis(k), std::string_view(selector.value).substr(dots + 2));
  }
  if (lo >= 0 && hi >= lo)
    return Interval{static_cast<uint32_t>(lo), static_cast<uint32_t>(hi) + 1};
  std::vector<std::string> values;
  for (uint32_t i = 0; i < sizes_[k] && i < kSuggestValues; ++i)
    values.push_back(AxisValue(axis(k), i));
  std::string range =
      sizes_[k] == 1 ? values[0] : StrCat(values[0], " .. ", AxisValue(axis(k), sizes_[k] - 1));
  return absl::NotFoundError(StrCat("axis '", axis(k).name(), "' of '", name(), "' has no value '",
                                    selector.value, "'", DidYouMean(selector.value, values),
                                    "; it has ", range));
}

}  // namespace taskd::graph
