#include "common/base/units.h"

#include <gtest/gtest.h>

namespace taskd {
namespace {

constexpr uint64_t kMs = 1'000'000, kSecond = 1'000'000'000;

TEST(Units, Bytes) {
  struct Case {
    std::string_view text;
    uint64_t bytes;
  };
  const Case cases[] = {
      {"0", 0},
      {"512", 512},
      {"512B", 512},
      {"1k", 1000},
      {"1K", 1000},
      {"1kB", 1000},
      {"1KiB", 1024},
      {"64k", 64'000},
      {"8GiB", 8ull << 30},
      {"1.5 MB", 1'500'000},
      {"1.5MiB", 3ull << 19},
      {"0.5KiB", 512},
      {" 2 TiB ", 2ull << 40},
      {"16383PiB", 16383ull << 50},
      {"1P", 1'000'000'000'000'000},
      {"18446744073709551615", ~0ull},
  };
  for (const Case& c : cases) {
    auto bytes = ParseBytes(c.text);
    ASSERT_TRUE(bytes.ok()) << c.text << ": " << bytes.status();
    EXPECT_EQ(*bytes, c.bytes) << c.text;
  }
}

TEST(Units, BadBytesNameThemselves) {
  for (std::string_view text :
       {"", " ", "B", "k", "-1", "1x", "1kk", "1 KiBs", "1,5", "0x10", "1e3", "16384PiB",
        "99999999999999999999", "18446744073709551616", "18446744073709551615P"}) {
    auto bytes = ParseBytes(text);
    ASSERT_FALSE(bytes.ok()) << text;
    EXPECT_NE(std::string(bytes.status().message()).find(std::string(text)), std::string::npos)
        << bytes.status();
  }
}

TEST(Units, Durations) {
  struct Case {
    std::string_view text;
    uint64_t ns;
  };
  const Case cases[] = {
      {"0", 0},
      {"7", 7 * kSecond},
      {"250ms", 250 * kMs},
      {"1.5s", 1500 * kMs},
      {"5m", 300 * kSecond},
      {"2h", 7200 * kSecond},
      {"1h30m", 5400 * kSecond},
      {"1h 30m 5s", 5405 * kSecond},
      {"1d", 86'400 * kSecond},
      {"10us", 10'000},
      {"3ns", 3},
      {"0.1ms", 100'000},
      {" 4 s ", 4 * kSecond},
      {".5s", 500 * kMs},
      {"106751d", 106'751ull * 86'400 * kSecond},
  };
  for (const Case& c : cases) {
    auto ns = ParseDuration(c.text);
    ASSERT_TRUE(ns.ok()) << c.text << ": " << ns.status();
    EXPECT_EQ(*ns, c.ns) << c.text;
  }
}

TEST(Units, BadDurations) {
  for (std::string_view text : {"", "s", "-1s", "1 parsec", "1s2", "1 2", "1..5s", "106752d",
                                "18446744073709551615d", "18446744073709551615h", "1S"}) {
    auto ns = ParseDuration(text);
    EXPECT_FALSE(ns.ok()) << text << " gave " << *ns;
  }
}

TEST(Units, Cpus) {
  struct Case {
    std::string_view text;
    uint32_t milli;
  };
  for (const Case& c :
       {Case{"4", 4000}, Case{"0.5", 500}, Case{"0", 0}, Case{"0.001", 1}, Case{" 2.25 ", 2250}}) {
    auto milli = ParseCpus(c.text);
    ASSERT_TRUE(milli.ok()) << c.text;
    EXPECT_EQ(*milli, c.milli) << c.text;
  }
  for (std::string_view text : {"", "x", "-1", "1cpu", "4000001", "1e2"})
    EXPECT_FALSE(ParseCpus(text).ok()) << text;
}

TEST(Units, FormattedBytes) {
  struct Case {
    uint64_t bytes;
    std::string_view text;
  };
  for (const Case& c : {Case{0, "0 B"}, Case{1023, "1023 B"}, Case{1024, "1.00 KiB"},
                        Case{1536, "1.50 KiB"}, Case{10'240, "10.0 KiB"}, Case{102'400, "100 KiB"},
                        Case{1023ull << 10, "1023 KiB"}, Case{(1ull << 20) - 1, "1.00 MiB"},
                        Case{8ull << 30, "8.00 GiB"}, Case{~0ull, "16.0 EiB"}}) {
    EXPECT_EQ(FormatBytes(c.bytes), c.text) << c.bytes;
  }
}

TEST(Units, FormattedDurations) {
  struct Case {
    uint64_t ns;
    std::string_view text;
  };
  for (const Case& c :
       {Case{0, "0 us"}, Case{1500, "2 us"}, Case{250 * kMs, "250 ms"}, Case{1250 * kMs, "1.25 s"},
        Case{12'340 * kMs, "12.3 s"}, Case{200 * kSecond, "3 m 20 s"},
        Case{3'600 * kSecond, "1 h 0 m"}, Case{100'000 * kSecond, "27 h 46 m"}}) {
    EXPECT_EQ(FormatDuration(c.ns), c.text) << c.ns;
  }
}

TEST(Units, FormattedCpusAndCounts) {
  EXPECT_EQ(FormatCpus(4000), "4");
  EXPECT_EQ(FormatCpus(500), "0.5");
  EXPECT_EQ(FormatCpus(0), "0");
  EXPECT_EQ(FormatCpus(10'001), "10.001");
  EXPECT_EQ(FormatCount(0), "0");
  EXPECT_EQ(FormatCount(999), "999");
  EXPECT_EQ(FormatCount(1000), "1 000");
  EXPECT_EQ(FormatCount(12'345'678), "12 345 678");
}

// What is printed can be read back.
TEST(Units, CpusComeBack) {
  for (uint32_t milli : {0u, 1u, 10u, 100u, 999u, 1000u, 1001u, 64'000u, 4'000'000u}) {
    auto back = ParseCpus(FormatCpus(milli));
    ASSERT_TRUE(back.ok());
    EXPECT_EQ(*back, milli);
  }
}

}  // namespace
}  // namespace taskd
