// What fits where: a shape's variants and its placement rule against a worker, the pools of the
// cluster, and classes of workers that are alike.
#include <algorithm>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

bool Contains(const std::vector<uint32_t>& sorted, uint32_t name) {
  return std::binary_search(sorted.begin(), sorted.end(), name);
}

// Sizes within an eighth are alike: nodes of one kind report memory that differs by a little.
uint64_t Coarse(uint64_t bytes) {
  uint32_t shift = 0;
  while ((bytes >> shift) >= 16) ++shift;
  return bytes >> shift << shift;
}

}  // namespace

bool State::MatchesRule(const Worker& worker, const Batch::Shape& rule) const {
  if (!rule.workers.empty() || !rule.hosts.empty()) {
    if (!Contains(rule.workers, worker.name) && !Contains(rule.hosts, worker.host)) return false;
  }
  return std::includes(worker.attributes.begin(), worker.attributes.end(), rule.attributes.begin(),
                       rule.attributes.end());
}

bool State::EndsTooSoon(const Worker& worker, const Batch::Shape& shape) const {
  return worker.ends_ns != 0 && now_ns + shape.needs_time_ns >= worker.ends_ns;
}

uint8_t State::FittingVariant(const Worker& worker, uint16_t shape, const Resources& used) const {
  const Batch::Shape& spec = shapes[shape].spec;
  if (EndsTooSoon(worker, spec)) return kNoVariant;
  if (spec.HasRule() && !spec.preferred && !MatchesRule(worker, spec)) return kNoVariant;
  for (uint8_t v = 0; v < spec.variants.size(); ++v) {
    if (spec.variants[v].need.Fits(worker.capacity, used)) return v;
  }
  return kNoVariant;
}

uint8_t State::VariantNow(const Worker& worker, uint16_t shape) const {
  const ShapeLoad* load = FindLoad(worker, shape);
  if (load != nullptr && load->refused_until_ns > now_ns) return kNoVariant;
  const Batch::Shape& spec = shapes[shape].spec;
  if (!shapes[shape].uses_cluster) return FittingVariant(worker, shape, worker.used);
  if (FittingVariant(worker, shape, worker.used) == kNoVariant) return kNoVariant;
  for (uint8_t v = 0; v < spec.variants.size(); ++v) {
    if (spec.variants[v].need.Fits(worker.capacity, worker.used) && PoolsFree(spec.variants[v]))
      return v;
  }
  return kNoVariant;
}

bool State::PoolsFree(const Batch::Variant& variant) const {
  return std::all_of(variant.cluster.begin(), variant.cluster.end(), [this](PoolAmount amount) {
    auto pool = pools.find(amount.pool);
    return pool != pools.end() &&
           pool->second.used_milli + amount.milli <= pool->second.capacity_milli;
  });
}

void State::UsePools(const Batch::Variant& variant) {
  for (const PoolAmount& amount : variant.cluster) pools[amount.pool].used_milli += amount.milli;
}

// Whoever waits for the pool may go on.
void State::ReturnPools(const Batch::Variant& variant) {
  for (const PoolAmount& amount : variant.cluster) {
    ClusterPool& pool = pools[amount.pool];
    pool.used_milli -= amount.milli;
    WakeForPool(pool);
  }
}

void State::WakeForPool(const ClusterPool& pool) {
  ResumeForPools();
  for (uint16_t shape : pool.shapes) {
    if (shapes[shape].queued > 0 || SuspectOf(shape) != nullptr) WakeFor(shape, kNoSlot);
  }
  for (uint16_t slot : reserved) MarkDirty(*workers[slot]);  // a suspect may have waited for it
}

void State::On(event::SetPool& e) {
  ClusterPool& pool = pools[e.pool];
  pool.capacity_milli = e.capacity_milli;
  WakeForPool(pool);
  Answer(e.token, 0, "");
}

bool State::SomeNamedLeft(uint16_t shape) {
  bool left = false;
  VisitNamed(shapes[shape].spec, [&](const Worker& worker) {
    left = MatchesRule(worker, shapes[shape].spec) && !worker.draining && !worker.leaving;
    return left;
  });
  return left;
}

void State::CheckNamed(uint16_t s) {
  Shape& shape = shapes[s];
  // After a restart they have yet to come.
  if (restoring || now_ns < grace_until_ns) return;
  if (shape.failing || SomeNamedLeft(s)) return;
  shape.failing = true;
  Enqueue({.kind = WorkKind::kFailShape, .index = s});
}

// A worker that `fail_fast` rules may name is going.
void State::CheckAllNamed() {
  for (uint16_t shape : fail_fast_shapes) {
    if (shapes[shape].queued > 0 || !suspects.empty()) CheckNamed(shape);
  }
}

const TaskId* State::SuspectOf(uint16_t shape) const {
  for (const TaskId& id : suspects) {
    if (jobs[id.job]->tasks[id.ordinal].shape == shape) return &id;
  }
  return nullptr;
}

bool State::FailOneOf(uint16_t s) {
  Shape& shape = shapes[s];
  // Tasks in the homes of a worker that goes come to the shape's queue by themselves.
  const TaskId* suspect = SuspectOf(s);
  if ((shape.queue.empty() && suspect == nullptr) || SomeNamedLeft(s)) {
    shape.failing = false;
    return false;
  }
  auto [id, ordinal] =
      suspect != nullptr ? std::pair(suspect->job, suspect->ordinal) : shape.queue.Any();
  Job& job = *jobs[id];
  FailureView failure{.task = {job.id, ordinal}, .failure = FailureClass::kUnschedulable};
  failure.message = "no worker is left that its placement rule names";
  KeepFailure(job, std::move(failure));
  FailTask(job, ordinal, FailureClass::kUnschedulable, ordinal);
  return true;
}

// Nanoseconds that a place against a preference is worth less.
uint64_t State::PreferenceNs(const Worker& worker, uint16_t shape) const {
  const Batch::Shape& spec = shapes[shape].spec;
  return spec.preferred && !MatchesRule(worker, spec) ? limits::kPreferenceNs : 0;
}

void State::Classify(Worker& worker) {
  Resources alike = worker.capacity;
  alike.memory_bytes = Coarse(alike.memory_bytes);
  uint16_t next = static_cast<uint16_t>(std::min<size_t>(kind_of_worker.size(), 0xFFFE));
  worker.kind = kind_of_worker.try_emplace({alike, worker.attributes}, next).first->second;
}

}  // namespace taskd::scheduler
