// Inputs that are fetched before their task is ready. A task that reads much from many places, a *sink*,
// would begin to fetch when the last of its inputs is made, and the links were idle while they were. So
// once what it has to fetch takes about as long as all that has to run before, a home is chosen for it
// and what is made is gathered there, a few objects at a time and after all that attempts need. Only of
// tasks with many inputs: of few, the last one made may decide where it runs.
//
// What was gathered is a replica like any other. If the home goes, or the task comes to run elsewhere,
// that was in vain and nothing more; the worker may drop it for room, and it never fills more than half
// of a store.
#include <algorithm>

#include "common/base/muldiv.h"
#include "scheduler/core/inputs.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

constexpr uint64_t kEarlyBytes = 1 << 20;  // a smaller object is quickly fetched
constexpr uint64_t kSlowBandwidth =
    100'000'000;  // until it is learned: to fetch early costs little
constexpr uint64_t kMostBytes = 1ull << 60, kMostNs = 1ull << 60;

// Objects that it reads.
uint64_t InputsOf(const Job& job, const TaskRec& task) {
  uint64_t inputs = 0;
  const uint32_t edges = std::min(task.edge_count, limits::kInputsCosted);
  for (uint32_t i = 0; i < edges; ++i)
    inputs += State::CountOf(job, job.edges[EdgeLooked(task, i)].source);
  return edges == 0 ? 0 : inputs * task.edge_count / edges;
}

}  // namespace

// Whether what a task is going to fetch takes about as long as all that has to run before it.
bool State::IsSink(const Job& job, const TaskRec& task, uint64_t bytes) const {
  const uint64_t bandwidth = in_bytes_per_s != 0 ? in_bytes_per_s : kSlowBandwidth;
  const uint64_t fetch_ns = MulDivAtMost(bytes, 1'000'000'000, bandwidth, kMostNs);
  if (fetch_ns < config.early_fetch_ns) return false;
  const uint64_t left_ns =
      MulDiv(job.family->left_cpu_us, 1'000'000, std::max<uint64_t>(up_cpus_milli, 1));
  return 2 * fetch_ns + uint64_t{task.tail} * 1'000'000 >= left_ns;
}

// An input of a waiting task was made.
void State::FetchEarly(Job& job, Ordinal ordinal, Ordinal input) {
  const uint64_t bytes = job.objects[input].size_bytes;
  if (bytes < kEarlyBytes) return;
  const TaskRec& task = job.tasks[ordinal];
  if (task.state != TaskState::kWaiting || task.starting) return;
  budget -= std::min(task.edge_count, limits::kInputsCosted);
  const uint64_t inputs = InputsOf(job, task);
  if (inputs < limits::kSinkInputs) return;
  if (job.sinks.size() == limits::kSinksPerJob && !job.sinks.contains(ordinal)) return;
  Sink& sink = job.sinks[ordinal];
  ++sink.made;
  sink.made_bytes += bytes;
  if (sink.home) return AskEarly(sink, {job.id, input}, {job.id, ordinal});
  const uint64_t all =
      MulDivAtMost(sink.made_bytes, std::max<uint64_t>(inputs, sink.made), sink.made, kMostBytes);
  if (!IsSink(job, task, all)) return;
  const Worker* home = ChooseSinkHome(job, ordinal, all);
  if (home == nullptr) return;
  sink.home = home->id;
  AskForAll(job, ordinal);
}

// What was made before the home was chosen.
void State::AskForAll(Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  Sink& sink = job.sinks[ordinal];
  uint32_t looked = 0;
  auto look = [&](Ordinal input) {
    ++looked;
    const ObjectRec& object = job.objects[input];
    if (object.presence == Presence::kAvailable && object.size_bytes >= kEarlyBytes)
      AskEarly(sink, {job.id, input}, {job.id, ordinal});
  };
  const uint32_t end = task.edges + task.edge_count;
  for (uint32_t e = task.edges; e < end && looked < limits::kEarlyAsks; ++e) {
    const uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      look(source);
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    for (uint32_t i = 0; i < c.count && !c.foreign() && looked < limits::kEarlyAsks; ++i)
      look(c.first + i * c.stride);
  }
  budget -= looked;
}

void State::AskEarly(Sink& sink, ObjectId id, TaskId task) {
  const Worker* home = FindWorker(sink.home);
  if (home == nullptr || !home->up()) {
    sink.home = {};  // another one is chosen with the next input
    sink.home_bytes = 0;
    return;
  }
  id = Behind(*jobs[id.job], id.ordinal);
  if (id == ObjectId{}) return;
  const ObjectRec& object = *FindObject(id);
  if (HoldsUsable(id, object, home->id.slot)) {
    sink.home_bytes += object.size_bytes;
    return;
  }
  std::deque<EarlyAsk>& asks = early[home->id.slot];
  if (asks.size() == limits::kEarlyAsks) return;
  if (asks.empty()) early_open.push_back(home->id.slot);
  asks.push_back({id, task});
}

// One unit. False: nothing to do, or nothing can be done now.
bool State::AdvanceEarly() {
  if (early_open.empty()) return false;
  const uint16_t slot = early_open.front();
  early_open.pop_front();
  auto asks = early.find(slot);
  if (asks == early.end()) return true;
  Worker* home = WorkerAt(slot);
  if (home == nullptr || !home->up()) {
    early.erase(asks);
    return true;
  }
  if (home->gathering.size() >= limits::kEarlyGathers)
    return true;  // the end of one opens it again
  const EarlyAsk ask = asks->second.front();
  asks->second.pop_front();
  if (asks->second.empty()) {
    early.erase(asks);
  } else {
    early_open.push_back(slot);
  }
  Job* job = FindJob(ask.task.job);
  ObjectRec* input = FindObject(ask.id);
  if (job == nullptr || input == nullptr) return true;
  auto sink = job->sinks.find(ask.task.ordinal);
  if (sink == job->sinks.end() || sink->second.home != home->id) return true;
  if (job->tasks[ask.task.ordinal].state != TaskState::kWaiting) {
    job->sinks.erase(sink);
    return true;
  }
  ObjectRec& object = *input;
  if (object.usable == 0 || HoldsUsable(ask.id, object, slot) || gathers.contains(ask.id))
    return true;
  // Half of a store is left to what runs.
  if (home->store_budget_bytes != 0 &&
      home->InUse() + object.size_bytes > home->store_budget_bytes / 2)
    return true;
  sink->second.home_bytes += object.size_bytes;
  ++counters.early_gathers;
  NoteUnderWay(ask.id, object, slot);
  OrderGather(*home, ask.id, object, 0);
  return true;
}

}  // namespace taskd::scheduler
