// One simulated cluster of one seed: the production cores, everything around them simulated, and
// the checkers.
//
//   clients --> scheduler core <-- streams --> worker cores <-- data plane --> worker cores
//
// One thread, one clock (loop.h), everything random drawn from the seed.
#ifndef TASKD_TESTS_SIM_WORLD_H_
#define TASKD_TESTS_SIM_WORLD_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/btree_set.h"
#include "tests/sim/checker.h"
#include "tests/sim/client.h"
#include "tests/sim/families.h"
#include "tests/sim/faults.h"
#include "tests/sim/loop.h"
#include "tests/sim/net.h"
#include "tests/sim/options.h"
#include "tests/sim/plan.h"
#include "tests/sim/report.h"
#include "tests/sim/scheduler.h"
#include "tests/sim/worker.h"

namespace taskd::sim {

struct TraceOptions {
  bool all = false;
  std::string story;  // only lines that mention this
};

class World {
 public:
  World(const Options& options, const TraceOptions& trace);

  // Runs to the end. "" or what went wrong.
  std::string Run();

  // The first failure counts; the run ends after the current callback.
  void Fail(std::string what);
  bool failed() const { return !failure_.empty(); }

  bool tracing() const { return trace_.all || !trace_.story.empty(); }
  void Trace(std::string_view who, std::string_view text);

  // The plan's number of a job of the core.
  uint32_t PlanOf(JobId job) const { return families.PlanOf(job); }
  const JobPlan* FindJobPlan(JobId job) const;

  // The planted defect happens now, if it is this one.
  bool Mutate(Mutation mutation, uint32_t per_mille);

  const Options options;
  const Plan plan;
  Loop loop;
  Stats stats;
  uint64_t action_hash = 0;
  bool healed = false;
  bool clients_done = false;  // nobody asks for anything but to forget
  Families families;
  absl::btree_set<TaskId> puts_taken;  // whose workers have given away what was put
  absl::btree_set<TaskId> getters;     // that have got objects while they ran

  Checker checker;
  SimNet net;
  SimScheduler scheduler;
  std::vector<std::unique_ptr<SimWorker>> workers;
  std::vector<std::unique_ptr<SimClient>> clients;
  Faults faults;

 private:
  bool RunUntil(uint64_t time, bool (World::*done)());
  bool JobsEnded();
  bool JobsForgotten();
  void ForgetJobs();
  bool WantsServed();
  bool Quiet();
  uint64_t ConvergenceNs() const;
  std::string Unfinished();

  TraceOptions trace_;
  std::string failure_;
  Prng mutation_rng_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_WORLD_H_
