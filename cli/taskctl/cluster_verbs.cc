// taskctl cluster start | status | stop
#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>

#include "cli/client/connection.h"
#include "cli/taskctl/local_cluster.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

constexpr uint32_t kMostWorkers = 1000;  // on one machine; more is a typo
constexpr uint64_t kStartTimeoutNs = 60'000'000'000;
constexpr uint64_t kStopGraceNs = 10'000'000'000;

// The state folder, absolute: the daemons keep it whatever their working folder is.
absl::StatusOr<std::string> StateDir(const Context& context) {
  absl::StatusOr<std::string> dir = io::AccessDir(context.dir);
  if (!dir.ok()) return dir.status();
  std::string path = std::filesystem::absolute(*dir).lexically_normal().string();
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}

std::string Sizes(const v1::Resources& r) {
  return StrCat(FormatCpus(r.cpus_milli()), " cpus, ", FormatBytes(r.memory_bytes()));
}

std::string StatusText(const std::string& dir, const std::string& peer,
                       const v1::ClusterStatus& s) {
  uint64_t input_bytes = s.bytes_moved() + s.bytes_saved();
  std::string here = input_bytes == 0 ? ""
                                      : StrCat(" (", s.bytes_saved() * 100 / input_bytes,
                                               " % were there already)");
  std::vector<std::pair<std::string, Cell>> fields = {
      {"cluster", StrCat(s.cluster_id(), "  version ", s.version(), "  up ",
                         FormatDuration(s.uptime_ms() * 1'000'000))},
      {"scheduler", StrCat(peer, "  state in ", dir)},
      {"metrics",
       s.metrics_address().empty() ? "" : StrCat("http://", s.metrics_address(), "/metrics")},
      {"workers",
       {StrCat(s.workers_up(), " up of ", s.workers_total()),
        s.workers_up() > 0 ? Style::kGood : Style::kBad}},
      {"in use", StrCat(Sizes(s.in_use()), "  of  ", Sizes(s.capacity()))},
      {"jobs", StrCat(s.jobs_running(), " running of ", s.jobs_total())},
      {"tasks", StrCat(FormatCount(s.tasks_waiting()), " waiting  ", FormatCount(s.tasks_ready()),
                       " ready  ", FormatCount(s.tasks_active()), " active  ",
                       FormatCount(s.tasks_done()), " done  ", FormatCount(s.tasks_failed()),
                       " failed  ", FormatCount(s.tasks_cancelled()), " cancelled")},
      {"input bytes", StrCat(FormatBytes(s.bytes_moved()), " moved  ", FormatBytes(s.bytes_saved()),
                             " saved by placement", here)},
      {"placed",
       StrCat(FormatCount(s.assigned_home()), " at home  ", FormatCount(s.assigned_idle()),
              " on an idle worker  ", FormatCount(s.assigned_moved()), " moved  ",
              FormatCount(s.retracts()), " taken back")},
      {"losses", StrCat(s.workers_lost(), " workers  ", FormatCount(s.objects_lost()), " objects  ",
                        FormatCount(s.tasks_recomputed()), " tasks recomputed")},
  };
  return Fields(fields);
}

void Status(Context& context) {
  absl::StatusOr<std::string> dir = StateDir(context);
  if (!dir.ok()) return context.Fail(dir.status());
  absl::StatusOr<std::unique_ptr<client::Connection>> connection = client::Connection::Open(*dir);
  std::string gone;
  for (const LocalProcess& process : LocalProcesses(*dir)) {
    if (!process.alive)
      gone += StrCat(gone.empty() ? "" : ", ", process.name, " (pid ", process.id.pid, ")");
  }
  if (!connection.ok()) {
    std::string hint = gone.empty() ? ""
                                    : StrCat("\nended without `taskctl cluster stop`: ", gone,
                                             "; `taskctl cluster stop` clears the remains");
    return context.Fail(absl::Status(connection.status().code(),
                                     StrCat(ToStd(connection.status().message()), hint)));
  }
  const v1::ClusterStatus& status = (*connection)->first_status();
  Show(context, status, status.cluster_id(),
       [&] { return StatusText(*dir, (*connection)->access().addresses.front(), status); });
  if (!gone.empty()) Note(context, StrCat("gone: ", gone));
}

struct StartOptions {
  uint32_t workers = 1;
  std::string cpus;
  std::string memory;
  std::string store;
  std::string log_disk;
  std::string timeout;
  bool pin = false;
  bool zero_workers = false;
};

