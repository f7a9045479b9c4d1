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
  // Early ones find more that is needed and held once only.
  for (uint64_t i = 1; i <= 20; ++i) {
    world_.loop.After(world_.options.fault_window_ns * i / 20, [this] {
      if (!HardEnough()) Happen(Fault::kSoleReplicaLost, false);
    });
  }
}

// A fault that cannot happen to the worker drawn happens to the next one; at last a connection
// breaks.
void Faults::Happen(Fault fault, bool or_break) {
  uint32_t count = static_cast<uint32_t>(world_.workers.size());
  uint32_t first = static_cast<uint32_t>(rng_.Below(count));
  for (uint32_t i = 0; i < (or_break ? 2 : 1) * count; ++i) {
    Fault kind = i < count ? fault : Fault::kStreamBreak;
    if (!Try(kind, (first + i) % count)) continue;
    return Count(kind, (first + i) % count);
  }
}

void Faults::Count(Fault fault, uint32_t index) {
  ++world_.stats.faults[static_cast<size_t>(fault)];
  world_.Trace("fault", StrCat(Name(fault), " at worker", index));
}

bool Faults::HardEnough() const {
  uint64_t all = 0;
  for (uint64_t n : world_.stats.faults) all += n;
  return all >= 5 && world_.stats.faults[static_cast<size_t>(Fault::kSoleReplicaLost)] > 0 &&
         world_.workers.size() >= 3 && world_.stats.tasks >= 200;
}

std::string Faults::Hardness() const {
  uint64_t all = 0;
  for (uint64_t n : world_.stats.faults) all += n;
  return StrCat(all, " faults, ", world_.stats.faults[static_cast<size_t>(Fault::kSoleReplicaLost)],
                " sole replicas lost, ", world_.stats.tasks, " tasks");
}

void Faults::Harden() {
  bool sole = world_.stats.faults[static_cast<size_t>(Fault::kSoleReplicaLost)] > 0;
  if (sole) return Happen(Fault::kStreamBreak);
  if (LoseEverywhere()) Count(Fault::kSoleReplicaLost, 0);
}

// Where everything needed has copies, all of one object go.
bool Faults::LoseEverywhere() {
  for (const auto& holder : world_.workers) {
    for (const auto& [key, blob] : holder->store()) {
      if (!key.parts.whole() || !world_.checker.IsNeeded(key.id)) continue;
      ObjectVersion id = key.id;
      for (const auto& w : world_.workers) w->LoseReplica(id);
      return true;
    }
  }
  return false;
}

bool Faults::TryAtScheduler(Fault fault) {
  if (!world_.scheduler.alive()) return false;
  if (fault == Fault::kSchedulerPause) {
    world_.scheduler.PauseUntil(world_.loop.now() +
                                rng_.Below(2 * world_.options.scheduler.silent_ns));
    return true;
  }
  if (fault == Fault::kFewLicences) {
    world_.scheduler.SetLicences(
        static_cast<uint32_t>(rng_.Below(world_.options.licences_milli + 1)));
    return true;
  }
  world_.scheduler.Crash();
  RestartScheduler(
      rng_.Below(rng_.Chance(700) ? 200 * kMs : world_.options.scheduler.forget_after_ns));
  return true;
}

void Faults::RestartScheduler(uint64_t after_ns) {
  world_.loop.After(after_ns, [this] {
    if (!world_.scheduler.alive()) world_.scheduler.Restart();
  });
}

bool Faults::TryAtData(Fault fault, uint32_t index) {
  SimNet& net = world_.net;
  uint32_t other = (index + 1) % static_cast<uint32_t>(world_.workers.size());
  switch (fault) {
    case Fault::kDataCut:
      net.Cut(other, index);
      [[fallthrough]];
    case Fault::kDataCutOneWay:
      net.Cut(index, other);
      world_.loop.After(rng_.Below(kSec), [&net, index, other] {
        net.Mend(index, other);
        net.Mend(other, index);
      });
      return true;
    case Fault::kClog:
      net.Clog(index, rng_.Between(10, 1000));
      world_.loop.After(rng_.Below(kSec), [&net, index] { net.Clog(index, 1); });
      return true;
    default:
      return false;
  }
}

