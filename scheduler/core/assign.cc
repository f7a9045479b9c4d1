// Giving a task to a worker: the attempt's record, and the message with every input, its version and its holders.
#include <algorithm>
#include <array>

#include "common/base/hash.h"
#include "common/base/prefetch.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

uint32_t State::NewAttempt() {
  if (free_attempt == kNil) {
    attempts.Append();
    return attempts.size() - 1;
  }
  uint32_t index = free_attempt;
  free_attempt = attempts[index].next;
  if (free_attempt != kNil) PrefetchRecord(attempts[free_attempt]);
  return index;
}

uint32_t State::AddAttempt(Worker& worker, Job& job, Ordinal ordinal, AttemptId id, bool slotted,
                           uint8_t variant, bool alone) {
  TaskRec& task = job.tasks[ordinal];
  uint32_t index = NewAttempt();
  AttemptRec& attempt = attempts[index];
  attempt = AttemptRec{};
  attempt.job = job.id;
  attempt.task = ordinal;
  attempt.id = id;
  attempt.worker = worker.id;
  attempt.shape = task.shape;
  attempt.slotted = slotted;
  attempt.alone = alone;
  attempt.variant = variant;
  attempt.expected_ns = ExpectedNs(job, task);
  if (attempt.expected_ns == 0) attempt.expected_ns = config.lookahead_ns;
  attempt.next_of_task = task.attempts;
  task.attempts = index;
  attempt.previous = worker.last_attempt;
  (worker.last_attempt == kNil ? worker.first_attempt : attempts[worker.last_attempt].next) = index;
  worker.last_attempt = index;
  ++worker.attempts;
  ++job.attempts;
  Charge(worker, attempt);
  ChargeShare(job, attempt);

  task.last_worker = worker.id;
  task.last_attempt = id;
  task.moved = false;
  if (task.again == Again::kAsked) {
    task.again = Again::kAssigned;
    CountIn(job, [](Progress& p) { ++p.recomputed; });
    ++counters.tasks_recomputed;
  }
  return index;
}

void State::Assign(Worker& worker, Job& job, Ordinal ordinal, bool slotted, AssignReason reason) {
  TaskRec& task = job.tasks[ordinal];
  bool second = reason == AssignReason::kSecond;  // beside one that runs
  TASKD_CHECK(task.state == (second ? TaskState::kActive : TaskState::kReady) &&
              task.position == kNotInHeap);
  const bool put = job.options[task.option].put;
  uint8_t variant = put       ? 0
                    : slotted ? VariantNow(worker, task.shape)
                              : FittingVariant(worker, task.shape, {});
  TASKD_CHECK(variant != kNoVariant);
  AttemptId id = MakeAttemptId(config.start_count, ++task.tries);
  AttemptRec& attempt = attempts[AddAttempt(worker, job, ordinal, id, slotted, variant,
                                            reason == AssignReason::kAlone)];
  if (!second) {
    SetTaskState(job, task, TaskState::kActive);
    counters.ready_to_assigned.Add(now_ns - task.ready_ns);
  }
  ++counters.assigned[static_cast<size_t>(reason)];
  Fetch fetch;
  auto& message = EmitNew<action::Assign>();
  message.stream = worker.stream;
  BuildAssignment(worker, job, ordinal, attempt, message.assignment, fetch);
  attempt.assigned_ns = now_ns;
  if (slotted) attempt.fetch_bytes = fetch.missing;
  Promise(worker, job, attempt, fetch.missing);
  if (put) GiveBack(worker, attempt);
  BeginSend(attempt, fetch);
  CountIn(job, [&fetch](Progress& p) {
    p.bytes_saved += fetch.present;
    p.bytes_moved += fetch.missing;
  });
  counters.bytes_saved += fetch.present;
  counters.bytes_moved += fetch.missing;
}

namespace {
constexpr uint32_t kHoldersLookedAt = 8;  // the newest, of an object that many hold
}  // namespace

// Names an input's holders, nearest first: this worker, its host, then the others in an order that
// differs from task to task. True: this worker has it.
bool State::NameHolders(const Worker& worker, ObjectId id, ObjectRec& object, Ordinal task,
                        InputObject& input) {
  if (object.usable == 0) return false;
  // Of as many as the message names, the best so far, in order: kept so without a branch, since which
  // comes before which is chance.
  std::array<uint64_t, limits::kHoldersPerInput> best;
  best.fill(~uint64_t{0});
  uint32_t looked = 0;
  bool here = false;
  const uint64_t salt = Mix64(uint64_t{task} << 32 | id.ordinal);
  auto consider = [&](uint16_t slot) {
    ++looked;
    here |= slot == worker.id.slot;
    const uint64_t distance = slot == worker.id.slot ? 0 : hosts[slot] == worker.host ? 1 : 2;
    // The slot makes keys differ: the order is total.
    uint64_t key = distance << 60 | (Mix64(salt ^ slot) >> 8 & ~uint64_t{0xFFFF}) | slot;
    for (uint64_t& kept : best) {
      const uint64_t more = std::max(kept, key);
      kept = std::min(kept, key);
      key = more;
    }
  };
  if (object.wide) {  // its own may be far down the list
    const ReplicaRec* own = FindReplica(id, worker.id.slot);
    if (own != nullptr && own->usable) consider(own->worker);
  }
  uint32_t limit = std::min<uint32_t>(object.usable, kHoldersLookedAt);
  for (uint32_t r = object.replicas; r != kNil && looked < limit; r = replicas[r].next) {
    if (replicas[r].usable && !(here && replicas[r].worker == worker.id.slot))
      consider(replicas[r].worker);
  }
  for (uint32_t i = 0; i < std::min<uint32_t>(looked, best.size()); ++i) {
    const auto slot = static_cast<uint16_t>(best[i]);
    input.holders[i] = {slot, generations[slot]};
  }
  return here;
}

