// The shell of the scheduler core, simulated: an event queue in front, actions carried out behind.
#ifndef TASKD_TESTS_SIM_SCHEDULER_H_
#define TASKD_TESTS_SIM_SCHEDULER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/core/scheduler_core.h"
#include "tests/sim/values.h"
#include "worker/core/events.h"

namespace taskd::sim {

class World;

class SimScheduler {
 public:
  using ReplyHandler = std::function<void(const scheduler::action::Reply&)>;

  explicit SimScheduler(World& world);

  void Post(scheduler::Event event);
  // A request that was lost on its way: nobody replies to it.
  void NeverCame(const scheduler::Event& event);
  // A token whose reply goes to `handler`, exactly once.
  scheduler::Token Expect(ReplyHandler handler);

  // Likewise of a worker, whose request or its answer may be lost.
  scheduler::Token ExpectPerhaps(ReplyHandler handler);

  // A running task asks where an object is. Answered between steps, when all that came before is with the core.
  struct Lookup {
    scheduler::StreamId stream = 0;
    uint64_t token = 0;
    ObjectId object;
    uint64_t after = 0;  // events
  };
  void LookUp(Lookup lookup);

  // It came with an outcome. A few are kept, and some of these go on with assignments and gathers.
  void KeepValue(const ObjectVersion& object, worker::Values::Value value);

  // Of the last start when it is down.
  const scheduler::SchedulerCore& core() const { return *core_; }
  bool alive() const { return alive_; }
  bool idle() const { return alive_ && inbox_.empty() && !work_left_; }
  uint64_t replies_due() const { return expected_.size() + unsynced_.size(); }

  // The process dies: of the journal a part of what was not synced is lost.
  void Crash();
  // A new core reads the journal.
  void Restart();
  void PauseUntil(uint64_t time) { paused_until_ = time; }
  // How many there are, in the words of its operator; a start begins with all.
  void SetLicences(uint32_t milli);
  // Adds what the core has counted to the statistics.
  void CountCore();

 private:
  struct Entry {
    scheduler::action::Journal record;
    std::optional<scheduler::Event> request;
  };
  struct Unsynced {
    size_t needs = 0;  // records
    std::function<void()> send;
  };

  void StepAt(uint64_t time);
  void Step();
  void KeepRequests(const std::vector<scheduler::Event>& events);
  void Record(const scheduler::action::Journal& record);
  void NoteChild(const scheduler::action::Journal& record, const scheduler::Event& request);
  void Sync();
  void AfterSync(std::function<void()> send);
  void Look(const std::vector<scheduler::Event>& events);
  void LookAt(TaskId task);
  uint64_t CoreNow() const;
  void Carry(scheduler::Action& action);
  void Carry(scheduler::action::Assign& assign);
  void Carry(scheduler::action::Gather& gather);

  void Answer(const Lookup& lookup);

  bool RideAlong(const InputObject& object, std::shared_ptr<worker::Values>& values);

  World& world_;
  std::unique_ptr<scheduler::SchedulerCore> core_;
  scheduler::Config config_;
  bool alive_ = true;
  uint64_t life_ = 0;       // grows with every start and end
  uint64_t booted_ns_ = 0;  // the core's time 0 on the simulation's clock
  uint64_t paused_until_ = 0;
  Prng rng_;
  std::deque<scheduler::Event> inbox_;
  uint64_t events_taken_ = 0;  // from the inbox
  std::deque<Lookup> lookups_;
  bool work_left_ = false;
  uint64_t next_step_ = scheduler::kNever;  // of the newest callback; older ones do nothing
  uint64_t steps_ = 0;
  scheduler::Token last_token_ = 0;
  std::map<scheduler::Token, ReplyHandler> expected_;
  std::map<scheduler::Token, ReplyHandler> of_workers_;
  std::vector<scheduler::Action> actions_;

  std::vector<Entry> journal_;
  size_t synced_ = 0;
  bool syncing_ = false;
  std::deque<Unsynced> unsynced_;                          // messages that wait for it, in order
  std::map<scheduler::Token, scheduler::Event> requests_;  // until they are answered

  // What was last seen, for the counts of transitions.
  std::map<TaskId, TaskState> tasks_;
  std::map<WorkerId, WorkerState> workers_;
  std::map<JobId, JobState> jobs_;
  uint64_t look_cursor_ = 0;

  std::map<ObjectVersion, worker::Values::Value> values_;
  std::deque<ObjectVersion> values_order_;  // oldest first; some are not there any more
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_SCHEDULER_H_
