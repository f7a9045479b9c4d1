// One replica's bytes, or some parts of one, as the store keeps them: immutable, on the heap or in
// a file.
#ifndef TASKD_WORKER_STORE_OBJECT_H_
#define TASKD_WORKER_STORE_OBJECT_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/session.h"
#include "worker/store/places.h"

namespace taskd::worker {

struct ObjectMeta {
  uint64_t size_bytes = 0;
  uint32_t crc32c = 0;              // of all bytes
  std::vector<uint64_t> part_ends;  // cumulative; empty: an object without parts
  std::vector<uint32_t> part_crcs;  // one a part
};

// What the store's table holds. Never changes after it is made: spilling puts another in its place. Bytes
// and file go with the last holder.
struct ObjectEntry {
  ObjectMeta meta;
  std::string bytes;  // on the heap
  Share heap_share;
  std::shared_ptr<const StoreFile> file;  // null: on the heap
  uint64_t offset = 0;                    // of its bytes in the file
  // Of an object that lies there compressed (packed.h): where each frame ends.
  std::vector<uint64_t> frame_ends;

  bool packed() const { return !frame_ends.empty(); }
  uint64_t stored_bytes() const { return packed() ? frame_ends.back() : meta.size_bytes; }
  bool on_disk() const { return file != nullptr && file->on_disk; }
  // The file is this object and no other, byte for byte.
  bool has_own_file() const {
    return file != nullptr && !packed() && offset == 0 &&
           file->identity.size_bytes == meta.size_bytes;
  }
};

struct ByteRange {
  uint64_t offset = 0;
  uint64_t length = 0;
  uint32_t part_lo = 0, part_hi = 0;  // whole parts that it covers; both 0: not known by parts
};

// A reader's hold on an object: stays readable after the store has dropped it. Reads are thread
// safe.
class ObjectReader {
 public:
  // Opens the file of a file object. DataLoss: it vanished or was changed.
  static absl::StatusOr<ObjectReader> Open(std::shared_ptr<const ObjectEntry> entry);

  ObjectReader(ObjectReader&& other) noexcept;
  ObjectReader& operator=(ObjectReader&& other) noexcept;
  ~ObjectReader();

  const ObjectMeta& meta() const { return entry_->meta; }
  bool in_file() const { return entry_->file != nullptr; }
  const ObjectEntry& entry() const { return *entry_; }
  // Open for reading, of an object in a file; the reader's. -1: on the heap. Not the object's bytes if they are
  // packed.
  int fd() const { return fd_; }

  // The bytes of parts [lo, hi), or of everything. OutOfRange when the object has no such parts.
  absl::StatusOr<ByteRange> Locate(PartRange parts) const;

  // Copies bytes [offset, offset + n) to `out`. DataLoss when the file is short or cannot be read.
  absl::Status Read(uint64_t offset, char* out, size_t n) const;

  // For who maps or links the file instead of reading it here: compares what lies on disk with its checksum,
  // once. DataLoss on a mismatch.
  absl::Status Verify() const;

  const std::shared_ptr<const ObjectEntry>& shared_entry() const { return entry_; }

  // Hands every byte of `range` to `sink` in pieces of at most limits::kChunkBytes, and checks the
  // checksums that the range allows: of the whole object, or of each part. DataLoss on a mismatch,
  // after the bytes have been handed over; an error of the sink stops it and is returned.
  using Sink = absl::FunctionRef<absl::Status(std::string_view)>;
  absl::Status Stream(const ByteRange& range, Sink sink) const;

 private:
  absl::Status ReadFile(uint64_t offset, char* out, size_t n) const;
  absl::Status ReadFrame(size_t frame, char* out, size_t n) const;

  explicit ObjectReader(std::shared_ptr<const ObjectEntry> entry) : entry_(std::move(entry)) {}

  std::shared_ptr<const ObjectEntry> entry_;
  int fd_ = -1;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_OBJECT_H_
