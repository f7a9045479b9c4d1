#include "cli/taskctl/selectors.h"

#include <algorithm>
#include <charconv>

#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

constexpr uint32_t kRangeLimit =
    10'000;  // jobs named by one a-b; a typo must not become a million requests

template <typename T>
std::optional<T> WholeNumber(std::string_view text) {
  T value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

absl::Status BadJob(std::string_view text) {
  return absl::InvalidArgumentError(
      StrCat("'", text,
             "' does not name a job: give a number (3), a list (3,5), a range (3-7), last or all"));
}

}  // namespace

absl::StatusOr<JobSelector> ParseJobSelector(std::string_view text) {
  JobSelector selector;
  auto add = [&](JobId id) {
    if (std::find(selector.ids.begin(), selector.ids.end(), id) == selector.ids.end())
      selector.ids.push_back(id);
  };
  for (std::string_view rest = text;;) {
    size_t comma = rest.find(',');
    std::string_view item = rest.substr(0, comma);
    size_t dash = item.find('-');
    std::optional<JobId> lo = WholeNumber<JobId>(item.substr(0, dash));
    std::optional<JobId> hi =
        dash == std::string_view::npos ? lo : WholeNumber<JobId>(item.substr(dash + 1));
    if (item == "all") {
      selector.all = true;
    } else if (item == "last") {
      selector.last = true;
    } else if (!lo || !hi || *lo == 0 || *hi < *lo || *hi - *lo >= kRangeLimit) {
      return BadJob(text);
    } else {
      for (JobId id = *lo; id != *hi; ++id) add(id);
      add(*hi);
    }
    if (comma == std::string_view::npos) return selector;
    rest.remove_prefix(comma + 1);
  }
}

std::optional<Ordinal> ParseOrdinal(std::string_view name) {
  if (!name.starts_with('@')) return std::nullopt;
  return WholeNumber<Ordinal>(name.substr(1));
}

absl::StatusOr<ByteRange> ParseByteRange(std::string_view text) {
  size_t dash = text.find('-');
  absl::Status bad =
      absl::InvalidArgumentError(StrCat("'", text,
                                        "' is not a byte range: write 0-99 for the first hundred "
                                        "bytes, or 1MiB- for the rest after 1 MiB"));
  if (dash == std::string_view::npos || dash == 0) return bad;
  absl::StatusOr<uint64_t> first = ParseBytes(text.substr(0, dash));
  if (!first.ok()) return bad;
  if (dash + 1 == text.size()) return ByteRange{*first, 0};
  absl::StatusOr<uint64_t> last = ParseBytes(text.substr(dash + 1));
  if (!last.ok() || *last < *first || *last - *first == ~uint64_t{0}) return bad;
  return ByteRange{*first, *last - *first + 1};
}

}  // namespace taskd::cli
