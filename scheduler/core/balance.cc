// Queues and who takes from them. A ready task waits in one queue: its shape's, or its home's. A
// worker with a free slot takes the better of its own home head and the shape's head, then from one of
// the fullest homes of others, then asks look-ahead back. A worker whose slots are full takes
// look-ahead. Slots of all come before look-ahead of any.
#include <algorithm>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kVictims = 2;
constexpr uint64_t kLongTaskNs =
    1'000'000'000;                         // look-ahead shorter than this binds nothing for long
constexpr uint32_t kAttemptsScanned = 64;  // for the one that ends first
constexpr uint64_t kAskBackNs =
    10'000'000;  // look-ahead shorter than this is not worth a round trip
constexpr uint64_t kLookAgainNs = 100'000'000;  // for what an idle worker left to another, at least

// A timer has the worker look again, or others what waits for it.
void LookAgain(State& state, Worker& worker, uint64_t at_ns) {
  if (worker.look_ahead_ns > state.now_ns && worker.look_ahead_ns <= at_ns) return;
  worker.look_ahead_ns = at_ns;
  state.Arm(TimerKind::kLookAhead, at_ns, worker.id.slot, 0);
}

// Until the first of what has a slot on a worker ends; kNever: nothing has. What should have ended ends
// now, or, if that is doubted, goes on for as long as it ran so far.
uint64_t FirstEndIn(State& state, const Worker& worker, bool doubted) {
  uint64_t first_ns = kNever;
  uint32_t scanned = 0;
  for (uint32_t a = worker.first_attempt; a != kNil && scanned < kAttemptsScanned;
       a = state.attempts[a].next, ++scanned) {
    const AttemptRec& attempt = state.attempts[a];
    if (!attempt.slotted || attempt.yielded) continue;
    const uint64_t since_ns = attempt.started_ns != 0 ? attempt.started_ns : attempt.assigned_ns;
    const uint64_t ran_ns = state.now_ns - std::min(state.now_ns, since_ns);
    const uint64_t left_ns = attempt.expected_ns - std::min(attempt.expected_ns, ran_ns);
    first_ns = std::min(first_ns, left_ns == 0 && doubted ? ran_ns : left_ns);
  }
  state.budget -= scanned;
  return first_ns;
}
}  // namespace

ReadyQueue& State::QueueAt(QueuePlace place) {
  if (place.home == kNoSlot) return shapes[place.shape].queue;
  return Load(*workers[place.home], place.shape).home;
}

namespace {
// Apart from Load, which is called many times a task and nearly always finds one.
[[gnu::noinline]] ShapeLoad& AddLoad(Worker& worker, uint16_t shape) {
  if (worker.loads.size() <= shape) worker.loads.resize(shape + 1u);
  worker.loads[shape] = std::make_unique<ShapeLoad>();
  return *worker.loads[shape];
}
}  // namespace

ShapeLoad& State::Load(Worker& worker, uint16_t shape) {
  if (shape < worker.loads.size() && worker.loads[shape] != nullptr) return *worker.loads[shape];
  return AddLoad(worker, shape);
}

const ShapeLoad* State::FindLoad(const Worker& worker, uint16_t shape) const {
  return shape < worker.loads.size() ? worker.loads[shape].get() : nullptr;
}

void State::PushReady(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  TASKD_CHECK(task.position == kNotInHeap);
  if (job.options[task.option].put) return AskForPut(job, ordinal);
  if (shapes[task.shape].spec.fail_fast) CheckNamed(task.shape);
  if (IsSuspect(job, task)) return PushSuspect(job, ordinal);
  task.home = ChooseHome(job, ordinal);
  if (!job.sinks.empty()) job.sinks.erase(ordinal);
  if (shapes[task.shape].queued++ == 0) queued_shapes.Set(task.shape, true);
  shares.TaskReady(job.family->share);
  QueueAt({task.shape, task.home}).Push(*this, job, ordinal);
  if (task.home != kNoSlot) {
    Worker& worker = *workers[task.home];
    ShapeLoad& load = Load(worker, task.shape);
    ++worker.home_tasks;
    homes_of_shape[task.shape].Set(worker.id.slot, load.home.size());
  }
  WakeFor(task.shape, task.home);
}

