#include "cli/client/worker_data.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/io/zstd_frame.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "taskd/v1/data.grpc.pb.h"

namespace taskd::client {
namespace {

constexpr uint64_t kBusyNs = 30'000'000'000;  // how long busy holders are asked again
constexpr auto kBusyPause = std::chrono::milliseconds(100);

}  // namespace

// What one stream has brought.
struct ObjectFetch::Pass {
  bool goes_on = false;  // asked for the rest only
  uint64_t received = 0;
  uint32_t crc = 0;
  bool first = true;
  bool complete = false;
};

ObjectFetch::ObjectFetch(std::string_view key, Sink& sink, const std::atomic<bool>& interrupted,
                         Progress progress)
    : key_(key), sink_(sink), interrupted_(interrupted), progress_(std::move(progress)) {}

absl::StatusOr<FetchResult> ObjectFetch::From(const FetchSpec& spec) {
  spec_ = spec;
  absl::Status last = absl::UnavailableError("no worker holds it");
  for (uint64_t give_up = io::NowNs() + kBusyNs;;) {
    bool busy = false;
    for (const std::string& address : spec_.addresses) {
      if (interrupted_) return absl::AbortedError("interrupted");
      const uint64_t before = delivered_;
      absl::Status status = Ask(address);
      if (!fatal_ && broke_ && delivered_ > before) status = Ask(address);
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

absl::Status ObjectFetch::Ask(const std::string& address) {
  Pass pass;
  const bool same_version = spec_.version == 0 || spec_.version == version_;
  pass.goes_on =
      delivered_ > 0 && !doubtful_ && same_version && spec_.offset == 0 && spec_.length == 0;
  if (pass.goes_on) {
    pass.received = delivered_;
    pass.crc = delivered_crc_;
  } else {
    StartAnew();
  }
  broke_ = false;
  std::string peer = StrCat("the worker at ", address);
  auto stub = v1::Data::NewStub(rpc::MakeChannel(address, rpc::ChannelClass::kData));
  grpc::ClientContext context;
  rpc::AddKey(context, key_);
  auto reader = stub->Fetch(&context, Request(pass.goes_on));
  v1::FetchChunk chunk;
  absl::Status status;
  while (status.ok() && !pass.complete && reader->Read(&chunk))
    status = interrupted_ ? Fatal(absl::AbortedError("interrupted")) : Take(chunk, peer, pass);
  if (!status.ok()) context.TryCancel();
  grpc::Status end = reader->Finish();
  if (!status.ok() || pass.complete) return status;
  broke_ = true;
  if (!end.ok()) return rpc::FromGrpc(end, peer);
  return absl::UnavailableError(StrCat(peer, " stopped in the middle"));
}

v1::FetchRequest ObjectFetch::Request(bool goes_on) const {
  v1::FetchRequest request;
  request.set_zstd(true);
  v1::FetchItem* item = request.add_items();
  item->set_job(spec_.object.job);
  item->set_object(spec_.object.ordinal);
  // Once bytes are out, only the same version can go on with them.
  item->set_version(spec_.version == 0 && delivered_ > 0 ? version_ : spec_.version);
  item->set_part_lo(spec_.parts.lo);
  item->set_part_hi(spec_.parts.hi);
  item->set_offset(goes_on ? delivered_ : spec_.offset);
  item->set_length(spec_.length);
  item->set_resume(goes_on);
  return request;
}

// False: the sink cannot, and what it has will be compared.
bool ObjectFetch::StartAnew() {
  if (delivered_ > 0 && !sink_.Restart()) return false;
  delivered_ = 0;
  delivered_crc_ = 0;
  doubtful_ = false;
  return true;
}

absl::Status ObjectFetch::Take(const v1::FetchChunk& chunk, const std::string& peer, Pass& pass) {
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
  if (std::exchange(pass.first, false)) {
    if (absl::Status s = Begin(chunk, peer, pass); !s.ok()) return s;
  }
  std::string_view data = chunk.data();
  std::string plain;
  if (const uint32_t raw_bytes = chunk.raw_bytes(); raw_bytes > 0) {
    plain.resize(std::min(raw_bytes, limits::kChunkBytes));
    if (!io::DecompressInto(data, plain.data(), raw_bytes > plain.size() ? 0 : raw_bytes))
      return absl::UnavailableError(StrCat(peer, " sent a damaged zstd frame"));
    data = plain;
  }
  const uint64_t came = data.size();
  if (data.size() > size_bytes_ - std::min(size_bytes_, pass.received))
    return absl::UnavailableError(StrCat(peer, " sent more bytes than it had said"));
  pass.crc = ExtendCrc32c(pass.crc, data.data(), data.size());
  if (pass.received < delivered_) {
    if (absl::Status s = Compare(data, peer, pass); !s.ok()) return s;
  }
  pass.received += came;
  absl::Status status = sink_.Write(data);
  if (!status.ok()) return Fatal(status);
  delivered_crc_ = ExtendCrc32c(delivered_crc_, data.data(), data.size());
  delivered_ += data.size();
  if (progress_) progress_(delivered_, size_bytes_);
  return chunk.last() ? Finish(chunk, peer, pass) : absl::OkStatus();
}

absl::Status ObjectFetch::Begin(const v1::FetchChunk& chunk, const std::string& peer,
                                const Pass& pass) {
  if (!pass.goes_on || (chunk.version() == version_ && chunk.size_bytes() == size_bytes_)) {
    version_ = chunk.version();
    size_bytes_ = chunk.size_bytes();
    return absl::OkStatus();
  }
  doubtful_ = true;
  return absl::UnavailableError(StrCat(peer, " has other bytes than the worker before it"));
}

// Another holder gave these already: they must be the same bytes. Leaves in `data` what is new.
absl::Status ObjectFetch::Compare(std::string_view& data, const std::string& peer,
                                  const Pass& pass) {
  const uint64_t known = std::min<uint64_t>(delivered_ - pass.received, data.size());
  repeated_crc_ = ExtendCrc32c(pass.received == 0 ? 0 : repeated_crc_, data.data(), known);
  data.remove_prefix(known);
  if (pass.received + known < delivered_ || repeated_crc_ == delivered_crc_)
    return absl::OkStatus();
  return Fatal(absl::DataLossError(
      StrCat(peer, " has other bytes than the worker before it: do not trust the output")));
}

absl::Status ObjectFetch::Finish(const v1::FetchChunk& chunk, const std::string& peer, Pass& pass) {
  if (chunk.crc32c() != pass.crc) {
    doubtful_ = true;
    return absl::UnavailableError(
        StrCat("the bytes from ", peer, " were damaged on the way (crc32c)"));
  }
  if (pass.received < std::max(delivered_, size_bytes_))
    return absl::UnavailableError(StrCat(peer, " has fewer bytes"));
  pass.complete = true;
  return absl::OkStatus();
}

std::string ObjectFetch::BadRange() const {
  if (spec_.parts.whole()) return "the range lies beyond the end of the object";
  std::string what = spec_.offset > 0 || spec_.length > 0 ? "that range" : "that part";
  return StrCat("the object does not have ", what);
}

absl::Status ObjectFetch::Fatal(absl::Status status) {
  fatal_ = true;
  return status;
}

absl::StatusOr<std::string> PutBytes(
    const std::string& address, std::string_view key,
    const std::function<absl::StatusOr<std::string>(size_t most)>& read) {
  auto stub = v1::Data::NewStub(rpc::MakeChannel(address, rpc::ChannelClass::kData));
  grpc::ClientContext context;
  rpc::AddKey(context, key);
  v1::PutReply reply;
  auto writer = stub->Put(&context, &reply);
  absl::Status status;
  uint32_t crc = 0;
  v1::PutChunk chunk;
  while (!chunk.last()) {
    absl::StatusOr<std::string> bytes = read(limits::kChunkBytes);
    if (!bytes.ok()) {
      status = bytes.status();
      context.TryCancel();
      break;
    }
    crc = ExtendCrc32c(crc, bytes->data(), bytes->size());
    chunk.set_last(bytes->empty());
    if (chunk.last()) chunk.set_crc32c(crc);
    chunk.set_data(*std::move(bytes));
    if (!writer->Write(chunk)) break;  // the end says why
  }
  writer->WritesDone();
  const grpc::Status end = writer->Finish();
  if (!status.ok()) return status;
  if (!end.ok()) return rpc::FromGrpc(end, StrCat("the worker at ", address));
  return reply.token();
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
