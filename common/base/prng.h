// A small deterministic generator. The same seed gives the same numbers with every compiler and
// library, which std::*_distribution does not promise.
#ifndef TASKD_COMMON_BASE_PRNG_H_
#define TASKD_COMMON_BASE_PRNG_H_

#include <cstdint>

#include "common/base/hash.h"

namespace taskd {

class Prng {
 public:
  explicit Prng(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return Mix64(state_ += 0x9E3779B97F4A7C15u); }

  // Uniform in [0, bound). Requires bound > 0. The bias is below bound / 2^64.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }

  // Uniform in [lo, hi]. Requires lo <= hi and not the whole 64-bit range.
  uint64_t Between(uint64_t lo, uint64_t hi) { return lo + Below(hi - lo + 1); }

  // True with probability per_mille / 1000.
  bool Chance(uint32_t per_mille) { return Below(1000) < per_mille; }

 private:
  uint64_t state_;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_PRNG_H_