void State::PopReady(Job& job, Ordinal ordinal) {
  TaskRec& task = job.tasks[ordinal];
  if (task.position == kInSuspects) return PopSuspect(job, ordinal);
  if (--shapes[task.shape].queued == 0) queued_shapes.Set(task.shape, false);
  shares.TaskUnready(job.family->share);
  QueueAt({task.shape, task.home}).Remove(*this, job, ordinal);
  if (task.home == kNoSlot) return;
  Worker& worker = *workers[task.home];
  ShapeLoad& load = Load(worker, task.shape);
  --worker.home_tasks;
  homes_of_shape[task.shape].Set(worker.id.slot, load.home.size());
  task.home = kNoSlot;
}

bool State::HasAheadRoom(const Worker& worker, uint16_t shape, uint64_t expected_ns) const {
  const ShapeLoad* load = FindLoad(worker, shape);
  if (load == nullptr || load->slotted == 0 || load->refused_until_ns > now_ns) return false;
  if (load->ahead >= load->slotted) {
    const uint64_t each = expected_ns == 0 ? config.lookahead_ns : expected_ns;
    if (load->ahead_ns + each > config.lookahead_ns * load->slotted ||
        load->ahead >= uint64_t{limits::kLookaheadPerAttempt} * load->slotted)
      return false;
  }
  // It would start at a time that we do not know.
  if (worker.ends_ns != 0 && shapes[shape].spec.needs_time_ns > 0) return false;
  return !shapes[shape].uses_cluster && FitsIdle(worker, shape);
}

void State::SetHungry(Worker& worker, bool is_hungry) {
  if (worker.hungry) hungry.erase({{worker.kind, worker.hungry_key}, worker.id.slot});
  worker.hungry = is_hungry;
  if (!is_hungry) return;
  worker.hungry_key =
      uint64_t{worker.used.cpus_milli} * 1000 / std::max<uint32_t>(worker.capacity.cpus_milli, 1);
  hungry.insert({{worker.kind, worker.hungry_key}, worker.id.slot});
}

void State::MarkDirty(Worker& worker) {
  if (!worker.up() || worker.dirty) return;
  SetHungry(worker, false);
  SetShortOfMemory(worker, false);
  worker.dirty = true;
  dirty.push_back(worker.id.slot);
}

void State::WakeFor(uint16_t shape, uint16_t home) {
  // Under load nobody waits to be woken.
  if (home == kNoSlot && hungry.empty() && short_of_memory.empty() && ahead_open.empty()) return;
  if (home != kNoSlot) {
    const bool has_room = !workers[home]->short_of_memory;
    MarkDirty(*workers[home]);
    if (has_room && CanRun(*workers[home], shape)) return;
  }
  bool woken = false;
  auto wake = [&](Worker& worker) {
    woken = worker.hungry && CanRun(worker, shape);
    if (woken) MarkDirty(worker);
    return woken;
  };
  const Batch::Shape& spec = shapes[shape].spec;
  if (!spec.workers.empty() || !spec.hosts.empty()) VisitNamed(spec, wake);
  if (!woken) VisitHungry(limits::kCandidates, wake);
  if (!woken && home == kNoSlot) woken = WakeShortOfMemory(shape);
  if (woken || home != kNoSlot || ahead_open.empty()) return;
  Worker& worker = *workers[*ahead_open.begin()];
  ahead_open.erase(ahead_open.begin());
  MarkDirty(worker);
}

void State::WakeTaker() {
  VisitHungry(1, [&](Worker& worker) {
    MarkDirty(worker);
    return true;
  });
}

