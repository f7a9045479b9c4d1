// What was put and belongs to no job yet: bytes in the store that a token stands for. A task with the built-in put makes
// them its output. Who never comes for his loses them. Thread safe.
#ifndef TASKD_WORKER_STORE_PUTS_H_
#define TASKD_WORKER_STORE_PUTS_H_

#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "worker/store/store.h"

namespace taskd::worker {

class Puts {
 public:
  explicit Puts(Store& store) : store_(store) {}  // which outlives it

  // Where to keep the next ones in the store.
  LocalKey NewKey();
  // Of what lies under the key: nobody guesses it. Good for limits::kPutNs.
  std::string Keep(const LocalKey& key, uint64_t now_ns);
  // A copy of the file, which stays as it is. It is a regular file of any size.
  absl::StatusOr<std::string> KeepFile(const std::string& path, uint64_t now_ns);

  // It is the object `as` from now on. NotFound: there is nothing, or nothing any more, of this token.
  absl::StatusOr<StoredOutput> Claim(const std::string& token, const LocalKey& as);

  // Drops what is too old.
  void Expire(uint64_t now_ns);

 private:
  Store& store_;
  std::mutex mutex_;
  uint32_t next_ = 1;
  absl::flat_hash_map<std::string, LocalKey> keys_;     // by token
  std::deque<std::pair<uint64_t, std::string>> until_;  // the oldest first; some are gone
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_PUTS_H_
