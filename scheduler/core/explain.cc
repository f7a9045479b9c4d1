// Why a task is where it is: what it waits for, which workers would fit, what was tried.
#include "scheduler/core/explain.h"

#include <algorithm>
#include <tuple>

#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::scheduler {

namespace {

constexpr size_t kFew = 16;
constexpr uint32_t kRootDepth = 64;

// What keeps `variant` from the worker when that is idle.
FitLimit LimitOf(const Worker& worker, const Batch::Variant& variant) {
  const Resources& need = variant.need;
  if (need.cpus_milli > worker.capacity.cpus_milli)
    return {LimitKind::kCpus, worker.capacity.cpus_milli, need.cpus_milli};
  if (need.memory_bytes > worker.capacity.memory_bytes)
    return {LimitKind::kMemory, worker.capacity.memory_bytes, need.memory_bytes};
  for (const PoolAmount& amount : need.pools) {
    uint32_t has = worker.capacity.Pool(amount.pool);
    if (amount.milli > has) return {LimitKind::kPool, has, amount.milli, amount.pool};
  }
  return {};
}

FitLimit ClusterLimit(const State& state, const Batch::Variant& variant) {
  for (const PoolAmount& amount : variant.cluster) {
    auto pool = state.pools.find(amount.pool);
    uint64_t has = 0;
    if (pool != state.pools.end() && pool->second.used_milli < pool->second.capacity_milli)
      has = pool->second.capacity_milli - pool->second.used_milli;
    if (amount.milli > has) return {LimitKind::kClusterPool, has, amount.milli, amount.pool};
  }
  return {};
}

// How the worker answers to tasks of the shape, its store aside: of several variants, the one that
// comes nearest.
WorkerFitView FitOf(const State& state, const Worker& worker, uint16_t shape) {
  WorkerFitView fit{worker.id};
  const Batch::Shape& spec = state.shapes[shape].spec;
  if (spec.HasRule() && !spec.preferred && !state.MatchesRule(worker, spec)) {
    fit.limit = {LimitKind::kRule};
    return fit;
  }
  fit.limit = LimitOf(worker, spec.variants[0]);
  for (size_t v = 1; v < spec.variants.size() && fit.limit.kind != LimitKind::kNone; ++v)
    fit.limit = std::min(fit.limit, LimitOf(worker, spec.variants[v]));
  if (fit.limit.kind != LimitKind::kNone) return fit;
  if (state.EndsTooSoon(worker, spec)) {
    uint64_t left = worker.ends_ns > state.now_ns ? worker.ends_ns - state.now_ns : 0;
    fit.limit = {LimitKind::kEnds, left, spec.needs_time_ns};
  } else if (!worker.up()) {
    fit.limit = {worker.draining ? LimitKind::kDraining : LimitKind::kAway};
  } else {
    fit.when_idle = true;
    fit.now = state.CanRun(worker, shape) && !worker.Closed();
    if (fit.now) return fit;
    if (worker.resuming) {
      fit.limit = {LimitKind::kBusy};
      return fit;
    }
    if (worker.Closed()) {
      fit.limit = {worker.quarantined ? LimitKind::kQuarantined : LimitKind::kReserved};
      return fit;
    }
    const ShapeLoad* load = state.FindLoad(worker, shape);
    bool refused = load != nullptr && load->refused_until_ns > state.now_ns;
    bool free = state.FittingVariant(worker, shape, worker.used) != kNoVariant;
    fit.limit = refused ? FitLimit{LimitKind::kRefused}
                : free  ? ClusterLimit(state, spec.variants[0])
                        : FitLimit{LimitKind::kBusy};
  }
  return fit;
}

WorkerFitView FitOf(const State& state, const Worker& worker, const Job& job, Ordinal ordinal) {
  WorkerFitView fit = FitOf(state, worker, job.tasks[ordinal].shape);
  if (!fit.now) return fit;
  fit.limit = state.StoreLimit(worker, job, ordinal);
  fit.now = fit.limit.kind == LimitKind::kNone;
  return fit;
}

constexpr size_t kStoresLooked = 64;  // for one that has room for a task

}  // namespace

