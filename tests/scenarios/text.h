// Words of scenario lines: splitting them, and the text of the plain values that both cores share.
#ifndef TASKD_TESTS_SCENARIOS_TEXT_H_
#define TASKD_TESTS_SCENARIOS_TEXT_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/base/ids.h"
#include "common/base/session.h"

namespace taskd::scenario {

// What is wrong with a scenario file itself; the runner adds file and line. Tests may throw, cores
// may not.
struct ScenarioError {
  std::string message;
};

// One line as words and key=value pairs, in order. Double quotes keep spaces together.
class Words {
 public:
  explicit Words(std::string_view line);

  // Positional words; the verb is word 0.
  const std::string& operator[](uint32_t i) const;
  uint32_t size() const { return static_cast<uint32_t>(words_.size()); }
  const std::vector<std::string>& words() const { return words_; }

  bool Has(std::string_view key) const;
  std::string Get(std::string_view key, std::string_view fallback = "") const;
  uint64_t Number(std::string_view key, uint64_t fallback) const;
  uint64_t Bytes(std::string_view key, uint64_t fallback) const;
  uint64_t Duration(std::string_view key, uint64_t fallback) const;
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }
  bool Flag(std::string_view word) const;  // a positional word after the verb

 private:
  std::vector<std::string> words_;
  std::vector<std::pair<std::string, std::string>> pairs_;
};

std::vector<std::string> Split(std::string_view text, char separator);  // "" gives none
std::string_view Trimmed(std::string_view text);
uint64_t ParseNumber(std::string_view text);
uint64_t ParseBytesOf(std::string_view text);
uint64_t ParseTime(std::string_view text);

// "3" is try 3 of scheduler start 1; "2:3" try 3 of start 2.
AttemptId ParseAttemptId(std::string_view text);
std::string Text(AttemptId attempt);
// "[2]" or "[2..4]", both ends included; "" is the whole.
PartRange ParseParts(std::string_view text);
std::string Text(PartRange parts);
std::string TimeText(uint64_t ns);  // "1.5s", exact to the nanosecond
std::string Quoted(std::string_view text);
Resources ParseResources(const Words& words, uint32_t default_cpus_milli);
std::vector<PoolAmount> ParsePools(std::string_view text);  // "1:2,3:1": pool:whole amount
std::vector<uint32_t> ParseNumbers(std::string_view text);  // "1,2"
std::string PoolsText(const Resources& resources);          // " pools=1:2", "" without
FailureClass ParseFailureClass(std::string_view text);

inline constexpr uint32_t kUsualCrc = 7;  // not shown
std::string SizeText(uint64_t size_bytes, uint32_t crc32c);
std::string OutputText(const OutputInfo& output);  // ">2": delegated to object 2

}  // namespace taskd::scenario

#endif  // TASKD_TESTS_SCENARIOS_TEXT_H_