// The order of the first of a few readers of its outputs: a worker spills what is read last. Looked up
// only for one that has to choose soon.
uint64_t State::NextUse(const Worker& worker, const Job& job, const TaskRec& task) const {
  if (worker.store_budget_bytes == 0 || worker.InUse() < worker.store_budget_bytes / 2)
    return kUnknownUse;
  uint64_t first = kNoUse;
  uint32_t looked = 0;
  for (uint32_t i = 0; i < task.output_count && looked < limits::kReadersLooked; ++i) {
    uint32_t e = job.objects[task.first_output + i].consumers;
    for (; e != kNil && looked < limits::kReadersLooked; e = job.edges[e].next, ++looked) {
      uint32_t reader = job.edges[e].consumer;
      if (reader & kCollectionBit) {
        const uint32_t edge = job.collections[reader & ~kCollectionBit].consumers;
        if (edge == kNil) continue;
        reader = job.edges[edge].consumer;
      }
      const TaskRec& next = job.tasks[reader];
      if (Ended(next.state)) continue;
      first = std::min(first, uint64_t{job.id} << 32 | OrderIn(next, false));
    }
  }
  return first;
}

void State::BuildAssignment(const Worker& worker, Job& job, Ordinal ordinal,
                            const AttemptRec& attempt, Assignment& out, Fetch& fetch) {
  const TaskRec& task = job.tasks[ordinal];
  const Batch::Options& options = job.options[task.option];
  out.attempt = {{job.id, ordinal}, attempt.id};
  out.body = task.body;
  if (!options.put) out.need = VariantOf(attempt).need;
  out.priority = static_cast<int32_t>(~InvertedPriority(job, task) ^ 0x80000000u);
  out.order = uint64_t{job.id} << 32 | OrderIn(task, IsUrgent(job, task.tail));
  out.next_use = NextUse(worker, job, task);
  out.time_limit_ns = options.time_limit_ns;
  out.first_output = task.first_output;
  out.output_count = task.output_count;
  out.edges.reserve(task.edge_count);
  uint32_t inputs = 0;
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e)
    inputs += CountOf(job, job.edges[e].source);
  out.objects.reserve(inputs);

  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    InputEdge edge{.slot = e - task.edges, .first = static_cast<uint32_t>(out.objects.size())};
    uint64_t divisor = 1, times = 1;
    if (auto it = job.selections.find(e); it != job.selections.end()) {
      edge.slot = it->second.slot;
      edge.parts = it->second.parts;
      if (!edge.parts.whole() && it->second.parts_total > 0) {
        divisor = it->second.parts_total;
        times = edge.parts.hi - edge.parts.lo;
      }
    }
    auto add = [&](const Job& owner, Ordinal source) {
      const ObjectId id = Behind(owner, source);
      ObjectRec& object = jobs[id.job]->objects[id.ordinal];
      InputObject input{{id, object.version}, object.size_bytes};
      bool here = NameHolders(worker, input.id.object, object, ordinal, input);
      // What comes there already, for another attempt, is sent once.
      const bool comes = !here && divisor == 1 && object.size_bytes >= kLargeBytes &&
                         !NoteUnderWay(input.id.object, object, worker.id.slot);
      const uint64_t bytes = object.size_bytes / divisor * times;
      (here ? fetch.present : fetch.missing) += bytes;
      if (!here && !comes && input.holders[0]) fetch.Add(input.holders[0].slot, bytes);
      out.objects.push_back(input);
    };
    uint32_t source = job.edges[e].source;
    if (source & kCollectionBit) {
      const CollectionRec& c = job.collections[source & ~kCollectionBit];
      Job& owner = *MembersOf(job, c);
      for (uint32_t i = 0; i < c.count; ++i) add(owner, c.first + i * c.stride);
    } else {
      add(job, source);
    }
    edge.count = static_cast<uint32_t>(out.objects.size()) - edge.first;
    out.edges.push_back(edge);
  }
  budget -= static_cast<int64_t>(out.objects.size());
}

}  // namespace taskd::scheduler
