#include "common/base/units.h"

#include <array>
#include <cctype>

#include "absl/strings/str_format.h"
#include "common/base/text.h"

namespace taskd {
namespace {

std::string_view Trim(std::string_view s) {
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.front()))) s.remove_prefix(1);
  while (!s.empty() && std::isspace(static_cast<unsigned char>(s.back()))) s.remove_suffix(1);
  return s;
}

// Takes a decimal number off the front of `s` as value * 10^9. False: no number, or too large.
bool TakeNumber(std::string_view& s, unsigned __int128& value_e9) {
  constexpr uint64_t kNano = 1'000'000'000;
  unsigned __int128 whole = 0;
  size_t i = 0;
  while (i < s.size() && s[i] >= '0' && s[i] <= '9') {
    whole = whole * 10 + static_cast<unsigned>(s[i++] - '0');
    if (whole > ~uint64_t{0}) return false;
  }
  bool any = i > 0;
  unsigned __int128 fraction = 0;
  if (i < s.size() && s[i] == '.') {
    ++i;
    uint64_t scale = kNano;
    while (i < s.size() && s[i] >= '0' && s[i] <= '9') {
      scale /= 10;
      fraction += static_cast<unsigned __int128>(scale) * static_cast<unsigned>(s[i++] - '0');
      any = true;
    }
  }
  if (!any) return false;
  s.remove_prefix(i);
  value_e9 = whole * kNano + fraction;
  return true;
}

absl::Status Bad(std::string_view what, std::string_view text, std::string_view examples) {
  return absl::InvalidArgumentError(
      StrCat("'", text, "' is not ", what, "; write it like ", examples));
}

}  // namespace

absl::StatusOr<uint64_t> ParseBytes(std::string_view text) {
  constexpr std::string_view kExamples = "512, 64KiB, 8GiB or 1.5GB";
  std::string_view s = Trim(text);
  unsigned __int128 value = 0;
  if (!TakeNumber(s, value)) return Bad("a size", text, kExamples);
  s = Trim(s);
  uint64_t unit = 1;
  if (!s.empty() && s != "B") {
    static constexpr std::string_view kLetters = "kmgtp";
    size_t power = kLetters.find(static_cast<char>(std::tolower(static_cast<unsigned char>(s[0]))));
    if (power == std::string_view::npos) return Bad("a size", text, kExamples);
    s.remove_prefix(1);
    uint64_t base = 1000;
    if (!s.empty() && s[0] == 'i') {
      base = 1024;
      s.remove_prefix(1);
    }
    if (!s.empty() && s != "B") return Bad("a size", text, kExamples);
    for (size_t i = 0; i <= power; ++i) unit *= base;
  }
  if (value > (~static_cast<unsigned __int128>(0)) / unit) return Bad("a size", text, kExamples);
  unsigned __int128 bytes = value * unit / 1'000'000'000u;
  if (bytes > ~uint64_t{0}) return Bad("a size below 16 EiB", text, kExamples);
  return static_cast<uint64_t>(bytes);
}

absl::StatusOr<uint64_t> ParseDuration(std::string_view text) {
  constexpr std::string_view kExamples = "250ms, 10s, 5m or 1h30m";
  struct Unit {
    std::string_view name;
    uint64_t ns;
  };
  static constexpr std::array<Unit, 7> kUnits = {{{"ns", 1},
                                                  {"us", 1000},
                                                  {"ms", 1'000'000},
                                                  {"s", 1'000'000'000},
                                                  {"m", 60'000'000'000},
                                                  {"h", 3'600'000'000'000},
                                                  {"d", 86'400'000'000'000}}};
  std::string_view s = Trim(text);
  if (s.empty()) return Bad("a duration", text, kExamples);
  unsigned __int128 total = 0;
  for (bool first = true; !s.empty(); first = false) {
    unsigned __int128 value = 0;
    if (!TakeNumber(s, value)) return Bad("a duration", text, kExamples);
    s = Trim(s);
    size_t letters = 0;
    while (letters < s.size() && std::isalpha(static_cast<unsigned char>(s[letters]))) ++letters;
    std::string_view name = s.substr(0, letters);
    uint64_t ns = name.empty() && first && s.empty() ? 1'000'000'000 : 0;
    for (const Unit& unit : kUnits) {
      if (unit.name == name) ns = unit.ns;
    }
    if (ns == 0) return Bad("a duration", text, kExamples);
    s = Trim(s.substr(letters));
    if (value > ~static_cast<unsigned __int128>(0) / ns)
      return Bad("a duration below 146 years", text, kExamples);
    total += value * ns / 1'000'000'000u;
    if (total > ~uint64_t{0} / 2) return Bad("a duration below 146 years", text, kExamples);
  }
  return static_cast<uint64_t>(total);
}

absl::StatusOr<uint32_t> ParseCpus(std::string_view text) {
  std::string_view s = Trim(text);
  unsigned __int128 value = 0;
  if (!TakeNumber(s, value) || !s.empty() || value > 4'000'000ull * 1'000'000'000u) {
    return Bad("a number of cpus", text, "4 or 0.5");
  }
  return static_cast<uint32_t>(value / 1'000'000u);
}

std::string FormatBytes(uint64_t bytes) {
  static constexpr std::array<const char*, 7> kNames = {"B",   "KiB", "MiB", "GiB",
                                                        "TiB", "PiB", "EiB"};
  if (bytes < 1024) return StrCat(bytes, " B");
  double value = static_cast<double>(bytes);
  size_t i = 0;
  while (value >= 1023.5 && i + 1 < kNames.size()) {
    value /= 1024;
    ++i;
  }
  int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
  return absl::StrFormat("%.*f %s", decimals, value, kNames[i]);
}

std::string FormatDuration(uint64_t ns) {
  double s = static_cast<double>(ns) / 1e9;
  if (ns < 1'000'000) return absl::StrFormat("%.0f us", s * 1e6);
  if (ns < 1'000'000'000) return absl::StrFormat("%.0f ms", s * 1e3);
  if (s < 99.95) return absl::StrFormat("%.*f s", s < 9.995 ? 2 : 1, s);
  uint64_t whole = ns / 1'000'000'000;
  if (whole < 3600) return StrCat(whole / 60, " m ", whole % 60, " s");
  return StrCat(whole / 3600, " h ", whole / 60 % 60, " m");
}

absl::StatusOr<std::pair<std::string, uint32_t>> ParsePool(std::string_view text) {
  size_t equals = text.find('=');
  if (equals == 0 || equals == std::string_view::npos)
    return absl::InvalidArgumentError("is a name and an amount like gpus=2");
  auto amount = ParseCpus(text.substr(equals + 1));
  if (!amount.ok() || *amount == 0) {
    return absl::InvalidArgumentError(
        StrCat("'", std::string(text.substr(equals + 1)), "' is no amount; give a number above 0"));
  }
  return std::pair(std::string(text.substr(0, equals)), *amount);
}

std::string FormatCpus(uint32_t cpus_milli) {
  std::string text = absl::StrFormat("%u.%03u", cpus_milli / 1000, cpus_milli % 1000);
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

std::string FormatCount(uint64_t count) {
  std::string digits = StrCat(count), out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ' ';
    out += digits[i];
  }
  return out;
}

}  // namespace taskd
