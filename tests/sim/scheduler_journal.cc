// The journal of the scheduler, its crash and its restart; and what is seen of its core for the
// counts of transitions.
#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/text.h"
#include "tests/sim/describe.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace action = scheduler::action;
namespace event = scheduler::event;
using scheduler::kNever;

// The core names a request in its record; the shell has it.
void SimScheduler::KeepRequests(const std::vector<scheduler::Event>& events) {
  for (const scheduler::Event& any : events) {
    std::visit(
        [this, &any](const auto& e) {
          if constexpr (requires { e.token; }) requests_.emplace(e.token, any);
        },
        any);
  }
}

void SimScheduler::Record(const action::Journal& record) {
  Entry entry{record, {}};
  if (record.token != 0) entry.request = requests_.at(record.token);
  journal_.push_back(std::move(entry));
}

void SimScheduler::NoteChild(const action::Journal& record, const scheduler::Event& request) {
  if (record.kind != action::RecordKind::kSubmit || record.number != 0) return;
  const AttemptRef& parent = std::get<event::SubmitFromTask>(request).attempt;
  const TaskPlan& task = world_.FindJobPlan(parent.task.job)->tasks[parent.task.ordinal];
  world_.families.OpenChild(record.job, task.child - 1, parent);
}

// One sync at a time; it covers what was written before it began.
void SimScheduler::Sync() {
  if (syncing_ || synced_ == journal_.size()) return;
  syncing_ = true;
  uint64_t ns = 1 + rng_.Below(world_.options.journal_sync_ns);
  world_.loop.After(ns, [this, life = life_, size = journal_.size()] {
    if (life != life_) return;
    syncing_ = false;
    synced_ = size;
    while (!unsynced_.empty() && unsynced_.front().needs <= synced_) {
      unsynced_.front().send();
      unsynced_.pop_front();
    }
    Sync();
  });
}

void SimScheduler::AfterSync(std::function<void()> send) {
  if (unsynced_.empty() && synced_ == journal_.size()) return send();
  unsynced_.push_back({journal_.size(), std::move(send)});
}

void SimScheduler::CountCore() {
  const scheduler::Counters& counters = core_->counters();
  Stats& stats = world_.stats;
  for (size_t i = 0; i < stats.assigned.size(); ++i) stats.assigned[i] += counters.assigned[i];
  for (size_t i = 0; i < stats.attempts_failed.size(); ++i)
    stats.attempts_failed[i] += counters.attempts_failed[i];
  for (size_t i = 0; i < stats.workers_lost.size(); ++i)
    stats.workers_lost[i] += counters.workers_lost[i];
  stats.attempts_adopted += counters.attempts_adopted;
  stats.quarantines += counters.quarantines;
  stats.early_gathers += counters.early_gathers;
}

void SimScheduler::Crash() {
  CountCore();
  alive_ = false;
  ++life_;
  size_t kept = synced_ + rng_.Below(journal_.size() - synced_ + 1);
  world_.stats.records_lost += journal_.size() - kept;
  world_.Trace("sched", StrCat("dies; of ", journal_.size(), " records ", kept, " are kept, ",
                               synced_, " were synced"));
  journal_.resize(kept);
  synced_ = kept;
  syncing_ = false;
  inbox_.clear();
  lookups_.clear();
  unsynced_.clear();
  expected_.clear();
  of_workers_.clear();
  requests_.clear();
  values_.clear();
  values_order_.clear();
  work_left_ = false;
  next_step_ = kNever;
  paused_until_ = 0;
  world_.net.SchedulerDied();
  for (auto& client : world_.clients) client->Disconnected();
}

