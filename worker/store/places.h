// Where the store keeps bytes: memory (the daemon's heap, and files of a tmpfs) and disk, each with a limit.
#ifndef TASKD_WORKER_STORE_PLACES_H_
#define TASKD_WORKER_STORE_PLACES_H_

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/status/status.h"

namespace taskd::worker {

// Bytes in use of a limited amount. Thread safe.
class Space {
 public:
  explicit Space(uint64_t limit_bytes) : limit_(limit_bytes) {}  // 0: without limit

  bool TryTake(uint64_t bytes) {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (limit_ != 0 && (used > limit_ || bytes > limit_ - used)) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  void GiveBack(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }

 private:
  const uint64_t limit_;
  std::atomic<uint64_t> used_{0};
};

// Bytes of a space, given back at the end.
class Share {
 public:
  Share() = default;
  explicit Share(std::shared_ptr<Space> space) : space_(std::move(space)) {}
  Share(Share&& other) noexcept
      : space_(std::move(other.space_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Share& operator=(Share&& other) noexcept {
    std::swap(space_, other.space_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Share() {
    if (bytes_ != 0) space_->GiveBack(bytes_);
  }

  // False: that much is not left, and the share is as it was.
  bool GrowTo(uint64_t bytes) {
    if (bytes <= bytes_) return true;
    if (!space_->TryTake(bytes - bytes_)) return false;
    bytes_ = bytes;
    return true;
  }
  void ShrinkTo(uint64_t bytes) {
    if (bytes < bytes_) space_->GiveBack(bytes_ - bytes);
    bytes_ = std::min(bytes_, bytes);
  }
  const Space* space() const { return space_.get(); }

 private:
  std::shared_ptr<Space> space_;
  uint64_t bytes_ = 0;
};

struct StoreOptions {
  std::string disk_folder;    // exists and is empty (WorkDir)
  std::string memory_folder;  // likewise, on a tmpfs; empty: large objects go to disk at once
  uint64_t memory_bytes = 0;  // of objects; 0: without limit
  uint64_t disk_bytes = 0;    // likewise
};

// What the store and its writers share.
struct Places {
  explicit Places(StoreOptions options);

  bool has_memory_folder() const { return !memory_folder.empty(); }
  std::string NewPath(bool on_disk);
  // ResourceExhausted: the disk's limit, for a message.
  absl::Status DiskIsFull() const;

  const std::string disk_folder, memory_folder;
  const uint64_t memory_device;  // of the folder; 0: none
  const std::shared_ptr<Space> memory, disk;
  std::atomic<uint64_t> next_file{0};
};

// What tells a file from a changed one without reading it. Link count and ctime are left out:
// attempts make hard links to store files.
struct FileIdentity {
  uint64_t device = 0, inode = 0, size_bytes = 0;
  int64_t mtime_ns = 0;
  bool operator==(const FileIdentity&) const = default;
  static FileIdentity Of(const struct stat& s) {
    return {s.st_dev, s.st_ino, static_cast<uint64_t>(s.st_size),
            s.st_mtim.tv_sec * 1'000'000'000 + s.st_mtim.tv_nsec};
  }
};

// A file of the store, unlinked when nothing that lies in it is in the store any more. One object has it for
// itself, or many small ones that were spilled together share it.
struct StoreFile {
  StoreFile(std::string path, bool on_disk, Share share)
      : path(std::move(path)), on_disk(on_disk), share(std::move(share)) {}
  ~StoreFile();
  StoreFile(const StoreFile&) = delete;
  StoreFile& operator=(const StoreFile&) = delete;

  // Who has it open goes on reading it, and its space is in use as long.
  void Unlink() const;

  const std::string path;
  const bool on_disk;
  Share share;
  FileIdentity identity;
  // Its bytes were compared with their checksums since they were written.
  mutable std::atomic<bool> verified{false};
  mutable std::atomic<bool> unlinked{false};
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_PLACES_H_
