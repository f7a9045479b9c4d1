#include "scheduler/shell/daemon.h"

#include <grpcpp/client_context.h>
#include <unistd.h>

#include <chrono>

#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/clock.h"
#include "common/io/http.h"
#include "common/io/random.h"
#include "common/io/ready_file.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/interned_names.h"
#include "scheduler/shell/admin_service.h"
#include "scheduler/shell/client_service.h"
#include "scheduler/shell/exporter.h"
#include "scheduler/shell/intake.h"
#include "scheduler/shell/task_intake.h"
#include "scheduler/shell/worker_service.h"
#include "taskd/v1/admin.grpc.pb.h"

namespace taskd::scheduler {
namespace {

constexpr uint32_t kStopGraceMs = 500;
constexpr uint32_t kKeyBytes = 32;
constexpr uint32_t kClusterIdBytes = 8;

// Whether a scheduler of this folder answers at one of its addresses.
absl::Status CheckFolderFree(const io::AccessFile& access, const std::string& dir) {
  for (const std::string& address : access.addresses) {
    auto channel = rpc::MakeChannel(address, rpc::ChannelClass::kControl);
    auto stub = v1::Admin::NewStub(channel);
    grpc::ClientContext context;
    rpc::AddKey(context, access.client_key);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(500));
    v1::ClusterStatus status;
    if (stub->GetStatus(&context, {}, &status).ok()) {
      return absl::FailedPreconditionError(
          StrCat("a scheduler already serves the folder ", dir, " at ", address, " (cluster ",
                 status.cluster_id(), "); stop it first, or start this one with another --dir"));
    }
  }
  return absl::OkStatus();
}

// The keys of the folder's access file, which workers may have been given already; new ones if
// there is none.
absl::StatusOr<io::AccessFile> KeysOf(const std::string& dir) {
  auto access = io::ReadAccessFile(dir);
  if (absl::IsNotFound(access.status())) access = io::AccessFile{};
  if (!access.ok()) return access.status();
  if (absl::Status status = CheckFolderFree(*access, dir); !status.ok()) return status;
  if (access->client_key.empty()) access->client_key = io::RandomHex(kKeyBytes);
  if (access->worker_key.empty()) access->worker_key = io::RandomHex(kKeyBytes);
  access->cluster_id =
      io::RandomHex(kClusterIdBytes);  // without a journal, each start is another cluster
  return access;
}

}  // namespace

struct Daemon::Impl {
  explicit Impl(const DaemonOptions& o) : options(o) {}

  DaemonOptions options;
  Cluster cluster;
  JobStore jobs{options.core.forgotten_jobs_kept};
  WorkerDirectory directory;
  std::unique_ptr<TaskIntake> submissions;
  std::unique_ptr<WorkerService> workers;
  std::unique_ptr<ClientService> clients;
  std::unique_ptr<CoreLoop> loop;
  std::unique_ptr<Intake> intake;
  std::unique_ptr<AdminService> admin;
  std::unique_ptr<io::HttpServer> http;
  rpc::RunningServer server;
  bool ready_file_written = false;

  void Assemble(const io::AccessFile& access) {
    cluster = {access.cluster_id, access.client_key, access.worker_key, "", io::NowNs()};
    submissions = std::make_unique<TaskIntake>(&jobs);
    workers = std::make_unique<WorkerService>(&cluster, &jobs, &directory);
    clients = std::make_unique<ClientService>(&cluster, &jobs, &directory);
    loop = std::make_unique<CoreLoop>(
        options.core, std::vector<ActionSink*>{submissions.get(), workers.get(), clients.get()});
    intake = std::make_unique<Intake>(&jobs, loop.get());
    submissions->SetLoop(loop.get(), intake.get());
    workers->SetLoop(loop.get(), submissions.get());
    clients->SetLoop(loop.get(), intake.get());
    admin = std::make_unique<AdminService>(&cluster, &jobs, &directory, loop.get());
    loop->Start();
    intake->Start();
  }

