#include "tests/scenarios/text.h"

#include "common/base/names.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::scenario {

Words::Words(std::string_view line) {
  size_t i = 0;
  while (i < line.size()) {
    if (line[i] == ' ' || line[i] == '\t') {
      ++i;
      continue;
    }
    std::string word;
    bool quoted = false;
    size_t equals = std::string::npos;
    for (; i < line.size() && (quoted || (line[i] != ' ' && line[i] != '\t')); ++i) {
      if (line[i] == '"') {
        quoted = !quoted;
        continue;
      }
      if (line[i] == '=' && !quoted && equals == std::string::npos) equals = word.size();
      word += line[i];
    }
    if (quoted) throw ScenarioError{StrCat("a quote is not closed: ", line)};
    if (equals == std::string::npos || equals == 0) {
      words_.push_back(std::move(word));
    } else {
      pairs_.emplace_back(word.substr(0, equals), word.substr(equals + 1));
    }
  }
}

const std::string& Words::operator[](uint32_t i) const {
  if (i >= words_.size())
    throw ScenarioError{StrCat("'", words_.empty() ? "" : words_[0], "' needs another word")};
  return words_[i];
}

bool Words::Has(std::string_view key) const {
  for (const auto& [k, v] : pairs_) {
    if (k == key) return true;
  }
  return false;
}

std::string Words::Get(std::string_view key, std::string_view fallback) const {
  for (const auto& [k, v] : pairs_) {
    if (k == key) return v;
  }
  return std::string(fallback);
}

uint64_t Words::Number(std::string_view key, uint64_t fallback) const {
  return Has(key) ? ParseNumber(Get(key)) : fallback;
}
uint64_t Words::Bytes(std::string_view key, uint64_t fallback) const {
  return Has(key) ? ParseBytesOf(Get(key)) : fallback;
}
uint64_t Words::Duration(std::string_view key, uint64_t fallback) const {
  return Has(key) ? ParseTime(Get(key)) : fallback;
}
bool Words::Flag(std::string_view word) const {
  for (uint32_t i = 1; i < words_.size(); ++i) {
    if (words_[i] == word) return true;
  }
  return false;
}

std::vector<std::string> Split(std::string_view text, char separator) {
  std::vector<std::string> out;
  if (text.empty()) return out;
  for (;;) {
    const size_t at = text.find(separator);
    out.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return out;
    text.remove_prefix(at + 1);
  }
}

std::string_view Trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

uint64_t ParseNumber(std::string_view text) {
  uint64_t value = 0;
  if (text.empty() || text.size() > 19) throw ScenarioError{StrCat("'", text, "' is not a number")};
  for (char c : text) {
    if (c < '0' || c > '9') throw ScenarioError{StrCat("'", text, "' is not a number")};
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  return value;
}

uint64_t ParseBytesOf(std::string_view text) {
  auto bytes = ParseBytes(text);
  if (!bytes.ok()) throw ScenarioError{std::string(bytes.status().message())};
  return *bytes;
}

uint64_t ParseTime(std::string_view text) {
  auto ns = ParseDuration(text);
  if (!ns.ok()) throw ScenarioError{std::string(ns.status().message())};
  return *ns;
}

AttemptId ParseAttemptId(std::string_view text) {
  const size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return MakeAttemptId(1, static_cast<uint32_t>(ParseNumber(text)));
  return MakeAttemptId(static_cast<uint32_t>(ParseNumber(text.substr(0, colon))),
                       static_cast<uint32_t>(ParseNumber(text.substr(colon + 1))));
}

std::string Text(AttemptId attempt) {
  const uint32_t start = attempt >> 20, number = attempt & 0xFFFFFu;
  return start == 1 ? StrCat(number) : StrCat(start, ":", number);
}

PartRange ParseParts(std::string_view text) {
  if (text.empty()) return {};
  if (text.size() < 3 || text.front() != '[' || text.back() != ']') {
    throw ScenarioError{StrCat("'", text, "' is not a part or range; write [2] or [2..4]")};
  }
  text = text.substr(1, text.size() - 2);
  const size_t dots = text.find("..");
  const auto lo = static_cast<uint32_t>(ParseNumber(text.substr(0, dots)));
  if (dots == std::string_view::npos) return {lo, lo + 1};
  return {lo, static_cast<uint32_t>(ParseNumber(text.substr(dots + 2))) + 1};
}

std::string Text(PartRange parts) {
  if (parts.whole()) return "";
  if (parts.hi == parts.lo + 1) return StrCat("[", parts.lo, "]");
  return StrCat("[", parts.lo, "..", parts.hi - 1, "]");
}

std::string TimeText(uint64_t ns) {
  std::string fraction = StrCat(1'000'000'000 + ns % 1'000'000'000).substr(1);
  while (!fraction.empty() && fraction.back() == '0') fraction.pop_back();
  return StrCat(ns / 1'000'000'000, fraction.empty() ? "" : ".", fraction, "s");
}

std::string Quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) out += c == '\n' ? ' ' : c == '"' ? '\'' : c;
  return out + "\"";
}

Resources ParseResources(const Words& words, uint32_t default_cpus_milli) {
  Resources out{default_cpus_milli, words.Bytes("mem", 0)};
  if (words.Has("cpus")) {
    auto cpus = ParseCpus(words.Get("cpus"));
    if (!cpus.ok()) throw ScenarioError{std::string(cpus.status().message())};
    out.cpus_milli = *cpus;
  }
  const std::vector<PoolAmount> pools = ParsePools(words.Get("pools"));
  if (pools.size() > out.pools.size()) throw ScenarioError{"too many pools"};
  std::copy(pools.begin(), pools.end(), out.pools.begin());
  return out;
}

std::vector<PoolAmount> ParsePools(std::string_view text) {
  std::vector<PoolAmount> out;
  for (const std::string& item : Split(text, ',')) {
    const auto parts = Split(item, ':');
    const auto amount = ParseCpus(parts.at(1));  // in thousandths, too
    if (!amount.ok()) throw ScenarioError{StrCat("'", item, "' is no amount of a pool")};
    out.push_back({static_cast<uint16_t>(ParseNumber(parts.at(0))), *amount});
  }
  return out;
}

std::vector<uint32_t> ParseNumbers(std::string_view text) {
  std::vector<uint32_t> out;
  for (const std::string& item : Split(text, ','))
    out.push_back(static_cast<uint32_t>(ParseNumber(item)));
  return out;
}

std::string PoolsText(const Resources& resources) {
  std::string out;
  for (const PoolAmount& amount : resources.pools) {
    if (amount.milli != 0)
      out += StrCat(out.empty() ? " pools=" : ",", amount.pool, ":", amount.milli / 1000);
  }
  return out;
}

FailureClass ParseFailureClass(std::string_view text) {
  for (uint8_t i = 0; i <= static_cast<uint8_t>(kLastFailureClass); ++i) {
    if (Name(static_cast<FailureClass>(i)) == text) return static_cast<FailureClass>(i);
  }
  throw ScenarioError{StrCat("'", text, "' is not a failure class")};
}

std::string SizeText(uint64_t size_bytes, uint32_t crc32c) {
  return crc32c == kUsualCrc ? StrCat(size_bytes) : StrCat(size_bytes, ":", crc32c);
}

std::string OutputText(const OutputInfo& output) {
  return output.delegated == kNoOrdinal ? SizeText(output.size_bytes, output.crc32c)
                                        : StrCat(">", output.delegated);
}

}  // namespace taskd::scenario
