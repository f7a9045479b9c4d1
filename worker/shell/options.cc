#include "worker/shell/options.h"

#include <linux/magic.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "absl/status/status.h"
#include "absl/strings/str_split.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/access_file.h"
#include "common/io/config.h"
#include "common/rpc/interned_names.h"
#include "worker/exec/cpu_pins.h"
#include "worker/shell/node_size.h"

namespace taskd::worker {
namespace {

constexpr char kSharedMemory[] = "/dev/shm";

// The gpus that this daemon was given, by the batch system say. Empty: it has all, and they are numbered.
std::vector<std::string> VisibleGpus() {
  const char* visible = std::getenv("CUDA_VISIBLE_DEVICES");
  if (visible == nullptr) return {};
  return absl::StrSplit(visible, ',', absl::SkipEmpty());
}

absl::Status AddPools(WorkerOptions& options) {
  for (const std::string& text : options.pools) {
    auto pool = ParsePool(text);
    if (!pool.ok())
      return absl::InvalidArgumentError(
          StrCat("--resource ", text, ": ", ToStd(pool.status().message())));
    const std::string& name = pool->first;
    if (name != "gpus" && !name.starts_with("worker.")) {
      return absl::InvalidArgumentError(
          StrCat("--resource ", text,
                 ": the name is gpus, or worker.NAME (pool.NAME is the "
                 "scheduler's --pool)"));
    }
    Resources one;
    one.pools[0] = {rpc::PoolNumber(name), pool->second};
    options.node_pools[rpc::PoolNumber(name)] = {
        name, name == "gpus" ? VisibleGpus() : std::vector<std::string>()};
    if (options.capacity.Pool(one.pools[0].pool) != 0)
      return absl::InvalidArgumentError(StrCat("--resource ", name, " is given twice"));
    if (options.capacity.pools.back().milli != 0) {
      return absl::InvalidArgumentError(
          StrCat("at most ", limits::kPoolsPerRequest, " times --resource"));
    }
    options.capacity += one;
  }
  return absl::OkStatus();
}

std::string HostName() {
  char name[256] = {};
  return gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "localhost";
}

// On the node's own disk: a home folder is often on a network file system.
std::string DefaultWorkDir(const std::string& prefix, const std::string& name) {
  const char* tmp = std::getenv("TMPDIR");
  return StrCat(tmp != nullptr && tmp[0] == '/' ? tmp : "/tmp", "/", prefix, name);
}

bool IsTmpfs(const std::string& folder) {
  struct statfs s;
  return statfs(folder.c_str(), &s) == 0 && s.f_type == TMPFS_MAGIC;
}

absl::Status PlaceStore(const std::string& store, const std::string& memory_dir,
                        WorkerOptions& options) {
  options.store_budget_bytes = options.capacity.memory_bytes / 3;
  if (!store.empty()) {
    absl::StatusOr<uint64_t> bytes = ParseBytes(store);
    if (!bytes.ok())
      return absl::InvalidArgumentError(StrCat("--store: ", ToStd(bytes.status().message())));
    options.store_budget_bytes = *bytes;
  }
  if (memory_dir == "none") return absl::OkStatus();
  if (memory_dir != kSharedMemory && !IsTmpfs(memory_dir)) {
    return absl::InvalidArgumentError(StrCat(
        "--memory-dir ", memory_dir,
        ": this is no folder of a tmpfs; give one, or 'none' to keep large results on disk"));
  }
  if (IsTmpfs(memory_dir)) options.memory_dir = memory_dir;
  return absl::OkStatus();
}

// Beside this program, as in a build tree, or where packages put what users do not start.
std::string FindBeside(const std::string& name) {
  std::error_code error;
  const std::filesystem::path own = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::filesystem::path beside = own.parent_path() / name;
  const std::filesystem::path installed = own.parent_path().parent_path() / "libexec/taskd" / name;
  return std::filesystem::exists(installed, error) && !std::filesystem::exists(beside, error)
             ? installed.string()
             : beside.string();
}

}  // namespace

std::optional<int> ParseOptions(int argc, const char* const* argv, WorkerOptions& options) {
  const Resources detected = DetectNodeSize();
  options.capacity = detected;
  options.runners = {FindBeside("taskd-runner"), "python3", FindBeside("taskd_runner.py")};
  io::Flags flags("taskd-worker",
                  "Runs tasks for a taskd-scheduler, keeps their results and hands them on.");
  flags.Text("dir", &options.dir, "folder with the access file [$TASKD_DIR, else ~/.taskd]");
  flags.Text("scheduler", &options.scheduler, "HOST:PORT of the scheduler [from the access file]");
  flags.Text("name", &options.name, "name of this worker, unique in the cluster [HOST-PID]");
  flags.Cpus("cpus", &options.capacity.cpus_milli, "cpus for tasks");
  flags.Bytes("memory", &options.capacity.memory_bytes, "memory for tasks");
  std::string store, memory_dir = kSharedMemory;
  flags.Text("store", &store,
             "memory for results, as in 4GiB; what is more goes to disk; 0: no limit [a third of "
             "--memory]");
  flags.Text("memory-dir", &memory_dir,
             "folder of a tmpfs for results in memory; none: large ones go to disk at once");
  flags.Bytes("disk", &options.disk_bytes, "disk for results; 0: no limit");
  flags.Bytes("log-disk", &options.log_disk_bytes,
              "disk for logs of ended tasks that memory has no room for; 0: they are dropped");
  flags.List("resource", &options.pools, "NAME=AMOUNT: gpus, or worker.NAME; may be given again");
  flags.List("attribute", &options.attributes,
             "a name that placement rules may ask for; may be given again");
  flags.Duration("ends-after", &options.ends_after_ns,
                 "when the time of this worker is over, say of its batch job; 0: never");
  flags.Text("work-dir", &options.work_dir,
             "folder on this node's own disk for results and tasks [$TMPDIR/taskd-UID-NAME]");
  flags.Text("listen", &options.listen,
             "HOST:PORT for other workers and clients; port 0: a free one");
  flags.Text("advertise", &options.advertise, "HOST or HOST:PORT that they are told instead");
  flags.Text("metrics-listen", &options.metrics_listen, "HOST:PORT for /metrics and /healthz");
  flags.Text("log-level", &options.log_level, "debug, info, warning, error or off");
  flags.Text("runner", &options.runners.native,
             "the program that functions of libraries run in [beside this one]");
  flags.Text("python", &options.runners.python, "the interpreter for Python functions");
  flags.Text("python-runner", &options.runners.python_runner,
             "the script that it runs [beside this program]");
  flags.Switch("core-dumps", &options.core_dumps,
               "leave the limit of core dumps as it is; else tasks leave none");
  flags.Switch("pin", &options.pin, "keep each task that asks for whole cpus on cpus of its own");
  flags.Text("ready-file", &options.ready_file,
             "written once the scheduler has taken this worker in");
  flags.Duration("grace", &options.grace_ns,
                 "time between SIGTERM and SIGKILL for a task that is stopped");
  flags.Switch("no-file-passing", &options.no_file_passing,
               "send and fetch bytes also between workers of this host, instead of linking each "
               "other's files");
  flags.Switch("no-compression", &options.no_compression,
               "send and fetch bytes as they are; else a slow link gets zstd as long as that is "
               "faster");
  flags.Switch("compress-spill", &options.compress_spill,
               "compress large results that go from memory to disk, if a sample of them shrinks; "
               "who links or maps one as a file waits until it is unpacked");
  flags.Switch(
      "zero-worker", &options.zero,
      "acknowledge every task at once, with empty results, and run nothing: for measuring a "
      "scheduler. Has the attribute 'zero'");
  if (std::optional<int> exit_code = flags.Parse(argc, argv)) return exit_code;

  absl::StatusOr<std::string> dir = io::AccessDir(options.dir);
  if (!dir.ok()) {
    std::fprintf(stderr, "taskd-worker: %s\n", std::string(dir.status().message()).c_str());
    return 2;
  }
  options.dir = *dir;
  if (options.zero) options.attributes.push_back("zero");
  options.host = HostName();
  if (options.name.empty()) options.name = StrCat(options.host, "-", getpid());
  if (options.work_dir.empty()) {
    options.sweep_prefix = StrCat("taskd-", getuid(), "-");
    options.work_dir = DefaultWorkDir(options.sweep_prefix, options.name);
  }
  if (absl::Status pools = AddPools(options); !pools.ok()) {
    std::fprintf(stderr, "taskd-worker: %s\n", std::string(pools.message()).c_str());
    return 2;
  }
  if (absl::Status placed = PlaceStore(store, memory_dir, options); !placed.ok()) {
    std::fprintf(stderr, "taskd-worker: %s\n", std::string(placed.message()).c_str());
    return 2;
  }
  if (options.capacity.cpus_milli == 0) {
    std::fprintf(stderr, "taskd-worker: --cpus must be more than 0\n");
    return 2;
  }
  if (const size_t usable = ReadCpus().size();
      options.pin && options.capacity.cpus_milli > usable * 1000) {
    std::fprintf(
        stderr,
        "taskd-worker: --pin: this process may use %zu cpus, and --cpus says more; give it "
        "as many or fewer\n",
        usable);
    return 2;
  }
  return std::nullopt;
}

}  // namespace taskd::worker
