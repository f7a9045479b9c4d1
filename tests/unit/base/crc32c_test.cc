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

}  // namespace
}  // namespace taskd
