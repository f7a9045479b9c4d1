#include "common/rpc/chunk_codec.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"

namespace taskd::rpc {
namespace {

// Field numbers of FetchChunk with wire type 2, length-delimited.
constexpr uint64_t kDataTag = v1::FetchChunk::kDataFieldNumber << 3 | 2;
constexpr uint64_t kMoreTag = v1::FetchChunk::kMoreFieldNumber << 3 | 2;
constexpr size_t kVarintBytes = 10;

// Payload below this is cheaper to copy than to refer to.
constexpr size_t kCopiedBytes = 1024;

void AppendVarint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>(value | 0x80));
  out.push_back(static_cast<char>(value));
}

size_t VarintSize(uint64_t value) {
  size_t n = 1;
  for (; value >= 0x80; value >>= 7) ++n;
  return n;
}

using Views = std::vector<std::string_view>;

// Reads on through bytes that lie in pieces. False: they end before, or are no protobuf.
class Cursor {
 public:
  explicit Cursor(const Views& pieces) : pieces_(pieces) {
    for (std::string_view piece : pieces) left_ += piece.size();
  }

  bool at_end() const { return left_ == 0; }

  // `copy`, if there is one, gets the bytes as they are.
  bool ReadVarint(uint64_t& value, std::string* copy = nullptr) {
    value = 0;
    for (size_t i = 0; i < kVarintBytes; ++i) {
      std::string_view byte;
      if (left_ == 0) return false;
      Next(1, byte);
      const auto b = static_cast<unsigned char>(byte[0]);
      if (copy != nullptr) copy->push_back(byte[0]);
      value |= static_cast<uint64_t>(b & 0x7F) << (7 * i);
      if (b < 0x80) return true;
    }
    return false;
  }

  bool Take(uint64_t n, Views& out) {
    if (n > left_) return false;
    for (std::string_view view; n > 0; n -= view.size()) {
      Next(n, view);
      out.push_back(view);
    }
    return true;
  }

  bool Copy(uint64_t n, std::string& out) {
    if (n > left_) return false;
    for (std::string_view view; n > 0; n -= view.size()) {
      Next(n, view);
      out.append(view);
    }
    return true;
  }

 private:
  // At most `n` bytes that lie together; there is one at least.
  void Next(uint64_t n, std::string_view& view) {
    while (at_ == pieces_[piece_].size()) {
      ++piece_;
      at_ = 0;
    }
    view = pieces_[piece_].substr(at_, n);
    at_ += view.size();
    left_ -= view.size();
  }

  const Views& pieces_;
  size_t piece_ = 0, at_ = 0;
  uint64_t left_ = 0;
};

// A field that is neither payload nor a further chunk goes to `header` for protobuf to read.
bool CopyField(Cursor& in, uint64_t tag, std::string& header) {
  AppendVarint(header, tag);
  uint64_t value = 0;
  switch (tag & 7) {
    case 0:
      return in.ReadVarint(value, &header);
    case 1:
      return in.Copy(8, header);
    case 2:
      return in.ReadVarint(value, &header) && in.Copy(value, header);
    case 5:
      return in.Copy(4, header);
    default:
      return false;  // groups are not used
  }
}

// `more`: gets the contents of further chunks; null: there may be none.
bool ReadChunk(const Views& bytes, ReceivedChunk& chunk, std::vector<Views>* more) {
  Cursor in(bytes);
  std::string header;
  bool has_data = false;
  while (!in.at_end()) {
    uint64_t tag = 0, size = 0;
    if (!in.ReadVarint(tag)) return false;
    if (tag == kDataTag) {
      if (std::exchange(has_data, true) || !in.ReadVarint(size) || !in.Take(size, chunk.data))
        return false;
    } else if (tag == kMoreTag) {
      if (more == nullptr || more->size() == limits::kFetchItems || !in.ReadVarint(size))
        return false;
      if (!in.Take(size, more->emplace_back())) return false;
    } else if (!CopyField(in, tag, header)) {
      return false;
    }
  }
  return chunk.header.ParseFromString(header);
}

}  // namespace

void ChunkWriter::Add(const v1::FetchChunk& header, grpc::Slice data) {
  const uint64_t size = data.size();
  const uint64_t text_before = text_.size();
  const uint64_t data_field = size == 0 ? 0 : 1 + VarintSize(size) + size;
  if (chunks_++ > 0) {
    AppendVarint(text_, kMoreTag);
    AppendVarint(text_, header.ByteSizeLong() + data_field);
  }
  header.AppendToString(&text_);
  if (size > 0) {
    AppendVarint(text_, kDataTag);
    AppendVarint(text_, size);
  }
  const bool copied = size < kCopiedBytes;
  if (copied) text_.append(reinterpret_cast<const char*>(data.begin()), size);
  bytes_ += text_.size() - text_before;
  if (copied) return;
  CloseText();
  bytes_ += size;
  slices_.push_back(std::move(data));
}

void ChunkWriter::CloseText() {
  if (!text_.empty()) slices_.emplace_back(text_);
  text_.clear();
}

grpc::ByteBuffer ChunkWriter::Finish() {
  CloseText();
  grpc::ByteBuffer message(slices_.data(), slices_.size());
  slices_.clear();
  bytes_ = 0;
  chunks_ = 0;
  return message;
}

uint64_t ReceivedChunk::data_bytes() const {
  uint64_t bytes = 0;
  for (std::string_view piece : data) bytes += piece.size();
  return bytes;
}

absl::StatusOr<ReceivedChunks> ReceivedChunks::Parse(const grpc::ByteBuffer& message) {
  ReceivedChunks received;
  absl::Status broken = absl::InvalidArgumentError(
      StrCat("a message of ", message.Length(), " bytes is not made of chunks"));
  if (message.Valid() && !message.Dump(&received.slices_).ok()) return broken;
  Views views;
  for (const grpc::Slice& slice : received.slices_)
    views.emplace_back(reinterpret_cast<const char*>(slice.begin()), slice.size());
  std::vector<Views> more;
  if (!ReadChunk(views, received.chunks_.emplace_back(), &more)) return broken;
  for (const Views& bytes : more) {
    if (!ReadChunk(bytes, received.chunks_.emplace_back(), nullptr)) return broken;
  }
  return received;
}

}  // namespace taskd::rpc
