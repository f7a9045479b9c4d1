#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>

#include "common/base/text.h"
#include "common/io/allocator.h"
#include "common/io/log.h"
#include "common/io/shutdown.h"
#include "worker/shell/daemon.h"

namespace taskd::worker {
namespace {

constexpr int kFailed = 1, kUsage = 2, kNotAllowed = 4;

// Connections, readers and three descriptors a running command; the default soft limit is 1024.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// Processes inherit it.
void ForbidCoreDumps() {
  rlimit limit;
  if (getrlimit(RLIMIT_CORE, &limit) != 0) return;
  limit.rlim_cur = 0;
  setrlimit(RLIMIT_CORE, &limit);
}

// Tasks find taskctl, which stands beside this program, also where nobody has put it into their PATH.
void AppendOwnFolderToPath() {
  char own[4096];
  const ssize_t n = readlink("/proc/self/exe", own, sizeof own);
  const char* path = std::getenv("PATH");
  if (n <= 0 || n == sizeof own || path == nullptr) return;
  const std::string_view file(own, static_cast<size_t>(n));
  setenv("PATH", StrCat(path, ":", file.substr(0, file.rfind('/'))).c_str(), 1);
}

// Null: there are none, which is as good as it gets on many nodes.
std::unique_ptr<Cgroups> OpenCgroups() {
  absl::StatusOr<std::unique_ptr<Cgroups>> opened = Cgroups::Open();
  if (!opened.ok()) {
    io::LogInfo(StrCat("memory limits of commands are kept by watching them: ",
                       ToStd(opened.status().message())));
    return nullptr;
  }
  io::LogInfo(StrCat("memory limits of commands are kept by cgroups below ", (*opened)->path()));
  return *std::move(opened);
}

int ExitCode(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return 0;
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kUnimplemented:
      return kNotAllowed;
    default:
      return kFailed;
  }
}

int Fail(const absl::Status& status) {
  io::LogError(ToStd(status.message()));
  return ExitCode(status);
}

int Main(int argc, char** argv) {
  io::KeepFreedMemory();
  auto signals = std::make_unique<io::ShutdownSignals>();
  WorkerOptions options;
  if (std::optional<int> exit_code = ParseOptions(argc, argv, options)) return *exit_code;
  if (absl::Status s = io::InitLog("taskd-worker", options.log_level); !s.ok()) {
    std::fprintf(stderr, "taskd-worker: %s\n", std::string(s.message()).c_str());
    return kUsage;
  }
  // Both before anything makes threads or holds descriptors.
  std::unique_ptr<Cgroups> cgroups = options.zero ? nullptr : OpenCgroups();
  absl::StatusOr<std::unique_ptr<Guardian>> guardian =
      Guardian::Start(cgroups == nullptr ? -1 : cgroups->kill_fd());
  if (!guardian.ok()) return Fail(guardian.status());
  RaiseDescriptorLimit();
  if (!options.core_dumps) ForbidCoreDumps();
  AppendOwnFolderToPath();
  absl::StatusOr<std::unique_ptr<Daemon>> daemon =
      Daemon::Start(std::move(options), **guardian, cgroups.get());
  if (!daemon.ok()) return Fail(daemon.status());
  signals->OnSignal([&](int) { (*daemon)->Stop(); });
  const absl::Status ended = (*daemon)->Run();  // what went wrong is logged
  signals.reset();                              // its thread calls the daemon
  return ExitCode(ended);
}

}  // namespace
}  // namespace taskd::worker

int main(int argc, char** argv) { return taskd::worker::Main(argc, argv); }