  absl::Status SizePools() {
    for (const std::string& text : options.pools) {
      auto pool = ParsePool(text);
      absl::Status status = pool.status();
      if (status.ok() && !pool->first.starts_with("pool."))
        status = absl::InvalidArgumentError("the name is pool.NAME");
      if (!status.ok()) {
        return absl::InvalidArgumentError(StrCat("--pool ", text, ": ", ToStd(status.message())));
      }
      loop->Post(event::SetPool{0, rpc::PoolNumber(pool->first), pool->second});
    }
    return absl::OkStatus();
  }

  absl::Status Serve() {
    io::HttpServer::Options http_options;
    http_options.listen = options.metrics_listen;
    http_options.keys = {cluster.client_key, cluster.worker_key};
    http_options.collect = [this](io::MetricsPage& page) { Collect(page); };
    auto started = io::HttpServer::Start(std::move(http_options));
    if (!started.ok()) return started.status();
    http = *std::move(started);
    cluster.metrics_address = http->address();
    grpc::Service* services[] = {workers->grpc_service(), clients->grpc_service(),
                                 admin->grpc_service()};
    auto running = rpc::StartServer(options.listen, rpc::ChannelClass::kControl, services);
    if (!running.ok()) return running.status();
    server = *std::move(running);
    return absl::OkStatus();
  }

  absl::Status Announce(io::AccessFile access) {
    std::string advertised = rpc::AdvertisedAddress(server.address, options.advertise);
    access.addresses = {advertised};
    if (absl::Status status = io::WriteAccessFile(options.dir, access); !status.ok()) return status;
    if (options.ready_file.empty()) return absl::OkStatus();
    ready_file_written = true;
    return io::WriteReadyFile(options.ready_file, {{"address", advertised},
                                                   {"metrics_address", cluster.metrics_address},
                                                   {"cluster_id", cluster.id}});
  }

  void Collect(io::MetricsPage& page) {
    Counters counters;
    std::vector<WorkerView> views;
    loop->AskAndWait([&](const SchedulerCore& core, uint64_t) {
      counters = core.counters();
      views = core.ListWorkers();
    });
    ExportMetrics(counters, views,
                  {loop->stats(), clients->connected(), jobs.records(),
                   workers->malformed_messages(), workers->overflows(), workers->values()},
                  page);
  }

  void Stop() {
    if (ready_file_written) unlink(options.ready_file.c_str());
    if (workers != nullptr) workers->Shutdown();
    if (clients != nullptr) clients->Shutdown();
    if (server.server != nullptr) rpc::StopServer(*server.server, kStopGraceMs);
    http.reset();
    if (intake != nullptr) intake->Stop();
    if (loop != nullptr) loop->Stop();
  }
};

Daemon::Daemon(const DaemonOptions& options) : impl_(std::make_unique<Impl>(options)) {}

Daemon::~Daemon() { impl_->Stop(); }

absl::StatusOr<std::unique_ptr<Daemon>> Daemon::Start(const DaemonOptions& options) {
  std::unique_ptr<Daemon> daemon(new Daemon(options));
  Impl& impl = *daemon->impl_;
  auto dir = io::AccessDir(options.dir);
  if (!dir.ok()) return dir.status();
  impl.options.dir = *dir;
  auto access = KeysOf(*dir);
  if (!access.ok()) return access.status();
  impl.Assemble(*access);
  if (absl::Status status = impl.SizePools(); !status.ok()) return status;
  if (absl::Status status = impl.Serve(); !status.ok()) return status;
  if (absl::Status status = impl.Announce(*std::move(access)); !status.ok()) return status;
  return daemon;
}

const std::string& Daemon::address() const { return impl_->server.address; }
const std::string& Daemon::metrics_address() const { return impl_->cluster.metrics_address; }
const std::string& Daemon::cluster_id() const { return impl_->cluster.id; }

}  // namespace taskd::scheduler