bool State::WaitsLong(const Worker& worker, QueuePlace place, Precedence* head) {
  // Room here would not help a task that waits for a pool of the cluster, or that was refused.
  const Batch::Shape& spec = shapes[place.shape].spec;
  if (!FitsIdle(worker, place.shape) ||
      FittingVariant(worker, place.shape, worker.used) != kNoVariant ||
      std::none_of(spec.variants.begin(), spec.variants.end(),
                   [this](const Batch::Variant& variant) { return PoolsFree(variant); }) ||
      !TopOf(place, head)) {
    return false;
  }
  return HasWaitedLong(*head);
}

bool State::HasWaitedLong(const Precedence& head) const {
  return now_ns - jobs[head.job]->tasks[head.ordinal].ready_ns >= limits::kWaitsLongNs;
}

// One worker a shape is kept: a single large task does not empty the whole cluster.
bool State::KeptFor(const Worker& worker, uint16_t shape) {
  auto [it, fresh] = kept.try_emplace(shape, worker.id.slot);
  const Worker* other = WorkerAt(it->second);
  if (other == nullptr || !other->up() || other->quarantined || !FitsIdle(*other, shape))
    it->second = worker.id.slot;
  return it->second == worker.id.slot;
}

bool State::FillSlot(Worker& worker) {
  if (worker.quarantined || worker.resuming) return false;
  SetShortOfMemory(worker, false);
  if (!suspects.empty() || worker.reserved || worker.alone) {
    if (TakeSuspect(worker)) return true;
    if (worker.Closed()) return false;
  }
  Precedence best, head, first;
  bool found = false, waits = false, grows = false;
  uint16_t first_shape = 0;
  uint32_t fitting = 0;
  const bool some_free = worker.used.cpus_milli < worker.capacity.cpus_milli;
  auto consider = [&](QueuePlace place, bool fits_now) {
    if (QueueAt(place).empty()) return;
    bool waits_long = false;
    if (fits_now) {
      if (!TopOf(place, &head) || (found && best < head)) return;
      const Room room = RoomFor(worker, head);
      if (room != Room::kWaits) {
        best = head;
        grows = room == Room::kGrows;
        found = true;
        return;
      }
      SetShortOfMemory(worker, true);
      waits_long = WaitsForStore(worker, head);
    } else {
      waits_long = some_free && WaitsLong(worker, place, &head);
    }
    if (waits_long && (!waits || head < first)) {
      first = head;
      first_shape = place.shape;
      waits = true;
    }
  };
  for (uint16_t s = queued_shapes.From(0); s != ShapeSet::kNone; s = queued_shapes.From(s + 1u)) {
    bool fits_now = CanRun(worker, s);
    if (!fits_now && !some_free) continue;
    fitting += fits_now;
    if (FindLoad(worker, s) != nullptr) consider({s, worker.id.slot}, fits_now);
    consider({s, kNoSlot}, fits_now);
  }
  if (waits && (!found || first < best) && KeptFor(worker, first_shape)) return false;
  if (!found) {
    for (uint16_t s = queued_shapes.From(0); s != ShapeSet::kNone; s = queued_shapes.From(s + 1u)) {
      if (TakeFromHomes(worker, s, nullptr)) return true;
    }
    return false;
  }
  if (fitting > 1) {
    if (PreferWhatFills(worker, &best)) return true;
    grows = RoomFor(worker, best) == Room::kGrows;
  }
  if (grows) PreferWhatMakesRoom(worker, true, &best);
  Take(worker, best, true);
  return true;
}

