// Takes batches in: decompresses, parses and checks them on a thread of its own, in the order in
// which they came (small ones of an idle scheduler on the thread that brings them: a thread that wakes costs more
// than they do), and posts them to the core, later with ranks for jobs that came without (see
// Ranker). The same batch sent again is acknowledged again;
// another one under its number is not.
#ifndef TASKD_SCHEDULER_SHELL_INTAKE_H_
#define TASKD_SCHEDULER_SHELL_INTAKE_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "scheduler/shell/core_loop.h"
#include "scheduler/shell/graph_check.h"
#include "scheduler/shell/job_store.h"
#include "scheduler/shell/ranker.h"

namespace taskd::scheduler {

// One zstd frame of at most limits::kFrameBytes that holds at most limits::kBatchBytes.
absl::StatusOr<std::string> Decompress(std::string_view frame);

class Intake {
 public:
  // How a request ended; called once: on the intake thread, on the core's, or before Submit or Seal returns.
  using Done = std::function<void(const absl::Status& status)>;

  // Both must outlive the intake.
  Intake(JobStore* jobs, CoreLoop* loop);
  ~Intake();  // Stop()

  void Start();
  void Stop();  // What waits is dropped. Before the loop stops.

  // From any thread; never block. False: there is no room for more, wait for WhenRoom.
  bool Submit(JobId job, uint32_t number, std::string frame, Done done);
  bool Seal(JobId job, uint32_t batches, Done done);
  void WhenRoom(std::function<void()> resume);
  // On the intake's thread, in its order, and counted as so many bytes of it.
  void Do(std::function<void()> work, uint64_t bytes);
  // The core has forgotten the job: drops what is kept of it, also in the job store. Its batches and
  // its seal are the core's to answer from then on.
  void Forget(JobId job);

 private:
  struct Submission {
    JobId job;
    uint32_t number;
    std::string frame;
    Done done;
  };
  struct Sealing {
    JobId job;
    uint32_t batches;
    Done done;
  };
  struct Forgetting {
    JobId job;
  };
  using Item = std::variant<Submission, Sealing, Forgetting, std::function<void()>>;
  struct JobState {
    GraphTables tables;
    std::vector<uint64_t> hashes;  // of the accepted batches
    bool sealed = false;
  };

  bool Enqueue(Item item, uint64_t bytes);
  bool IsForHere(const Item& item) const;
  void Run();
  void Take(Submission& submission);
  void Take(Sealing& sealing);
  void Take(Forgetting& forgetting);
  static void Take(std::function<void()>& work) { work(); }
  // The job's record and state, or why it takes nothing.
  absl::StatusOr<JobState*> Find(JobId job);
  // Already accepted: true. Not to be accepted: an error.
  absl::StatusOr<bool> IsRepeated(const JobState& state, const Submission& submission,
                                  uint64_t hash);
  absl::StatusOr<GraphTables::Checked> Accept(JobState& state, const Submission& submission,
                                              const std::string& text);
  void SendRanks(event::SetRanks ranks);
  void PostToCore(std::function<Event(Token)> make, Done done, uint32_t items);

  JobStore* const jobs_;
  CoreLoop* const loop_;
  absl::flat_hash_map<JobId, JobState> states_;  // of who works
  std::unique_ptr<Ranker> ranker_;               // likewise
  bool may_wait_ = true;                         // likewise
  std::thread thread_;

  std::mutex mutex_;
  std::condition_variable not_empty_;
  std::deque<std::pair<Item, uint64_t>> queue_;
  uint64_t queued_bytes_ = 0;
  std::vector<std::function<void()>> waiting_for_room_;
  bool working_ = false;  // one at a time takes items
  bool stop_ = false;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_INTAKE_H_
