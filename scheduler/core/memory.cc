// What a worker's store has room for, and which tasks wait for it.
//
// In use are results that some unfinished task reads, what attempts were promised (the inputs that they
// still fetch and the outputs that are expected of them), and what is gathered. Results that nobody waits
// for do not count: a worker spills those first. A task that would bring this over the store's budget
//
//   * makes room if it frees about as much as it adds, by itself or with a consumer that it makes
//     ready; an input that n unfinished tasks read counts by a n-th;
//   * waits while the promises of the worker's attempts and its own are more than the whole store:
//     what is in the making cannot be spilled. On a worker without attempts it runs, alone;
//   * else makes the store grow: what makes room goes before it. If nothing does it goes on, and
//     the worker spills.
//
// The last is a choice. Holding such a task back until what runs there has made room was measured,
// too (the graphs and the cluster of tests/quality, stores of half of what the graphs need): a
// twentieth to a sixth slower, or twice as slow when nothing may start beside what runs, and as
// much kept or a few per cent less, since tasks of a worse rank went on elsewhere. Good ranks keep
// few results alive; this rule mends orders that do not, and costs nothing where they do.
//
// Who waits, waits for attempts of the same worker alone, and each end of one has the worker look
// again: nothing waits for ever, however small the store.
#include <algorithm>

#include "common/base/muldiv.h"
#include "scheduler/core/inputs.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

constexpr uint64_t kMuchMore = 1ull << 58;  // than any store, and far within 64 bits

}  // namespace

// As ExpectedNs: a hint tells tasks of a group apart, the group tells how far hints are off.
uint64_t State::ExpectedBytes(const Job& job, const TaskRec& task) const {
  const GroupRec& group = job.groups[task.group];
  uint64_t told = job.options[task.option].expect_bytes;
  if (told == 0) return group.average_bytes;
  return group.told_bytes_ppm == 0 ? told : MulDiv(told, group.told_bytes_ppm, 1'000'000);
}

namespace {

// Rounded to nearest, so that what is always the same is learned as it is: two halves fill a whole.
void LearnInto(uint64_t& average, uint64_t sample) {
  average = std::max<uint64_t>(average == 0 ? sample : (average * 7 + sample + 4) / 8, 1);
}

}  // namespace

void State::LearnBytes(Job& job, const TaskRec& task, const Outcome& outcome) {
  uint64_t bytes = 0;
  for (const OutputInfo& output : outcome.outputs) bytes += output.size_bytes;
  GroupRec& group = job.groups[task.group];
  LearnInto(group.average_bytes, bytes);
  uint64_t told = job.options[task.option].expect_bytes;
  if (told == 0) return;
  LearnInto(group.told_bytes_ppm, MulDivAtMost(bytes, 1'000'000, told, limits::kToldPpmMax));
}

void State::SetIdle(Job& job, Ordinal ordinal, bool idle) {
  ObjectRec& object = job.objects[ordinal];
  if (object.idle == idle) return;
  object.idle = idle;
  for (uint32_t r = object.replicas; r != kNil; r = replicas[r].next) {
    Worker& worker = *workers[replicas[r].worker];
    worker.idle_bytes += idle ? object.size_bytes : -object.size_bytes;
  }
}

Footprint State::FootprintOf(const Worker& worker, const Job& job, Ordinal ordinal,
                             uint64_t unmade_bytes) const {
  const TaskRec& task = job.tasks[ordinal];
  Footprint out{.outputs = ExpectedBytes(job, task)};
  VisitInputs(*this, job, task, [&](ObjectId id, const ObjectRec& object, const Input& input) {
    const bool unmade = object.version == 0;
    const bool here = unmade || HoldsUsable(id, object, worker.id.slot);
    const uint64_t bytes = unmade ? unmade_bytes : object.size_bytes;
    const uint64_t read = BytesRead(bytes, input);
    const uint64_t share = MulDiv(bytes, input.times, input.of) / input.readers /
                           std::max<uint32_t>(object.live_consumers, 1);
    if (!here) out.fetched += read;
    // Parts that were fetched go with the attempt.
    out.freed += here || input.parts == input.parts_total ? share : read;
  });
  return out;
}

