// Runs ranges of seeds in several processes, so that a failed CHECK, a crash or a core that does
// not return costs one seed.
#ifndef TASKD_TESTS_SIM_RUNNER_H_
#define TASKD_TESTS_SIM_RUNNER_H_

#include <cstdint>
#include <string>

#include "tests/sim/world.h"

namespace taskd::sim {

struct RunSpec {
  uint64_t first = 1, last = 20;
  uint32_t jobs = 1;     // processes
  uint32_t minutes = 0;  // 0: to `last`; else on from `first` for so long
  TraceOptions trace;
  bool hash = false;
  bool twice = false;
  bool until_failure = false;  // stops at the smallest seed that fails
  bool silent = false;         // failures are expected: they are counted, not printed
  Mutation mutation = Mutation::kNone;
  std::string flags;  // of the command that reproduces a failure, beside the seed
};

struct Total {
  uint64_t failures = 0;
  uint64_t first_failure = 0;  // the smallest seed that failed; 0: none
  std::string first_text;      // what it said, in one line
  Stats stats;
};

Total RunSeeds(const RunSpec& spec);

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_RUNNER_H_
