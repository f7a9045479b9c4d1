// Values of small objects, as finished attempts sent them along: they go on with assignments and gathers, which saves
// their readers a fetch. Never a replica: what is not here is fetched from a holder, and what no worker
// holds is lost, whether it is here or not. Thread safe.
#ifndef TASKD_SCHEDULER_SHELL_VALUE_CACHE_H_
#define TASKD_SCHEDULER_SHELL_VALUE_CACHE_H_

#include <cstdint>
#include <list>
#include <mutex>
#include <optional>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "common/base/ids.h"
#include "common/base/limits.h"

namespace taskd::scheduler {

struct SmallValue {
  std::string bytes;
  uint32_t crc32c = 0;  // that its maker computed; the reader checks it
};

class ValueCache {
 public:
  struct Totals {
    uint64_t values = 0, bytes = 0;  // now; bytes with what a value costs beside its own
    uint64_t sent = 0;               // since the start
  };

  explicit ValueCache(uint64_t limit_bytes = limits::kValueCacheBytes)
      : limit_bytes_(limit_bytes) {}

  // Over the limit the oldest ones go. One that is too large, or that is here, changes nothing.
  void Add(const ObjectVersion& object, SmallValue value);
  // A copy to be sent; none: it is not here.
  std::optional<SmallValue> Get(const ObjectVersion& object);
  void Drop(const ObjectVersion& object);

  Totals totals() const;

 private:
  struct Entry {
    ObjectVersion object;
    SmallValue value;
  };
  using Entries = std::list<Entry>;  // oldest first

  static uint64_t Cost(const Entry& entry);
  void Remove(Entries::iterator entry);

  const uint64_t limit_bytes_;
  mutable std::mutex mutex_;
  Entries entries_;
  absl::flat_hash_map<ObjectVersion, Entries::iterator> index_;
  uint64_t bytes_ = 0, sent_ = 0;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_VALUE_CACHE_H_
