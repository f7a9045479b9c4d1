// One item of a request on its way out: headers and payload of its chunks, in order. Payload is not
// copied: heap bytes are referred to, file bytes are read once.
//
// The last chunk is marked only when the store's checksums (of the object, or of each part) are
// known to be right; what is damaged is reported lost and ends in an error.
#ifndef TASKD_WORKER_DATA_ITEM_SOURCE_H_
#define TASKD_WORKER_DATA_ITEM_SOURCE_H_

#include <grpcpp/support/slice.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "absl/status/status.h"
#include "taskd/v1/data.pb.h"
#include "worker/data/chunk_buffers.h"
#include "worker/store/range_checker.h"
#include "worker/store/store.h"

namespace taskd::worker {

class HostProof;

class ItemSource {
 public:
  // `host`: the asking worker is on this host and takes names of files; null: bytes only. All
  // outlive the source.
  ItemSource(Store& store, ChunkBuffers& buffers, const v1::FetchRequest& request, uint32_t index,
             const HostProof* host);

  // The next chunk; there is one while the last has not been made. At most limits::kChunkBytes.
  void Next(v1::FetchChunk& header, grpc::Slice& data);
  bool done() const { return done_; }

 private:
  absl::Status Open(v1::FetchChunk& header);
  absl::Status Narrow();
  void Describe(v1::FetchChunk& header);
  bool NameFile(v1::FetchChunk& header);
  absl::Status Piece(grpc::Slice& data);
  absl::StatusOr<grpc::Slice> Read(uint64_t offset, size_t n);

  Store& store_;
  ChunkBuffers& buffers_;
  const v1::FetchRequest& request_;
  const v1::FetchItem& item_;
  const uint32_t index_;
  const HostProof* const host_;
  bool opened_ = false, done_ = false;
  std::shared_ptr<const ObjectReader> reader_;
  ObjectVersion id_;
  ByteRange range_;
  uint64_t position_ = 0;                // in the object
  std::optional<RangeChecker> checker_;  // none: the range does not begin or end where checksums do
  bool sound_ = true;
  uint32_t crc_ = 0;  // what the last chunk says
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_ITEM_SOURCE_H_
