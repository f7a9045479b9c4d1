// Scaling of 64-bit amounts without overflow, and without floating point.
#ifndef TASKD_COMMON_BASE_MULDIV_H_
#define TASKD_COMMON_BASE_MULDIV_H_

#include <algorithm>
#include <cstdint>

namespace taskd {

// value * times / divisor, rounded down. The caller knows that it fits 64 bits. Most products do, too:
// then the slow 128-bit division is not needed.
inline uint64_t MulDiv(uint64_t value, uint64_t times, uint64_t divisor) {
  if (times == divisor) return value;
  const auto product = static_cast<unsigned __int128>(value) * times;
  if (product >> 64 == 0) return static_cast<uint64_t>(product) / divisor;
  return static_cast<uint64_t>(product / divisor);
}

// Likewise, and at most `most`.
inline uint64_t MulDivAtMost(uint64_t value, uint64_t times, uint64_t divisor, uint64_t most) {
  return static_cast<uint64_t>(
      std::min<unsigned __int128>(static_cast<unsigned __int128>(value) * times / divisor, most));
}

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_MULDIV_H_
