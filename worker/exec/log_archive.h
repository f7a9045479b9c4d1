// Old logs on disk, packed: a few files that are only appended to, each with the logs of many attempts, and an index in
// memory. When there is no room the oldest file goes, with all that is in it.
//
// Nothing of it outlives the process: a new daemon starts with an empty work folder.
#ifndef TASKD_WORKER_EXEC_LOG_ARCHIVE_H_
#define TASKD_WORKER_EXEC_LOG_ARCHIVE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/ids.h"
#include "common/base/limits.h"

namespace taskd::worker {

class LogArchive {
 public:
  // The folder is made when the first log comes. Its files take at most `most_bytes`, and no more than the disk has free
  // beside them: logs must not take the last of what tasks need.
  LogArchive(std::string folder, uint64_t most_bytes);
  ~LogArchive();
  LogArchive(const LogArchive&) = delete;
  LogArchive& operator=(const LogArchive&) = delete;

  struct Record {
    AttemptRef attempt;
    std::string bytes;
  };
  // One thread at a time. All of them, or an error and none. Of two records of one attempt the later one counts.
  absl::Status Append(const std::vector<Record>& records);

  // Any thread. Nullopt: it is not here, not here any more, or its bytes are not what was written.
  std::optional<std::string> Find(const AttemptRef& attempt) const;

  uint64_t bytes() const;
  uint64_t dropped() const;  // records that went with their files, since the start

 private:
  struct Entry {
    AttemptRef attempt;
    uint32_t offset, bytes, crc32c;
  };
  static_assert(sizeof(Entry) == 24);
  struct Segment {
    ~Segment();  // closes; readers may have it longer than the archive
    std::string path;
    int fd = -1;
    uint64_t bytes = 0;
    std::vector<Entry> index;  // in order of writing
  };

  absl::Status MakeRoom(uint64_t bytes);
  absl::Status OpenSegment();
  void DropOldest();

  const std::string folder_;
  const uint64_t most_bytes_, segment_bytes_;
  uint64_t next_name_ = 0;
  mutable std::mutex mutex_;
  std::deque<std::shared_ptr<Segment>> segments_;  // guarded by mutex_; the last is written to
  uint64_t bytes_ = 0, dropped_ = 0;               // likewise
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_LOG_ARCHIVE_H_
