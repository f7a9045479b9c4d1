#include "worker/data/item_receiver.h"

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/zstd_frame.h"
#include "common/rpc/chunk_codec.h"
#include "worker/data/host_proof.h"

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

void ItemReceiver::Expect(const HostProof* host, std::string_view nonce) {
  host_ = host;
  nonce_ = nonce;
  first_ = true;
  skipping_ = false;
}

void ItemReceiver::Reopen() {
  over_ = false;
  result_ = {FetchStatus::kUnreachable, 0, 0};
}

absl::Status ItemReceiver::Take(const rpc::ReceivedChunk& chunk) {
  if (skipping_ || over_) return absl::OkStatus();
  const v1::FetchChunk& header = chunk.header;
  if (header.status() == v1::FETCH_WAIT) return absl::OkStatus();
  if (header.status() != v1::FETCH_OK) {
    // What came before is still good, unless this holder cannot read its own bytes.
    const FetchStatus status = FromWire(header.status());
    const std::string answer = StrCat("the peer answered ", v1::FetchStatus_Name(header.status()));
    if (status == FetchStatus::kIoError) return Fail(status, answer);
    if (status == FetchStatus::kBusy) NoteOthers(header);
    result_ = {status, 0, 0};
    over_ = true;
    return Error(answer);
  }
  if (std::exchange(first_, false)) {
    absl::Status s = header.has_file()    ? Link(header)
                     : writer_ == nullptr ? Begin(header)
                                          : Continue(header);
    if (!s.ok() || over_) return s;
  }
  if (absl::Status s = TakeBytes(chunk); !s.ok())
    return Fail(FetchStatus::kIoError, std::string(s.message()));
  return header.last() ? Finish(header) : absl::OkStatus();
}

// Those that are named last know best.
void ItemReceiver::NoteOthers(const v1::FetchChunk& header) {
  const int count = std::min<int>(header.holders_size(), limits::kRelaysNamed);
  for (int i = count; i > 0; --i) {
    if (const std::string& address = header.holders(i - 1); !address.empty())
      others_.push_back(address);
  }
  if (others_.size() > limits::kRelaysAsked)
    others_.erase(others_.begin(), others_.end() - limits::kRelaysAsked);
}

std::string ItemReceiver::TakeOther() {
  if (complete() || others_.empty()) return {};
  std::string next = std::move(others_.back());
  others_.pop_back();
  return next;
}

absl::Status ItemReceiver::Begin(const v1::FetchChunk& header) {
  if (header.version() != key_.id.version) {
    return Fail(FetchStatus::kMissing,
                StrCat("the peer sent version ", header.version(), " instead"));
  }
  size_bytes_ = header.size_bytes();
  part_ends_.assign(header.part_ends().begin(), header.part_ends().end());
  part_ = 0;
  const bool right_count = key_.parts.whole() || part_ends_.size() == key_.parts.hi - key_.parts.lo;
  const bool fits = part_ends_.empty() || part_ends_.back() == size_bytes_;
  if (!right_count || !fits || !std::is_sorted(part_ends_.begin(), part_ends_.end()))
    return Fail(FetchStatus::kIoError, "the peer sent part ends that do not fit");
  writer_ = store_.NewWriter(size_bytes_);
  return AppendInParts({});  // empty parts at the start
}

// Other bytes than those that are here are not their continuation: all of them are asked for.
absl::Status ItemReceiver::Continue(const v1::FetchChunk& header) {
  if (header.version() != key_.id.version || header.size_bytes() != size_bytes_ ||
      !std::equal(part_ends_.begin(), part_ends_.end(), header.part_ends().begin(),
                  header.part_ends().end())) {
    return Skip("the peer's bytes do not go on where others broke off");
  }
  continued_ = true;
  return absl::OkStatus();
}

absl::Status ItemReceiver::Link(const v1::FetchChunk& header) {
  if (host_ == nullptr || !host_->AnswerIsRight(nonce_, header.file()))
    return Fail(FetchStatus::kIoError, "the peer named a file and did not show that it is here");
  if (absl::Status s = Begin(header); !s.ok()) return s;
  writer_.reset();
  const v1::StoreFile& file = header.file();
  ObjectMeta meta{
      size_bytes_, header.crc32c(), part_ends_, {file.part_crcs().begin(), file.part_crcs().end()}};
  if (meta.part_crcs.size() != part_ends_.size())
    return Fail(FetchStatus::kIoError, "the peer sent checksums of parts that do not fit");
  const FileIdentity identity = {file.device(), file.inode(), size_bytes_, file.mtime_ns()};
  absl::StatusOr<StoredOutput> info = store_.Link(key_, file.path(), std::move(meta), identity);
  if (!info.ok()) return Skip(std::string(info.status().message()));
  over_ = linked_ = true;
  result_ = {FetchStatus::kOk, info->size_bytes, info->crc32c, info->on_disk};
  return absl::OkStatus();
}

absl::Status ItemReceiver::TakeBytes(const rpc::ReceivedChunk& chunk) {
  const uint32_t raw_bytes = chunk.header.raw_bytes();
  const uint64_t bytes = raw_bytes == 0 ? chunk.data_bytes() : raw_bytes;
  if (bytes > size_bytes_ - writer_->size_bytes())
    return absl::DataLossError("the peer sent more bytes than it had said");
  if (raw_bytes == 0) {
    for (std::string_view piece : chunk.data) {
      if (absl::Status s = AppendInParts(piece); !s.ok()) return s;
    }
    return absl::OkStatus();
  }
  std::string joined;
  if (chunk.data.size() != 1) {
    for (std::string_view piece : chunk.data) joined += piece;
  }
  const std::string_view frame = chunk.data.size() == 1 ? chunk.data[0] : joined;
  thread_local const std::unique_ptr<char[]> plain(new char[limits::kChunkBytes]);
  if (raw_bytes > limits::kChunkBytes || !io::DecompressInto(frame, plain.get(), raw_bytes))
    return absl::DataLossError("the peer sent a damaged zstd frame");
  return AppendInParts({plain.get(), raw_bytes});
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

absl::Status ItemReceiver::Finish(const v1::FetchChunk& header) {
  if (writer_->size_bytes() != size_bytes_ || writer_->crc32c() != header.crc32c()) {
    const std::string damaged =
        StrCat("the bytes that arrived are damaged: ", writer_->size_bytes(), " of ", size_bytes_);
    // Nobody knows which of several answers was wrong: this holder shall answer for all of it.
    return continued_ ? Skip(damaged) : Fail(FetchStatus::kIoError, damaged);
  }
  absl::StatusOr<StoredOutput> info = store_.Commit(key_, std::move(writer_));
  if (!info.ok()) return Fail(FetchStatus::kIoError, std::string(info.status().message()));
  over_ = true;
  result_ = {FetchStatus::kOk, info->size_bytes, info->crc32c, info->on_disk};
  return absl::OkStatus();
}

// The item stays open, and starts anew with the next answer.
absl::Status ItemReceiver::Skip(std::string message) {
  writer_.reset();
  skipping_ = true;
  continued_ = false;
  return Error(std::move(message));
}

absl::Status ItemReceiver::Fail(FetchStatus status, std::string message) {
  writer_.reset();
  continued_ = false;
  over_ = true;
  result_ = {status, 0, 0};
  return Error(std::move(message));
}

absl::Status ItemReceiver::Error(std::string message) const {
  return absl::DataLossError(StrCat("object ", ToString(key_.id.object), ": ", message));
}

}  // namespace taskd::worker
