// Ranks for jobs that came without: keeps the columns of such a job's graph while its batches come,
// orders it on a thread of its own when it is sealed, and sends ranks and tails back in slices.
// Until they arrive the tasks run in the order in which they came (DESIGN section 6).
#ifndef TASKD_SCHEDULER_SHELL_RANKER_H_
#define TASKD_SCHEDULER_SHELL_RANKER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "common/base/ids.h"
#include "common/io/thread_pool.h"
#include "scheduler/core/events.h"
#include "scheduler/order/graph.h"

namespace taskd::scheduler {

// Add and Seal belong to one thread (intake's). What all open jobs hold together is bounded by
// limits::kOrderItems: over it, the job opened longest ago gives way and keeps its arrival order.
class Ranker {
 public:
  // `send` is called on the ranker's thread, and may block it.
  using Send = std::function<void(event::SetRanks)>;
  explicit Ranker(Send send);
  ~Ranker();  // A pass under way is finished, its ranks are not sent.

  // An accepted batch; `ranked`: it has ranks of the user's, so the job is left alone.
  void Add(JobId job, const Batch& batch, bool ranked);
  // No further batch comes.
  void Seal(JobId job);
  // Neither a batch nor a seal comes.
  void Forget(JobId job);

  uint64_t held_items() const { return held_items_; }  // tasks and inputs of open jobs

 private:
  struct Held {
    order::Graph graph;
    bool ranked = false;  // or given up
    uint64_t items() const { return graph.output_count.size() + graph.input.size(); }
  };

  void GiveUp(JobId job, Held& held);
  void Order(JobId job, const order::Graph& graph);

  const Send send_;
  std::map<JobId, Held> held_;
  uint64_t held_items_ = 0;
  std::atomic<bool> stopping_ = false;
  std::unique_ptr<io::ThreadPool> thread_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_RANKER_H_