const ShapeFits& Reasons::FitsOf(uint16_t shape) {
  auto [it, fresh] = fits_.try_emplace(shape);
  ShapeFits& out = it->second;
  if (!fresh) return out;
  for (const auto& worker : state_.workers) {
    if (worker == nullptr || !worker->connected()) continue;
    out.any = true;
    WorkerFitView fit = FitOf(state_, *worker, shape);
    out.idle |= fit.when_idle;
    if (fit.now) out.able.push_back(worker->id.slot);
    out.pool |= fit.limit.kind == LimitKind::kClusterPool;
    out.refused |= fit.limit.kind == LimitKind::kRefused;
    out.busy |= fit.limit.kind == LimitKind::kBusy;
    out.leaving |= fit.limit.kind == LimitKind::kDraining;
  }
  return out;
}

WaitReason Reasons::InQueue(const Job& job, Ordinal ordinal) {
  const ShapeFits& fits = FitsOf(job.tasks[ordinal].shape);
  if (!fits.idle) {
    return fits.leaving ? WaitReason::kDrain
           : fits.any   ? WaitReason::kUnschedulable
                        : WaitReason::kNoWorker;
  }
  if (fits.pool) return WaitReason::kPool;
  const size_t looked = std::min(fits.able.size(), kStoresLooked);
  const bool now = std::any_of(fits.able.begin(), fits.able.begin() + looked, [&](uint16_t slot) {
    return state_.StoreLimit(*state_.workers[slot], job, ordinal).kind == LimitKind::kNone;
  });
  if (!fits.able.empty() && !now) return WaitReason::kMemory;
  return fits.refused && !fits.busy && !now ? WaitReason::kRefused : WaitReason::kBehindOthers;
}

