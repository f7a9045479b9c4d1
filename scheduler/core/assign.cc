// Giving a task to a worker: the attempt's record, and the message with every input, its version and its holders.
#include <algorithm>
#include <array>

#include "common/base/hash.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

void State::Assign(Worker& worker, Job& job, Ordinal ordinal, bool slotted, AssignReason reason) {
  TaskRec& task = job.tasks[ordinal];
  TASKD_CHECK(task.state == TaskState::kReady && task.position == kNotInHeap);
  uint32_t index = free_attempt;
  if (index == kNil) {
    index = static_cast<uint32_t>(attempts.size());
    attempts.emplace_back();
  } else {
    free_attempt = attempts[index].next;
  }
  AttemptRec& attempt = attempts[index];
  attempt = AttemptRec{};
  attempt.job = job.id;
  attempt.task = ordinal;
  attempt.id = MakeAttemptId(config.start_count, ++task.tries);
  attempt.worker = worker.id;
  attempt.shape = task.shape;
  attempt.slotted = slotted;
  attempt.expected_ns = ExpectedNs(job, task);
  if (attempt.expected_ns == 0) attempt.expected_ns = config.lookahead_ns;
  attempt.next_of_task = task.attempts;
  task.attempts = index;
  attempt.previous = worker.last_attempt;
  (worker.last_attempt == kNil ? worker.first_attempt : attempts[worker.last_attempt].next) = index;
  worker.last_attempt = index;
  ++worker.attempts;
  Charge(worker, attempt);

  task.last_worker = worker.id;
  task.last_attempt = attempt.id;
  task.moved = false;
  if (task.again == Again::kAsked) {
    task.again = Again::kAssigned;
    ++job.recomputed;
    ++counters.tasks_recomputed;
  }
  SetTaskState(job, task, TaskState::kActive);
  counters.ready_to_assigned.Add(now_ns - task.ready_ns);
  ++counters.assigned[static_cast<size_t>(reason)];
  uint64_t present = 0, missing = 0;
  Emit(action::Assign{worker.stream,
                      BuildAssignment(worker, job, ordinal, attempt, &present, &missing)});
  job.bytes_saved += present;
  job.bytes_moved += missing;
  counters.bytes_saved += present;
  counters.bytes_moved += missing;
}

Assignment State::BuildAssignment(const Worker& worker, Job& job, Ordinal ordinal,
                                  const AttemptRec& attempt, uint64_t* present, uint64_t* missing) {
  const TaskRec& task = job.tasks[ordinal];
  const Batch::Options& options = job.options[task.option];
  Assignment out;
  out.attempt = {{job.id, ordinal}, attempt.id};
  out.body = task.body;
  out.need = shapes[task.shape].need;
  QueueItem item = ItemOf(job, ordinal);
  out.priority = static_cast<int32_t>(~static_cast<uint32_t>(item.high >> 32) ^ 0x80000000u);
  out.order = (item.high << 32) | (item.low >> 32);
  out.time_limit_ns = options.time_limit_ns;
  out.first_output = task.first_output;
  out.output_count = task.output_count;
  out.edges.reserve(task.edge_count);

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
    auto add = [&](Ordinal source) {
      const ObjectRec& object = job.objects[source];
      InputObject input{{{job.id, source}, object.version}, object.size_bytes};
      // Nearest first: this worker, its host, then the others in an order that differs from task to
      // task.
      std::array<std::pair<uint64_t, WorkerId>, 16> found;
      uint32_t n = 0;
      bool here = false;
      for (uint32_t r = object.replicas; r != kNil && n < found.size(); r = replicas[r].next) {
        const Worker& holder = *workers[replicas[r].worker];
        if (!replicas[r].usable || !holder.connected()) continue;
        here |= holder.id == worker.id;
        uint64_t distance = holder.id == worker.id ? 0 : holder.host == worker.host ? 1 : 2;
        uint64_t spread = HashCombine(uint64_t{ordinal} << 32 | source, holder.id.packed()) >> 8;
        found[n++] = {distance << 60 | spread, holder.id};
      }
      std::sort(found.begin(), found.begin() + n);
      for (uint32_t i = 0; i < n && i < input.holders.size(); ++i)
        input.holders[i] = found[i].second;
      *(here ? present : missing) += object.size_bytes / divisor * times;
      out.objects.push_back(input);
    };
    uint32_t source = job.edges[e].source;
    if (source & kCollectionBit) {
      const CollectionRec& c = job.collections[source & ~kCollectionBit];
      for (uint32_t i = 0; i < c.count; ++i) add(c.first + i * c.stride);
    } else {
      add(source);
    }
    edge.count = static_cast<uint32_t>(out.objects.size()) - edge.first;
    out.edges.push_back(edge);
  }
  budget -= static_cast<int64_t>(out.objects.size());
  return out;
}

}  // namespace taskd::scheduler
