// The single units of a worker's pools (gpu 0, gpu 1): which attempt has which. The scheduler counts amounts;
// here an amount becomes whole units, lowest first, and for the rest a part of one unit, which others of the
// same pool may share. Parts lie in as few units as they can, but amounts that fit by their sum may still not
// fit: who asks waits until a unit is free.
#ifndef TASKD_WORKER_CORE_UNITS_H_
#define TASKD_WORKER_CORE_UNITS_H_

#include <cstdint>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/btree_set.h"
#include "common/base/session.h"

namespace taskd::worker {

struct UnitShare {
  uint16_t pool = 0;
  uint32_t unit = 0;
  uint32_t milli = 0;  // of this unit, 1 to 1000
  bool operator==(const UnitShare&) const = default;
};

class Units {
 public:
  explicit Units(const Resources& capacity);

  bool CanGrant(const Resources& need) const;
  // Takes them. CanGrant said yes.
  std::vector<UnitShare> Grant(const Resources& need);

  // The same ones again, for an attempt that had given them back.
  bool AreFree(const std::vector<UnitShare>& shares) const;
  void Take(const std::vector<UnitShare>& shares);

  void GiveBack(const std::vector<UnitShare>& shares);

  // Of all pools; for checks.
  uint64_t used_milli() const { return used_milli_; }

 private:
  static constexpr uint32_t kWhole = 1000;
  struct Pool {
    uint16_t number = 0;
    uint32_t whole = 0;                  // units 0 to whole - 1; after them perhaps a part of one
    uint32_t fresh = 0;                  // from here on nothing was ever granted
    absl::btree_set<uint32_t> returned;  // below that, and free
    absl::btree_map<uint32_t, uint32_t> shared;  // unit -> milli in use, 1 to 1000
    uint32_t free() const { return static_cast<uint32_t>(returned.size()) + (whole - fresh); }
    bool IsFree(uint32_t unit) const {
      return (unit >= fresh && unit < whole) || returned.contains(unit);
    }
  };

  Pool* Find(uint16_t number);
  const Pool* Find(uint16_t number) const;
  static uint32_t TakeLowest(Pool& pool);
  static void TakeUnit(Pool& pool, uint32_t unit);
  // The shared unit with the least room that is enough; end: none.
  static absl::btree_map<uint32_t, uint32_t>::const_iterator RoomFor(const Pool& pool,
                                                                     uint32_t milli);

  std::vector<Pool> pools_;
  uint64_t used_milli_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_CORE_UNITS_H_
