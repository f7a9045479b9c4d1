// The flags of `run` and `submit` that say how a job is to be treated.
#ifndef TASKD_CLI_TASKCTL_JOB_FLAGS_H_
#define TASKD_CLI_TASKCTL_JOB_FLAGS_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "cli/client/client_session.h"

namespace taskd::cli {

// Text as it was given; empty: not given.
struct JobFlags {
  std::string name;
  std::string owner;
  int32_t priority = 0;
  std::string weight;
  std::string max_running;
  std::string ttl;
  bool ephemeral = false;
};

// Sets those that were given. InvalidArgument names the flag and says what it may be.
absl::Status Apply(const JobFlags& flags, client::Submission* submission);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_JOB_FLAGS_H_
