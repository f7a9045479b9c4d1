// Buffers for file bytes on their way out, which go round: fresh memory of the size of a chunk costs a page
// fault every 4 KiB, and takes longer than to read the file.
#ifndef TASKD_WORKER_DATA_CHUNK_BUFFERS_H_
#define TASKD_WORKER_DATA_CHUNK_BUFFERS_H_

#include <grpcpp/support/slice.h>

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "common/base/limits.h"

namespace taskd::worker {

// Thread safe. Slices may outlive their maker's last other user.
class ChunkBuffers : public std::enable_shared_from_this<ChunkBuffers> {
 public:
  using Buffer = std::unique_ptr<char[]>;  // of limits::kChunkBytes

  Buffer Take() {
    std::lock_guard lock(mutex_);
    if (unused_.empty()) return Buffer(new char[limits::kChunkBytes]);
    Buffer buffer = std::move(unused_.back());
    unused_.pop_back();
    return buffer;
  }

  void Put(Buffer buffer) {
    std::lock_guard lock(mutex_);
    if (unused_.size() < limits::kChunkBuffers) unused_.push_back(std::move(buffer));
  }

  // The first `n` bytes, without a copy; the buffer comes back when gRPC has sent them.
  grpc::Slice Refer(Buffer buffer, size_t n) {
    char* bytes = buffer.get();
    return {bytes, n, GiveBack, new Sent{shared_from_this(), std::move(buffer)}};
  }

 private:
  struct Sent {
    std::shared_ptr<ChunkBuffers> owner;
    Buffer buffer;
  };

  static void GiveBack(void* tag) {
    const std::unique_ptr<Sent> sent(static_cast<Sent*>(tag));
    sent->owner->Put(std::move(sent->buffer));
  }

  std::mutex mutex_;
  std::vector<Buffer> unused_;  // the last one is the warmest
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_CHUNK_BUFFERS_H_