namespace {

WaitReason SuspectReason(Reasons& reasons, const Job& job, Ordinal ordinal) {
  WaitReason reason = reasons.InQueue(job, ordinal);
  return reason == WaitReason::kBehindOthers || reason == WaitReason::kMemory ? WaitReason::kSuspect
                                                                              : reason;
}

// Nothing of it runs, and something of it waits without resources.
bool Yielded(const State& state, const TaskRec& task) {
  bool yielded = false;
  for (uint32_t a = task.attempts; a != kNil; a = state.attempts[a].next_of_task) {
    if (state.attempts[a].state == AttemptState::kRunning) return false;
    yielded |= state.attempts[a].state == AttemptState::kYielded;
  }
  return yielded;
}

bool AtWorker(const State& state, const TaskRec& task) {
  for (uint32_t a = task.attempts; a != kNil; a = state.attempts[a].next_of_task) {
    if (state.attempts[a].state != AttemptState::kCancelling &&
        state.workers[state.attempts[a].worker.slot]->connected()) {
      return true;
    }
  }
  return false;
}

// As far as is known: an attempt on a worker that is out of reach may still run.
bool RunsNow(const State& state, const TaskRec& task) {
  for (uint32_t a = task.attempts; a != kNil; a = state.attempts[a].next_of_task) {
    const AttemptRec& attempt = state.attempts[a];
    if (attempt.started_ns != 0 && attempt.state != AttemptState::kCancelling &&
        state.workers[attempt.worker.slot]->connected()) {
      return true;
    }
  }
  return false;
}

WaitReason ReasonOf(const State& state, const Job& job, Ordinal ordinal, Reasons& reasons) {
  const TaskRec& task = job.tasks[ordinal];
  switch (task.state) {
    case TaskState::kWaiting:
      if (job.child == ChildState::kHeld) return WaitReason::kHeld;
      if (!task.starting && task.missing == 0 && task.away > 0) return WaitReason::kInputAway;
      for (uint32_t e = task.edges; e < task.edges + std::min<uint32_t>(task.edge_count, kFew);
           ++e) {
        uint32_t source = job.edges[e].source;
        if (source & kCollectionBit || job.objects[source].presence != Presence::kMissing) continue;
        const ObjectRec* object = state.FindObject(state.Behind(job, source));
        if (object != nullptr && object->version != 0) return WaitReason::kInputRebuild;
      }
      return WaitReason::kInputs;
    case TaskState::kReady:
      return state.now_ns < state.hold_until_ns ? WaitReason::kRestart
             : task.backoff                     ? WaitReason::kBackoff
             : job.family->share.at_limit()     ? WaitReason::kJobLimit
             : task.position == kInSuspects     ? SuspectReason(reasons, job, ordinal)
                                                : reasons.InQueue(job, ordinal);
    case TaskState::kActive:
      return Yielded(state, task)    ? WaitReason::kYielded
             : RunsNow(state, task)  ? WaitReason::kNone
             : AtWorker(state, task) ? WaitReason::kAtWorker
                                     : WaitReason::kWorkerAway;
    default:
      return WaitReason::kNone;
  }
}

// Follows first missing inputs to the task that all of it waits for in the end.
void FindRoot(const State& state, Reasons& reasons, const Job* job, Ordinal ordinal,
              WaitingInputView& out) {
  for (uint32_t depth = 0; depth < kRootDepth; ++depth) {
    const TaskRec& task = job->tasks[ordinal];
    out.root = {job->id, ordinal};
    out.root_state = task.state;
    if (task.state != TaskState::kWaiting || task.starting) break;
    ObjectId next;
    for (uint32_t e = task.edges; e < task.edges + task.edge_count && next.job == 0; ++e) {
      uint32_t source = job->edges[e].source;
      if (state.SourcePresence(*job, source) == Presence::kAvailable) continue;
      if (!(source & kCollectionBit)) {
        next = state.Behind(*job, source);
        continue;
      }
      const CollectionRec& c = job->collections[source & ~kCollectionBit];
      const Job* owner = state.MembersOf(*job, c);
      const uint32_t looked = owner == nullptr ? 0 : std::min(c.count, limits::kQueryRecords);
      for (uint32_t i = 0; i < looked; ++i) {
        const Ordinal member = c.first + i * c.stride;
        if (owner->objects[member].presence == Presence::kAvailable) continue;
        next = state.Behind(*owner, member);
        break;
      }
    }
    const ObjectRec* missing = state.FindObject(next);
    const Job* maker = state.FindJob(next.job);
    if (missing == nullptr || maker->tasks[missing->producer].state == TaskState::kDone) break;
    job = maker;
    ordinal = missing->producer;
  }
  out.root_reason = ReasonOf(state, *job, out.root.ordinal, reasons);
}

void ExplainInputs(const State& state, Reasons& reasons, const Job& job, const TaskRec& task,
                   Explanation& out) {
  auto add = [&](const Job& owner, Ordinal ordinal) {
    if (owner.objects[ordinal].presence == Presence::kAvailable || out.inputs.size() >= kFew)
      return;
    const ObjectId behind = state.Behind(owner, ordinal);
    const ObjectRec* object = state.FindObject(behind);
    if (object == nullptr) return;  // of a job that was forgotten
    const Job& maker = *state.FindJob(behind.job);
    WaitingInputView view{
        {owner.id, ordinal}, maker.tasks[object->producer].state, object->version != 0};
    FindRoot(state, reasons, &maker, object->producer, view);
    out.inputs.push_back(view);
  };
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    uint32_t source = job.edges[e].source;
    if (!(source & kCollectionBit)) {
      out.inputs_missing += job.objects[source].presence != Presence::kAvailable;
      add(job, source);
      continue;
    }
    const CollectionRec& c = job.collections[source & ~kCollectionBit];
    out.inputs_missing += c.presence != Presence::kAvailable;
    const Job* owner = state.MembersOf(job, c);
    for (uint32_t i = 0; owner != nullptr && i < c.count && out.inputs.size() < kFew; ++i)
      add(*owner, c.first + i * c.stride);
  }
}

// One entry for all workers of a kind that answer alike; those that come nearest first.
void ExplainWorkers(const State& state, const Job& job, Ordinal ordinal, Explanation& out) {
  absl::btree_map<std::tuple<bool, bool, FitLimit, uint16_t>, WorkerFitView> alike;
  for (const auto& worker : state.workers) {
    if (worker == nullptr) continue;
    WorkerFitView fit = FitOf(state, *worker, job, ordinal);
    auto [it, fresh] = alike.try_emplace({!fit.now, !fit.when_idle, fit.limit, worker->kind}, fit);
    if (!fresh) ++it->second.count;
  }
  for (const auto& [key, fit] : alike) {
    if (out.workers.size() == kFew) break;
    out.workers.push_back(fit);
  }
}

}  // namespace

