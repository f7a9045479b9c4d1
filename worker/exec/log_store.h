// What attempts wrote to stdout and stderr: the beginning and the end of each stream, for as long
// as there is room.
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

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  LogBuffer out_, err_;
  bool ended_ = false;
};

class LogStore {
 public:
  explicit LogStore(uint64_t total_bytes = limits::kLogsTotalBytes,
                    uint32_t attempts = limits::kLogsKept)
      : total_bytes_(total_bytes), attempts_(attempts) {}

  std::shared_ptr<AttemptLog> Open(const AttemptRef& attempt);
  void Close(const AttemptRef& attempt);  // ended: counts towards the total from now on
  std::shared_ptr<const AttemptLog> Find(
      const AttemptRef& attempt) const;  // null: none, or dropped

 private:
  struct Ended {
    AttemptRef attempt;
    uint64_t bytes;
  };
  const uint64_t total_bytes_;
  const uint32_t attempts_;
  mutable std::mutex mutex_;
  absl::flat_hash_map<AttemptRef, std::shared_ptr<AttemptLog>> logs_;
  std::deque<Ended> ended_;  // oldest first
  uint64_t ended_bytes_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_LOG_STORE_H_
