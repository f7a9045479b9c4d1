#include "worker/data/partial_items.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"

namespace taskd::worker {

void PartialItems::Put(std::unique_ptr<ItemReceiver> item, uint64_t now_ns) {
  if (item->complete() || item->kept_bytes() < limits::kChunkBytes) return;
  const uint64_t bytes = item->kept_bytes();
  std::list<Kept> gone;  // files are closed and removed without the lock
  std::lock_guard lock(mutex_);
  bytes_ += bytes;
  kept_.push_back({std::move(item), now_ns});
  while (bytes_ > bytes_max_ || kept_.size() > limits::kPartialItems) {
    bytes_ -= kept_.front().item->kept_bytes();
    gone.splice(gone.end(), kept_, kept_.begin());
  }
}

std::unique_ptr<ItemReceiver> PartialItems::Take(const LocalKey& key) {
  std::lock_guard lock(mutex_);
  auto it = std::find_if(kept_.begin(), kept_.end(),
                         [&](const Kept& kept) { return kept.item->key() == key; });
  if (it == kept_.end()) return nullptr;
  std::unique_ptr<ItemReceiver> item = std::move(it->item);
  kept_.erase(it);
  bytes_ -= item->kept_bytes();
  item->Reopen();
  return item;
}

void PartialItems::Expire(uint64_t now_ns) {
  std::list<Kept> gone;
  std::lock_guard lock(mutex_);
  while (!kept_.empty() && now_ns > kept_.front().since_ns + limits::kPartialNs) {
    bytes_ -= kept_.front().item->kept_bytes();
    gone.splice(gone.end(), kept_, kept_.begin());
  }
}

uint64_t PartialItems::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace taskd::worker