std::string ToString(const FitLimit& limit, std::string_view pool_name) {
  auto has = [](const std::string& what, const std::string& needs) {
    return StrCat("has ", what, ", the task needs ", needs);
  };
  auto milli = [](uint64_t amount) { return FormatCpus(static_cast<uint32_t>(amount)); };
  switch (limit.kind) {
    case LimitKind::kNone:
      return "";
    case LimitKind::kReserved:
      return "is kept for a task that runs alone";
    case LimitKind::kQuarantined:
      return "is set aside for a while: tasks that failed there ran well elsewhere";
    case LimitKind::kBusy:
      return "is busy";
    case LimitKind::kStore:
      return StrCat("has ", FormatBytes(limit.has),
                    " of its store left beside what its tasks will add, the task needs ",
                    FormatBytes(limit.needs));
    case LimitKind::kRefused:
      return "refused it a moment ago";
    case LimitKind::kClusterPool:
      return StrCat("could, but the cluster has ", milli(limit.has), " of ", std::string(pool_name),
                    " free and the task needs ", milli(limit.needs));
    case LimitKind::kAway:
      return "is not connected";
    case LimitKind::kDraining:
      return "is draining";
    case LimitKind::kEnds:
      return StrCat("ends in ", FormatDuration(limit.has), ", the task needs ",
                    FormatDuration(limit.needs));
    case LimitKind::kCpus:
      return has(StrCat(milli(limit.has), " cpus"), milli(limit.needs));
    case LimitKind::kMemory:
      return has(StrCat(FormatBytes(limit.has), " of memory"), FormatBytes(limit.needs));
    case LimitKind::kPool:
      return has(StrCat(milli(limit.has), " of ", std::string(pool_name)), milli(limit.needs));
    case LimitKind::kRule:
      return "is not among those that the task's placement rule names";
  }
  return "";
}

TaskView State::ViewOf(const Job& job, Ordinal ordinal, Reasons& reasons) const {
  const TaskRec& task = job.tasks[ordinal];
  TaskView view;
  view.task = {job.id, ordinal};
  view.state = task.state;
  view.running = task.state == TaskState::kActive && RunsNow(*this, task);
  view.worker = task.last_worker;
  view.attempts = task.tries;
  view.run_ns = uint64_t{task.run_us} * 1000;
  view.body = task.body;
  view.first_output = task.first_output;
  view.output_count = task.output_count;
  view.failure = task.failure;
  view.culprit = task.culprit == kNoOrdinal ? kNoOrdinal : CulpritOfTask(job, ordinal);
  view.reason = ReasonOf(*this, job, ordinal, reasons);
  view.rank = task.rank;
  view.tail = task.tail;
  return view;
}

std::optional<Explanation> SchedulerCore::Explain(TaskId id) const {
  const Job* job = state_->FindJob(id.job);
  if (job == nullptr || id.ordinal >= job->tasks.size()) return std::nullopt;
  const TaskRec& task = job->tasks[id.ordinal];
  Explanation out;
  Reasons reasons(*state_);
  out.task = state_->ViewOf(*job, id.ordinal, reasons);
  out.inputs_total = task.edge_count;
  ExplainInputs(*state_, reasons, *job, task, out);
  ExplainWorkers(*state_, *job, id.ordinal, out);
  if (auto it = job->history.find(id.ordinal); it != job->history.end()) out.attempts = it->second;
  for (uint32_t a = task.attempts; a != kNil; a = state_->attempts[a].next_of_task) {
    const AttemptRec& attempt = state_->attempts[a];
    AttemptView view{attempt.id, attempt.worker, attempt.state};
    if (attempt.started_ns != 0) view.run_ns = state_->now_ns - attempt.started_ns;
    out.attempts.push_back(view);
  }
  if (task.state == TaskState::kDone && task.tries > 0) {
    AttemptView view{task.last_attempt, task.last_worker, AttemptState::kRunning, true,
                     AttemptEnd::kFinished};
    view.run_ns = uint64_t{task.run_us} * 1000;
    out.attempts.push_back(view);
  }
  if (task.position != kNotInHeap && task.position != kInSuspects)
    out.standing = state_->QueueAt({task.shape, task.home}).StandingOf(*state_, *job, id.ordinal);
  for (const FailureView& failure : job->failures) {
    if (failure.task == TaskId{job->id, out.task.culprit}) out.failure = failure;
  }
  return out;
}

}  // namespace taskd::scheduler