// A small task does not break the room that a larger one of its job could take, while there are too
// few like it to fill that room: most of it would idle until the small one ends. True: one of another's
// home was taken.
bool State::PreferWhatFills(Worker& worker, Precedence* best) {
  const Job& job = *jobs[best->job];
  const TaskRec& small = job.tasks[best->ordinal];
  if (IsUrgent(job, small.tail)) return false;
  const uint64_t need = CpusOf(small.shape);
  const uint64_t free = worker.capacity.cpus_milli - worker.used.cpus_milli;
  uint64_t filled = std::max(need, need * shapes[small.shape].queued - 1);
  Precedence head;
  auto consider = [&](QueuePlace place, uint64_t cpus) {
    if (!TopOf(place, &head) || head.job != best->job ||
        head.inverted_priority != best->inverted_priority || RoomFor(worker, head) == Room::kWaits)
      return;
    *best = head;
    filled = cpus;
  };
  for (uint16_t s = queued_shapes.From(0); s != ShapeSet::kNone; s = queued_shapes.From(s + 1u)) {
    const uint64_t cpus = CpusOf(s);
    if (cpus <= filled || need + cpus <= free || !CanRun(worker, s)) continue;
    consider({s, kNoSlot}, cpus);
    if (FindLoad(worker, s) != nullptr) consider({s, worker.id.slot}, cpus);
    if (filled < cpus && TakeFromHomes(worker, s, best)) return true;
  }
  return false;
}

void State::Take(Worker& worker, const Precedence& item, bool slotted) {
  Job& job = *jobs[item.job];
  TaskRec& task = job.tasks[item.ordinal];
  AssignReason reason = task.moved             ? AssignReason::kMoved
                        : task.home != kNoSlot ? AssignReason::kHome
                                               : AssignReason::kIdle;
  if (!kept.empty()) {
    if (auto it = kept.find(task.shape); it != kept.end() && it->second == worker.id.slot)
      kept.erase(it);
  }
  const bool of_shape = task.home == kNoSlot;
  PopReady(job, item.ordinal);
  Assign(worker, job, item.ordinal, slotted, reason);
  if (of_shape) WakeShortOfMemory(task.shape);
}

// Moves the head of a home that is among the fullest to where it would start sooner. `like`: only of
// this one's job and priority, if any is given.
bool State::TakeFromHomes(Worker& worker, uint16_t shape, const Precedence* like) {
  if (homes_of_shape[shape].empty() || !CanRun(worker, shape)) return false;
  uint32_t looked = 0;
  for (uint16_t v = homes_of_shape[shape].First(); v != CountIndex::kNone && looked < kVictims;
       v = homes_of_shape[shape].Next(v), ++looked) {
    if (v != worker.id.slot && TakeFromHome(worker, shape, *workers[v], like)) return true;
  }
  return false;
}

bool State::TakeFromHome(Worker& worker, uint16_t shape, Worker& victim, const Precedence* like) {
  Precedence head;
  if (victim.dirty && !victim.Closed() && CanRun(victim, shape)) return false;  // takes it itself
  if (!TopOf({shape, victim.id.slot}, &head)) return false;
  if (like != nullptr &&
      (head.job != like->job || head.inverted_priority != like->inverted_priority))
    return false;
  Job& job = *jobs[head.job];
  const Move move = CheapestMove(worker, QueueAt({shape, victim.id.slot}), &head);
  if (move.waits) return false;
  TaskRec& task = job.tasks[head.ordinal];
  // A place that is to be avoided is better than one that refuses.
  if (task.avoid == worker.id.slot && FindLoad(victim, shape)->refused_until_ns <= now_ns)
    return false;
  const uint64_t here_ns = move.ns + PreferenceNs(worker, shape);
  const uint64_t there_ns =
      PreferenceNs(victim, shape) + MemoryNs(victim, ExpectedBytes(job, task));
  if (WaitNs(victim, shape, ExpectedNs(job, task)) + there_ns <= here_ns) {
    if (CanRun(victim, shape)) return false;
    const uint64_t first_ns = FirstEndIn(*this, victim, true);  // it may wait for something long
    if (first_ns == kNever || first_ns + there_ns <= here_ns) {
      if (move.bytes >= kLargeBytes)
        LookAgain(*this, victim, now_ns + std::max(move.ns, kLookAgainNs));
      return false;
    }
  }
  if (RoomFor(worker, head) == Room::kWaits) {
    SetShortOfMemory(worker, true);
    return false;
  }
  PopReady(job, head.ordinal);
  Assign(worker, job, head.ordinal, true, AssignReason::kMoved);
  if (victim.home_tasks > 0) WakeTaker();
  return true;
}

