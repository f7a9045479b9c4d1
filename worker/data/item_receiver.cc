#include "worker/data/item_receiver.h"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/text.h"
#include "taskd/v1/data.pb.h"

namespace taskd::worker {
namespace {

FetchStatus FromWire(v1::FetchStatus status) {
  switch (status) {
    case v1::FETCH_OK:
      return FetchStatus::kOk;
    case v1::FETCH_MISSING:
      return FetchStatus::kMissing;
    case v1::FETCH_BUSY:
      return FetchStatus::kBusy;
    default:
      return FetchStatus::kIoError;
  }
}

}  // namespace

absl::Status ItemReceiver::Take(const v1::FetchChunk& chunk) {
  if (chunk.status() != v1::FETCH_OK) {
    return Fail(FromWire(chunk.status()),
                StrCat("the peer answered ", v1::FetchStatus_Name(chunk.status())));
  }
  if (writer_ == nullptr) {
    if (absl::Status s = Begin(chunk); !s.ok()) return s;
  }
  if (chunk.data().size() > size_bytes_ - writer_->size_bytes()) {
    return Fail(FetchStatus::kIoError, "the peer sent more bytes than it had said");
  }
  if (absl::Status s = AppendInParts(chunk.data()); !s.ok()) {
    return Fail(FetchStatus::kIoError, std::string(s.message()));
  }
  return chunk.last() ? Finish(chunk) : absl::OkStatus();
}

absl::Status ItemReceiver::Begin(const v1::FetchChunk& chunk) {
  if (chunk.version() != key_.id.version) {
    return Fail(FetchStatus::kMissing,
                StrCat("the peer sent version ", chunk.version(), " instead"));
  }
  size_bytes_ = chunk.size_bytes();
  part_ends_.assign(chunk.part_ends().begin(), chunk.part_ends().end());
  const bool right_count = key_.parts.whole() || part_ends_.size() == key_.parts.hi - key_.parts.lo;
  const bool fits = part_ends_.empty() || part_ends_.back() == size_bytes_;
  if (!right_count || !fits || !std::is_sorted(part_ends_.begin(), part_ends_.end())) {
    return Fail(FetchStatus::kIoError, "the peer sent part ends that do not fit");
  }
  writer_ = store_.NewWriter(size_bytes_);
  return AppendInParts({});  // empty parts at the start
}

absl::Status ItemReceiver::AppendInParts(std::string_view bytes) {
  for (; part_ < part_ends_.size(); ++part_) {
    const uint64_t left = part_ends_[part_] - writer_->size_bytes();
    const size_t n = std::min<uint64_t>(left, bytes.size());
    if (absl::Status s = writer_->Append(bytes.substr(0, n)); !s.ok()) return s;
    bytes.remove_prefix(n);
    if (n < left) return absl::OkStatus();
    writer_->EndPart();
  }
  return bytes.empty() ? absl::OkStatus() : writer_->Append(bytes);
}

absl::Status ItemReceiver::Finish(const v1::FetchChunk& chunk) {
  if (writer_->size_bytes() != size_bytes_ || writer_->crc32c() != chunk.crc32c()) {
    return Fail(
        FetchStatus::kIoError,
        StrCat("the bytes that arrived are damaged: ", writer_->size_bytes(), " of ", size_bytes_));
  }
  absl::StatusOr<StoredOutput> info = store_.Commit(key_, std::move(writer_));
  if (!info.ok()) return Fail(FetchStatus::kIoError, std::string(info.status().message()));
  complete_ = true;
  result_ = {FetchStatus::kOk, info->size_bytes, info->crc32c, info->on_disk};
  return absl::OkStatus();
}

absl::Status ItemReceiver::Fail(FetchStatus status, std::string message) {
  writer_.reset();
  result_ = {status, 0, 0};
  return absl::DataLossError(StrCat("object ", ToString(key_.id.object), ": ", message));
}

}  // namespace taskd::worker
