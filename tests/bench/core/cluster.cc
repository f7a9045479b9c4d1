#include "tests/bench/core/cluster.h"

#include <time.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/check.h"
#include "common/base/limits.h"

namespace taskd::bench {

namespace {

constexpr uint32_t kStepBudget = 4096;  // the daemon's
constexpr uint64_t kStepNs = 1'000'000;
constexpr uint64_t kStepsPerHeartbeat = limits::kHeartbeatNs / kStepNs;

}  // namespace

uint64_t Cluster::CpuNs() {
  timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<uint64_t>(t.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(t.tv_nsec);
}

Cluster::Cluster(const ClusterOptions& options) : options_(options), core_({}) {
  Join(options.workers, options.cpus);
}

void Cluster::Join(uint32_t count, uint32_t cpus) {
  for (uint32_t i = 0; i < count; ++i) {
    workers_.emplace_back();
    uint64_t stream = workers_.size();
    scheduler::event::WorkerHello hello{.stream = stream,
                                        .identity = stream,
                                        .incarnation = 1,
                                        .capacity = {.cpus_milli = cpus * 1000},
                                        .host = static_cast<uint32_t>(stream),
                                        .store_budget_bytes = options_.store_bytes};
    events_.push_back(hello);
    events_.push_back(scheduler::event::InventoryDone{stream});
  }
  Step();
}

void Cluster::Close(uint32_t worker) {
  workers_[worker].closed = true;
  workers_[worker].kept.clear();
  events_.push_back(scheduler::event::WorkerClosed{worker + 1});
}

JobId Cluster::OpenJob() {
  events_.push_back(scheduler::event::OpenJob{.token = 1, .submission_lo = ++submissions_});
  Step();
  return last_job_;
}

void Cluster::AddBatch(JobId job, uint32_t number, scheduler::Batch batch) {
  events_.push_back(scheduler::event::AddBatch{0, job, number, std::move(batch)});
  while (Step() <= now_ns_) {
  }
}

void Cluster::Seal(JobId job, uint32_t batches) {
  events_.push_back(scheduler::event::SealJob{0, job, batches});
  while (Step() <= now_ns_) {
  }
}

Cluster::Worker& Cluster::Pending(uint32_t index) {
  Worker& worker = workers_[index];
  if (!worker.touched) {
    worker.touched = true;
    touched_.push_back(index);
  }
  return worker;
}

void Cluster::Finish(Worker& worker, AttemptRef attempt, uint32_t outputs) {
  worker.started.push_back(attempt);
  Outcome& outcome = worker.outcomes.emplace_back();
  outcome.sequence = ++worker.sequence;
  outcome.attempt = attempt;
  outcome.run_ns = options_.run_ns;
  outcome.outputs.resize(outputs, {.size_bytes = options_.output_bytes, .crc32c = 1});
}

void Cluster::FinishHeld() {
  for (uint32_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].closed) continue;
    for (const Worker::Kept& kept : std::exchange(workers_[i].kept, {}))
      Finish(Pending(i), kept.attempt, kept.outputs);
  }
}

void Cluster::Deliver() {
  for (uint32_t index : touched_) {
    Worker& worker = workers_[index];
    worker.touched = false;
    scheduler::event::WorkerReport report{.stream = index + 1u};
    report.started = std::exchange(worker.started, {});
    report.outcomes = std::exchange(worker.outcomes, {});
    report.replicas_added = std::exchange(worker.added, {});
    if (!worker.closed) events_.push_back(std::move(report));
  }
  touched_.clear();
}

uint64_t Cluster::Step() {
  now_ns_ += kStepNs;
  // Heartbeats are spread over a second.
  uint64_t from = workers_.size() * (heartbeat_cursor_ % kStepsPerHeartbeat) / kStepsPerHeartbeat;
  uint64_t to = workers_.size() * (heartbeat_cursor_ % kStepsPerHeartbeat + 1) / kStepsPerHeartbeat;
  ++heartbeat_cursor_;
  for (uint64_t i = from; i < to; ++i) {
    if (!workers_[i].closed) events_.push_back(scheduler::event::WorkerReport{.stream = i + 1});
  }
  uint64_t before = CpuNs();
  uint64_t wake = core_.Step(now_ns_, events_, kStepBudget, actions_);
  core_ns_ += CpuNs() - before;
  ++steps_;
  for (scheduler::Action& action : actions_) Carry(action);
  events_.clear();
  before = CpuNs();
  actions_.clear();
  core_ns_ += CpuNs() - before;
  return wake;
}

void Cluster::Carry(scheduler::Action& action) {
  if (auto* assign = std::get_if<scheduler::action::Assign>(&action)) return Carry(*assign);
  if (auto* retract = std::get_if<scheduler::action::Retract>(&action)) return Carry(*retract);
  if (std::get_if<scheduler::action::Free>(&action) != nullptr) ++freed_;
  if (auto* welcome = std::get_if<scheduler::action::Welcome>(&action))
    workers_[welcome->stream - 1].id = welcome->worker;
  if (auto* reply = std::get_if<scheduler::action::Reply>(&action)) last_job_ = reply->job;
  TASKD_CHECK(std::get_if<scheduler::action::Refuse>(&action) == nullptr);
}

void Cluster::Carry(const scheduler::action::Assign& assign) {
  ++assigned_;
  const Assignment& a = assign.assignment;
  input_objects_ += a.objects.size();
  uint32_t index = static_cast<uint32_t>(assign.stream - 1);
  if (hold_) {
    workers_[index].kept.push_back({a.attempt, a.output_count});
    return;
  }
  Worker& worker = Pending(index);
  // Inputs are fetched, and kept as further replicas.
  for (const InputObject& input : a.objects) {
    if (input.holders[0] != worker.id) worker.added.push_back({input.id, input.size_bytes, 1});
  }
  Finish(worker, a.attempt, a.output_count);
}

void Cluster::Carry(const scheduler::action::Retract& retract) {
  uint32_t index = static_cast<uint32_t>(retract.stream - 1);
  auto& kept = workers_[index].kept;
  // What has finished already is not taken back: its outcome is the answer.
  auto it = std::find_if(kept.rbegin(), kept.rend(),
                         [&](const Worker::Kept& k) { return k.attempt == retract.attempt; });
  if (it == kept.rend()) return;
  kept.erase(std::next(it).base());
  Worker& worker = Pending(index);
  Outcome& outcome = worker.outcomes.emplace_back();
  outcome.sequence = ++worker.sequence;
  outcome.attempt = retract.attempt;
  outcome.end = AttemptEnd::kRetracted;
}

void Cluster::RunUntilIdle() {
  for (;;) {
    Deliver();
    uint64_t wake = Step();
    if (wake > now_ns_ && touched_.empty()) return;
  }
}

void Cluster::RunFor(uint64_t ns) {
  for (uint64_t end = now_ns_ + ns; now_ns_ < end;) {
    Deliver();
    Step();
  }
}

void Cluster::Shrink() {
  for (Worker& worker : workers_) {
    worker.kept.shrink_to_fit();
    worker.started = {};
    worker.outcomes = {};
    worker.added = {};
  }
  touched_.shrink_to_fit();
  events_ = {};
  actions_ = {};
}

}  // namespace taskd::bench
