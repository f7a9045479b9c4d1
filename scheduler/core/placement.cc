// Where a ready task is cheapest. Costs are nanoseconds: the wait for a slot, the time to move what
// is missing, behind all that its holder has to send, and to spill what the store has no room for.
#include <algorithm>
#include <array>

#include "common/base/hash.h"
#include "common/base/muldiv.h"
#include "scheduler/core/inputs.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

constexpr uint64_t kUnknownBandwidth = 1'000'000'000;  // bytes a second, until it is learned
constexpr uint64_t kTellingBytes = 1 << 20;  // a smaller fetch tells more of the round trip
constexpr uint64_t kRoundTripNs = 1'000'000;
constexpr uint64_t kMovableBytes = 64 << 10;  // less than this travels with the round trip
constexpr uint64_t kUnderWayOf = 6;           // what is under way counts as a sixth of it
constexpr uint32_t kUnderWayKept = 4096;

// Input bytes of a task by holder.
struct Holdings {
  struct Entry {
    uint16_t slot;
    uint64_t bytes, coming;  // there, and under way
  };
  std::array<Entry, limits::kCandidates> entries;
  uint32_t count = 0;
  uint64_t total = 0;

  void Add(uint16_t slot, uint64_t bytes, uint64_t coming) {
    for (uint32_t i = 0; i < count; ++i) {
      if (entries[i].slot != slot) continue;
      entries[i].bytes += bytes;
      entries[i].coming += coming;
      return;
    }
    if (count < entries.size()) entries[count++] = {slot, bytes, coming};
  }
  uint64_t MissingAt(uint16_t slot) const { return LackingAt(slot, kUnderWayOf); }
  uint64_t NotComingTo(uint16_t slot) const { return LackingAt(slot, 1); }

 private:
  uint64_t LackingAt(uint16_t slot, uint64_t coming_of) const {
    for (uint32_t i = 0; i < count; ++i) {
      if (entries[i].slot == slot)
        return total - std::min(total, entries[i].bytes + entries[i].coming / coming_of);
    }
    return total;
  }
};

uint32_t UnderWayAt(ObjectId id) {
  return static_cast<uint32_t>(Mix64(uint64_t{id.job} << 32 | id.ordinal) % kUnderWayKept);
}

Holdings HoldingsOf(const State& state, const Job& job, Ordinal ordinal) {
  Holdings out;
  VisitInputs(state, job, job.tasks[ordinal],
              [&](ObjectId id, const ObjectRec& object, const Input& input) {
                const uint64_t bytes = BytesRead(object.size_bytes, input);
                out.total += bytes;
                uint32_t seen = 0;
                for (uint32_t r = object.replicas; r != kNil && seen < limits::kHoldersPerInput;
                     r = state.replicas[r].next, ++seen) {
                  if (state.replicas[r].usable) out.Add(state.replicas[r].worker, bytes, 0);
                }
                if (!input.whole()) return;
                state.VisitUnderWay(id, object, [&](uint16_t slot) { out.Add(slot, 0, bytes); });
              });
  return out;
}

// The holder of most, of several the one with least to send; kNoSlot: nobody has anything.
uint16_t SenderOf(const State& state, const Holdings& holdings) {
  uint16_t sender = kNoSlot;
  uint64_t most = 0, sending = 0;
  for (uint32_t i = 0; i < holdings.count; ++i) {
    const Holdings::Entry& entry = holdings.entries[i];
    const uint64_t to_send = state.workers[entry.slot]->sending_bytes;
    if (entry.bytes == 0 || entry.bytes < most || (entry.bytes == most && to_send >= sending))
      continue;
    sender = entry.slot;
    most = entry.bytes;
    sending = to_send;
  }
  return sender;
}

}  // namespace

const UnderWay* State::FindUnderWay(ObjectId id, const ObjectRec& object) const {
  if (object.size_bytes < kLargeBytes || under_way.empty()) return nullptr;
  const UnderWay& found = under_way[UnderWayAt(id)];
  return found.object == id ? &found : nullptr;
}

// A newer object may take its place in the table, and a fetch may be called off: it is a hint.
bool State::NoteUnderWay(ObjectId id, const ObjectRec& object, uint16_t slot) {
  if (object.size_bytes < kLargeBytes || HoldsUsable(id, object, slot)) return false;
  if (under_way.empty()) under_way.resize(kUnderWayKept);
  UnderWay& entry = under_way[UnderWayAt(id)];
  if (entry.object != id) entry = {id};
  if (std::find(entry.slots.begin(), entry.slots.end(), slot) != entry.slots.end()) return false;
  entry.slots[entry.next++ % entry.slots.size()] = slot;
  return true;
}

