// Streams between workers and the scheduler, and who can reach whom on the data plane.
//
// Each direction of a stream delivers in order after a random delay. A stream may stall (nothing
// arrives for a while) and break (what is in flight is lost; each side learns it at a time of its
// own, the scheduler perhaps never). After a break towards the worker, what the worker sent may
// still arrive at the scheduler.
#ifndef TASKD_TESTS_SIM_NET_H_
#define TASKD_TESTS_SIM_NET_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/core/events.h"

namespace taskd::sim {

class World;
class SimWorker;

enum class BreakKind : uint8_t {
  kBothTold,          // soon
  kSchedulerNotTold,  // until the end of the fault phase
};

class SimNet {
 public:
  explicit SimNet(World& world);

  // Both ends count as open until they are told otherwise. The number is never reused.
  scheduler::StreamId Open(uint32_t worker);
  void SendUp(scheduler::StreamId stream, scheduler::Event event);
  void SendDown(scheduler::StreamId stream, std::function<void(SimWorker&)> deliver);
  void LookUp(scheduler::StreamId stream, uint64_t token, ObjectId object);

  // Nothing arrives before that time, in one direction or in both.
  enum class Way : uint8_t { kUp, kDown, kBoth };
  void Stall(scheduler::StreamId stream, uint64_t until_ns, Way way = Way::kBoth);
  // The scheduler's process is gone: every stream ends, and what is under way with it.
  void SchedulerDied();
  void Break(scheduler::StreamId stream, BreakKind kind);
  void ClosedByScheduler(scheduler::StreamId stream);
  // The worker closes after its last message has arrived.
  void CloseByWorker(scheduler::StreamId stream);
  bool open_at_scheduler(scheduler::StreamId stream) const;

  // The data plane: whether `from` can ask `to`, and how much slower their link is than usual.
  void Cut(uint32_t from, uint32_t to) { cuts_.insert({from, to}); }
  void Mend(uint32_t from, uint32_t to) { cuts_.erase({from, to}); }
  bool IsCut(uint32_t from, uint32_t to) const { return cuts_.contains({from, to}); }
  void Clog(uint32_t to, uint64_t factor) { clogs_[to] = factor; }
  uint64_t Slowness(uint32_t to) const {
    auto found = clogs_.find(to);
    return found == clogs_.end() ? 1 : found->second;
  }

  uint64_t Delay();
  // Ends every fault of the network.
  void Heal();

 private:
  struct Message {
    uint64_t time = 0;
    std::function<void()> deliver;
  };
  struct Direction {
    std::deque<Message> messages;
    uint64_t last_time = 0;
    bool pumping = false;
    uint64_t stalled_until = 0;
  };
  struct Stream {
    uint32_t worker = 0;
    uint64_t worker_life = 0;
    bool worker_open = true, scheduler_open = true;
    bool broken = false;
    bool scheduler_told = false;
    Direction up, down;
  };

  void Send(scheduler::StreamId id, bool up, std::function<void()> deliver);
  void Pump(scheduler::StreamId id, bool up);
  void TellScheduler(scheduler::StreamId id, uint64_t after_ns);
  void TellWorker(scheduler::StreamId id, uint64_t after_ns);

  World& world_;
  Prng rng_;
  scheduler::StreamId last_ = 0;
  std::map<scheduler::StreamId, Stream> streams_;
  std::set<std::pair<uint32_t, uint32_t>> cuts_;
  std::map<uint32_t, uint64_t> clogs_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_NET_H_
