// Where the store keeps bytes: memory (the daemon's heap, and files of a tmpfs) and disk, each with a limit.
#ifndef TASKD_WORKER_STORE_PLACES_H_
#define TASKD_WORKER_STORE_PLACES_H_

#include <sys/stat.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "worker/store/space.h"
#include "worker/store/spares.h"

namespace taskd::worker {

struct StoreOptions {
  std::string disk_folder;    // exists and is empty (WorkDir)
  std::string memory_folder;  // likewise, on a tmpfs; empty: large objects go to disk at once
  uint64_t memory_bytes = 0;  // of objects; 0: without limit
  uint64_t disk_bytes = 0;    // likewise
  // Of the memory, for files of objects that are gone (spares.h); 0: none are kept.
  uint64_t spare_bytes = 0;
  bool pack_spilled = false;  // large objects that go from memory to disk, if they shrink
};

// What the store and its writers share.
struct Places {
  explicit Places(StoreOptions options);

  bool has_memory_folder() const { return !memory_folder.empty(); }
  std::string NewPath(bool on_disk);
  // For a StoreFile; null: files there are removed.
  std::shared_ptr<Spares> SparesFor(bool on_disk) const;
  // ResourceExhausted: the disk's limit, for a message.
  absl::Status DiskIsFull() const;

  const std::string disk_folder, memory_folder;
  const uint64_t memory_device;  // of the folder; 0: none
  const bool pack_spilled;
  const std::shared_ptr<Space> memory, disk;
  const std::shared_ptr<Spares> spares;
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

// A file of the store that goes, or is kept for its pages, when nothing that lies in it is in the store
// any more and nobody here has it open. One object has it for itself, or many small ones that were spilled
// together share it.
struct StoreFile {
  StoreFile(std::string path, bool on_disk, Share share, std::shared_ptr<Spares> spares)
      : path(std::move(path)),
        on_disk(on_disk),
        share(std::move(share)),
        spares(std::move(spares)) {}
  ~StoreFile();
  StoreFile(const StoreFile&) = delete;
  StoreFile& operator=(const StoreFile&) = delete;

  // Makes the file with what `fill` writes, and notes its identity.
  absl::Status Make(absl::FunctionRef<absl::Status(int fd)> fill);

  // Nobody finds it by its name any more. Who has it open goes on reading it, and its space is in use as long.
  void Unlink() const;

  const std::string path;
  const bool on_disk;
  Share share;
  const std::shared_ptr<Spares> spares;  // null: it is not kept
  FileIdentity identity;
  // Its bytes were compared with their checksums since they were written.
  mutable std::atomic<bool> verified{false};
  mutable std::atomic<bool> unlinked{false};

 private:
  mutable std::string aside_;  // where it lies after Unlink; empty: nowhere
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_PLACES_H_
