#include "worker/core/units.h"

#include <algorithm>

#include "common/base/check.h"

namespace taskd::worker {

Units::Units(const Resources& capacity) {
  for (const PoolAmount& amount : capacity.pools) {
    if (amount.milli == 0) break;
    Pool pool{.number = amount.pool, .whole = amount.milli / kWhole};
    // What such a unit lacks to a whole one counts as in use, for ever.
    if (amount.milli % kWhole != 0) pool.shared[pool.whole] = kWhole - amount.milli % kWhole;
    pools_.push_back(std::move(pool));
  }
}

Units::Pool* Units::Find(uint16_t number) {
  auto it = std::find_if(pools_.begin(), pools_.end(),
                         [number](const Pool& pool) { return pool.number == number; });
  return it == pools_.end() ? nullptr : &*it;
}

const Units::Pool* Units::Find(uint16_t number) const {
  return const_cast<Units*>(this)->Find(number);
}

absl::btree_map<uint32_t, uint32_t>::const_iterator Units::RoomFor(const Pool& pool,
                                                                   uint32_t milli) {
  auto best = pool.shared.end();
  for (auto it = pool.shared.begin(); it != pool.shared.end(); ++it) {
    if (it->second + milli > kWhole) continue;
    if (best == pool.shared.end() || it->second > best->second) best = it;
  }
  return best;
}

bool Units::CanGrant(const Resources& need) const {
  for (const PoolAmount& amount : need.pools) {
    if (amount.milli == 0) break;
    const Pool* pool = Find(amount.pool);
    if (pool == nullptr) return false;
    const uint32_t part = amount.milli % kWhole;
    const bool one_more = part != 0 && RoomFor(*pool, part) == pool->shared.end();
    if (pool->free() < amount.milli / kWhole + one_more) return false;
  }
  return true;
}

uint32_t Units::TakeLowest(Pool& pool) {
  const uint32_t unit = pool.returned.empty() ? pool.fresh : *pool.returned.begin();
  TakeUnit(pool, unit);
  return unit;
}

void Units::TakeUnit(Pool& pool, uint32_t unit) {
  TASKD_CHECK(pool.IsFree(unit));
  if (unit < pool.fresh) {
    pool.returned.erase(unit);
    return;
  }
  for (; pool.fresh < unit; ++pool.fresh) pool.returned.insert(pool.fresh);
  ++pool.fresh;
}

std::vector<UnitShare> Units::Grant(const Resources& need) {
  std::vector<UnitShare> granted;
  for (const PoolAmount& amount : need.pools) {
    if (amount.milli == 0) break;
    Pool* pool = Find(amount.pool);
    TASKD_CHECK(pool != nullptr);
    for (uint32_t i = 0; i < amount.milli / kWhole; ++i)
      granted.push_back({amount.pool, TakeLowest(*pool), kWhole});
    if (const uint32_t part = amount.milli % kWhole; part != 0) {
      auto room = RoomFor(*pool, part);
      const uint32_t unit = room == pool->shared.end() ? TakeLowest(*pool) : room->first;
      pool->shared[unit] += part;
      granted.push_back({amount.pool, unit, part});
    }
    used_milli_ += amount.milli;
  }
  return granted;
}

bool Units::AreFree(const std::vector<UnitShare>& shares) const {
  return std::all_of(shares.begin(), shares.end(), [this](const UnitShare& share) {
    const Pool* pool = Find(share.pool);
    if (pool == nullptr) return false;
    auto shared = pool->shared.find(share.unit);
    return shared == pool->shared.end() ? pool->IsFree(share.unit)
                                        : shared->second + share.milli <= kWhole;
  });
}

void Units::Take(const std::vector<UnitShare>& shares) {
  for (const UnitShare& share : shares) {
    Pool* pool = Find(share.pool);
    TASKD_CHECK(pool != nullptr);
    if (!pool->shared.contains(share.unit)) TakeUnit(*pool, share.unit);
    if (share.milli < kWhole) pool->shared[share.unit] += share.milli;
    used_milli_ += share.milli;
  }
}

void Units::GiveBack(const std::vector<UnitShare>& shares) {
  for (const UnitShare& share : shares) {
    Pool* pool = Find(share.pool);
    TASKD_CHECK(pool != nullptr);
    used_milli_ -= share.milli;
    if (share.milli < kWhole) {
      auto shared = pool->shared.find(share.unit);
      TASKD_CHECK(shared != pool->shared.end() && shared->second >= share.milli);
      shared->second -= share.milli;
      if (shared->second > 0) continue;
      pool->shared.erase(shared);
    }
    pool->returned.insert(share.unit);
  }
}

}  // namespace taskd::worker
