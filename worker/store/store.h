// The worker's objects. The core decides what is kept and dropped; this keeps bytes and says when
// they are gone. Thread safe: the data service, the executors and the core's thread use it at once.
#ifndef TASKD_WORKER_STORE_STORE_H_
#define TASKD_WORKER_STORE_STORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/core/events.h"
#include "worker/store/object.h"
#include "worker/store/object_writer.h"

namespace taskd::worker {

struct StoreTotals {
  uint64_t objects = 0;
  uint64_t heap_bytes = 0;
  uint64_t file_bytes = 0;
  uint64_t lost = 0;  // since the start
};

class Store {
 public:
  using LostCallback = std::function<void(ObjectVersion)>;

  // `folder` exists and is empty (WorkDir). `on_lost` is called on any thread, without locks held.
  Store(std::string folder, LostCallback on_lost);
  ~Store();
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Small values in one call. Overwrites: a version's bytes are the same whoever made them.
  absl::StatusOr<OutputInfo> Put(const LocalKey& key, std::string bytes);

  std::unique_ptr<ObjectWriter> NewWriter();
  absl::StatusOr<OutputInfo> Commit(const LocalKey& key, std::unique_ptr<ObjectWriter> writer);

  // Takes over the open regular file `fd`, whose name is `path`, on the same file system: small
  // ones are read, large ones renamed into the store after one pass for the checksum; one that has
  // other links is copied. `fd` stays the caller's.
  absl::StatusOr<OutputInfo> Adopt(const LocalKey& key, int fd, const std::string& path);

  // Makes a hard link to the file `path` of another worker's store. It must be a regular file of
  // this user's with this identity and permissions of a store file. FailedPrecondition: it cannot be
  // linked (other file system, gone, too many links, not ours), or is not that file.
  absl::StatusOr<OutputInfo> Link(const LocalKey& key, const std::string& path, ObjectMeta meta,
                                  const FileIdentity& identity);

  bool Contains(const LocalKey& key) const;

  // NotFound: not here. DataLoss: it was here and its file is gone or changed; it has been reported
  // as lost.
  absl::StatusOr<ObjectReader> Get(const LocalKey& key);

  // For readers of parts: the key itself, or else the whole object; `range` is what to read from
  // it. OutOfRange when the object has no such parts.
  absl::StatusOr<ObjectReader> GetCovering(LocalKey key, ByteRange& range);

  // Some version of the object as a whole; 0: none. Looks at every entry: for questions of people,
  // not of tasks.
  AttemptId AnyVersion(const ObjectId& object) const;

  void Drop(const LocalKey& key);
  void DropAll();

  // The bytes turned out to be damaged: drops every key of this version and says so to the
  // callback.
  void ReportLost(const ObjectVersion& id);

  StoreTotals totals() const;

 private:
  using Entry = std::shared_ptr<const ObjectEntry>;

  std::string NewPath();
  void Insert(const LocalKey& key, Entry entry);
  void Forget(const Entry& entry);  // unlinks and uncounts an entry that has left the table

  const std::string folder_;
  const LostCallback on_lost_;
  const Entry empty_;  // shared by all objects of no bytes: a million no-ops cost a table slot each
  std::atomic<uint64_t> next_file_{0};
  mutable std::mutex mutex_;
  absl::flat_hash_map<LocalKey, Entry> entries_;  // guarded by mutex_
  std::atomic<uint64_t> objects_{0}, heap_bytes_{0}, file_bytes_{0}, lost_{0};
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_STORE_H_
