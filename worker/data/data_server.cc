#include "worker/data/data_server.h"

#include <atomic>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "common/rpc/wire.h"
#include "taskd/v1/data.grpc.pb.h"
#include "worker/data/fetch_service.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kFollowWaitNs = 200'000'000;  // then it is seen whether the reader is gone

// Log and Put hold a thread each; Fetch is FetchService's.
class Service final : public v1::Data::WithRawMethod_Fetch<v1::Data::Service> {
 public:
  Service(Store& store, const DataServer::Options& options) : store_(store), options_(options) {}

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

  grpc::Status Put(grpc::ServerContext* context, grpc::ServerReader<v1::PutChunk>* reader,
                   v1::PutReply* reply) override {
    if (grpc::Status s = CheckKeys(*context); !s.ok()) return s;
    const bool too_many = puts_.fetch_add(1) >= limits::kPutsAtOnce;
    absl::Cleanup release = [this] { puts_.fetch_sub(1); };
    if (too_many || options_.puts == nullptr) {
      return {grpc::StatusCode::RESOURCE_EXHAUSTED,
              StrCat("this worker takes in ", limits::kPutsAtOnce,
                     " streams already; try again, or put it on another one")};
    }
    std::unique_ptr<ObjectWriter> writer = store_.NewWriter();
    uint32_t crc = 0;
    v1::PutChunk chunk;
    while (reader->Read(&chunk)) {
      crc = ExtendCrc32c(crc, chunk.data().data(), chunk.data().size());
      if (absl::Status s = writer->Append(chunk.data()); !s.ok()) return rpc::ToGrpc(s);
      if (chunk.last()) break;
    }
    if (!chunk.last()) return {grpc::StatusCode::CANCELLED, "the stream broke before its end"};
    if (chunk.crc32c() != crc) {
      return {grpc::StatusCode::DATA_LOSS,
              "what came is damaged: its checksum is another one; put it again"};
    }
    const LocalKey key = options_.puts->NewKey();
    absl::StatusOr<StoredOutput> kept = store_.Commit(key, std::move(writer));
    if (!kept.ok()) return rpc::ToGrpc(kept.status());
    reply->set_token(options_.puts->Keep(key, io::NowNs()));
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

  Store& store_;
  const DataServer::Options& options_;
  std::atomic<uint32_t> followers_{0}, puts_{0};
};

}  // namespace

struct DataServer::Impl {
  Impl(Store& store, Options o)
      : options(std::move(o)),
        logs(store, options),
        fetches(store,
                {options.worker_key, options.client_key, options.streams, options.streams_per_peer,
                 options.name_files, options.compress, options.in_flight}) {}
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
          impl_->fetches.sent_elsewhere(), impl_->fetches.packed_bytes(),
          impl_->fetches.saved_bytes()};
}

}  // namespace taskd::worker
