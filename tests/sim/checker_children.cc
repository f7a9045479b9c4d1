// What tasks submit: when it may be discarded, and what of it a crash takes along.
#include <algorithm>
#include <optional>

#include "common/base/text.h"
#include "tests/sim/checker.h"
#include "tests/sim/world.h"

namespace taskd::sim {

const SimClient& Checker::ClientOf(JobId job) const {
  return *world_.clients[world_.PlanOf(world_.families.RootOf(job))];
}

void Checker::OnSubmit(const scheduler::action::Journal& a) {
  const AttemptRef& parent = world_.families.ParentOf(a.job);
  if (a.number == 0) JobOf(a.job) = {};
  // The core has a retry and the batch at work at once.
  if (auto retry = retries_.find(parent.task.job); retry != retries_.end()) {
    retries_[a.job] = retry->second;
    JobOf(a.job).retried = true;
  }
  JobOf(a.job).batches = a.number + 1;
  if (world_.FindJobPlan(parent.task.job)->tasks[parent.task.ordinal].child == 0)
    Fail(StrCat(ToString(parent), " submits, which it was not to"));
}

// The finish of this attempt is accepted: what it submitted stays, unless there is something already.
void Checker::SealChild(TaskId parent, AttemptId attempt) {
  const TaskPlan& plan = world_.FindJobPlan(parent.job)->tasks[parent.ordinal];
  if (plan.child == 0) return;
  bool found = false;
  for (JobId child : world_.families.ChildrenOf(parent)) {
    Job& job = JobOf(child);
    if (job.discarded) continue;
    if (world_.families.ParentOf(child).attempt == attempt) job.sealed = job.accepted = true;
    found |= job.sealed && job.batches == world_.plan.jobs[plan.child - 1].batches.size();
  }
  if (!found)
    Fail(StrCat("the finish of ", ToString(AttemptRef{parent, attempt}),
                " is accepted without all that it submitted"));
}

void Checker::On(const scheduler::event::YieldAttempt& e) {
  auto found = attempts_.find(e.attempt);
  if (found != attempts_.end()) found->second.yielded = true;
  needs_changed_ = true;  // what it awaited before may go
}

void Checker::On(const scheduler::action::Resume& a) {
  Attempt& attempt = attempts_.at(a.attempt);
  if (!attempt.yielded || (attempt.ended && attempt.end_came != drained_))
    Fail(StrCat(ToString(a.attempt), " is resumed, and does not wait"));
  attempt.yielded = false;
}

void Checker::OnFound(ObjectId asked, const ObjectVersion& found) {
  const ObjectId id = Behind(asked);
  if (found.object != id || found.version != JobOf(id.job).objects[id.ordinal].version)
    Fail(StrCat("who asks for ", ToString(asked), " is sent to ", ToString(found.object), "#",
                found.version, ", which is not its accepted version"));
}

// It is not there, or its task has failed, or somebody cancelled it.
void Checker::OnNever(ObjectId asked) {
  if (!Known(asked) || JobOf(asked.job).forgotten || JobOf(asked.job).discarded) return;
  const JobPlan& plan = *world_.FindJobPlan(asked.job);
  if (!HasBatch(asked.job, plan.batch_of_task[plan.objects[asked.ordinal].task])) return;
  const SimClient& client = ClientOf(asked.job);
  if (JobOf(asked.job).cancelled_once || client.cancelled() || client.cancelled_tasks()) return;
  const std::optional<scheduler::ObjectView> view = world_.scheduler.core().GetObject(asked);
  if (view && view->producer_state == TaskState::kFailed) {
    const auto maker = world_.scheduler.core().GetTask(view->producer);
    // Judged at the end, by its culprit.
    if (FindTask(view->producer)->failed || maker->failure == FailureClass::kInputFailed) return;
  }
  Fail(StrCat("who asks for ", ToString(asked), " is told that it will never be"));
}

bool Checker::CanBeDiscarded(JobId job) {
  const AttemptRef& parent = world_.families.ParentOf(job);
  if (JobOf(parent.task.job).discarded) return true;
  const Task& task = *FindTask(parent.task);
  const Attempt& attempt = attempts_.at(parent);
  const bool over = attempt.ended || attempt.excused || !Readable(peers_[attempt.peer]);
  // Once accepted it goes only when an impure task submits anew.
  if (task.accepted == parent.attempt)
    return OptionsOf(parent.task).impure && task.attempts.back() != parent.attempt;
  return over || task.accepted != 0;
}

void Checker::OnDiscard(JobId job) {
  if (!CanBeDiscarded(job)) {
    Fail(StrCat("job ", job, " of ", ToString(world_.families.ParentOf(job)),
                " is discarded without a reason"));
  }
  ++world_.stats.discards;
  Job& record = JobOf(job);
  record.discarded = record.cancelled = record.cancelled_once = record.sealed = true;
}

ObjectId Checker::NextBehind(ObjectId id) {
  const ObjectPlan& plan = world_.FindJobPlan(id.job)->objects[id.ordinal];
  const TaskId task{id.job, plan.task};
  if (plan.delegated == kNoOrdinal || FindTask(task)->accepted == 0) return {};
  // When an impure task is to run again what it delegated is let go, without a message.
  if (OptionsOf(task).impure) {
    std::optional<scheduler::ObjectView> view = world_.scheduler.core().GetObject(id);
    if (!view.has_value() || view->behind == id) return {};
  }
  for (JobId child : world_.families.ChildrenOf(task)) {
    if (JobOf(child).accepted && !JobOf(child).discarded) return {child, plan.delegated};
  }
  return {};
}

ObjectId Checker::Behind(ObjectId id) {
  for (ObjectId next = NextBehind(id); next != ObjectId{}; next = NextBehind(id)) id = next;
  return id;
}

ObjectId Checker::StandsFor(ObjectId id) {
  const ObjectPlan& plan = world_.FindJobPlan(id.job)->objects[id.ordinal];
  if (plan.stands_for == kNoOrdinal || !world_.families.IsChild(id.job)) return {};
  const ObjectId alias{world_.families.ParentOf(id.job).task.job, plan.stands_for};
  return NextBehind(alias) == id ? alias : ObjectId{};
}

namespace {

// Somewhere in its chain.
bool IsDelegatedByImpure(const Plan& plan, const JobPlan* job, Ordinal object) {
  while (job->objects[object].delegated != kNoOrdinal) {
    const TaskPlan& task = job->tasks[job->objects[object].task];
    if (job->options[task.option].impure) return true;
    object = job->objects[object].delegated;
    job = &plan.jobs[task.child - 1];
  }
  return false;
}

}  // namespace

// It failed because of what an impure task had delegated, or because of who did. That one may have run
// again and submitted anew.
bool Checker::FollowsAnew(TaskId id) {
  if (FindTask(id)->failure != FailureClass::kInputFailed) return false;
  const JobPlan& plan = *world_.FindJobPlan(id.job);
  return AnyUpstream(world_.plan, plan, id.ordinal,
                     [&](Ordinal o) { return IsDelegatedByImpure(world_.plan, &plan, o); });
}

bool Checker::IsKept(ObjectId id) {
  for (; id != ObjectId{}; id = StandsFor(id)) {
    const Job& job = JobOf(id.job);
    const bool of_graph = world_.FindJobPlan(id.job)->objects[id.ordinal].wanted;
    if ((of_graph && !job.forgotten && !job.discarded) || WantedByClient(id, Wants::kCertain) ||
        WantedByDataset(id, Wants::kCertain))
      return true;
  }
  return false;
}

bool Checker::Known(ObjectId id) const {
  const JobPlan* plan = world_.FindJobPlan(id.job);
  return plan != nullptr && id.ordinal < plan->objects.size();
}

// After a crash a number may be another job's. What workers still have of the old one is nobody's.
void Checker::LoseJobs() {
  for (auto& [ref, attempt] : attempts_) {
    attempt.lost |= world_.FindJobPlan(ref.task.job) == nullptr;
  }
  std::erase_if(jobs_, [this](const auto& entry) {
    return world_.FindJobPlan(entry.first) == nullptr && world_.families.WasChild(entry.first);
  });
}

}  // namespace taskd::sim