bool Faults::Try(Fault fault, uint32_t index) {
  SimWorker& w = *world_.workers[index];
  if (fault == Fault::kSchedulerCrash || fault == Fault::kSchedulerPause ||
      fault == Fault::kFewLicences) {
    return TryAtScheduler(fault);
  }
  if (fault == Fault::kClientCrash)
    return world_.clients[rng_.Below(world_.clients.size())]->Crash();
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
    case Fault::kReplicaDamaged:
      return w.DamageReplica(rng_.Next());
    case Fault::kSoleReplicaLost: {
      const uint64_t which = rng_.Next();
      const bool noticed = rng_.Chance(500);
      return w.LoseSoleReplica(which, noticed);
    }
    case Fault::kDataCut:
    case Fault::kDataCutOneWay:
    case Fault::kClog:
      return TryAtData(fault, index);
    case Fault::kOneWayUp:
    case Fault::kOneWayDown: {
      if (w.stream() == 0) return false;
      uint64_t until = now + rng_.Below(world_.options.scheduler.silent_ns * 3);
      net.Stall(w.stream(), until,
                fault == Fault::kOneWayUp ? SimNet::Way::kUp : SimNet::Way::kDown);
      return true;
    }
    case Fault::kDiskFull:
      w.SetDiskFull(true);
      world_.loop.After(rng_.Below(300 * kMs), [&w] { w.SetDiskFull(false); });
      return true;
    case Fault::kWorkerPause:
      w.PauseUntil(now + rng_.Below(world_.options.scheduler.silent_ns * 3));
      return true;
    case Fault::kDrain: {
      if (index == 0 || !w.connected() || !world_.scheduler.alive()) return false;
      // Its id may be of an earlier start of the scheduler, and another worker's by now.
      std::optional<scheduler::WorkerView> view = world_.scheduler.core().GetWorker(w.id());
      if (!view.has_value() || view->stream != w.stream()) return false;
      scheduler::event::DrainWorker drain;
      drain.worker = w.id();
      drain.retire = rng_.Chance(500);
      drain.token = world_.scheduler.Expect([](const scheduler::action::Reply&) {});
      world_.scheduler.Post(drain);
      return true;
    }
    case Fault::kSlow:
      w.SetSlow(rng_.Between(2, 20));
      return true;
    case Fault::kBadWorker:
      w.SetBad(true);
      world_.loop.After(rng_.Below(2 * kSec), [&w] { w.SetBad(false); });
      return true;
    case Fault::kSchedulerPause:
    case Fault::kSchedulerCrash:
    case Fault::kClientCrash:
    case Fault::kFewLicences:
    case Fault::kPoison:
    case Fault::kTimeOver:
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

// What it said of its end was true: its batch system ends it. Another one comes.
void Faults::OnTimeOver(uint32_t worker) {
  Count(Fault::kTimeOver, worker);
  world_.workers[worker]->Crash(rng_.Chance(700));
  Restart(worker, 1 + rng_.Below(200 * kMs));
}

void Faults::BreakSome() {
  for (auto& worker : world_.workers) {
    if (rng_.Chance(400) && worker->stream() != 0)
      world_.net.Break(worker->stream(), BreakKind::kBothTold);
  }
}

// Another one takes its place, sooner or later.
void Faults::OnRetired(uint32_t worker) {
  if (!world_.healed) Restart(worker, 1 + rng_.Below(kSec));
}

void Faults::Heal() {
  if (!world_.scheduler.alive()) RestartScheduler(rng_.Below(100 * kMs));
  world_.scheduler.SetLicences(world_.options.licences_milli);
  for (uint32_t i = 0; i < world_.workers.size(); ++i) {
    SimWorker& w = *world_.workers[i];
    if (w.alive() && w.ends_at() != 0) OnTimeOver(i);
    w.SetSlow(1);
    w.SetBad(false);
    w.SetDiskFull(false);
    w.NoticeVanished();
    if (!w.alive() && !gone_for_good_[i]) Restart(i, rng_.Below(500 * kMs));
  }
}

}  // namespace taskd::sim