// As if nothing of its inputs were there, and each were the largest that its job has: needs no look at
// any of them. At least MostAdded.
uint64_t State::MostAddedBySizes(const Job& job, Ordinal ordinal) const {
  const TaskRec& task = job.tasks[ordinal];
  uint64_t bytes = ExpectedBytes(job, task);
  const uint32_t edges = std::min(task.edge_count, limits::kInputsCosted);
  uint64_t largest = 0, inputs = 0;
  for (uint32_t i = 0; i < edges; ++i) {
    const uint32_t source = job.edges[EdgeLooked(task, i)].source;
    const Job* owner =
        source & kCollectionBit ? MembersOf(job, job.collections[source & ~kCollectionBit]) : &job;
    if (owner == nullptr) continue;
    largest = std::max(largest, owner->largest_bytes);
    inputs += CountOf(job, source);
  }
  if (inputs > 0) bytes += MulDivAtMost(largest, inputs * task.edge_count, edges, kMuchMore) + 1;
  return bytes;
}

// As if nothing of its inputs were there: needs no look at who has them.
uint64_t State::MostAdded(const Job& job, Ordinal ordinal) const {
  const TaskRec& task = job.tasks[ordinal];
  uint64_t bytes = ExpectedBytes(job, task);
  VisitInputs(*this, job, task, [&](ObjectId, const ObjectRec& object, const Input& input) {
    bytes += BytesRead(object.size_bytes, input);
  });
  return bytes;
}

namespace {

bool WaitsForOneInput(const TaskRec& task) {
  return task.state == TaskState::kWaiting && !task.starting && task.missing == 1 && task.away == 0;
}

// The task that can run once this input of it is there.
Ordinal MadeReadyBy(const Job& job, uint32_t consumer) {
  if (consumer & kCollectionBit) {
    const CollectionRec& c = job.collections[consumer & ~kCollectionBit];
    if (c.missing != 1 || c.away > 0 || c.consumers == kNil) return kNoOrdinal;
    consumer = job.edges[c.consumers].consumer;
  }
  return WaitsForOneInput(job.tasks[consumer]) ? consumer : kNoOrdinal;
}

// What is expected of outputs is an average.
bool IsEnough(uint64_t freed, uint64_t added) { return freed + added / 8 >= added; }

}  // namespace

bool State::MakesRoom(const Worker& worker, const Job& job, Ordinal ordinal,
                      const Footprint& own) const {
  if (IsEnough(own.freed, own.added())) return true;
  const TaskRec& task = job.tasks[ordinal];
  uint32_t looked = 0;
  for (uint32_t i = 0; i < task.output_count && looked < limits::kReadersLooked; ++i) {
    uint32_t e = job.objects[task.first_output + i].consumers;
    for (; e != kNil && looked < limits::kReadersLooked; e = job.edges[e].next, ++looked) {
      Ordinal next = MadeReadyBy(job, job.edges[e].consumer);
      if (next == kNoOrdinal) continue;
      Footprint then = FootprintOf(worker, job, next, own.outputs / task.output_count);
      if (IsEnough(own.freed + then.freed, own.added() + then.added())) return true;
    }
  }
  return false;
}

Room State::RoomFor(const Worker& worker, const Job& job, Ordinal ordinal) const {
  if (worker.store_budget_bytes == 0 ||
      worker.InUse() + MostAddedBySizes(job, ordinal) <= worker.store_budget_bytes ||
      worker.InUse() + MostAdded(job, ordinal) <= worker.store_budget_bytes) {
    return Room::kFits;
  }
  const Footprint own = FootprintOf(worker, job, ordinal);
  if (own.added() <= limits::kHeapObjectBytes ||
      worker.InUse() + own.added() <= worker.store_budget_bytes) {
    return Room::kFits;
  }
  if (MakesRoom(worker, job, ordinal, own)) return Room::kMakes;
  return worker.attempts > worker.yielded &&
                 worker.promised_bytes + own.added() > worker.store_budget_bytes
             ? Room::kWaits
             : Room::kGrows;
}

