#include "worker/data/chunk_packer.h"

#include <utility>

#include "common/io/zstd_frame.h"

namespace taskd::worker {
namespace {

constexpr size_t kPackedBytes = 4096;  // of less, headers and packets are the larger part
constexpr size_t kMostPercent = 90;    // that a frame may take of its bytes
constexpr uint32_t kPlainChunks = 63;  // after one that did not shrink

}  // namespace

bool ChunkPacker::Pack(v1::FetchChunk& header, grpc::Slice& data) {
  if (data.size() < kPackedBytes || !pace_.packs()) return false;
  if (plain_chunks_ > 0) {
    --plain_chunks_;
    return false;
  }
  ChunkBuffers::Buffer buffer = buffers_.Take();
  const std::string_view bytes(reinterpret_cast<const char*>(data.begin()), data.size());
  const size_t size = io::CompressInto(bytes, buffer.get(), bytes.size() * kMostPercent / 100);
  if (size == 0) {
    plain_chunks_ = kPlainChunks;
    buffers_.Put(std::move(buffer));
    return false;
  }
  header.set_raw_bytes(static_cast<uint32_t>(bytes.size()));
  data = buffers_.Refer(std::move(buffer), size);
  return true;
}

}  // namespace taskd::worker
