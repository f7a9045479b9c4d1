// Compresses the chunks of one stream where its link is slow and its items shrink: both are measured, the second of
// each item anew.
#ifndef TASKD_WORKER_DATA_CHUNK_PACKER_H_
#define TASKD_WORKER_DATA_CHUNK_PACKER_H_

#include <grpcpp/support/slice.h>

#include <cstdint>

#include "taskd/v1/data.pb.h"
#include "worker/data/chunk_buffers.h"
#include "worker/data/link_pace.h"

namespace taskd::worker {

class ChunkPacker {
 public:
  // Both outlive it.
  ChunkPacker(ChunkBuffers& buffers, const LinkPace& pace) : buffers_(buffers), pace_(pace) {}

  void NextItem() { plain_chunks_ = 0; }

  // True: `data` is a frame now, and `header` says of how many bytes.
  bool Pack(v1::FetchChunk& header, grpc::Slice& data);

 private:
  ChunkBuffers& buffers_;
  const LinkPace& pace_;
  uint32_t plain_chunks_ = 0;  // not tried: one like them did not shrink
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_CHUNK_PACKER_H_
