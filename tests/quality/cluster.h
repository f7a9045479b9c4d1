// A simulated cluster that runs the production scheduler core by the rules of the Estee simulator
// (data/README.md): max-min fair flows, at most 4 downloads at once a worker and 2 of them from one
// source, always from the producer; a task starts when its inputs are there and its cpus are free;
// the scheduler is invoked at most every 0.1 s and its answer takes effect 0.05 s later. Workers
// start and fetch in the order that the scheduler's assignments give, as worker/core does.
#ifndef TASKD_TESTS_QUALITY_CLUSTER_H_
#define TASKD_TESTS_QUALITY_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <vector>

#include "scheduler/core/scheduler_core.h"
#include "tests/quality/estee.h"
#include "tests/quality/live_results.h"
#include "tests/quality/network.h"

namespace taskd::quality {

struct JobSpec {
  const Graph* graph = nullptr;
  bool hints = true;  // tell the scheduler the exact durations and sizes
  // Of the tasks, as a client would give them; null: scheduler/order does, and tails too.
  const std::vector<uint32_t>* ranks = nullptr;
  bool keep_results = false;  // the job wants what none of its tasks reads
  int32_t priority = 0;
  uint64_t submit_ns = 0;
  uint32_t owner = 0, weight = 100, max_running = 0;
};

// Of each worker. What is over it is counted, and takes no time.
struct StoreBudget {
  uint64_t bytes = 0;  // 0: no limit
  bool told = true;    // to the scheduler
};

struct Result {
  std::vector<uint64_t> makespan_ns;  // by job, from its submission
  uint64_t moved_bytes = 0;           // started transfers
  uint64_t retracted = 0;             // attempts taken back
  LiveResults::Peak peak;             // of all jobs together
  // What unfinished tasks read, at any one worker: the most; and what came in over budgets.
  uint64_t store_peak_bytes = 0, over_budget_bytes = 0;
  std::vector<uint64_t> used_cpu_ns;  // by job, in the window asked for
  std::string error;                  // "" when every task ran
};

class Cluster {
 public:
  Cluster(const Setting& setting, std::vector<JobSpec> jobs, StoreBudget store = {});
  // What jobs use between these times is measured, and the run ends when no task of that time runs
  // any more.
  void Measure(uint64_t from_ns, uint64_t to_ns) { from_ns_ = from_ns, to_ns_ = to_ns; }
  Result Run();

 private:
  struct Running {
    uint64_t end_ns;
    uint32_t worker;
    AttemptRef attempt;
    auto operator<=>(const Running&) const = default;
  };
  // Larger priority, smaller order, older attempt.
  struct Rank {
    int64_t inverted_priority;
    uint64_t order;
    AttemptRef attempt;
    auto operator<=>(const Rank&) const = default;
  };
  struct Attempt {
    std::vector<ObjectId> inputs;
    uint32_t cpus = 0;
    bool running = false;
    uint64_t started_ns = 0;
    uint64_t fetched_bytes = 0;
  };
  struct Worker {
    scheduler::StreamId stream = 0;
    WorkerId id;
    uint32_t free_cpus = 0;
    uint64_t sequence = 0;
    std::map<Rank, Attempt> attempts;
    std::map<AttemptRef, Rank> ranks;
    std::set<ObjectId> held;
    uint64_t read_bytes = 0;                 // of these, what some unfinished task reads
    std::map<ObjectId, uint64_t> downloads;  // flow
    std::deque<ObjectId> gathers;            // ordered for their own sake, after all inputs
    scheduler::event::WorkerReport report;   // what the scheduler does not know yet
  };
  struct MadeBy {
    uint32_t worker = 0;
    AttemptId version = 0;
  };
  struct Download {
    uint32_t worker, source;
    ObjectId object;
  };
  struct Delivery {
    uint64_t at_ns;
    std::vector<scheduler::Action> actions;
  };

  void Submit(uint32_t job);
  void Step();
  void Deliver(std::vector<scheduler::Action>& actions);
  void Assign(Worker& worker, const Assignment& assignment);
  void End(Worker& worker, const AttemptRef& ref, AttemptEnd end);
  void Finish(const Running& running);
  void Arrive(uint64_t flow);
  void StartDownloads(Worker& worker);
  void StopDownload(Worker& worker, ObjectId object);  // if it goes, and nobody there needs it
  void StartTasks(Worker& worker);
  void Report(Worker& worker) { reporting_.insert(&worker - workers_.data()); }
  uint64_t BytesOf(ObjectId object) const;
  void CountLive(TaskId finished);
  void Store(Worker& worker, ObjectId object);
  void Drop(Worker& worker, ObjectId object);
  uint32_t& Readers(ObjectId object) { return readers_[object.job - 1][object.ordinal]; }
  MadeBy& Made(ObjectId object) { return made_[object.job - 1][object.ordinal]; }

  Setting setting_;
  StoreBudget store_;
  std::vector<JobSpec> jobs_;
  std::vector<std::vector<uint64_t>> object_bytes_;  // by job and object
  std::vector<std::vector<MadeBy>> made_;            // likewise
  std::vector<uint64_t> left_;                       // unfinished tasks by job
  std::vector<std::vector<Ordinal>> first_output_;   // by job and task
  std::vector<std::vector<uint32_t>> readers_;       // unfinished, by job and object
  LiveResults live_;
  scheduler::SchedulerCore core_;
  Network network_;
  std::vector<Worker> workers_;
  std::map<scheduler::StreamId, uint32_t> worker_of_stream_;
  std::set<Running> running_;
  std::map<uint64_t, Download> downloads_;
  uint64_t last_flow_ = 0;
  std::vector<scheduler::Event> events_;
  std::set<ptrdiff_t> reporting_;  // workers with something to report
  std::queue<Delivery> deliveries_;
  uint64_t now_ns_ = 0, next_step_ns_ = 0, wake_ns_ = 0, heartbeat_ns_ = 0;
  uint64_t from_ns_ = 0, to_ns_ = 0;  // of the window; to_ns_ 0: none
  Result result_;
};

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_CLUSTER_H_