void SimScheduler::Restart() {
  ++config_.start_count;
  core_ = std::make_unique<scheduler::SchedulerCore>(config_);
  booted_ns_ = world_.loop.now() - rng_.Below(world_.loop.now());
  std::vector<action::Journal> records;
  world_.families.LoseChildren();
  for (const Entry& entry : journal_) {
    records.push_back(entry.record);
    if (entry.request) NoteChild(entry.record, *entry.request);
    std::optional<scheduler::Event> request = entry.request;
    absl::Status status = core_->Restore(CoreNow(), entry.record, request ? &*request : nullptr);
    if (!status.ok()) return world_.Fail(StrCat("Restore: ", std::string(status.message())));
  }
  world_.stats.records_replayed += records.size();
  world_.Trace("sched", StrCat("starts again: start ", config_.start_count));
  journal_.push_back({{.kind = action::RecordKind::kStart, .number = config_.start_count}, {}});
  synced_ = journal_.size();
  world_.checker.OnRestart(records);
  alive_ = true;
  ++life_;
  tasks_.clear();
  workers_.clear();
  SetLicences(world_.options.licences_milli);
  StepAt(world_.loop.now());
}

void SimScheduler::LookAt(TaskId id) {
  std::optional<scheduler::TaskView> view = core_->GetTask(id);
  if (!view.has_value()) return;
  TaskState& before = tasks_[id];
  if (before != view->state)
    ++world_.stats.task_moves[static_cast<size_t>(before)][static_cast<size_t>(view->state)];
  before = view->state;
  ++world_.stats.reasons[static_cast<size_t>(view->reason)];
}

// Tasks that messages spoke of, their consumers, and a few others in turn.
void SimScheduler::Look(const std::vector<scheduler::Event>& events) {
  auto look = [this](TaskId id) {
    const JobPlan* plan = world_.FindJobPlan(id.job);
    if (plan == nullptr || id.ordinal >= plan->tasks.size()) return;
    LookAt(id);
    const TaskPlan& task = plan->tasks[id.ordinal];
    for (Ordinal o = task.first_output; o < task.first_output + task.output_count; ++o) {
      for (Ordinal consumer : plan->objects[o].consumers) LookAt({id.job, consumer});
    }
  };
  for (const scheduler::Event& any : events) {
    const auto* report = std::get_if<event::WorkerReport>(&any);
    if (report == nullptr) continue;
    for (const AttemptRef& ref : report->started) LookAt(ref.task);
    for (const Outcome& outcome : report->outcomes) look(outcome.attempt.task);
  }
  for (const scheduler::Action& any : actions_) {
    if (const auto* a = std::get_if<action::Assign>(&any)) LookAt(a->assignment.attempt.task);
    if (const auto* a = std::get_if<action::Cancel>(&any)) LookAt(a->attempt.task);
    const auto* a = std::get_if<action::JobChanged>(&any);
    if (a == nullptr) continue;
    const auto view = core_->GetJob(a->job);
    if (!view.has_value()) continue;  // a child that is gone
    JobState state = view->state;
    JobState& before = jobs_[a->job];
    if (before != state)
      ++world_.stats.job_moves[static_cast<size_t>(before)][static_cast<size_t>(state)];
    before = state;
  }
  const size_t plans = world_.plan.jobs.size();
  const auto plan_turn = static_cast<uint32_t>(look_cursor_ % plans);
  const std::vector<JobId>& jobs = world_.families.JobsOf(plan_turn);
  const JobId job = jobs.empty() ? 0 : jobs.back();
  if (const JobPlan* plan = world_.FindJobPlan(job)) {
    uint64_t turn = look_cursor_ / plans * 4;
    for (uint64_t i = 0; i < 4; ++i)
      LookAt({job, static_cast<Ordinal>((turn + i) % plan->tasks.size())});
  }
  ++look_cursor_;
  for (const scheduler::WorkerView& w : core_->ListWorkers()) {
    WorkerState& before = workers_[w.worker];
    if (before != w.state)
      ++world_.stats.worker_moves[static_cast<size_t>(before)][static_cast<size_t>(w.state)];
    before = w.state;
  }
}

}  // namespace taskd::sim
