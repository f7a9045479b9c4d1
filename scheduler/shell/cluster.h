// What every part of the daemon knows about the cluster that it serves. Constant once the daemon
// serves.
#ifndef TASKD_SCHEDULER_SHELL_CLUSTER_H_
#define TASKD_SCHEDULER_SHELL_CLUSTER_H_

#include <cstdint>
#include <string>

namespace taskd::scheduler {

inline constexpr char kVersion[] = "0.1.0";

struct Cluster {
  std::string id;
  std::string client_key;
  std::string worker_key;
  std::string metrics_address;
  uint64_t started_ns = 0;  // of the monotonic clock
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_CLUSTER_H_
