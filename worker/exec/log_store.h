// What attempts wrote to stdout and stderr: the beginning and the end of each stream, for as long
// as there is room: the newest in memory, older ones on disk (log_archive.h).
#ifndef TASKD_WORKER_EXEC_LOG_STORE_H_
#define TASKD_WORKER_EXEC_LOG_STORE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "common/io/thread_pool.h"
#include "worker/exec/log_archive.h"

namespace taskd::worker {

// A stream capped at limits::kLogBytes: what is left out is in the middle, so that the cause of a
// failure, which stands at the end, is kept. Not thread safe.
class LogBuffer {
 public:
  void Append(std::string_view bytes);
  bool truncated() const { return dropped_ > 0; }
  uint64_t kept_bytes() const { return head_.size() + tail_.size(); }
  std::string Text() const;  // with a line that says how much is left out
  // What came after byte `position` of all, likewise; moves it on to the end.
  std::string Since(uint64_t& position) const;
  std::string Tail(uint32_t bytes) const;  // the newest
  void Pack();                             // gives spare memory back

  // After Pack: appends all of it to `to`, for Restore. False: `from` does not begin with such bytes, which are taken
  // off it else.
  void Save(std::string& to) const;
  bool Restore(std::string_view& from);

 private:
  std::string head_, tail_;
  uint64_t dropped_ = 0;
};

// Of one attempt. Thread safe: readers may look while the attempt writes.
class AttemptLog {
 public:
  struct View {
    std::string out, err;
    bool out_truncated = false, err_truncated = false;
  };
  void AppendOut(std::string_view bytes);
  void AppendErr(std::string_view bytes);
  View Read() const;

  // Where a follower is in both streams.
  struct Position {
    uint64_t out = 0, err = 0;
  };
  // What came after it; waits until there is something, the attempt has ended, or the time is up. False: it
  // has ended, and this is the last.
  bool Follow(Position& position, View& news, uint64_t wait_ns) const;
  std::string ErrTail(uint32_t bytes) const;

 private:
  friend class LogStore;
  uint64_t End();  // -> bytes kept
  // Of one that has ended.
  std::string Save() const;
  static std::shared_ptr<const AttemptLog> Restore(std::string_view saved);  // null: damaged

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  LogBuffer out_, err_;
  bool ended_ = false;
};

struct LogTotals {
  uint64_t memory_bytes = 0, disk_bytes = 0;  // of ended attempts
  uint64_t dropped = 0;                       // logs that were not empty, since the start
};

// Thread safe. Writes are a thread's of its own.
class LogStore {
 public:
  struct Options {
    std::string folder;                              // for old logs, made when needed; empty: none
    uint64_t disk_bytes = limits::kLogsDiskBytes;    // of them; 0: none
    uint64_t total_bytes = limits::kLogsTotalBytes;  // in memory
    uint64_t write_bytes = limits::kLogsWriteBytes;  // from here on the oldest are written to disk
    uint32_t attempts = limits::kLogsKept;           // in memory; and so many that wrote nothing
  };
  explicit LogStore(Options options);
  LogStore() : LogStore(Options{}) {}
  ~LogStore();  // what is not written yet is dropped

  std::shared_ptr<AttemptLog> Open(const AttemptRef& attempt);
  void Close(const AttemptRef& attempt);  // ended: counts towards the total from now on
  // Null: none, or dropped. May read a file.
  std::shared_ptr<const AttemptLog> Find(const AttemptRef& attempt) const;

  LogTotals totals() const;

 private:
  struct Ended {
    AttemptRef attempt;
    uint64_t bytes;
    std::shared_ptr<const AttemptLog> log;
  };
  void Retire(Ended ended);  // from memory
  void Drop(const Ended& ended);
  void Write();  // the writer's: what leaves memory

  const Options options_;
  const std::unique_ptr<LogArchive> archive_;  // null: there is none
  mutable std::mutex mutex_;
  absl::flat_hash_map<AttemptRef, std::shared_ptr<AttemptLog>> logs_;
  std::deque<AttemptRef> silent_;  // ended without a byte; oldest first
  std::deque<Ended> ended_;        // oldest first
  std::deque<Ended> leaving_;      // older than these, to be written
  uint64_t ended_bytes_ = 0, leaving_bytes_ = 0, dropped_ = 0;
  bool writing_ = false, stopping_ = false, warned_ = false;
  std::unique_ptr<io::ThreadPool> writer_;  // from the first need on
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_LOG_STORE_H_
