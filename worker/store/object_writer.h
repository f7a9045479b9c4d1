// Takes the bytes of one new object in order, on the heap or into a file of the store's folder, and
// computes its checksums on the way. Nothing is in the store until Store::Commit; a writer that is
// let go leaves nothing.
#ifndef TASKD_WORKER_STORE_OBJECT_WRITER_H_
#define TASKD_WORKER_STORE_OBJECT_WRITER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "worker/store/object.h"

namespace taskd::worker {

class ObjectWriter {
 public:
  ~ObjectWriter();
  ObjectWriter(const ObjectWriter&) = delete;
  ObjectWriter& operator=(const ObjectWriter&) = delete;

  // ResourceExhausted when the disk is full.
  absl::Status Append(std::string_view bytes);

  // The bytes since the last call (or the start) are the next part. An object has parts throughout
  // or not at all: after the first call, bytes that follow the last call are an error of Finish.
  void EndPart();

  uint64_t size_bytes() const { return entry_->meta.size_bytes; }
  uint32_t crc32c() const;  // of all bytes so far

 private:
  friend class Store;
  // `path`: of the file, made only when the bytes outgrow the heap.
  explicit ObjectWriter(std::string path);

  absl::Status OpenFile();
  absl::Status WriteFile(std::string_view bytes);
  // Closes the file and gives the finished entry.
  absl::StatusOr<std::shared_ptr<const ObjectEntry>> Finish();

  std::shared_ptr<ObjectEntry> entry_;
  std::string path_;
  uint32_t part_crc_ = 0;  // meta.crc32c is of the parts that have ended
  int fd_ = -1;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_OBJECT_WRITER_H_
