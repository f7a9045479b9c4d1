#include "worker/data/data_server.h"

#include <atomic>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/text.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/wire.h"
#include "taskd/v1/data.grpc.pb.h"
#include "worker/data/fetch_service.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kFollowWaitNs = 200'000'000;  // then it is seen whether the reader is gone

// Log holds a thread; Fetch is FetchService's.
class Service final : public v1::Data::WithRawMethod_Fetch<v1::Data::Service> {
 public:
  explicit Service(const DataServer::Options& options) : options_(options) {}

  grpc::Status Log(grpc::ServerContext* context, const v1::LogRequest* request,
                   grpc::ServerWriter<v1::LogChunk>* writer) override {
    if (grpc::Status s = CheckKeys(*context); !s.ok()) return s;
    absl::StatusOr<AttemptRef> attempt = rpc::Decode(request->attempt());
    if (!attempt.ok())
      return {grpc::StatusCode::INVALID_ARGUMENT, std::string(attempt.status().message())};
    std::unique_ptr<LogReader> log = options_.open_log(*attempt);
    if (log == nullptr) {
      return {grpc::StatusCode::NOT_FOUND,
              StrCat("this worker has no log of attempt ", ToString(*attempt),
                     ": built-ins have none, and the oldest logs are dropped")};
    }
    LogText news;
    if (!request->follow()) {
      log->Next(news, 0);
      return SendLog(*writer, *request, news) ? grpc::Status::OK : grpc::Status::CANCELLED;
    }
    const bool too_many = followers_.fetch_add(1) >= options_.followers;
    absl::Cleanup release = [this] { followers_.fetch_sub(1); };
    if (too_many) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED,
              StrCat("logs of this worker are followed ", options_.followers,
                     " times already; read this one without following it")};
    }
    for (bool more = true; more && !context->IsCancelled();) {
      more = log->Next(news, kFollowWaitNs);
      if (!SendLog(*writer, *request, news)) return grpc::Status::CANCELLED;
    }
    return grpc::Status::OK;
  }

 private:
  grpc::Status CheckKeys(const grpc::ServerContext& context) const {
    return rpc::CheckKey(context, {options_.worker_key, options_.client_key});
  }

  // False: the reader is gone.
  static bool SendLog(grpc::ServerWriter<v1::LogChunk>& writer, const v1::LogRequest& request,
                      const LogText& log) {
    return (request.stderr_only() || SendText(writer, false, log.out, log.out_truncated)) &&
           (request.stdout_only() || SendText(writer, true, log.err, log.err_truncated));
  }

  static bool SendText(grpc::ServerWriter<v1::LogChunk>& writer, bool is_stderr,
                       std::string_view text, bool truncated) {
    while (!text.empty()) {
      v1::LogChunk chunk;
      chunk.set_is_stderr(is_stderr);
      chunk.set_truncated(truncated);
      chunk.mutable_data()->assign(text.substr(0, limits::kChunkBytes));
      text.remove_prefix(chunk.data().size());
      if (!writer.Write(chunk)) return false;
    }
    return true;
  }

  const DataServer::Options& options_;
  std::atomic<uint32_t> followers_{0};
};

}  // namespace

struct DataServer::Impl {
  Impl(Store& store, Options o)
      : options(std::move(o)),
        logs(options),
        fetches(store, {options.worker_key, options.client_key, options.streams,
                        options.streams_per_peer, options.name_files, options.in_flight}) {}
  ~Impl() {
    if (running.server == nullptr) return;
    rpc::StopServer(*running.server, 0);
    fetches.Drain();
    running.server.reset();
  }

  const Options options;
  Service logs;
  FetchService fetches;
  rpc::RunningServer running;
};

DataServer::DataServer() = default;

absl::StatusOr<std::unique_ptr<DataServer>> DataServer::Start(Store& store, Options options) {
  std::unique_ptr<DataServer> server(new DataServer());
  server->impl_ = std::make_unique<Impl>(store, std::move(options));
  Impl& impl = *server->impl_;
  grpc::Service* services[] = {&impl.logs};
  absl::StatusOr<rpc::RunningServer> running =
      rpc::StartServer(impl.options.listen, rpc::ChannelClass::kData, services,
                       [&](grpc::ServerBuilder& builder) { impl.fetches.AddQueue(builder); });
  if (!running.ok()) return running.status();
  impl.running = *std::move(running);
  impl.fetches.Start([&impl](auto* context, auto* request, auto* writer, auto* queue, void* tag) {
    impl.logs.RequestFetch(context, request, writer, queue, queue, tag);
  });
  server->address_ = impl.running.address;
  return server;
}

DataServer::~DataServer() = default;

DataServer::Totals DataServer::totals() const {
  return {impl_->fetches.served_bytes(), impl_->fetches.named_bytes(),
          impl_->fetches.sent_elsewhere()};
}

}  // namespace taskd::worker
