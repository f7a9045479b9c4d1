#include "cli/client/worker_data.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "taskd/v1/data.grpc.pb.h"

namespace taskd::client {
namespace {

constexpr uint64_t kBusyNs = 30'000'000'000;  // how long busy holders are asked again
constexpr auto kBusyPause = std::chrono::milliseconds(100);

// One fetch over all its holders.
class Fetcher {
 public:
  Fetcher(const FetchSpec& spec, std::string_view key, Sink& sink,
          const std::atomic<bool>& interrupted)
      : spec_(spec), key_(key), sink_(sink), interrupted_(interrupted) {}

  absl::StatusOr<FetchResult> Run() {
    absl::Status last = absl::UnavailableError("no worker holds it");
    for (uint64_t give_up = io::NowNs() + kBusyNs;;) {
      bool busy = false;
      for (const std::string& address : spec_.addresses) {
        if (interrupted_) return absl::AbortedError("interrupted");
        absl::Status status = From(address);
        if (status.ok()) {
          status = sink_.Finish();
          if (!status.ok()) return status;
          return FetchResult{delivered_, version_, address};
        }
        if (fatal_) return status;
        busy = busy || absl::IsResourceExhausted(status);
        last = status;
      }
      if (!busy || io::NowNs() > give_up) return absl::UnavailableError(last.message());
      std::this_thread::sleep_for(kBusyPause);  // the data service has no event for "free again"
    }
  }

 private:
  absl::Status From(const std::string& address) {
    if (delivered_ > 0 && sink_.Restart()) {
      delivered_ = 0;
      delivered_crc_ = 0;
    }
    std::string peer = StrCat("the worker at ", address);
    auto stub = v1::Data::NewStub(rpc::MakeChannel(address, rpc::ChannelClass::kData));
    grpc::ClientContext context;
    rpc::AddKey(context, key_);
    auto reader = stub->Fetch(&context, Request());
    v1::FetchChunk chunk;
    Pass pass;
    absl::Status status;
    while (status.ok() && !pass.complete && reader->Read(&chunk)) {
      status = interrupted_ ? Fatal(absl::AbortedError("interrupted")) : Take(chunk, peer, &pass);
    }
    if (!status.ok()) context.TryCancel();
    grpc::Status end = reader->Finish();
    if (!status.ok() || pass.complete) return status;
    if (!end.ok()) return rpc::FromGrpc(end, peer);
    return absl::UnavailableError(StrCat(peer, " stopped in the middle"));
  }

  // What one holder has sent so far.
  struct Pass {
    uint64_t received = 0;
    uint32_t crc = 0;
    bool first = true;
    bool complete = false;
  };

  v1::FetchRequest Request() const {
    v1::FetchRequest request;
    v1::FetchItem* item = request.add_items();
    item->set_job(spec_.object.job);
    item->set_object(spec_.object.ordinal);
    // Once bytes are out, only the same version can go on with them.
    item->set_version(delivered_ > 0 ? version_ : spec_.version);
    item->set_part_lo(spec_.parts.lo);
    item->set_part_hi(spec_.parts.hi);
    item->set_offset(spec_.offset);
    item->set_length(spec_.length);
    return request;
  }

  absl::Status Take(const v1::FetchChunk& chunk, const std::string& peer, Pass* pass) {
    switch (chunk.status()) {
      case v1::FETCH_OK:
        break;
      case v1::FETCH_MISSING:
        return absl::UnavailableError(StrCat(peer, " does not have it any more"));
      case v1::FETCH_BUSY:
        return absl::ResourceExhaustedError(StrCat(peer, " is busy"));
      case v1::FETCH_IO_ERROR:
        return absl::UnavailableError(StrCat(peer, " cannot read its file"));
      case v1::FETCH_BAD_RANGE:
        return Fatal(absl::OutOfRangeError(BadRange()));
      default:
        return absl::UnavailableError(StrCat(peer, " answered with an unknown status"));
    }
    if (pass->first) {
      pass->first = false;
      if (delivered_ == 0) version_ = chunk.version();
    }
    const std::string& data = chunk.data();
    pass->crc = ExtendCrc32c(pass->crc, data.data(), data.size());
    std::string_view fresh = data;
    if (pass->received < delivered_) {
      // Another holder gave these already: they must be the same bytes.
      uint64_t known = std::min<uint64_t>(delivered_ - pass->received, data.size());
      repeated_crc_ = ExtendCrc32c(pass->received == 0 ? 0 : repeated_crc_, data.data(), known);
      if (pass->received + known == delivered_ && repeated_crc_ != delivered_crc_) {
        return Fatal(absl::DataLossError(
            StrCat(peer, " has other bytes than the worker before it: do not trust the output")));
      }
      fresh.remove_prefix(known);
    }
    pass->received += data.size();
    absl::Status status = sink_.Write(fresh);
    if (!status.ok()) return Fatal(status);
    delivered_crc_ = ExtendCrc32c(delivered_crc_, fresh.data(), fresh.size());
    delivered_ += fresh.size();
    if (!chunk.last()) return absl::OkStatus();
    if (chunk.crc32c() != pass->crc) {
      return absl::UnavailableError(
          StrCat("the bytes from ", peer, " were damaged on the way (crc32c)"));
    }
    if (pass->received < delivered_)
      return absl::UnavailableError(StrCat(peer, " has fewer bytes"));
    pass->complete = true;
    return absl::OkStatus();
  }

  std::string BadRange() const {
    if (spec_.parts.whole()) return "the range lies beyond the end of the object";
    std::string what = spec_.offset > 0 || spec_.length > 0 ? "that range" : "that part";
    return StrCat("the object does not have ", what);
  }

  absl::Status Fatal(absl::Status status) {
    fatal_ = true;
    return status;
  }

  const FetchSpec& spec_;
  std::string_view key_;
  Sink& sink_;
  const std::atomic<bool>& interrupted_;
  uint64_t delivered_ = 0;  // bytes that the sink has
  uint32_t delivered_crc_ = 0;
  uint32_t repeated_crc_ = 0;  // over those of them that the present holder has sent again
  AttemptId version_ = 0;
  bool fatal_ = false;  // another holder cannot help
};

}  // namespace

absl::StatusOr<FetchResult> FetchObject(const FetchSpec& spec, std::string_view key, Sink& sink,
                                        const std::atomic<bool>& interrupted) {
  return Fetcher(spec, key, sink, interrupted).Run();
}

absl::Status ReadLog(const LogSpec& spec, std::string_view key, const LogPiece& piece) {
  auto stub = v1::Data::NewStub(rpc::MakeChannel(spec.address, rpc::ChannelClass::kData));
  grpc::ClientContext context;
  rpc::AddKey(context, key);
  v1::LogRequest request;
  request.mutable_attempt()->set_job(spec.attempt.task.job);
  request.mutable_attempt()->set_ordinal(spec.attempt.task.ordinal);
  request.mutable_attempt()->set_attempt(spec.attempt.attempt);
  request.set_stdout_only(spec.want_stdout && !spec.want_stderr);
  request.set_stderr_only(spec.want_stderr && !spec.want_stdout);
  request.set_follow(spec.follow);
  auto reader = stub->Log(&context, request);
  v1::LogChunk chunk;
  bool more = true;
  while (more && reader->Read(&chunk))
    more = piece(chunk.is_stderr(), chunk.data(), chunk.truncated());
  if (!more) context.TryCancel();
  grpc::Status end = reader->Finish();
  if (!more || end.ok()) return absl::OkStatus();
  return rpc::FromGrpc(end, StrCat("the worker at ", spec.address));
}

}  // namespace taskd::client
