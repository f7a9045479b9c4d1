#include "cli/taskctl/job_flags.h"

#include <pwd.h>
#include <unistd.h>

#include <charconv>

#include "cli/taskctl/terminal.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

constexpr int64_t kPriority = 1'000'000;  // either way, as for a task in a graph file

// What was said of a flag, and what is right instead.
template <typename... What>
absl::Status Wrong(std::string_view flag, std::string_view value, const What&... what) {
  return absl::InvalidArgumentError(StrCat(
      "--", flag, " ", Printable(value).substr(0, 2 * limits::kJobNameBytes), ": ", what...));
}

using Given = std::optional<std::string>;

absl::Status Name(std::string_view flag, const Given& given, std::string* to) {
  if (!given) return absl::OkStatus();
  if (given->empty()) return Wrong(flag, "''", "it is empty; give a name, or leave it out");
  if (Printable(*given) != *given) {
    return Wrong(flag, *given, "not text in UTF-8 without control characters; choose a plain name");
  }
  if (given->size() > limits::kJobNameBytes) {
    return Wrong(flag, *given, given->size(), " bytes are too long, at most ",
                 limits::kJobNameBytes, " are allowed; choose a shorter one");
  }
  *to = *given;
  return absl::OkStatus();
}

template <typename Int>
absl::Status Whole(std::string_view flag, const Given& given, int64_t least, int64_t most,
                   std::string_view hint, Int* to) {
  if (!given) return absl::OkStatus();
  int64_t value = 0;
  const char* end = given->data() + given->size();
  auto [at, error] = std::from_chars(given->data(), end, value);
  if (given->empty() || error != std::errc() || at != end || value < least || value > most) {
    return Wrong(flag, *given, "give a whole number from ", least, " to ", most, "; ", hint);
  }
  *to = static_cast<Int>(value);
  return absl::OkStatus();
}

absl::Status Duration(std::string_view flag, const Given& given, uint64_t most_ns,
                      std::string_view hint, uint64_t* to) {
  if (!given) return absl::OkStatus();
  absl::StatusOr<uint64_t> ns = ParseDuration(*given);
  if (!ns.ok()) return Wrong(flag, *given, ToStd(ns.status().message()));
  if (*ns == 0 || *ns > most_ns) {
    return Wrong(flag, *given, "give more than 0, and at most ", FormatDuration(most_ns), "; ",
                 hint);
  }
  *to = *ns;
  return absl::OkStatus();
}

}  // namespace

std::string UserName() {
  const passwd* user = getpwuid(geteuid());
  return user != nullptr ? user->pw_name : StrCat(geteuid());
}

absl::Status Apply(const JobFlags& flags, client::Submission* to) {
  to->ephemeral = flags.ephemeral;
  for (const absl::Status& status :
       {Name("name", flags.name, &to->name), Name("owner", flags.owner, &to->owner),
        Whole("priority", flags.priority, -kPriority, kPriority, "0 is normal", &to->priority),
        Whole("weight", flags.weight, 1, limits::kJobWeight, "100 is normal", &to->weight),
        Whole("max-running", flags.max_running, 1, ~uint32_t{0}, "leave it out for no limit",
              &to->max_running),
        Duration("ttl", flags.ttl, limits::kJobTtlNs,
                 "leave it out to keep the job as long as there is room", &to->ttl_ns)}) {
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace taskd::cli
