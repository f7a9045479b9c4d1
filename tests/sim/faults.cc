#include "tests/sim/faults.h"

#include <utility>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

Faults::Faults(World& world)
    : world_(world),
      rng_(Mix64(world.options.seed) ^ 0xFA17),
      gone_for_good_(world.options.workers.size()) {}

void Faults::Plan() {
  for (uint32_t i = 0; i < world_.options.faults; ++i) {
    Fault fault = static_cast<Fault>(rng_.Below(static_cast<uint64_t>(Fault::kPoison)));
    uint64_t at = rng_.Below(world_.options.fault_window_ns);
    world_.loop.After(at, [this, fault] { Happen(fault); });
  }
}

// A fault that cannot happen to the worker drawn happens to the next one; at last a connection
// breaks.
void Faults::Happen(Fault fault) {
  uint32_t count = static_cast<uint32_t>(world_.workers.size());
  uint32_t first = static_cast<uint32_t>(rng_.Below(count));
  for (uint32_t i = 0; i < 2 * count; ++i) {
    Fault kind = i < count ? fault : Fault::kStreamBreak;
    if (!Try(kind, (first + i) % count)) continue;
    ++world_.stats.faults[static_cast<size_t>(kind)];
    world_.Trace("fault", StrCat(Name(kind), " at worker", (first + i) % count));
    return;
  }
}

bool Faults::Try(Fault fault, uint32_t index) {
  SimWorker& w = *world_.workers[index];
  if (!w.alive()) return false;
  uint64_t now = world_.loop.now();
  SimNet& net = world_.net;
  switch (fault) {
    case Fault::kStreamBreak:
      if (w.stream() == 0) return false;
      net.Break(w.stream(), BreakKind::kBothTold);
      return true;
    case Fault::kHalfOpen:
      if (w.stream() == 0) return false;
      net.Break(w.stream(), BreakKind::kSchedulerNotTold);
      return true;
    case Fault::kSilence:
    case Fault::kSilenceThenBreak: {
      if (w.stream() == 0) return false;
      uint64_t until = now + rng_.Below(world_.options.scheduler.silent_ns * 3);
      net.Stall(w.stream(), until);
      if (fault == Fault::kSilence) return true;
      world_.loop.At(until,
                     [&net, stream = w.stream()] { net.Break(stream, BreakKind::kBothTold); });
      return true;
    }
    case Fault::kCrash:
    case Fault::kCrashUnnoticed:
    case Fault::kCrashForGood:
    case Fault::kGoodbye:
      return Kill(index, fault);
    case Fault::kReplicaLost:
      return w.LoseReplica(rng_.Next(), true);
    case Fault::kReplicaVanished:
      return w.LoseReplica(rng_.Next(), false);
    case Fault::kDataCut: {
      uint32_t other = (index + 1) % static_cast<uint32_t>(world_.workers.size());
      net.Cut(index, other);
      world_.loop.After(rng_.Below(kSec), [&net, index, other] { net.Mend(index, other); });
      return true;
    }
    case Fault::kDrain: {
      if (index == 0 || !w.connected()) return false;
      scheduler::event::DrainWorker drain;
      drain.worker = w.id();
      drain.token = world_.scheduler.Expect([](const scheduler::action::Reply&) {});
      world_.scheduler.Post(drain);
      return true;
    }
    case Fault::kSlow:
      w.SetSlow(rng_.Between(2, 20));
      return true;
    case Fault::kPoison:
    case Fault::kCount:
      return false;
  }
  return false;
}

bool Faults::Kill(uint32_t index, Fault fault) {
  SimWorker& w = *world_.workers[index];
  if (index == 0 && fault == Fault::kCrashForGood) return false;
  uint64_t scale = rng_.Chance(500) ? 200 * kMs : world_.options.scheduler.forget_after_ns * 2;
  if (fault == Fault::kGoodbye) {
    w.Shutdown();
    scale += kSec;  // it has to stop first
  } else {
    w.Crash(fault != Fault::kCrashUnnoticed);
  }
  if (fault == Fault::kCrashForGood) {
    gone_for_good_[index] = true;
  } else {
    Restart(index, rng_.Below(scale) + 1);
  }
  return true;
}

void Faults::Restart(uint32_t index, uint64_t after_ns) {
  world_.loop.After(after_ns, [this, index] {
    SimWorker& w = *world_.workers[index];
    if (gone_for_good_[index]) return;
    if (!w.alive()) return w.Start();
    // A clean stop takes as long as the bodies that it has to end.
    if (w.stopping()) Restart(index, 100 * kMs);
  });
}

void Faults::OnPoison(uint32_t worker) {
  ++world_.stats.faults[static_cast<size_t>(Fault::kPoison)];
  world_.workers[worker]->Crash(rng_.Chance(700));
  Restart(worker, 1 + rng_.Below(200 * kMs));
}

void Faults::Heal() {
  for (uint32_t i = 0; i < world_.workers.size(); ++i) {
    SimWorker& w = *world_.workers[i];
    w.SetSlow(1);
    w.NoticeVanished();
    if (!w.alive() && !gone_for_good_[i]) Restart(i, rng_.Below(500 * kMs));
  }
}

}  // namespace taskd::sim
