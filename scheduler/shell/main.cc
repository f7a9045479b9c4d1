// taskd-scheduler: serves one cluster until SIGTERM or SIGINT.
//
// Exit codes: 0 stopped in order, 2 wrong flags or an address that cannot be listened on, 4 another
// scheduler serves the folder or its files may not be used, 1 anything else.
#include <malloc.h>
#include <sys/resource.h>

#include <cstring>
#include <iostream>

#include "common/base/text.h"
#include "common/io/config.h"
#include "common/io/log.h"
#include "common/io/shutdown.h"
#include "scheduler/shell/daemon.h"

namespace taskd::scheduler {
namespace {

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kNotFound:
      return 2;
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kPermissionDenied:
      return 4;
    default:
      return 1;
  }
}

// Every worker and client takes a descriptor; the soft limit is often 1024.
void RaiseFileLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// What a forgotten job had goes back to the system. By itself glibc raises this threshold to the
// largest block that was freed, and keeps what is below it.
void ReturnFreedMemory() { mallopt(M_MMAP_THRESHOLD, 128 << 10); }

int Fail(const absl::Status& status) {
  std::cerr << "taskd-scheduler: " << status.message() << "\n";
  return ExitCode(status);
}

int Main(int argc, char** argv) {
  io::ShutdownSignals signals;
  DaemonOptions options;
  std::string log_level = "info";
  io::Flags flags("taskd-scheduler", "Schedules the task graphs of one cluster.");
  flags.Text("dir", &options.dir, "Folder of the access file (default: $TASKD_DIR, else ~/.taskd)");
  flags.Text("listen", &options.listen, "HOST:PORT for workers and clients; port 0: a free one");
  flags.Text("advertise", &options.advertise,
             "HOST or HOST:PORT that others reach it by (default: as listened on)");
  flags.Text("metrics-listen", &options.metrics_listen,
             "HOST:PORT for /metrics and /healthz; port 0: a free one");
  flags.Duration(
      "rerun-after", &options.core.rerun_after_closed_ns,
      "How long a worker whose connection broke may stay away before its work runs elsewhere");
  flags.Duration("silent-after", &options.core.silent_ns,
                 "How long a connected worker may say nothing, likewise");
  flags.Duration("forget-after", &options.core.forget_after_ns,
                 "When a worker that is away counts as lost");
  flags.Duration("client-lease", &options.core.client_lease_ns,
                 "How long what a client wants, and its ephemeral jobs, outlive its connection");
  flags.List("pool", &options.pools,
             "pool.NAME=AMOUNT: so much of it, counted once for the cluster; may be given again");
  flags.Text("log-level", &log_level, "debug, info, warning, error or off");
  flags.Text("ready-file", &options.ready_file, "File to write, as JSON, once it serves");
  if (std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
  if (absl::Status status = io::InitLog("taskd-scheduler", log_level); !status.ok())
    return Fail(status);
  RaiseFileLimit();
  ReturnFreedMemory();
  auto daemon = Daemon::Start(options);
  if (!daemon.ok()) return Fail(daemon.status());
  io::LogInfo(StrCat("serving cluster ", (*daemon)->cluster_id(), " on ", (*daemon)->address(),
                     ", metrics on ", (*daemon)->metrics_address()));
  int signal = signals.Wait();
  io::LogInfo(StrCat("stopping on ", strsignal(signal)));
  daemon->reset();
  return 0;
}

}  // namespace
}  // namespace taskd::scheduler

int main(int argc, char** argv) { return taskd::scheduler::Main(argc, argv); }
