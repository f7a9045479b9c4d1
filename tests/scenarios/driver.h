// One core under a scenario: lines in, text of actions out.
#ifndef TASKD_TESTS_SCENARIOS_DRIVER_H_
#define TASKD_TESTS_SCENARIOS_DRIVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tests/scenarios/text.h"

namespace taskd::scenario {

// What the scenarios of a core should have met, and how often they did: "action fetch" -> 12.
using Coverage = std::map<std::string, uint64_t>;

class Driver {
 public:
  virtual ~Driver() = default;

  // Parses one input line and keeps its event for the next Step. Throws ScenarioError.
  virtual void Input(std::string_view line) = 0;
  // One Step of the core with the kept events. Appends the text of each action; returns the wake
  // time.
  virtual uint64_t Step(uint64_t now_ns, uint32_t budget, std::vector<std::string>& actions) = 0;
  // The answer to "? question".
  virtual std::string Ask(std::string_view question) = 0;
  virtual std::string Validate() const = 0;

  const Coverage& coverage() const { return coverage_; }

 protected:
  void Met(std::string_view kind, std::string_view what) {
    ++coverage_[std::string(kind) + " " + std::string(what)];
  }

  Coverage coverage_;  // starts with every thing at 0
};

// `config` is the rest of the "core NAME ..." line.
std::unique_ptr<Driver> MakeWorkerDriver(const Words& config);
std::unique_ptr<Driver> MakeSchedulerDriver(const Words& config);

}  // namespace taskd::scenario

#endif  // TASKD_TESTS_SCENARIOS_DRIVER_H_
