#include "common/base/crc32c.h"

#include <array>
#include <cstring>

namespace taskd {
namespace {

constexpr std::array<uint32_t, 256> MakeTable() {
  std::array<uint32_t, 256> table = {};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
    table[i] = crc;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kTable = MakeTable();

// Remainders are polynomials over GF(2) with the highest power in bit 0; those of more bytes are
// made by multiplication with a power of x (as in zlib's crc32_combine, by Mark Adler).
constexpr uint32_t kOne = 1u << 31;

constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t bit = kOne; bit != 0; bit >>= 1) {
    if (a & bit) product ^= b;
    b = (b >> 1) ^ (b & 1 ? 0x82F63B78u : 0);
  }
  return product;
}

constexpr std::array<uint32_t, 67> MakeSquares() {
  std::array<uint32_t, 67> squares = {kOne >> 1};
  for (size_t i = 1; i < squares.size(); ++i) squares[i] = Multiply(squares[i - 1], squares[i - 1]);
  return squares;
}
constexpr std::array<uint32_t, 67> kSquares = MakeSquares();  // x to the power of 2^i

// x to the power of 8 n: what n more bytes multiply a remainder with.
constexpr uint32_t Shift(uint64_t n) {
  uint32_t power = kOne;
  for (size_t i = 3; n != 0; n >>= 1, ++i) {
    if (n & 1) power = Multiply(kSquares[i], power);
  }
  return power;
}

uint32_t ExtendPortable(uint32_t crc, const unsigned char* p, size_t n) {
  while (n-- > 0) crc = kTable[(crc ^ *p++) & 0xFF] ^ (crc >> 8);
  return crc;
}

#if defined(__x86_64__)
// The instruction takes three cycles and can begin in each one: three lanes side by side.
constexpr size_t kLane = 1024;

constexpr std::array<std::array<uint32_t, 256>, 4> MakeLaneTable() {
  std::array<std::array<uint32_t, 256>, 4> table = {};
  const uint32_t shift = Shift(kLane);
  for (uint32_t byte = 0; byte < 4; ++byte) {
    for (uint32_t i = 0; i < 256; ++i) table[byte][i] = Multiply(shift, i << (8 * byte));
  }
  return table;
}
constexpr std::array<std::array<uint32_t, 256>, 4> kLaneTable = MakeLaneTable();

uint32_t ShiftLane(uint32_t crc) {
  return kLaneTable[0][crc & 0xFF] ^ kLaneTable[1][(crc >> 8) & 0xFF] ^
         kLaneTable[2][(crc >> 16) & 0xFF] ^ kLaneTable[3][crc >> 24];
}

uint64_t Word(const unsigned char* p) {
  uint64_t word;
  std::memcpy(&word, p, 8);
  return word;
}

__attribute__((target("sse4.2"))) uint32_t ExtendSse42(uint32_t crc, const unsigned char* p,
                                                       size_t n) {
  for (; n >= 3 * kLane; n -= 3 * kLane, p += 3 * kLane) {
    uint64_t a = crc, b = 0, c = 0;
    for (size_t i = 0; i < kLane; i += 8) {
      a = __builtin_ia32_crc32di(a, Word(p + i));
      b = __builtin_ia32_crc32di(b, Word(p + kLane + i));
      c = __builtin_ia32_crc32di(c, Word(p + 2 * kLane + i));
    }
    crc = ShiftLane(ShiftLane(static_cast<uint32_t>(a)) ^ static_cast<uint32_t>(b)) ^
          static_cast<uint32_t>(c);
  }
  uint64_t wide = crc;
  for (; n >= 8; n -= 8, p += 8) wide = __builtin_ia32_crc32di(wide, Word(p));
  crc = static_cast<uint32_t>(wide);
  while (n-- > 0) crc = __builtin_ia32_crc32qi(crc, *p++);
  return crc;
}
#endif

}  // namespace

uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size) {
  const auto* p = static_cast<const unsigned char*>(data);
#if defined(__x86_64__)
  if (__builtin_cpu_supports("sse4.2")) return ~ExtendSse42(~crc, p, size);
#endif
  return ~ExtendPortable(~crc, p, size);
}

uint32_t CombineCrc32c(uint32_t first, uint32_t second, uint64_t second_size) {
  return Multiply(Shift(second_size), first) ^ second;
}

}  // namespace taskd