Room State::RoomFor(const Worker& worker, const Precedence& head) {
  if (worker.store_budget_bytes == 0) return Room::kFits;
  const Job& job = *jobs[head.job];
  budget -= std::min(job.tasks[head.ordinal].edge_count, limits::kInputsCosted);
  return RoomFor(worker, job, head.ordinal);
}

void State::PreferWhatMakesRoom(Worker& worker, bool slotted, Precedence* best) {
  Precedence head;
  bool found = false;
  auto consider = [&](QueuePlace place) {
    if (!TopOf(place, &head) || (found && *best < head)) return;
    const Job& job = *jobs[head.job];
    const TaskRec& task = job.tasks[head.ordinal];
    if (!slotted && !HasAheadRoom(worker, place.shape, ExpectedNs(job, task))) return;
    if (RoomFor(worker, head) != Room::kMakes) return;
    *best = head;
    found = true;
  };
  for (uint16_t s = queued_shapes.From(0); s != ShapeSet::kNone; s = queued_shapes.From(s + 1u)) {
    if (slotted && !CanRun(worker, s)) continue;
    if (FindLoad(worker, s) != nullptr) consider({s, worker.id.slot});
    consider({s, kNoSlot});
  }
  counters.held_for_memory += found;
}

FitLimit State::StoreLimit(const Worker& worker, const Job& job, Ordinal ordinal) const {
  if (RoomFor(worker, job, ordinal) != Room::kWaits) return {};
  const uint64_t all = worker.store_budget_bytes;
  return {LimitKind::kStore, all - std::min(worker.promised_bytes, all),
          FootprintOf(worker, job, ordinal).added()};
}

bool State::WaitsForStore(const Worker& worker, const Precedence& head) {
  return HasWaitedLong(head) && RoomFor(worker, head) == Room::kWaits &&
         FootprintOf(worker, *jobs[head.job], head.ordinal).added() > worker.store_budget_bytes / 2;
}

void State::SetShortOfMemory(Worker& worker, bool is_short) {
  counters.held_for_memory += is_short;
  if (worker.short_of_memory == is_short) return;
  worker.short_of_memory = is_short;
  if (is_short) {
    short_of_memory.insert(worker.id.slot);
  } else {
    short_of_memory.erase(worker.id.slot);
  }
}

// The head of the shape's queue is a new one: a worker that had no room for others may have for it.
bool State::WakeShortOfMemory(uint16_t shape) {
  Precedence head;
  if (short_of_memory.empty() || !TopOf({shape, kNoSlot}, &head)) return false;
  const uint32_t most =
      std::min(limits::kCandidates, static_cast<uint32_t>(short_of_memory.size()));
  for (uint32_t looked = 0; looked < most; ++looked) {
    auto it = short_of_memory.upper_bound(last_short);
    last_short = it == short_of_memory.end() ? *short_of_memory.begin() : *it;
    Worker& worker = *workers[last_short];
    if (worker.dirty || worker.Closed() || !CanRun(worker, shape) ||
        RoomFor(worker, head) == Room::kWaits) {
      continue;
    }
    MarkDirty(worker);
    return true;
  }
  return false;
}

void State::Promise(Worker& worker, const Job& job, AttemptRec& attempt, uint64_t fetched) {
  attempt.promised_in_bytes = fetched;
  attempt.promised_out_bytes = ExpectedBytes(job, job.tasks[attempt.task]);
  worker.promised_bytes += attempt.promised_in_bytes + attempt.promised_out_bytes;
}

void State::ReturnPromise(Worker& worker, AttemptRec& attempt, bool ended) {
  EndSend(attempt, !ended);
  worker.promised_bytes -= attempt.promised_in_bytes;
  attempt.promised_in_bytes = 0;
  if (ended && !attempt.yielded) worker.promised_bytes -= attempt.promised_out_bytes;
  if (worker.short_of_memory) MarkDirty(worker);
}

uint64_t State::MemoryNs(const Worker& worker, uint64_t bytes) const {
  if (worker.store_budget_bytes == 0) return 0;
  const uint64_t need = worker.InUse() + bytes;
  if (need <= worker.store_budget_bytes) return 0;
  return MulDiv(std::min(need - worker.store_budget_bytes, bytes), 1'000'000'000,
                limits::kSpillBytesPerS);
}

}  // namespace taskd::scheduler
