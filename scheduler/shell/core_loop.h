// The thread that owns the scheduler core. Everyone else posts events, requests and questions to
// its queue, which is worked off in order; the actions of each step go to one ActionSink, on the
// same thread.
//
// The queue is bounded softly: what is posted is always taken, but above limits::kEventQueueItems
// the poster is told to stop reading from its peer until there is room again (DESIGN law 6).
// Nothing here ever blocks a poster.
#ifndef TASKD_SCHEDULER_SHELL_CORE_LOOP_H_
#define TASKD_SCHEDULER_SHELL_CORE_LOOP_H_

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <thread>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/core/scheduler_core.h"

namespace taskd::scheduler {

// Carries out actions. Called on the core thread.
class ActionSink {
 public:
  virtual ~ActionSink() = default;
  // Every action of one step but replies, in order; none of them may be kept by reference.
  virtual void OnActions(uint64_t now_ns, const SchedulerCore& core, std::span<Action> actions) = 0;
  // After each step, and when the time that it returned last has come. Returns the next such time,
  // or kNever.
  virtual uint64_t OnTime(uint64_t now_ns, const SchedulerCore& core) = 0;
};

class CoreLoop {
 public:
  using Question = std::function<void(const SchedulerCore& core, uint64_t now_ns)>;
  using OnReply =
      std::function<void(const action::Reply& reply, const SchedulerCore& core, uint64_t now_ns)>;

  struct Stats {
    uint64_t steps = 0;
    uint64_t events = 0;
    uint64_t queue_items = 0;
    uint64_t busy_ns = 0;  // in steps and in carrying out their actions
  };

  // The core is made here. `sinks` see every action in turn and must outlive the loop.
  CoreLoop(const Config& config, std::vector<ActionSink*> sinks);
  ~CoreLoop();  // Stop()
  CoreLoop(const CoreLoop&) = delete;
  CoreLoop& operator=(const CoreLoop&) = delete;

  void Start();
  // Works off what is in the queue, then ends the thread. Nothing may be posted during or after it.
  void Stop();

  // These may be called from any thread, the core thread included. They return whether there is
  // room for more; without, stop reading and wait for WhenRoom. `items`: how much work an event is.
  bool Post(Event event, uint32_t items = 1);
  // An event with a token, which is `make`'s argument; `on_reply` runs on the core thread when the
  // core answers.
  bool Request(std::function<Event(Token)> make, OnReply on_reply, uint32_t items = 1);
  // Runs between steps on the core thread, after everything that was posted before.
  bool Ask(Question question);

  // Calls `resume` once there is room, at once if there is. It must not block.
  void WhenRoom(std::function<void()> resume);
  // Blocks until there is room; for threads that may wait.
  void WaitForRoom();
  // Ask, and wait for the answer. Not on the core thread, nor on one of gRPC's.
  void AskAndWait(const Question& question);

  Stats stats() const;
  bool nearly_idle() const;  // next to nothing waits for the core

 private:
  struct Requested {
    std::function<Event(Token)> make;
    OnReply on_reply;
  };
  struct Item {
    std::variant<Event, Requested, Question> what;
    uint32_t items = 1;
  };

  bool Enqueue(Item item);
  bool HasRoomLocked() const;
  void Run();
  std::deque<Item> TakeItems(uint64_t wake_at);
  void Process(std::deque<Item>& items);
  void Step(std::vector<Event>& events);
  void Deliver(uint64_t now_ns, std::vector<Action>& actions);

  // Of the core thread.
  SchedulerCore core_;
  std::vector<ActionSink*> sinks_;
  absl::flat_hash_map<Token, OnReply> waiting_;
  Token next_token_ = 1;
  uint64_t core_wake_ = 0;
  uint64_t sink_wake_ = kNever;
  std::vector<Action> actions_;
  std::thread thread_;

  mutable std::mutex mutex_;
  std::condition_variable not_empty_;
  std::deque<Item> queue_;
  uint64_t queued_items_ = 0;
  std::vector<std::function<void()>> waiting_for_room_;
  Stats stats_;
  bool stop_ = false;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_CORE_LOOP_H_
