// Names what runs, in a file that outlives the daemon: a worker that was killed could not say which of its
// tasks did it, so the next one that has its folder does.
//
// A mapped file of fixed records: an entry is a copy of 256 bytes, and costs no system call. It outlives the
// process, not the node. Entries beyond limits are left out; keys are cut.
#ifndef TASKD_WORKER_EXEC_RUN_RING_H_
#define TASKD_WORKER_EXEC_RUN_RING_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace taskd::worker {

class RunRing {
 public:
  struct Entry {
    AttemptRef attempt;
    std::string key;        // of the task
    uint64_t since_ms = 0;  // of the wall clock
    bool operator==(const Entry&) const = default;
  };
  static constexpr uint32_t kNoSlot = 0xFFFFFFFFu;

  // Makes the file anew. Nobody else has it: its folder is locked.
  static absl::StatusOr<std::unique_ptr<RunRing>> Open(const std::string& path);
  ~RunRing();  // what is left in it stays
  RunRing(const RunRing&) = delete;
  RunRing& operator=(const RunRing&) = delete;

  // What was running when the daemon of that file ended; nothing of a file that is none or damaged.
  static std::vector<Entry> ReadLeft(const std::string& path);

  // -> for Remove. Thread safe, as Remove is.
  uint32_t Add(const AttemptRef& attempt, std::string_view key);
  void Remove(uint32_t slot);

 private:
  static constexpr uint32_t kSlots = 1024;
  struct Record {
    uint64_t used = 0;  // kUsed: the rest is whole
    uint64_t since_ms = 0;
    uint32_t job = 0, ordinal = 0, attempt = 0;
    uint32_t key_bytes = 0;
    char key[224] = {};
  };
  static_assert(sizeof(Record) == 256);
  static constexpr uint64_t kUsed = 0x7461736b64727531;  // "taskdru1"

  explicit RunRing(Record* records);

  Record* const records_;
  std::mutex mutex_;
  std::vector<uint32_t> free_;  // guarded by mutex_
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_RUN_RING_H_
