#include "scheduler/shell/value_cache.h"

#include <utility>

namespace taskd::scheduler {

// Its slot of the index, which is at most half empty, and what the heap adds.
uint64_t ValueCache::Cost(const Entry& entry) {
  return sizeof(Entry) + 96 + entry.value.bytes.size();
}

void ValueCache::Add(const ObjectVersion& object, SmallValue value) {
  if (value.bytes.empty() || value.bytes.size() > limits::kInlineBytes) return;
  std::lock_guard lock(mutex_);
  auto [slot, added] = index_.try_emplace(object);
  if (!added) return;
  entries_.push_back({object, std::move(value)});
  slot->second = std::prev(entries_.end());
  bytes_ += Cost(entries_.back());
  while (bytes_ > limit_bytes_) Remove(entries_.begin());
}

std::optional<SmallValue> ValueCache::Get(const ObjectVersion& object) {
  std::lock_guard lock(mutex_);
  auto found = index_.find(object);
  if (found == index_.end()) return std::nullopt;
  ++sent_;
  return found->second->value;
}

void ValueCache::Drop(const ObjectVersion& object) {
  std::lock_guard lock(mutex_);
  auto found = index_.find(object);
  if (found != index_.end()) Remove(found->second);
}

void ValueCache::Remove(Entries::iterator entry) {
  bytes_ -= Cost(*entry);
  index_.erase(entry->object);
  entries_.erase(entry);
}

ValueCache::Totals ValueCache::totals() const {
  std::lock_guard lock(mutex_);
  return {entries_.size(), bytes_, sent_};
}

}  // namespace taskd::scheduler
