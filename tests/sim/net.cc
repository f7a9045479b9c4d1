#include "tests/sim/net.h"

#include <algorithm>

#include "tests/sim/world.h"

namespace taskd::sim {

using scheduler::StreamId;

SimNet::SimNet(World& world) : world_(world), rng_(Mix64(world.options.seed) ^ 0x4E37) {}

uint64_t SimNet::Delay() {
  return rng_.Between(world_.options.delay_min_ns, world_.options.delay_max_ns);
}

StreamId SimNet::Open(uint32_t worker) {
  StreamId id = ++last_;
  streams_[id].worker = worker;
  streams_[id].worker_life = world_.workers[worker]->life();
  return id;
}

bool SimNet::open_at_scheduler(StreamId id) const {
  auto found = streams_.find(id);
  return found != streams_.end() && found->second.scheduler_open;
}

void SimNet::SendUp(StreamId id, scheduler::Event event) {
  Send(id, true,
       [this, event = std::move(event)]() mutable { world_.scheduler.Post(std::move(event)); });
}

void SimNet::SendDown(StreamId id, std::function<void(SimWorker&)> deliver) {
  uint32_t worker = streams_.at(id).worker;
  Send(id, false,
       [this, worker, deliver = std::move(deliver)] { deliver(*world_.workers[worker]); });
}

void SimNet::Send(StreamId id, bool up, std::function<void()> deliver) {
  Stream& s = streams_.at(id);
  if (s.broken || (up ? !s.worker_open : !s.scheduler_open)) return;
  Direction& d = up ? s.up : s.down;
  d.last_time = std::max(d.last_time, world_.loop.now() + Delay());
  d.messages.push_back({d.last_time, std::move(deliver)});
  Pump(id, up);
}

void SimNet::LookUp(StreamId id, uint64_t token, ObjectId object) {
  Send(id, true, [this, id, token, object] { world_.scheduler.LookUp({id, token, object}); });
}

// Keeps one callback per direction under way, for its first message.
void SimNet::Pump(StreamId id, bool up) {
  Stream& s = streams_.at(id);
  Direction& d = up ? s.up : s.down;
  if (d.pumping || d.messages.empty()) return;
  d.pumping = true;
  world_.loop.At(std::max(d.messages.front().time, d.stalled_until), [this, id, up] {
    Stream& stream = streams_.at(id);
    Direction& direction = up ? stream.up : stream.down;
    direction.pumping = false;
    if (up ? !stream.scheduler_open : !stream.worker_open) direction.messages.clear();
    if (direction.messages.empty()) return;
    if (world_.loop.now() >= std::max(direction.messages.front().time, direction.stalled_until)) {
      Message message = std::move(direction.messages.front());
      direction.messages.pop_front();
      message.deliver();
    }
    Pump(id, up);
  });
}

void SimNet::Stall(StreamId id, uint64_t until_ns, Way way) {
  Stream& s = streams_.at(id);
  if (way != Way::kDown) s.up.stalled_until = std::max(s.up.stalled_until, until_ns);
  if (way != Way::kUp) s.down.stalled_until = std::max(s.down.stalled_until, until_ns);
}

void SimNet::SchedulerDied() {
  for (auto& [id, s] : streams_) {
    if (!s.scheduler_open) continue;
    s.scheduler_open = false;
    s.scheduler_told = true;
    s.broken = true;
    s.up.messages.clear();
    s.down.messages.clear();
    TellWorker(id, rng_.Below(rng_.Chance(100) ? kSec : 20 * kMs));
  }
}

void SimNet::Break(StreamId id, BreakKind kind) {
  Stream& s = streams_.at(id);
  if (s.broken) return;
  s.broken = true;
  s.down.messages.clear();
  bool flushes = kind == BreakKind::kBothTold && rng_.Chance(300);
  if (!flushes) s.up.messages.clear();
  TellWorker(id, rng_.Below(50 * kMs));
  if (kind == BreakKind::kBothTold) TellScheduler(id, rng_.Below(50 * kMs));
}

void SimNet::ClosedByScheduler(StreamId id) {
  Stream& s = streams_.at(id);
  s.scheduler_open = false;
  s.broken = true;
  TellWorker(id, Delay());
  // The shell reports the end of a stream that it closed itself, or does not: both are fine.
  if (rng_.Chance(500)) world_.scheduler.Post(scheduler::event::WorkerClosed{id});
}

void SimNet::CloseByWorker(StreamId id) {
  Send(id, true, [this, id] {
    streams_.at(id).broken = true;
    TellScheduler(id, 0);
  });
  streams_.at(id).worker_open = false;
}

void SimNet::TellScheduler(StreamId id, uint64_t after_ns) {
  Stream& s = streams_.at(id);
  if (s.scheduler_told) return;
  s.scheduler_told = true;
  world_.loop.After(after_ns, [this, id] {
    Stream& stream = streams_.at(id);
    if (!stream.scheduler_open) return;
    stream.scheduler_open = false;
    world_.scheduler.Post(scheduler::event::WorkerClosed{id});
  });
}

void SimNet::TellWorker(StreamId id, uint64_t after_ns) {
  world_.loop.After(after_ns, [this, id] {
    Stream& stream = streams_.at(id);
    if (!stream.worker_open) return;
    stream.worker_open = false;
    SimWorker& worker = *world_.workers[stream.worker];
    if (worker.life() == stream.worker_life) worker.OnStreamClosed(id);
  });
}

void SimNet::Heal() {
  cuts_.clear();
  clogs_.clear();
  for (auto& [id, stream] : streams_) {
    if (stream.broken) TellScheduler(id, rng_.Below(50 * kMs));
  }
}

}  // namespace taskd::sim