// Of a home whose head has large inputs, the head or another one of a few that would move fewer bytes
// for the time that it runs.
Move State::CheapestMove(const Worker& worker, const ReadyQueue& home, Precedence* head) {
  Move best = MoveTo(worker, *jobs[head->job], head->ordinal);
  const Job& job = *jobs[head->job];
  if (best.bytes < kLargeBytes || IsUrgent(job, job.tasks[head->ordinal].tail)) return best;
  uint64_t best_ns = std::max<uint64_t>(ExpectedNs(job, job.tasks[head->ordinal]), 1);
  home.VisitSome(head->job, limits::kMovesCosted, [&](const ReadyItem& item) {
    if (item.inverted_priority != head->inverted_priority) return;
    const Move move = MoveTo(worker, job, item.ordinal);
    const uint64_t ns = std::max<uint64_t>(ExpectedNs(job, job.tasks[item.ordinal]), 1);
    using Wide = unsigned __int128;
    if (Wide{move.bytes} * best_ns >= Wide{best.bytes} * ns) return;
    best = move;
    best_ns = ns;
    head->ordinal = item.ordinal;
  });
  budget -= limits::kMovesCosted;
  return best;
}

// A long task is not bound to a worker before its inputs have to be on their way to be there when
// something ends: another may be free first, or something more urgent come.
bool State::IsTooEarly(Worker& worker, const Precedence& head) {
  const Job& job = *jobs[head.job];
  if (ExpectedNs(job, job.tasks[head.ordinal]) < kLongTaskNs) return false;
  const uint64_t ends_in_ns = FirstEndIn(*this, worker, false);
  const uint64_t before_ns = config.lookahead_ns + MoveTo(worker, job, head.ordinal).ns;
  if (ends_in_ns == kNever || ends_in_ns <= before_ns) return false;
  LookAgain(*this, worker, now_ns + ends_in_ns - before_ns);
  return true;
}

// Look-ahead starts by itself where its like ends, so it would keep other shapes out for ever: there
// is none behind a task that waits long for a place here.
bool State::FillAhead(Worker& worker) {
  Precedence best, head, first;
  bool found = false, room = false, waits = false, grows = false;
  auto consider = [&](QueuePlace place, bool runs_here) {
    if (!runs_here) {
      if (QueueAt(place).empty() ||
          !(WaitsLong(worker, place, &head) ||
            (worker.short_of_memory && TopOf(place, &head) && WaitsForStore(worker, head)))) {
        return;
      }
      if (!waits || head < first) first = head;
      waits = true;
      return;
    }
    if (!TopOf(place, &head)) {
      room |= HasAheadRoom(worker, place.shape, 0);
      return;
    }
    const Job& job = *jobs[head.job];
    if (!HasAheadRoom(worker, place.shape, ExpectedNs(job, job.tasks[head.ordinal]))) return;
    if ((found && best < head) || IsTooEarly(worker, head)) return;
    const Room memory = RoomFor(worker, head);
    if (memory == Room::kWaits) return SetShortOfMemory(worker, true);
    best = head;
    grows = memory == Room::kGrows;
    found = true;
  };
  // What runs here and what is queued, both in order.
  std::erase_if(worker.running_shapes, [&](uint16_t s) {
    ShapeLoad& load = *worker.loads[s];
    load.listed = load.slotted > 0;
    return !load.listed;
  });
  size_t running = 0;
  uint16_t queued_shape = queued_shapes.From(0);
  while (running < worker.running_shapes.size() || queued_shape != ShapeSet::kNone) {
    const uint16_t running_shape =
        running < worker.running_shapes.size() ? worker.running_shapes[running] : ShapeSet::kNone;
    const uint16_t s = std::min(running_shape, queued_shape);
    const bool runs_here = s == running_shape;
    if (runs_here || FindLoad(worker, s) != nullptr) consider({s, worker.id.slot}, runs_here);
    consider({s, kNoSlot}, runs_here);
    running += runs_here;
    if (s == queued_shape) queued_shape = queued_shapes.From(s + 1u);
  }
  if (!found) {
    if (room) ahead_open.insert(worker.id.slot);
    return false;
  }
  if (waits && first < best) return false;
  if (grows) PreferWhatMakesRoom(worker, false, &best);
  Take(worker, best, false);
  return true;
}

