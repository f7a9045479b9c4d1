// The flags of `run` and `submit` that say how a job is to be treated.
#ifndef TASKD_CLI_TASKCTL_JOB_FLAGS_H_
#define TASKD_CLI_TASKCTL_JOB_FLAGS_H_

#include <optional>
#include <string>

#include "absl/status/status.h"
#include "cli/client/client_session.h"

namespace taskd::cli {

// Text as it was given.
struct JobFlags {
  std::optional<std::string> name;
  std::optional<std::string> owner;
  std::optional<std::string> priority;
  std::optional<std::string> weight;
  std::optional<std::string> max_running;
  std::optional<std::string> ttl;
  bool ephemeral = false;
};

// Who owns what this process submits, if no flag says so.
std::string UserName();

// Sets those that were given. InvalidArgument names the flag and says what it may be.
absl::Status Apply(const JobFlags& flags, client::Submission* submission);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_JOB_FLAGS_H_
