// The worker's objects. The core decides what is kept and dropped; this keeps bytes and says when
// they are gone. Thread safe: the data service, the executors and the core's thread use it at once.
#ifndef TASKD_WORKER_STORE_STORE_H_
#define TASKD_WORKER_STORE_STORE_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/thread_pool.h"
#include "worker/core/events.h"
#include "worker/store/object.h"
#include "worker/store/object_writer.h"
#include "worker/store/places.h"

namespace taskd::worker {

struct StoreTotals {
  uint64_t objects = 0;
  uint64_t heap_bytes = 0, shared_bytes = 0, disk_bytes = 0;
  uint64_t lost = 0;         // since the start
  uint64_t spare_bytes = 0;  // of files that are kept for their pages
  uint64_t bytes() const { return heap_bytes + shared_bytes + disk_bytes; }
};

class Store {
 public:
  using LostCallback = std::function<void(ObjectVersion)>;

  // `on_lost` is called on any thread, without locks held.
  Store(StoreOptions options, LostCallback on_lost);
  ~Store();  // waits for what is being spilled
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // Small values in one call. Overwrites: a version's bytes are the same whoever made them. `part_ends`: see
  // ObjectWriter::AppendInParts; OutOfRange when they are no ends of parts of so many bytes.
  absl::StatusOr<StoredOutput> Put(const LocalKey& key, std::string bytes,
                                   const std::vector<uint64_t>& part_ends = {});

  // `expected_bytes`: of the whole object, if known; what does not fit into memory then goes to disk from
  // the start.
  std::unique_ptr<ObjectWriter> NewWriter(uint64_t expected_bytes = 0);
  absl::StatusOr<StoredOutput> Commit(const LocalKey& key, std::unique_ptr<ObjectWriter> writer);

  // Takes over the open regular file `fd`, whose name is `path`, on the file system of one of the
  // store's folders: small ones are read, large ones renamed into the store after one pass for the
  // checksum; one that has other links, or for which memory has no room, is copied. `fd` stays the
  // caller's. `part_ends`: as of Put.
  absl::StatusOr<StoredOutput> Adopt(const LocalKey& key, int fd, const std::string& path,
                                     const std::vector<uint64_t>& part_ends = {});

  // Makes a hard link to the file `path` of another worker's store. It must be a regular file of
  // this user's with this identity and permissions of a store file. FailedPrecondition: it cannot be
  // linked (other file system, gone, too many links, not ours), or is not that file.
  absl::StatusOr<StoredOutput> Link(const LocalKey& key, const std::string& path, ObjectMeta meta,
                                    const FileIdentity& identity);

  // The bytes of an object without parts that is on the heap; "": it is not, or has none.
  std::string SmallValue(const LocalKey& key) const;

  bool Contains(const LocalKey& key) const;
  std::optional<uint64_t> SizeOf(const LocalKey& key) const;  // none: it is not here

  // NotFound: not here. DataLoss: it was here and its file is gone or changed; it has been reported
  // as lost.
  absl::StatusOr<ObjectReader> Get(const LocalKey& key);

  // For readers of parts: the key itself, or else the whole object; `range` is what to read from
  // it. OutOfRange when the object has no such parts.
  absl::StatusOr<ObjectReader> GetCovering(LocalKey key, ByteRange& range);

  // Some version of the object as a whole; 0: none. Looks at every entry: for questions of people,
  // not of tasks.
  AttemptId AnyVersion(const ObjectId& object) const;

  // The object `from` is `to` from now on. NotFound: it is not here.
  absl::StatusOr<StoredOutput> Rename(const LocalKey& from, const LocalKey& to);

  void Drop(const LocalKey& key);
  void DropAll();

  // Writes what is in memory under these keys now to disk, and frees that memory; `done` hears it on a
  // thread of the store's own. One whose checksum does not fit is lost.
  using SpillCallback = std::function<void(std::vector<event::Spilled::Result>)>;
  void Spill(std::vector<LocalKey> keys, SpillCallback done);

  // The bytes turned out to be damaged: drops every key of this version and says so to the
  // callback.
  void ReportLost(const ObjectVersion& id);

  // Gives back the memory of spare files that nothing has used for long. May take a while.
  void DropOldSpares(uint64_t now_ns) { places_->spares->Expire(now_ns); }

  // For who maps or links the file of `reader`, which is of this key or holds its parts: one that lies compressed is
  // unpacked on disk and `reader` is of that, and what lies on disk is compared with its checksum once.
  // ResourceExhausted: there is no room to unpack it. DataLoss: it is damaged.
  absl::Status MakeMappable(LocalKey key, ObjectReader& reader);

  StoreTotals totals() const;

 private:
  using Entry = std::shared_ptr<const ObjectEntry>;
  struct SpillItem {
    LocalKey key;
    Entry entry;  // null: it is not here
  };

  Entry Find(const LocalKey& key) const;
  absl::StatusOr<Entry> AdoptFile(int fd, const std::string& path, const struct stat& s,
                                  const std::vector<uint64_t>& part_ends, bool on_disk);
  void Count(const ObjectEntry& entry, int sign);
  void Forget(const ObjectEntry& entry);  // one that has left the table
  std::vector<event::Spilled::Result> WriteToDisk(const std::vector<SpillItem>& items);
  absl::StatusOr<Entry> CopyToDisk(const Entry& entry);
  absl::StatusOr<Entry> CopyPlain(const ObjectReader& reader);
  absl::Status WriteTogether(const std::vector<SpillItem>& items, std::vector<Entry>& entries);
  event::Spilled::Result Replace(const SpillItem& item, const absl::StatusOr<Entry>& on_disk);
  void Insert(const LocalKey& key, Entry entry);

  const std::shared_ptr<Places> places_;
  const LostCallback on_lost_;
  const Entry empty_;  // shared by all objects of no bytes: a million no-ops cost a table slot each
  mutable std::mutex mutex_;
  absl::flat_hash_map<LocalKey, Entry> entries_;  // guarded by mutex_
  std::atomic<uint64_t> objects_{0}, heap_bytes_{0}, shared_bytes_{0}, disk_bytes_{0}, lost_{0};
  std::mutex
      unpacking_;  // held meanwhile: who needs the same waits, and others would share the disk
  io::ThreadPool spillers_{limits::kSpillsAtOnce};  // last: its threads end first
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_STORE_H_
