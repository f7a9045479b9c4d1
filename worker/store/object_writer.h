// Takes the bytes of one new object in order, on the heap or into a file, and computes its checksums on
// the way. Nothing is in the store until Store::Commit; a writer that is let go leaves nothing.
#ifndef TASKD_WORKER_STORE_OBJECT_WRITER_H_
#define TASKD_WORKER_STORE_OBJECT_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/store/object.h"
#include "worker/store/places.h"

namespace taskd::worker {

class ObjectWriter {
 public:
  ~ObjectWriter();
  ObjectWriter(const ObjectWriter&) = delete;
  ObjectWriter& operator=(const ObjectWriter&) = delete;

  // What does not fit into memory goes to disk, with all that came before. ResourceExhausted when the disk
  // is full, too, or the store may use no more of it.
  absl::Status Append(std::string_view bytes);

  // The bytes since the last call (or the start) are the next part. An object has parts throughout
  // or not at all: after the first call, bytes that follow the last call are an error of Finish.
  void EndPart();

  // Append for an object whose parts end where `part_ends` says, ascending, counted from its first byte; ends them on the
  // way. The same list in each call; an empty one: no parts.
  absl::Status AppendInParts(std::string_view bytes, const std::vector<uint64_t>& part_ends);

  uint64_t size_bytes() const { return entry_->meta.size_bytes; }
  uint32_t crc32c() const;  // of all bytes so far

 private:
  friend class Store;
  ObjectWriter(std::shared_ptr<Places> places, uint64_t expected_bytes, bool on_disk);

  void TakeSpare(uint64_t bytes);
  absl::Status OpenFile(bool on_disk);
  absl::Status WriteFile(std::string_view bytes);
  absl::Status MoveToDisk();
  // Closes the file and gives the finished entry.
  absl::StatusOr<std::shared_ptr<const ObjectEntry>> Finish();

  const std::shared_ptr<Places> places_;
  std::shared_ptr<ObjectEntry> entry_;
  Share share_;  // of the place where it is written
  bool on_disk_ = false;
  std::string path_;       // of the file, once there is one
  uint32_t part_crc_ = 0;  // meta.crc32c is of the parts that have ended
  int fd_ = -1;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_OBJECT_WRITER_H_
