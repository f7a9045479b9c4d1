// How people name jobs, tasks, objects, parts and byte ranges on the command line.
#ifndef TASKD_CLI_TASKCTL_SELECTORS_H_
#define TASKD_CLI_TASKCTL_SELECTORS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace taskd::cli {

// "3", "3,5", "3-7", "last", "all", and lists of these.
struct JobSelector {
  bool all = false;
  bool last = false;
  std::vector<JobId> ids;  // in the order given, each once
};
absl::StatusOr<JobSelector> ParseJobSelector(std::string_view text);

// "@17" names a task (or an object) by its ordinal: the way to name a key that is not text.
std::optional<Ordinal> ParseOrdinal(std::string_view name);

// "a-b": bytes a to b, both included, as in HTTP; "a-": to the end. Length 0: to the end.
struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;
};
absl::StatusOr<ByteRange> ParseByteRange(std::string_view text);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_SELECTORS_H_
