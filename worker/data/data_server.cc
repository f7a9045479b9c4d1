#include "worker/data/data_server.h"

#include <algorithm>
#include <atomic>
#include <string_view>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/io/log.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/wire.h"
#include "taskd/v1/data.grpc.pb.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kFollowWaitNs = 200'000'000;  // then it is seen whether the reader is gone

using ChunkWriter = grpc::ServerWriter<v1::FetchChunk>;

v1::FetchStatus WireStatus(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kOk:
      return v1::FETCH_OK;
    case absl::StatusCode::kNotFound:
      return v1::FETCH_MISSING;
    case absl::StatusCode::kDataLoss:
      return v1::FETCH_IO_ERROR;
    case absl::StatusCode::kOutOfRange:
      return v1::FETCH_BAD_RANGE;
    case absl::StatusCode::kResourceExhausted:
      return v1::FETCH_BUSY;  // out of descriptors: a passing state
    default:
      return v1::FETCH_IO_ERROR;
  }
}

// Answers one request item after item. The chunk that was made last is held back: only after it is
// known whether the item's checksum is right can it be marked as the item's end.
class FetchCall {
 public:
  FetchCall(Store& store, ChunkWriter& writer, std::atomic<uint64_t>& served_bytes)
      : store_(store), writer_(writer), served_bytes_(served_bytes) {}

  // False: the reader is gone.
  bool SendItem(uint32_t index, const v1::FetchItem& item) {
    index_ = index;
    crc_ = 0;
    NewChunk();
    absl::Status status = Stream(item);
    if (status.code() == absl::StatusCode::kCancelled) return false;
    if (!status.ok()) {
      io::LogDebug(
          StrCat("fetch of ", item.job(), ".o", item.object(), ": ", ToStd(status.message())));
      NewChunk();
      chunk_.set_status(WireStatus(status));
    }
    chunk_.set_crc32c(crc_);
    chunk_.set_last(true);
    return Write();
  }

  bool SendBusy(uint32_t index) {
    index_ = index;
    NewChunk();
    chunk_.set_status(v1::FETCH_BUSY);
    chunk_.set_last(true);
    return Write();
  }

 private:
  absl::Status Stream(const v1::FetchItem& item) {
    LocalKey key{{{item.job(), item.object()}, item.version()}, {item.part_lo(), item.part_hi()}};
    if (key.id.version == 0) key.id.version = store_.AnyVersion(key.id.object);
    ByteRange range;
    absl::StatusOr<ObjectReader> reader = store_.GetCovering(key, range);
    if (!reader.ok()) return reader.status();
    if (absl::Status s = Narrow(item, range); !s.ok()) return s;
    chunk_.set_version(key.id.version);
    chunk_.set_size_bytes(range.length);
    for (uint32_t p = range.part_lo; p < range.part_hi; ++p) {
      chunk_.add_part_ends(reader->meta().part_ends[p] - range.offset);
    }
    bool first = true;
    absl::Status sent = reader->Stream(range, [&](std::string_view bytes) {
      if (!std::exchange(first, false)) {
        if (!Write()) return absl::CancelledError("the reader is gone");
        NewChunk();
      }
      crc_ = ExtendCrc32c(crc_, bytes.data(), bytes.size());
      chunk_.mutable_data()->assign(bytes);
      served_bytes_ += bytes.size();
      return absl::OkStatus();
    });
    if (sent.code() == absl::StatusCode::kDataLoss) store_.ReportLost(key.id);
    return sent;
  }

  // A client's offset and length inside of the object or the parts.
  static absl::Status Narrow(const v1::FetchItem& item, ByteRange& range) {
    if (item.offset() == 0 && item.length() == 0) return absl::OkStatus();
    if (item.offset() > range.length) {
      return absl::OutOfRangeError(
          StrCat("offset ", item.offset(), " in ", range.length, " bytes"));
    }
    uint64_t length = range.length - item.offset();
    if (item.length() != 0) length = std::min<uint64_t>(length, item.length());
    range = {range.offset + item.offset(), length, 0, 0};
    return absl::OkStatus();
  }

  void NewChunk() {
    // Clear keeps the memory of `data`.
    chunk_.Clear();
    chunk_.set_item(index_);
  }

  // Without WriteOptions::set_buffer_hint: with gRPC 1.51's blocking API such a write waits for the
  // next one.
  bool Write() { return writer_.Write(chunk_); }

  Store& store_;
  ChunkWriter& writer_;
  std::atomic<uint64_t>& served_bytes_;
  v1::FetchChunk chunk_;
  uint32_t index_ = 0;
  uint32_t crc_ = 0;
};

class Service final : public v1::Data::Service {
 public:
  Service(Store& store, DataServer::Options options)
      : store_(store), options_(std::move(options)) {}

  grpc::Status Fetch(grpc::ServerContext* context, const v1::FetchRequest* request,
                     ChunkWriter* writer) override {
    if (grpc::Status s = CheckKeys(*context); !s.ok()) return s;
    const bool busy = streams_.fetch_add(1) >= options_.streams;
    absl::Cleanup release = [this] { streams_.fetch_sub(1); };
    FetchCall call(store_, *writer, served_bytes_);
    for (int i = 0; i < request->items_size(); ++i) {
      const uint32_t index = static_cast<uint32_t>(i);
      const bool sent = busy ? call.SendBusy(index) : call.SendItem(index, request->items(i));
      if (!sent) return grpc::Status::CANCELLED;
    }
    return grpc::Status::OK;
  }

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

  uint64_t served_bytes() const { return served_bytes_; }

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
  const DataServer::Options options_;
  std::atomic<uint32_t> streams_{0}, followers_{0};
  std::atomic<uint64_t> served_bytes_{0};
};

}  // namespace

struct DataServer::Impl {
  Impl(Store& store, Options options) : service(store, std::move(options)) {}
  Service service;
  rpc::RunningServer running;
};

DataServer::DataServer() = default;

absl::StatusOr<std::unique_ptr<DataServer>> DataServer::Start(Store& store, Options options) {
  const std::string listen = options.listen;
  std::unique_ptr<DataServer> server(new DataServer());
  server->impl_ = std::make_unique<Impl>(store, std::move(options));
  grpc::Service* services[] = {&server->impl_->service};
  absl::StatusOr<rpc::RunningServer> running =
      rpc::StartServer(listen, rpc::ChannelClass::kData, services);
  if (!running.ok()) return running.status();
  server->impl_->running = *std::move(running);
  server->address_ = server->impl_->running.address;
  return server;
}

DataServer::~DataServer() {
  if (impl_ != nullptr && impl_->running.server != nullptr)
    rpc::StopServer(*impl_->running.server, 0);
}

uint64_t DataServer::served_bytes() const { return impl_->service.served_bytes(); }

}  // namespace taskd::worker
