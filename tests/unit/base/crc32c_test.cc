#include "common/base/crc32c.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/prng.h"

namespace taskd {
namespace {

TEST(Crc32c, KnownVectors) {
  struct Case {
    std::string bytes;
    uint32_t crc;
  };
  std::string up, down;
  for (int i = 0; i < 32; ++i) {
    up += static_cast<char>(i);
    down += static_cast<char>(31 - i);
  }
  // RFC 3720, B.4, and the usual check value.
  const Case cases[] = {
      {"", 0},
      {"123456789", 0xE3069283u},
      {std::string(32, '\0'), 0x8A9136AAu},
      {std::string(32, '\xFF'), 0x62A8AB43u},
      {up, 0x46DD794Eu},
      {down, 0x113FDB5Cu},
  };
  for (const Case& c : cases) EXPECT_EQ(Crc32c(c.bytes), c.crc) << c.bytes.size() << " bytes";
}

// One bit at a time, straight from the polynomial.
uint32_t Slow(std::string_view bytes) {
  uint32_t crc = ~0u;
  for (char c : bytes) {
    crc ^= static_cast<unsigned char>(c);
    for (int i = 0; i < 8; ++i) crc = (crc >> 1) ^ (crc & 1 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

TEST(Crc32c, EveryLengthAlignmentAndCut) {
  Prng prng(7);
  std::string bytes;
  for (int i = 0; i < 300; ++i) bytes += static_cast<char>(prng.Next());
  for (size_t start = 0; start < 9; ++start) {
    for (size_t size = 0; start + size <= bytes.size(); size += 1 + size / 7) {
      const std::string_view part = std::string_view(bytes).substr(start, size);
      ASSERT_EQ(Crc32c(part), Slow(part)) << "start " << start << " size " << size;
      const size_t cut = size / 3;
      const uint32_t first = ExtendCrc32c(0, part.data(), cut);
      ASSERT_EQ(ExtendCrc32c(first, part.data() + cut, size - cut), Slow(part)) << "cut " << cut;
    }
  }
}

TEST(Crc32c, LongOnesAndCombined) {
  Prng prng(5);
  std::string bytes(40'000, '\0');
  for (char& c : bytes) c = static_cast<char>(prng.Next());
  const std::string_view all(bytes);
  for (int i = 0; i < 200; ++i) {
    const size_t begin = prng.Below(100), n = prng.Below(all.size() - begin + 1);
    const std::string_view range = all.substr(begin, n);
    const uint32_t whole = Slow(range);
    EXPECT_EQ(Crc32c(range), whole) << n;
    const size_t cut = prng.Below(n + 1);
    const uint32_t first = Crc32c(range.substr(0, cut)), second = Crc32c(range.substr(cut));
    EXPECT_EQ(CombineCrc32c(first, second, n - cut), whole) << cut << " of " << n;
  }
  // Of zeros: 2^40 of them are 2^20 times 2^20.
  const uint32_t mib = Crc32c(std::string(1 << 20, '\0'));
  uint32_t doubled = mib;
  for (uint64_t size = 1 << 20; size < 1ull << 40; size *= 2)
    doubled = CombineCrc32c(doubled, doubled, size);
  uint32_t added = 0, step = 0;
  for (int i = 0; i < 1024; ++i) step = CombineCrc32c(step, mib, 1 << 20);
  for (int i = 0; i < 1024; ++i) added = CombineCrc32c(added, step, 1 << 30);
  EXPECT_EQ(doubled, added);
}

}  // namespace
}  // namespace taskd
