// 64-bit mixing for action hashes, simulated values and seeds. Not for security.
#ifndef TASKD_COMMON_BASE_HASH_H_
#define TASKD_COMMON_BASE_HASH_H_

#include <cstdint>
#include <string_view>

namespace taskd {

// The finaliser of splitmix64 (Steele, Lea, Flood 2014): a bijection with full avalanche.
constexpr uint64_t Mix64(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

constexpr uint64_t HashCombine(uint64_t seed, uint64_t value) { return Mix64(seed ^ Mix64(value)); }

constexpr uint64_t HashBytes(uint64_t seed, std::string_view bytes) {
  for (char c : bytes) seed = (seed ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
  return Mix64(seed ^ bytes.size());
}

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_HASH_H_