// Takes back look-ahead of the worker that has most, newest first; it comes through the queues
// again.
void State::AskBack(Worker& worker) {
  if (worker.retracts_pending > 0) return;
  for (const auto& [shape, slot] : kept) {
    if (slot == worker.id.slot && shapes[shape].queued > 0) return;
  }
  for (uint16_t s = ahead_shapes.From(0); s != ShapeSet::kNone; s = ahead_shapes.From(s + 1u)) {
    if (!CanRun(worker, s)) continue;
    Worker& victim = *workers[ahead_of_shape[s].First()];
    const ShapeLoad& load = Load(victim, s);
    if (victim.id == worker.id || !victim.up() || victim.stream == 0) continue;
    if (load.ahead_ns / std::max<uint32_t>(load.slotted, 1) < kAskBackNs) continue;
    uint32_t wanted = std::clamp<uint32_t>(load.ahead / 2, 1, limits::kRetractBatch);
    for (uint32_t a = victim.last_attempt; a != kNil && wanted > 0; a = attempts[a].previous) {
      AttemptRec& attempt = attempts[a];
      if (attempt.slotted || attempt.shape != s || attempt.state != AttemptState::kAssigned)
        continue;
      attempt.state = AttemptState::kRetracting;
      attempt.retract_for = worker.id.slot;
      ++worker.retracts_pending;
      ++counters.retracts_sent;
      --wanted;
      --budget;
      Emit(action::Retract{victim.stream, {{attempt.job, attempt.task}, attempt.id}});
    }
    if (worker.retracts_pending > 0) return;
  }
}

bool State::Balance() {
  PrefetchWorkers(dirty.empty() ? dirty_ahead : dirty);
  if (!dirty.empty()) {
    uint16_t slot = dirty.front();
    dirty.pop_front();
    Worker* worker = WorkerAt(slot);
    if (worker == nullptr || !worker->dirty) return true;
    worker->dirty = false;
    if (!worker->up()) return true;
    if (FillSlot(*worker)) {
      worker->dirty = true;
      dirty.push_back(slot);
      return true;
    }
    if (worker->Closed()) return true;
    if (worker->used.cpus_milli < worker->capacity.cpus_milli && !worker->short_of_memory) {
      SetHungry(*worker, true);
      AskBack(*worker);
    } else if (worker->home_tasks > 0) {
      WakeTaker();  // others left that to it
    }
    if (!worker->dirty_ahead) {
      worker->dirty_ahead = true;
      dirty_ahead.push_back(slot);
    }
    return true;
  }
  if (dirty_ahead.empty()) return AdvanceCopies() || AdvanceEarly();
  uint16_t slot = dirty_ahead.front();
  dirty_ahead.pop_front();
  Worker* worker = WorkerAt(slot);
  if (worker == nullptr || !worker->dirty_ahead) return true;
  worker->dirty_ahead = false;
  if (worker->up() && !worker->Closed() && FillAhead(*worker)) {
    worker->dirty_ahead = true;
    dirty_ahead.push_back(slot);
  }
  return true;
}

}  // namespace taskd::scheduler
