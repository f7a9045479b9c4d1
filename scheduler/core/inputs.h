// The objects that a task reads. Of very many a few, spread over all, stand for all of them: what is
// decided by them costs the same for any task.
#ifndef TASKD_SCHEDULER_CORE_INPUTS_H_
#define TASKD_SCHEDULER_CORE_INPUTS_H_

#include <algorithm>
#include <cstdint>

#include "common/base/muldiv.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

// One of them, or a few of very many that stand for all of them.
struct Input {
  uint64_t times = 1, of = 1;           // how many it stands for
  uint64_t parts = 1, parts_total = 1;  // what is read of it
  uint64_t readers = 1;                 // of the collection that it is read through
  bool whole() const { return parts == parts_total; }
};

// The i-th of the few.
inline uint32_t EdgeLooked(const TaskRec& task, uint32_t i) {
  if (task.edge_count <= limits::kInputsCosted) return task.edges + i;
  return task.edges + static_cast<uint32_t>(uint64_t{task.edge_count} * i / limits::kInputsCosted);
}

// Of an alias, what is behind it.
template <typename Visit>
void VisitInput(const State& state, const Job& job, Ordinal ordinal, Input input, Visit& visit) {
  const ObjectRec& object = job.objects[ordinal];
  if (!object.alias) return visit(ObjectId{job.id, ordinal}, object, input);
  input.readers *= std::max<uint32_t>(object.live_consumers, 1);
  const ObjectId id = state.Behind(job, ordinal);
  if (const ObjectRec* behind = state.FindObject(id)) visit(id, *behind, input);
}

// visit(ObjectId, const ObjectRec&, const Input&)
template <typename Visit>
void VisitInputs(const State& state, const Job& job, const TaskRec& task, Visit visit) {
  const uint32_t edges = std::min(task.edge_count, limits::kInputsCosted);
  for (uint32_t i = 0; i < edges; ++i) {
    const uint32_t e = EdgeLooked(task, i);
    Input input{.times = task.edge_count, .of = edges};
    if (auto it = job.selections.find(e);
        it != job.selections.end() && it->second.parts_total > 0 && !it->second.parts.whole()) {
      input.parts = it->second.parts.hi - it->second.parts.lo;
      input.parts_total = it->second.parts_total;
    }
    uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      VisitInput(state, job, source, input, visit);
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    const uint32_t members = std::min(c.count, limits::kInputsCosted);
    input.times *= c.count;
    input.of *= members;
    input.readers = std::max<uint32_t>(c.live_consumers, 1);
    const Job* owner = state.MembersOf(job, c);
    for (uint32_t m = 0; m < members && owner != nullptr; ++m) {
      const Ordinal member =
          c.first + static_cast<uint32_t>(uint64_t{c.count} * m / members) * c.stride;
      VisitInput(state, *owner, member, input, visit);
    }
  }
}

inline uint64_t BytesRead(uint64_t bytes, const Input& input) {
  if (input.whole() && input.times == input.of) return bytes;
  return MulDiv(MulDiv(bytes, input.parts, input.parts_total), input.times, input.of);
}

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_INPUTS_H_
