#include "worker/shell/daemon.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/access_file.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/random.h"
#include "common/io/ready_file.h"
#include "common/rpc/channels.h"

namespace taskd::worker {
namespace {

constexpr char kVersion[] = "0.1.0";
constexpr uint32_t kStepBudget = 10'000;
// So many times what runs is ready to follow: nothing stands still when the scheduler hears of ends a little later.
constexpr uint32_t kBusyQueue = 2;
constexpr uint32_t kStepsAtOnce = 256;            // then others are heard and answered
constexpr uint64_t kStopGraceNs = 2'000'000'000;  // at a stop, for bodies that do not hear SIGTERM
constexpr uint64_t kGoodbyeWaitNs = 1'000'000'000;
constexpr size_t kToldOfTheDead = 20;
constexpr uint64_t kAccessWaitNs = 3'000'000'000;

// What the store may keep of freed memory.
uint64_t SpareBytes(uint64_t store_bytes) {
  if (store_bytes == 0) return limits::kSpareBytes;
  return std::min(limits::kSpareBytes, store_bytes / 100 * limits::kSparePercent);
}

// Daemons of a cluster are often started at once, and the scheduler writes the file when it serves.
absl::StatusOr<io::AccessFile> WaitForAccessFile(const std::string& dir) {
  const uint64_t until_ns = io::NowNs() + kAccessWaitNs;
  for (;;) {
    absl::StatusOr<io::AccessFile> access = io::ReadAccessFile(dir);
    if (access.status().code() != absl::StatusCode::kNotFound || io::NowNs() >= until_ns)
      return access;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
}

// A worker that was killed could not say what it ran.
void TellWhatRan(const WorkDir& dir) {
  const std::vector<RunRing::Entry> left = RunRing::ReadLeft(dir.running_path());
  for (size_t i = 0; i < left.size() && i < kToldOfTheDead; ++i) {
    const RunRing::Entry& entry = left[i];
    const uint64_t ago_ms = io::WallMs() - std::min(io::WallMs(), entry.since_ms);
    io::LogWarning(StrCat("the worker that had ", dir.path(), " before died while it ran ",
                          entry.key.substr(0, entry.key.find('\0')), " of job ",
                          entry.attempt.task.job, " (attempt ", ToString(entry.attempt),
                          "), started ", FormatDuration(ago_ms * 1'000'000), " ago"));
  }
  if (left.size() > kToldOfTheDead)
    io::LogWarning(StrCat("and ", left.size() - kToldOfTheDead, " more tasks"));
}

// One that belongs to this work folder, which is ours alone. What dead workers of this user left in memory
// goes: it is dear.
absl::StatusOr<WorkDir> OpenMemoryDir(const std::string& tmpfs, const std::string& work_path) {
  const std::string prefix = StrCat("taskd-", geteuid(), "-");
  absl::StatusOr<WorkDir> dir = WorkDir::Open(
      StrCat(tmpfs, "/", prefix, absl::Hex(HashBytes(2, work_path), absl::kZeroPad16)));
  if (!dir.ok()) {
    return absl::Status(
        dir.status().code(),
        StrCat(ToStd(dir.status().message()),
               "; give another --memory-dir, or 'none' to keep large results on disk"));
  }
  WorkDir::SweepDead(dir->path(), prefix, [](const WorkDir&) {});
  return dir;
}

// The executors' log for the data service, which knows nothing of executors.
class AttemptLogReader : public LogReader {
 public:
  explicit AttemptLogReader(std::shared_ptr<const AttemptLog> log) : log_(std::move(log)) {}

  bool Next(LogText& news, uint64_t wait_ns) override {
    AttemptLog::View view;
    const bool more = log_->Follow(position_, view, wait_ns);
    news = {std::move(view.out), std::move(view.err), view.out_truncated, view.err_truncated};
    return more;
  }

 private:
  const std::shared_ptr<const AttemptLog> log_;
  AttemptLog::Position position_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(WorkerOptions options,
                                                      const Guardian& guardian, Cgroups* cgroups) {
  absl::StatusOr<WorkDir> work_dir = WorkDir::Open(options.work_dir);
  if (!work_dir.ok()) return work_dir.status();
  std::optional<WorkDir> memory_dir;
  if (!options.memory_dir.empty()) {
    absl::StatusOr<WorkDir> opened = OpenMemoryDir(options.memory_dir, work_dir->path());
    if (!opened.ok()) return opened.status();
    memory_dir.emplace(*std::move(opened));
  }
  std::unique_ptr<Daemon> daemon(
      new Daemon(std::move(options), *std::move(work_dir), std::move(memory_dir)));
  if (absl::Status s = daemon->StartParts(guardian, cgroups); !s.ok()) return s;
  return daemon;
}

Daemon::Daemon(WorkerOptions options, WorkDir work_dir, std::optional<WorkDir> memory_dir)
    : options_(std::move(options)),
      work_dir_(std::move(work_dir)),
      memory_dir_(std::move(memory_dir)),
      store_({work_dir_.store_path(), memory_dir_ ? memory_dir_->store_path() : "",
              options_.store_budget_bytes, options_.disk_bytes,
              SpareBytes(options_.store_budget_bytes), options_.compress_spill},
             [inbox = inbox_](ObjectVersion id) { inbox->Post(event::ReplicaLost{id}); }),
      desk_(options_.zero),
      dialogs_(store_, options_.name, options_.dir),
      core_(Config{options_.capacity, options_.store_budget_bytes}) {}

Daemon::~Daemon() {
  link_.reset();
  task_service_.reset();
  http_.reset();
  data_server_.reset();
  fetcher_.reset();
  executor_.reset();
  ring_.reset();
  store_.DropAll();
  work_dir_.Clean();
  if (memory_dir_) memory_dir_->Remove();
}

absl::Status Daemon::OpenRing() {
  TellWhatRan(work_dir_);
  if (!options_.sweep_prefix.empty())
    WorkDir::SweepDead(work_dir_.path(), options_.sweep_prefix, TellWhatRan);
  absl::StatusOr<std::unique_ptr<RunRing>> ring = RunRing::Open(work_dir_.running_path());
  if (!ring.ok()) return ring.status();
  ring_ = *std::move(ring);
  return absl::OkStatus();
}

absl::Status Daemon::StartParts(const Guardian& guardian, Cgroups* cgroups) {
  if (absl::Status s = OpenRing(); !s.ok()) return s;
  absl::StatusOr<io::AccessFile> access = WaitForAccessFile(options_.dir);
  if (!access.ok()) return access.status();
  if (access->worker_key.empty()) {
    return absl::PermissionDeniedError(
        StrCat(io::AccessPath(options_.dir), " has no worker key; it was made for clients only"));
  }
  Executor::Options exec;
  exec.run_path = work_dir_.run_path();
  if (memory_dir_) exec.memory_run_path = memory_dir_->run_path();
  exec.log_path = work_dir_.log_path();
  exec.log_disk_bytes = options_.log_disk_bytes;
  exec.output_path = memory_dir_ ? exec.memory_run_path : exec.run_path;
  exec.runners = options_.runners;
  exec.cpus = std::max(1u, (options_.capacity.cpus_milli + 999) / 1000);
  exec.pools = options_.node_pools;
  if (options_.pin) exec.pinned = ReadCpus();
  exec.zero = options_.zero;
  exec.grace_ns = options_.grace_ns;
  exec.guardian = &guardian;
  exec.cgroups = cgroups;
  memory_by_cgroups_ = cgroups != nullptr;
  exec.ring = ring_.get();
  exec.done = [inbox = inbox_](event::ExecDone done) { inbox->Post(std::move(done)); };
  exec.puts = &puts_;
  exec.ask = [inbox = inbox_](const AttemptRef& attempt, TaskRequest request, AnswerTo answer) {
    inbox->Post(TaskAsked{attempt, std::move(request), std::move(answer)});
  };
  executor_ = std::make_unique<Executor>(store_, std::move(exec));

  DataServer::Options data;
  data.listen = options_.listen;
  data.worker_key = access->worker_key;
  data.client_key = access->client_key;
  data.name_files = !options_.no_file_passing;
  data.compress = !options_.no_compression;
  data.in_flight = &in_flight_;
  data.puts = &puts_;
  data.open_log = [this](const AttemptRef& attempt) -> std::unique_ptr<LogReader> {
    std::shared_ptr<const AttemptLog> log = executor_->logs().Find(attempt);
    if (log == nullptr) return nullptr;
    return std::make_unique<AttemptLogReader>(std::move(log));
  };
  absl::StatusOr<std::unique_ptr<DataServer>> server = DataServer::Start(store_, std::move(data));
  if (!server.ok()) return server.status();
  data_server_ = *std::move(server);
  data_address_ = rpc::AdvertisedAddress(data_server_->address(), options_.advertise);

  Fetcher::Options fetch;
  fetch.key = access->worker_key;
  fetch.take_files = !options_.no_file_passing;
  fetch.take_compressed = !options_.no_compression;
  fetch.address = data_address_;
  fetch.in_flight = &in_flight_;
  fetch.done = [inbox = inbox_](event::FetchDone done) { inbox->Post(std::move(done)); };
  fetcher_ = std::make_unique<Fetcher>(store_, std::move(fetch));
  if (absl::Status s = StartTaskService(); !s.ok()) return s;
  if (absl::Status s = StartHttp(access->worker_key, access->client_key); !s.ok()) return s;
  MakeLink();
  return absl::OkStatus();
}

// A zero worker runs no process that could call it.
absl::Status Daemon::StartTaskService() {
  if (options_.zero) return absl::OkStatus();
  absl::StatusOr<std::unique_ptr<TaskService>> tasks =
      TaskService::Start(work_dir_.path(), inbox_, puts_);
  if (!tasks.ok()) return tasks.status();
  task_service_ = *std::move(tasks);
  dialogs_.SetSocket(task_service_->address());
  return absl::OkStatus();
}

absl::Status Daemon::StartHttp(const std::string& worker_key, const std::string& client_key) {
  io::HttpServer::Options options;
  options.listen = options_.metrics_listen;
  options.keys = {worker_key, client_key};
  options.collect = [this](io::MetricsPage& page) {
    FillPage(published_.Get(), store_.totals(), executor_->logs().totals(),
             {fetcher_->totals(), data_server_->totals()}, page);
  };
  options.healthy = [this] { return published_.Get().session_up; };
  absl::StatusOr<std::unique_ptr<io::HttpServer>> http = io::HttpServer::Start(std::move(options));
  if (!http.ok()) return http.status();
  http_ = *std::move(http);
  return absl::OkStatus();
}

void Daemon::MakeLink() {
  SchedulerLink::Options link;
  link.access_dir = options_.dir;
  link.scheduler = options_.scheduler;
  link.name = options_.name;
  link.host = options_.host;
  link.data_address = data_address_;
  link.metrics_address = http_->address();
  link.version = kVersion;
  link.identity =
      HashBytes(HashBytes(1, options_.name), options_.host + work_dir_.path()) | 1;  // 0 is none
  link.incarnation = io::RandomU64() | 1;
  link.capacity = options_.capacity;
  link.store_budget_bytes = options_.store_budget_bytes;
  link.attributes = options_.attributes;
  if (options_.ends_after_ns != 0) link.ends_at_ns = io::NowNs() + options_.ends_after_ns;
  link_ = std::make_unique<SchedulerLink>(std::move(link), inbox_);
}

absl::Status Daemon::Run() {
  io::LogInfo(StrCat("worker ", options_.name, ": ", FormatCpus(options_.capacity.cpus_milli),
                     " cpus, ", FormatBytes(options_.capacity.memory_bytes), "; work folder ",
                     work_dir_.path(), memory_dir_ ? " and " + memory_dir_->path() : "",
                     ", data on ", data_address_, ", metrics on ", http_->address()));
  while (!stopped_ && link_->fatal().ok()) {
    const uint64_t link_wake = link_->OnTime(io::NowNs(), Figures());
    std::deque<InboxItem> items =
        inbox_->Take(std::min({core_wake_ns_, link_wake, flush_at_ns_, dialogs_.wake_ns()}));
    for (InboxItem& item : items) Handle(item);
    Step();
    dialogs_.OnTime(io::NowNs());
    puts_.Expire(io::NowNs());
    for (const LookupMessage& lookup : dialogs_.TakeLookups()) link_->Send(lookup);
    const Counters& counters = core_.counters();
    flush_at_ns_ =
        link_->Flush(io::NowNs(), counters.queued >= kBusyQueue * std::max(1u, counters.running));
  }
  if (stopped_) SayGoodbye();
  return link_->fatal();
}

void Daemon::Stop() {
  executor_->SetGrace(std::min(options_.grace_ns, kStopGraceNs));
  inbox_->Post(event::Shutdown{});
}

void Daemon::Handle(InboxItem& item) {
  if (auto* event = std::get_if<Event>(&item)) {
    events_.push_back(std::move(*event));
  } else if (auto* message = std::get_if<SessionMessage>(&item)) {
    HandleMessage(*message);
  } else if (auto* asked = std::get_if<TaskAsked>(&item)) {
    dialogs_.OnAsked(*asked, events_);
  } else if (auto down = link_->OnClosed(std::get<SessionClosed>(item), io::NowNs())) {
    events_.push_back(*down);
  }
}

void Daemon::HandleMessage(SessionMessage& message) {
  if (!link_->Current(message.session)) return;
  if (std::optional<event::SessionUp> up = link_->OnMessage(message, io::NowNs())) {
    desk_.BeginSession();
    dialogs_.OnSessionUp();
    events_.push_back(*up);
    if (!ready_) WriteReadyFile();
  }
  if (!link_->up()) return;
  if (absl::Status s = desk_.Read(message.session, *message.message, events_); !s.ok())
    link_->Break(s);
  dialogs_.OnMessage(message.session, *message.message, events_);
  if (!desk_.retired()) return;
  io::LogInfo("drained and retired by the scheduler: nobody needs what is here");
  Stop();
}

// Steps and their actions. What ends at once (no-ops) comes back as events of the next step, which follows
// at once: on a worker with one cpu each would cost a round of Run and a message else.
void Daemon::Step() {
  const uint64_t start_ns = io::NowNs();
  uint64_t events = 0, steps = 0;
  do {
    ++steps;
    events += events_.size();
    std::vector<Event> now;
    now.swap(events_);
    core_wake_ns_ = core_.Step(start_ns, now, kStepBudget, actions_);
    for (Action& action : actions_) std::visit([this](auto& a) { Do(a); }, action);
    actions_.clear();
    now.clear();
    if (events_.empty()) events_.swap(now);  // keeps its memory
  } while (!events_.empty() && steps < kStepsAtOnce);
  if (!events_.empty()) core_wake_ns_ = start_ns;

  WorkerFigures figures = published_.Get();
  figures.core = core_.counters();
  figures.capacity = options_.capacity;
  figures.session_up = link_->up();
  figures.memory_by_cgroups = memory_by_cgroups_;
  figures.waiting_functions = dialogs_.waiting_functions();
  figures.steps += steps;
  figures.events += events;
  figures.step_ns += io::NowNs() - start_ns;
  figures.inbox_items = inbox_->queued();
  published_.Set(figures);
}

void Daemon::Do(action::StartFetch& a) {
  fetcher_->Start(a.fetch, desk_.PeerAddress(a.peer), std::move(a.items));
}

void Daemon::Do(action::PutValues& a) {
  event::FetchDone done = PutInStore(a, store_);
  if (a.values != nullptr) events_.push_back(std::move(done));
}

void Daemon::Do(action::Spill& a) {
  store_.Spill(std::move(a.items),
               [inbox = inbox_, spill = a.spill](std::vector<event::Spilled::Result> results) {
                 inbox->Post(event::Spilled{spill, std::move(results)});
               });
}

void Daemon::Do(action::StartExec& a) {
  if (!a.units.empty()) desk_.Grant(a.attempt, std::move(a.units));
  std::shared_ptr<ExecRequest> request = desk_.Request(a.attempt);
  TASKD_CHECK(request != nullptr);  // the core starts what it was assigned and did not release
  dialogs_.Begin(a.attempt, *request);
  if (std::optional<event::ExecDone> done = executor_->Start(std::move(request)))
    events_.push_back(*std::move(done));
}

void Daemon::Do(action::ReleaseAttempt& a) {
  desk_.Release(a.attempt);
  dialogs_.Release(a.attempt);
}

void Daemon::Do(action::SendReplicaAdded& a) {
  link_->Send(a);
  dialogs_.OnReplica(a.replica.id, io::NowNs());
}

void Daemon::Do(action::SendGatherFailed& a) {
  link_->Send(a);
  dialogs_.OnGatherFailed(a.failure.object, io::NowNs());
}

HeartbeatFigures Daemon::Figures() const {
  const StoreTotals totals = store_.totals();
  const Counters& c = core_.counters();
  return {totals.bytes(), c.running, c.fetching + c.queued, fetcher_->totals().fetched_bytes,
          data_server_->totals().served_bytes};
}

void Daemon::WriteReadyFile() {
  ready_ = true;
  if (options_.ready_file.empty()) return;
  absl::Status written =
      io::WriteReadyFile(options_.ready_file, {{"name", options_.name},
                                               {"data_address", data_address_},
                                               {"metrics_address", http_->address()}});
  if (!written.ok()) io::LogError(ToStd(written.message()));
}

// The scheduler ends the stream when it has read the goodbye; it need not be there to hear it.
void Daemon::SayGoodbye() {
  const uint64_t until_ns = io::NowNs() + kGoodbyeWaitNs;
  if (!link_->up()) return;
  link_->Goodbye();
  while (link_->up() && io::NowNs() < until_ns) {
    for (InboxItem& item : inbox_->Take(until_ns)) {
      if (auto* closed = std::get_if<SessionClosed>(&item)) link_->OnClosed(*closed, io::NowNs());
    }
  }
  io::LogInfo("stopped");
}

}  // namespace taskd::worker
