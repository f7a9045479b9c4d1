// The graphs of a seed and their oracle: what every object's bytes must be, and which attempts fail
// by themselves. Knows nothing of the cores' state.
#ifndef TASKD_TESTS_SIM_PLAN_H_
#define TASKD_TESTS_SIM_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "scheduler/core/events.h"
#include "tests/sim/options.h"

namespace taskd::sim {

struct EdgePlan {
  uint32_t source = 0;  // as in scheduler::Batch::Edge
  uint32_t slot = 0;
  PartRange parts;
  uint32_t job = 0;              // the plan's job whose objects they are
  std::vector<Ordinal> objects;  // what `source` names, in order
};

struct TaskPlan {
  uint32_t body = 0;
  uint16_t shape = 0;
  uint16_t option = 0;
  Ordinal first_output = 0;
  uint16_t output_count = 0;
  std::vector<EdgePlan> edges;
  uint32_t child = 0;  // the plan's job that it submits, and one more; 0: none
  bool early = false;  // while it runs; else with its success
  bool doomed = false;
  bool poison = false;
  uint32_t flaky_per_mille = 0;
  uint64_t mean_ns = 0;
};

struct ObjectPlan {
  Ordinal task = 0;
  uint32_t parts = 0;  // 0: not cut
  uint64_t size_bytes = 0;
  uint64_t value = 0;   // the oracle
  uint64_t made = 0;    // what its task computes; `value` differs when something is delegated to it
  bool wanted = false;  // by the graph
  Ordinal delegated = kNoOrdinal;   // its task does not make it: it is this object of the child
  Ordinal stands_for = kNoOrdinal;  // the other way round, of the task that submits this job
  std::vector<Ordinal> consumers;
  struct Elsewhere {
    uint32_t job = 0;  // of the plan
    Ordinal task = 0;
  };
  std::vector<Elsewhere> consumers_elsewhere;
};

// Objects that the job's client publishes once it has submitted them.
struct DatasetPlan {
  std::string name;
  scheduler::ObjectRange objects;  // `job` is not filled in
};

struct JobPlan {
  // Which task submits it; `parent` of the plan, and one more; 0: a client does.
  uint32_t parent = 0;
  Ordinal parent_task = 0;
  int32_t priority = 0;
  uint32_t owner = 0, weight = 100;
  uint32_t max_running = 0;  // 0: no limit
  std::vector<scheduler::Batch::Shape> shapes;
  std::vector<scheduler::Batch::Options> options;
  std::vector<scheduler::Batch::Collection> collections;  // `job`: of the plan, and one more
  std::vector<DatasetPlan> datasets;
  std::vector<TaskPlan> tasks;
  std::vector<uint32_t> batch_of_task;
  std::vector<ObjectPlan> objects;
  std::vector<scheduler::Batch> batches;  // the same, as a client sends it
};

enum class Fate : uint8_t { kFinish, kFail, kPoison, kHang, kMiscount };

struct Plan {
  uint64_t seed = 0;
  uint32_t hang_per_mille = 0, miscount_per_mille = 0;
  std::vector<JobPlan> jobs;

  static Plan Draw(const Options& options);

  // What happens when this attempt's body runs to its end, and how long that takes.
  Fate FateOf(uint32_t job, Ordinal task, AttemptId attempt) const;
  uint64_t DurationNs(uint32_t job, Ordinal task, AttemptId attempt) const;
};

// Whether something that the task reads of its own job, or what that was made of, is so: is(Ordinal object).
template <typename Is>
bool AnyUpstream(const Plan& plan, const JobPlan& job, Ordinal task, Is is) {
  std::vector<bool> seen(job.tasks.size());
  std::vector<Ordinal> stack{task};
  while (!stack.empty()) {
    const Ordinal t = stack.back();
    stack.pop_back();
    for (const EdgePlan& e : job.tasks[t].edges) {
      if (&plan.jobs[e.job] != &job) continue;
      for (Ordinal o : e.objects) {
        if (is(o)) return true;
        const Ordinal maker = job.objects[o].task;
        if (!seen[maker]) stack.push_back(maker);
        seen[maker] = true;
      }
    }
  }
  return false;
}

// What a task reads of an object with this value.
uint64_t ReadValue(uint64_t object_value, PartRange parts);
// The value of output `index` of a task that read `inputs_digest`.
uint64_t OutputValue(uint64_t seed, uint32_t job, Ordinal task, uint32_t index,
                     uint64_t inputs_digest);
uint32_t CrcOfValue(uint64_t value);
uint32_t CrcOf(uint64_t value, uint64_t size_bytes);  // of a whole object; 0 of an empty one
uint64_t BytesOf(const ObjectPlan& object, PartRange parts);

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_PLAN_H_
