// Items of which a stream brought only a part, until the core has asked another holder for them.
// Thread safe; bounded in bytes and time.
#ifndef TASKD_WORKER_DATA_PARTIAL_ITEMS_H_
#define TASKD_WORKER_DATA_PARTIAL_ITEMS_H_

#include <cstdint>
#include <list>
#include <memory>
#include <mutex>

#include "worker/data/item_receiver.h"

namespace taskd::worker {

class PartialItems {
 public:
  explicit PartialItems(uint64_t bytes_max) : bytes_max_(bytes_max) {}

  // Nothing is kept of an item that is over or has little.
  void Put(std::unique_ptr<ItemReceiver> item, uint64_t now_ns);

  // The item that was put under this key, open again; null: none.
  std::unique_ptr<ItemReceiver> Take(const LocalKey& key);

  // Lets go what nobody has asked for in limits::kPartialNs.
  void Expire(uint64_t now_ns);

  uint64_t bytes() const;

 private:
  struct Kept {
    std::unique_ptr<ItemReceiver> item;
    uint64_t since_ns = 0;
  };

  const uint64_t bytes_max_;
  mutable std::mutex mutex_;
  std::list<Kept> kept_;  // oldest first; few
  uint64_t bytes_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_PARTIAL_ITEMS_H_