absl::StatusOr<LocalClusterSpec> SpecOf(const Context& context, const StartOptions& options) {
  LocalClusterSpec spec;
  spec.workers = options.workers;
  spec.zero_workers = options.zero_workers;
  spec.pin = options.pin;
  if (spec.pin && spec.workers != 1) {
    return absl::InvalidArgumentError(
        "--pin with several workers: they would all choose the same cpus; give it with --workers "
        "1");
  }
  spec.timeout_ns = kStartTimeoutNs;
  spec.program_path = DefaultProgramPath();
  absl::StatusOr<std::string> dir = StateDir(context);
  if (!dir.ok()) return dir.status();
  spec.dir = *dir;
  if (!options.cpus.empty()) {
    absl::StatusOr<uint32_t> cpus = ParseCpus(options.cpus);
    if (!cpus.ok()) return cpus.status();
    if (*cpus == 0)
      return absl::InvalidArgumentError("--cpus 0: a worker without cpus runs nothing");
    spec.cpus_milli = *cpus;
  }
  if (!options.memory.empty()) {
    absl::StatusOr<uint64_t> memory = ParseBytes(options.memory);
    if (!memory.ok()) return memory.status();
    if (*memory == 0)
      return absl::InvalidArgumentError("--memory 0: a worker without memory runs nothing");
    spec.memory_bytes = *memory;
  }
  if (!options.store.empty()) {
    absl::StatusOr<uint64_t> store = ParseBytes(options.store);
    if (!store.ok()) return store.status();
    spec.store_bytes = *store;
  }
  if (!options.log_disk.empty()) {
    absl::StatusOr<uint64_t> log_disk = ParseBytes(options.log_disk);
    if (!log_disk.ok()) return log_disk.status();
    spec.log_disk_bytes = *log_disk;
  }
  if (!options.timeout.empty()) {
    absl::StatusOr<uint64_t> timeout = ParseDuration(options.timeout);
    if (!timeout.ok()) return timeout.status();
    spec.timeout_ns = *timeout;
  }
  return spec;
}

void Start(Context& context, const StartOptions& options) {
  absl::StatusOr<LocalClusterSpec> spec = SpecOf(context, options);
  if (!spec.ok()) return context.Fail(kExitUsage, spec.status());
  absl::Status status = StartLocalCluster(*spec);
  if (!status.ok()) return context.Fail(status);
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(spec->dir);
  if (!connection.ok()) return context.Fail(connection.status());
  const v1::ClusterStatus& cluster = (*connection)->first_status();
  Show(context, cluster, cluster.cluster_id(), [&] {
    return StrCat("started a scheduler at ", (*connection)->access().addresses.front(), " and ",
                  spec->workers, spec->workers == 1 ? " worker (" : " workers (",
                  Sizes(cluster.capacity()), ")\nstate folder: ", spec->dir,
                  "\nnext: taskctl run FILE, taskctl cluster status, taskctl cluster stop\n");
  });
}

void Stop(Context& context, const std::string& grace) {
  absl::StatusOr<std::string> dir = StateDir(context);
  if (!dir.ok()) return context.Fail(dir.status());
  absl::StatusOr<uint64_t> grace_ns = grace.empty() ? kStopGraceNs : ParseDuration(grace);
  if (!grace_ns.ok()) return context.Fail(kExitUsage, grace_ns.status());
  absl::StatusOr<StopResult> result =
      StopLocalCluster(*dir, static_cast<uint32_t>(*grace_ns / 1'000'000));
  if (!result.ok()) return context.Fail(result.status());
  if (!result->found)
    return Note(context,
                StrCat("no cluster that taskctl started is in ", *dir, ": nothing to stop"));
  for (const std::string& name : result->killed)
    Note(context, StrCat(name, " did not end in time and was killed"));
  Note(context, StrCat("stopped the cluster in ", *dir));
}

}  // namespace

void AddClusterCommands(CLI::App& app, Context& context) {
  CLI::App* cluster = app.add_subcommand("cluster", "Start, stop and look at a cluster");
  cluster->require_subcommand(1);

  auto options = std::make_shared<StartOptions>();
  CLI::App* start =
      cluster->add_subcommand("start", "Start a scheduler and workers on this machine");
  start->add_option("-w,--workers", options->workers, "How many workers")
      ->check(CLI::Range(1u, kMostWorkers))
      ->capture_default_str();
  start->add_option("-c,--cpus", options->cpus,
                    "Cpus of each worker (default: this machine's, shared out)");
  start->add_option("-m,--memory", options->memory, "Memory of each worker, as in 4GiB");
  start->add_option("-s,--store", options->store,
                    "Memory of each worker for results; what is more goes to disk; 0: no limit "
                    "(default: a third of --memory)");
  start->add_option("--log-disk", options->log_disk,
                    "Disk of each worker for logs of ended tasks that memory has no room for; 0: "
                    "they are dropped");
  start->add_flag("--pin", options->pin,
                  "Keep each task that asks for whole cpus on cpus of its own; with one worker");
  start->add_option("--timeout", options->timeout,
                    "Give up when it is not up by then (default: 60s)");
  start->add_flag("--zero-workers", options->zero_workers,
                  "Workers acknowledge tasks at once and run nothing: to measure the scheduler");
  start->footer(
      "\nExamples:\n  taskctl cluster start --workers 3 --cpus 2 --memory 4GiB\n  taskctl --dir "
      "/tmp/other cluster start");
  start->callback([&context, options] { Start(context, *options); });

  CLI::App* status =
      cluster->add_subcommand("status", "What it has, what it does, what it moved and lost");
  status->footer(
      "\nExamples:\n  taskctl cluster status\n  taskctl cluster status -o json | jq .workers_up");
  status->callback([&context] { Status(context); });

  auto grace = std::make_shared<std::string>();
  CLI::App* stop = cluster->add_subcommand(
      "stop", "Stop the cluster that `cluster start` started; removes all of its files");
  stop->add_option("--grace", *grace, "Time before SIGKILL (default: 10s)");
  stop->footer(
      "\nExamples:\n  taskctl cluster stop\n  taskctl --dir /tmp/other cluster stop --grace 1s");
  stop->callback([&context, grace] { Stop(context, *grace); });
}

}  // namespace taskd::cli
