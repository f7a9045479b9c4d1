#include "common/rpc/interned_names.h"

#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/limits.h"

namespace taskd::rpc {

namespace {

class NameTable {
 public:
  explicit NameTable(uint32_t limit) : limit_(limit) {}

  std::optional<uint32_t> Number(std::string_view name) {
    std::lock_guard lock(mutex_);
    std::string key(name);
    auto found = numbers_.find(key);
    if (found != numbers_.end()) return found->second;
    if (names_.size() >= limit_) return std::nullopt;
    auto number = static_cast<uint32_t>(names_.size());
    names_.push_back(key);
    numbers_.emplace(std::move(key), number);
    return number;
  }

  std::string Name(uint32_t number) {
    std::lock_guard lock(mutex_);
    return number < names_.size() ? names_[number] : "";
  }

 private:
  const uint32_t limit_;
  std::mutex mutex_;
  absl::flat_hash_map<std::string, uint32_t> numbers_;
  std::vector<std::string> names_;
};

// Never destroyed: sessions may end after main.
NameTable& Pools() {
  static auto* table = new NameTable(limits::kPoolNames);
  return *table;
}
NameTable& Places() {
  static auto* table = new NameTable(limits::kPlaceNames);
  return *table;
}

NameTable& Owners() {
  static auto* table = new NameTable(limits::kOwnerNames);
  return *table;
}

}  // namespace

uint16_t PoolNumber(std::string_view name) {
  return static_cast<uint16_t>(Pools().Number(name).value_or(kNoPool));
}
std::string PoolName(uint16_t number) { return Pools().Name(number); }

uint32_t PlaceNumber(std::string_view name) {
  std::optional<uint32_t> number = Places().Number(name);
  return number ? *number + 1 : kNoPlace;
}

uint32_t OwnerNumber(std::string_view name) {
  if (name.empty()) return 0;
  std::optional<uint32_t> number = Owners().Number(name);
  return number ? *number + 1 : kNoOwner;
}

}  // namespace taskd::rpc