void State::NoteInputsUnderWay(const Job& job, const TaskRec& task, uint16_t slot) {
  uint32_t edges = std::min(task.edge_count, limits::kInputsCosted);
  for (uint32_t e = task.edges; e < task.edges + edges; ++e) {
    uint32_t source = job.edges[e].source;
    if (source & kCollectionBit) continue;
    const ObjectId id = Behind(job, source);
    if (const ObjectRec* object = FindObject(id)) NoteUnderWay(id, *object, slot);
  }
}

uint64_t State::BandwidthInto(const Worker& worker) const {
  if (worker.in_bytes_per_s != 0) return worker.in_bytes_per_s;
  return in_bytes_per_s != 0 ? in_bytes_per_s : kUnknownBandwidth;
}

uint64_t State::TransferNs(const Worker& worker, uint64_t bytes) const {
  if (bytes == 0) return 0;
  return kRoundTripNs + MulDiv(bytes, 1'000'000'000, BandwidthInto(worker));
}

// What an attempt fetched before it started, over the time that it took, is what the worker gets of
// the network, with all that came in beside it. Only attempts that had a slot at once: others waited
// for theirs, too.
void State::LearnBandwidth(Worker& worker, const AttemptRec& attempt) {
  if (attempt.fetch_bytes < kTellingBytes || now_ns <= attempt.assigned_ns) return;
  uint64_t sample = MulDiv(attempt.fetch_bytes, 1'000'000'000, now_ns - attempt.assigned_ns);
  for (uint64_t* average : {&worker.in_bytes_per_s, &in_bytes_per_s})
    *average = Learned(*average, sample);
}

// A hint tells tasks of a group apart; how far hints are off is learned of the group.
uint64_t State::ExpectedNs(const Job& job, const TaskRec& task) const {
  const GroupRec& group = job.groups[task.group];
  uint64_t told = job.options[task.option].expect_ns;
  if (told == 0) return group.average_ns;
  if (group.told_ppm == 0) return told;
  return std::max<uint64_t>(MulDiv(told, group.told_ppm, 1'000'000), 1);
}

uint64_t State::WaitNs(const Worker& worker, uint16_t shape, uint64_t task_ns) const {
  if (task_ns == 0) task_ns = limits::kUnknownTaskNs;
  const ShapeLoad* load = FindLoad(worker, shape);
  uint64_t before = load == nullptr ? 0 : load->ahead + load->home.size();
  uint64_t need = std::max<uint32_t>(shapes[shape].spec.variants[0].need.cpus_milli, 1);
  uint64_t slots = std::max<uint64_t>(worker.capacity.cpus_milli / need, 1);
  const bool can_run = CanRun(worker, shape);
  if (can_run) {  // those before it take what is free, too
    uint64_t free = (worker.capacity.cpus_milli - worker.used.cpus_milli) / need;
    before -= std::min(before, std::max<uint64_t>(free, 1) - 1);
  }
  uint64_t wait = before * task_ns / slots;
  if (load != nullptr && load->refused_until_ns > now_ns) wait += load->refused_until_ns - now_ns;
  return can_run ? wait : wait + task_ns / 2;
}

Move State::MoveTo(const Worker& worker, const Job& job, Ordinal ordinal) const {
  const Holdings holdings = HoldingsOf(*this, job, ordinal);
  Move out{.bytes = holdings.MissingAt(worker.id.slot)};
  out.ns = TransferNs(worker, out.bytes) +
           MemoryNs(worker, out.bytes + ExpectedBytes(job, job.tasks[ordinal]));
  if (out.bytes < kLargeBytes) return out;
  const uint16_t sender = SenderOf(*this, holdings);
  if (sender == kNoSlot || sender == worker.id.slot) return out;
  out.ns += SendNs(*workers[sender]);
  out.waits =
      holdings.NotComingTo(worker.id.slot) >= kLargeBytes && HasEnoughToSend(*workers[sender]);
  return out;
}

uint16_t State::ChooseHome(const Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  const Batch::Shape& spec = shapes[task.shape].spec;
  bool choosy = spec.preferred || task.avoid != kNoSlot;
  if (task.edge_count == 0 && !choosy) return kNoSlot;
  Holdings holdings = HoldingsOf(*this, job, ordinal);
  if (holdings.total < kMovableBytes && !choosy) return kNoSlot;
  uint64_t task_ns = ExpectedNs(job, task);
  uint64_t made = ExpectedBytes(job, task);
  if (const uint16_t home = SinkHome(job, ordinal); home != kNoSlot) return home;
  const uint16_t sender = holdings.total < kLargeBytes ? kNoSlot : SenderOf(*this, holdings);
  const uint64_t send_ns = sender == kNoSlot ? 0 : SendNs(*workers[sender]);
  uint16_t best = kNoSlot;
  uint64_t best_cost = 0;
  auto consider = [&](uint16_t slot) {
    const Worker& worker = *workers[slot];
    if (!worker.up() || worker.Closed() || slot == task.avoid || !FitsIdle(worker, task.shape))
      return;
    uint64_t missing = holdings.MissingAt(slot);
    uint64_t cost = WaitNs(worker, task.shape, task_ns) + PreferenceNs(worker, task.shape) +
                    TransferNs(worker, missing) + MemoryNs(worker, made + missing);
    if (missing >= kLargeBytes) cost += send_ns;
    if (best == kNoSlot || cost < best_cost || (cost == best_cost && slot < best)) {
      best = slot;
      best_cost = cost;
    }
  };
  for (uint32_t i = 0; i < holdings.count; ++i) consider(holdings.entries[i].slot);
  uint32_t named = 0;
  VisitNamed(spec, [&](const Worker& worker) {
    consider(worker.id.slot);
    return ++named == limits::kCandidates;
  });
  // For what is large they come, when they see how much its holder has to send.
  if (best == kNoSlot || holdings.total < kLargeBytes || MemoryNs(*workers[best], made) > 0) {
    VisitHungry(2, [&](const Worker& worker) {
      consider(worker.id.slot);
      return false;
    });
  }
  budget -= holdings.count;
  if (best != kNoSlot && holdings.MissingAt(best) > 0) NoteInputsUnderWay(job, task, best);
  return best;
}

// Where its inputs were gathered, if to wait there is shorter than to fetch those again; else kNoSlot.
uint16_t State::SinkHome(const Job& job, Ordinal ordinal) const {
  if (job.sinks.empty()) return kNoSlot;
  auto sink = job.sinks.find(ordinal);
  if (sink == job.sinks.end() || !sink->second.home) return kNoSlot;
  const WorkerId home = sink->second.home;
  const TaskRec& task = job.tasks[ordinal];
  const Worker* worker = workers[home.slot].get();
  if (worker == nullptr || worker->id != home || !worker->up() || worker->Closed() ||
      home.slot == task.avoid || !FitsIdle(*worker, task.shape) ||
      WaitNs(*worker, task.shape, ExpectedNs(job, task)) >
          TransferNs(*worker, sink->second.home_bytes)) {
    return kNoSlot;
  }
  return home.slot;
}

const Worker* State::ChooseSinkHome(const Job& job, Ordinal ordinal, uint64_t all_bytes) {
  const TaskRec& task = job.tasks[ordinal];
  const Holdings holdings = HoldingsOf(*this, job, ordinal);
  budget -= holdings.count;
  const Worker* best = nullptr;
  std::pair<uint64_t, uint16_t> best_key;
  for (uint32_t i = 0; i < holdings.count; ++i) {
    const uint16_t slot = holdings.entries[i].slot;
    const Worker& worker = *workers[slot];
    if (!worker.up() || worker.Closed() || slot == task.avoid || !FitsIdle(worker, task.shape) ||
        (worker.store_budget_bytes != 0 && all_bytes > worker.store_budget_bytes / 2)) {
      continue;
    }
    // Not where much comes for others already.
    auto others = early.find(slot);
    const uint64_t waiting = others == early.end() ? 0 : others->second.size();
    const std::pair<uint64_t, uint16_t> key = {
        MulDiv(all_bytes, holdings.MissingAt(slot), std::max<uint64_t>(holdings.total, 1)) +
            waiting * (holdings.total / limits::kInputsCosted),
        slot};
    if (best != nullptr && best_key < key) continue;
    best = &worker;
    best_key = key;
  }
  return best != nullptr && IsSink(job, task, best_key.first) ? best : nullptr;
}

}  // namespace taskd::scheduler
