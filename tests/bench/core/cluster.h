// The scheduler core with workers that cost nothing: an assigned task is started and finished in the
// worker's next report, as a fast worker's would be. Only the core's own time is counted: the
// cpu time of its steps and of dropping the actions that it returned.
#ifndef TASKD_TESTS_BENCH_CORE_CLUSTER_H_
#define TASKD_TESTS_BENCH_CORE_CLUSTER_H_

#include <cstdint>
#include <vector>

#include "scheduler/core/scheduler_core.h"

namespace taskd::bench {

struct ClusterOptions {
  uint32_t workers = 100;
  uint32_t cpus = 4;                // of each worker
  uint64_t run_ns = 1'000'000;      // that a task is said to have run
  uint64_t output_bytes = 1 << 10;  // of every output
  uint64_t store_bytes = 0;         // of each worker; 0: no limit
};

class Cluster {
 public:
  explicit Cluster(const ClusterOptions& options);

  static uint64_t CpuNs();  // of this thread

  // Workers join: slots options.workers.. on.
  void Join(uint32_t count, uint32_t cpus);
  // The connection of a worker breaks, for good.
  void Close(uint32_t worker);

  JobId OpenJob();
  void AddBatch(JobId job, uint32_t number, scheduler::Batch batch);
  void Seal(JobId job, uint32_t batches);

  // While held, workers keep what they are given: no report but heartbeats, and answers to retracts.
  void Hold(bool hold) { hold_ = hold; }
  // Finishes what was kept while held.
  void FinishHeld();

  // Delivers reports and lets the core step, a simulated millisecond each, until nothing is left to
  // do for either.
  void RunUntilIdle();
  // Likewise for a simulated time, with a heartbeat of every worker each second.
  void RunFor(uint64_t ns);
  // A worker will report that it has a copy of an object that another one made.
  void AddReplica(uint32_t worker, const Replica& replica) {
    Pending(worker).added.push_back(replica);
  }

  uint64_t core_ns() const { return core_ns_; }
  uint64_t steps() const { return steps_; }
  uint64_t assigned() const { return assigned_; }
  uint64_t freed() const { return freed_; }
  uint64_t input_objects() const { return input_objects_; }  // of all assignments
  const scheduler::SchedulerCore& core() const { return core_; }
  // Room of the model's own vectors is given back, so that what is allocated is the core's.
  void Shrink();

 private:
  struct Worker {
    WorkerId id;
    bool closed = false;
    bool touched = false;
    uint64_t sequence = 0;
    std::vector<AttemptRef> started;
    std::vector<Outcome> outcomes;
    std::vector<Replica> added;
    struct Kept {
      AttemptRef attempt;
      uint32_t outputs = 0;
    };
    std::vector<Kept> kept;
  };

  Worker& Pending(uint32_t worker);
  void Finish(Worker& worker, AttemptRef attempt, uint32_t outputs);
  void Deliver();
  uint64_t Step();
  void Carry(scheduler::Action& action);
  void Carry(const scheduler::action::Assign& assign);
  void Carry(const scheduler::action::Retract& retract);

  ClusterOptions options_;
  scheduler::SchedulerCore core_;
  std::vector<Worker> workers_;  // stream: index + 1
  std::vector<uint32_t> touched_;
  std::vector<scheduler::Event> events_;
  std::vector<scheduler::Action> actions_;
  bool hold_ = false;
  uint64_t now_ns_ = 1'000'000'000;
  uint64_t heartbeat_cursor_ = 0;
  uint64_t core_ns_ = 0, steps_ = 0, assigned_ = 0, freed_ = 0, input_objects_ = 0;
  JobId last_job_ = 0;
  uint64_t submissions_ = 0;
};

}  // namespace taskd::bench

#endif  // TASKD_TESTS_BENCH_CORE_CLUSTER_H_
