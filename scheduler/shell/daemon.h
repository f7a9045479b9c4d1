// taskd-scheduler put together: the core loop, intake, the three services, metrics.
#ifndef TASKD_SCHEDULER_SHELL_DAEMON_H_
#define TASKD_SCHEDULER_SHELL_DAEMON_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/io/access_file.h"
#include "scheduler/core/scheduler_core.h"

namespace taskd::scheduler {

struct DaemonOptions {
  std::string dir;  // of the access file; empty: $TASKD_DIR or ~/.taskd
  std::string listen = "127.0.0.1:0";
  std::string advertise;  // HOST or HOST:PORT in the access file; empty: as listened on
  std::string metrics_listen = "127.0.0.1:0";
  std::string ready_file;
  std::vector<std::string> pools;  // of the cluster: "pool.licence=2"
  Config core;
};

class Daemon {
 public:
  // Serves when this returns; the access file and the ready file are written. kAlreadyExists: the
  // port is taken. kFailedPrecondition: another scheduler serves the folder.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(const DaemonOptions& options);
  // Breaks the sessions, then ends what serves, in that order (a server waits for its streams).
  ~Daemon();

  const std::string& address() const;
  const std::string& metrics_address() const;
  const std::string& cluster_id() const;

 private:
  struct Impl;
  explicit Daemon(const DaemonOptions& options);
  std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_DAEMON_H_
