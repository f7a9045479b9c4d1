// What tasks submit. The batches of an attempt are a job of their own, its *child*, in the family of
// the job that the task is of: with that it has one share, one limit of attempts, one end and one
// history. A child's tasks may submit in their turn.
//
//   held ---.                     its tasks start when the attempt's finish is accepted
//   early ---+-> accepted         they start at once
//     |      |      |
//     '------+------'--> discarded: cancelled, counted nowhere, forgotten as soon as it has ended
//
// A child is sealed when it is accepted, and discarded when its attempt ends otherwise. Who runs the
// task again, because its results were lost, finds the child there; only what an impure task submits
// anew takes the place of the older. After a restart a child waits for its attempt to come back, as
// long as results do.
//
// Objects of others are read only if they exist: so nothing can wait for itself, whatever a task
// promises of what it submitted.
#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kInvalid = 3, kFailedPrecondition = 9;  // gRPC status codes

bool Replaces(const Job& job, Ordinal ordinal) {
  return job.options[job.tasks[ordinal].option].impure;
}
}  // namespace

void State::CountOutside(Job& job, int32_t by) {
  job.outside_wants += by;
  job.family->outside_wants += by;
  Reclassify(job);
}

// What the attempt submitted, or would be taken to have submitted: null: nothing yet.
Job* State::ChildFor(const Job& job, Ordinal ordinal, AttemptId attempt) const {
  Job* own = nullptr;
  for (auto it = job.children.lower_bound({ordinal, 0});
       it != job.children.end() && it->first.first == ordinal; ++it) {
    Job* child = jobs[it->second];
    if (child->child == ChildState::kAccepted && !Replaces(job, ordinal)) return child;
    if (it->first.second == attempt && child->child != ChildState::kDiscarded) own = child;
  }
  return own;
}

// "" or why it may not submit.
std::string State::CheckSubmitter(const event::SubmitFromTask& e) {
  Worker* worker = FindStream(e.stream);
  if (worker != nullptr) Heard(*worker);
  uint32_t index = FindAttempt(e.attempt);
  if (worker != nullptr && index == kNil) index = Adopt(*worker, e.attempt);
  if (worker == nullptr || index == kNil || attempts[index].worker != worker->id ||
      attempts[index].state == AttemptState::kCancelling || jobs[e.attempt.task.job]->cancelled)
    return StrCat("attempt ", ToString(e.attempt), " is over: what it submits is dropped");
  return "";
}

// "" or why its next batch is not this one.
std::string State::CheckSubmission(const event::SubmitFromTask& e, const Job& child) const {
  const uint32_t batches = child.batches;
  if (e.number > batches)
    return StrCat("batch ", e.number, " of ", ToString(e.attempt), " came before batch ", batches);
  if (child.child == ChildState::kAccepted) {
    return StrCat("task ", ToString(e.attempt.task), " submitted ", batches,
                  " batches when it ran before, and not batch ", e.number,
                  ": declare it impure if its runs differ");
  }
  if (e.early != (child.child == ChildState::kEarly))
    return "an attempt submits either early or held: not one batch so and another so";
  return "";
}

// "" or what does not exist. What it names of others has been resolved.
std::string State::CheckMade(const Batch& batch) const {
  for (const Batch::Collection& c : batch.collections) {
    for (uint32_t i = 0; i < c.count && c.job != 0; ++i) {
      const ObjectId id{c.job, c.first + i * c.stride};
      const ObjectRec* behind = FindObject(Behind(*jobs[c.job], id.ordinal));
      if (behind != nullptr && behind->version != 0) continue;
      return StrCat("object ", ToString(id),
                    " has not been made yet: what a task submits reads its own objects, and others "
                    "that exist");
    }
  }
  return "";
}

void State::On(event::SubmitFromTask& e) {
  Job* job = FindJob(e.attempt.task.job);
  if (job == nullptr || e.attempt.task.ordinal >= job->tasks.size()) {
    return Answer(e.token, kFailedPrecondition,
                  StrCat("there is no task ", ToString(e.attempt.task)));
  }
  if (std::string wrong = restoring ? "" : CheckSubmitter(e); !wrong.empty()) {
    // It may finish all the same, and its task may have been put back.
    if (FindAttempt(e.attempt) != kNil) refused_submissions.try_emplace(e.attempt, wrong);
    return Answer(e.token, kFailedPrecondition, std::move(wrong));
  }
  Job* child = ChildFor(*job, e.attempt.task.ordinal, e.attempt.attempt);
  if (child != nullptr && e.number < child->batches)
    return Answer(e.token, 0, "", child->id, child->batches);
  std::unique_ptr<Job> fresh;
  if (child == nullptr) {
    fresh = std::make_unique<Job>();
    child = fresh.get();
    child->id = jobs.next_id();
    child->family = job->family;
    child->child = e.early ? ChildState::kEarly : ChildState::kHeld;
    child->parent = e.attempt;
    child->opened_ns = now_ns;
  }
  std::string wrong = std::move(e.refused);
  if (wrong.empty()) wrong = CheckSubmission(e, *child);
  if (wrong.empty()) wrong = ResolveImports(*child, e.batch);
  // What an attempt of an earlier start read did exist, whatever a crash took along since.
  const bool of_this_start =
      StartOf(e.attempt.attempt) == (restoring ? replayed_start : config.start_count);
  if (wrong.empty() && of_this_start) wrong = CheckMade(e.batch);
  if (!wrong.empty()) {
    if (!e.early) refused_submissions.try_emplace(e.attempt, wrong);
    return Answer(e.token, kInvalid, std::move(wrong));
  }
  if (fresh != nullptr) {
    job->children[{e.attempt.task.ordinal, e.attempt.attempt}] = child->id;
    job->family->children.insert(child->id);
    ++job->family->open_children;
    jobs.Add(std::move(fresh));
  }
  const Ordinal first = child->tasks.size();
  AppendBatch(*child, e.batch);
  InheritCrashes(*job, *child, first);
  ++child->batches;
  Emit(action::Journal{
      .kind = action::RecordKind::kSubmit, .job = child->id, .number = e.number, .token = e.token});
  Answer(e.token, 0, "", child->id, child->batches);
}

// What an impure task submits anew is taken for what it submitted before. Else a task in it that kills
// its worker, and the submitter's results with that, would begin with a clean slate for ever.
void State::InheritCrashes(const Job& job, Job& child, Ordinal first) {
  const Ordinal submitter = child.parent.task.ordinal;
  for (auto it = job.children.lower_bound({submitter, 0});
       it != job.children.end() && it->first.first == submitter; ++it) {
    const Job& before = *jobs[it->second];
    if (before.child != ChildState::kAccepted || &before == &child) continue;
    const Ordinal end = std::min(child.tasks.size(), before.tasks.size());
    for (Ordinal t = first; t < end; ++t) {
      child.tasks[t].crashes = before.tasks[t].crashes;
      child.tasks[t].doubts = before.tasks[t].doubts;
    }
    budget -= end - std::min(first, end);
  }
}

// Whether all that a finished attempt submitted is here. If not, the outcome says why when that is
// the submission's fault; else a restart took it along.
bool State::HasSubmission(const Job& job, const AttemptRec& attempt, Outcome& outcome) {
  if (!refused_submissions.empty()) {
    if (auto refused = refused_submissions.find(outcome.attempt);
        refused != refused_submissions.end()) {
      outcome.failure = FailureClass::kBadBody;
      outcome.message = StrCat("what it submitted was refused: ", refused->second);
      return false;
    }
  }
  const Job* child = outcome.submitted == 0 ? nullptr : ChildFor(job, attempt.task, attempt.id);
  if (outcome.submitted > 0 && (child == nullptr || child->batches < outcome.submitted))
    return false;
  outcome.message = CheckDelegated(outcome, child);
  if (outcome.message.empty()) return true;
  outcome.failure = FailureClass::kOutputMissing;
  return false;
}

// The attempt's finish is accepted.
void State::AcceptChild(Job& job, Ordinal ordinal, AttemptId attempt) {
  if (job.children.empty()) return;
  Job* chosen = ChildFor(job, ordinal, attempt);
  for (auto it = job.children.lower_bound({ordinal, 0});
       it != job.children.end() && it->first.first == ordinal; ++it) {
    Job& child = *jobs[it->second];
    if (&child != chosen) {
      if (child.child == ChildState::kAccepted || it->first.second == attempt) {
        EndAliasesOf(job, ordinal, child.id);
        Discard(child);
      }
    } else if (child.pending()) {
      if (child.child == ChildState::kHeld) {
        Enqueue({.kind = WorkKind::kStartTasks,
                 .job = child.id,
                 .index = 0,
                 .limit = child.tasks.size()});
      }
      child.child = ChildState::kAccepted;
      child.seal_asked = true;
      Enqueue({.kind = WorkKind::kSweepObjects, .job = child.id});
      if (CancelledAbove(job)) CancelWhole(child, 0);
      Changed(child);
    }
  }
}

// The finish of one attempt is accepted: what others of the task submitted comes too late, and is in the way
// until they have ended, perhaps on a worker that is not heard of any more.
void State::DiscardLate(Job& job, Ordinal ordinal) {
  if (job.children.empty()) return;
  for (auto it = job.children.lower_bound({ordinal, 0});
       it != job.children.end() && it->first.first == ordinal; ++it) {
    if (jobs[it->second]->pending()) Discard(*jobs[it->second]);
  }
}

// The attempt has ended, accepted or not.
void State::LeaveChild(Job& job, Ordinal ordinal, AttemptId attempt) {
  auto it = job.children.find({ordinal, attempt});
  if (it != job.children.end() && jobs[it->second]->pending()) Discard(*jobs[it->second]);
}

void State::Discard(Job& child) {
  if (child.child == ChildState::kDiscarded || child.forgetting) return;
  Progress& total = child.family->of_children;
  // What was done for it stays counted.
  for (size_t i = 0; i < total.counts.size(); ++i) total.counts[i] -= child.progress.counts[i];
  total.running -= child.progress.running;
  child.child = ChildState::kDiscarded;
  Job& root = RootOf(child);
  std::erase_if(root.failures, [&](const FailureView& f) { return f.task.job == child.id; });
  Emit(action::Journal{.kind = action::RecordKind::kDiscard, .job = child.id});
  child.cancelled = child.seal_asked = true;
  Enqueue({.kind = WorkKind::kCancelTasks, .job = child.id});
  Enqueue({.kind = WorkKind::kSweepObjects, .job = child.id});
  Enqueue({.kind = WorkKind::kCancelChildren, .job = child.id});
  Changed(root);
}

// From the job itself up to its root, the first that `is` so; null: none.
template <typename Is>
const Job* State::FirstAbove(const Job& job, Is is) const {
  const Job* above = &job;
  while (!is(*above) && !above->is_root()) above = jobs[above->parent.task.job];
  return is(*above) ? above : nullptr;
}

bool State::CancelledAbove(const Job& job) const {
  return FirstAbove(job, [](const Job& above) { return above.cancelled; }) != nullptr;
}

// One a call: what tasks of a cancelled or discarded job submitted goes the same way.
bool State::AdvanceCancelChildren(Job& job, Work& work) {
  auto it = job.children.lower_bound({work.index, work.limit});
  if (it == job.children.end() || !CancelledAbove(job)) {
    ForgetIfDiscarded(job);
    return false;
  }
  work.index = it->first.first;
  work.limit = it->first.second + 1;
  Job& child = *jobs[it->second];
  if (job.child == ChildState::kDiscarded) {
    Discard(child);
  } else {
    CancelUnlessCancelled(child, 0);  // also when it has ended: nothing of it is made again
  }
  return true;
}

// Once nothing of it goes on, what its tasks submitted is gone, and no dataset keeps it. While the
// journal is read its record says so.
void State::ForgetIfDiscarded(Job& job) {
  if (job.child == ChildState::kDiscarded && job.children.empty() && job.ended &&
      job.datasets == 0 && job.retries_pending == 0 && !restoring)
    BeginForget(job);
}

// Failed tasks of what the job's tasks submitted, the deepest first: each retry finds above it what
// the one before put back.
void State::RetryChildren(Job& job, bool cancelled_too) {
  const auto& children = job.family->children;
  for (auto it = children.rbegin(); it != children.rend() && *it > job.id; ++it) {
    Job& child = *jobs[*it];
    if (child.child != ChildState::kAccepted || child.forgetting) continue;
    if (child.cancelled && !cancelled_too) continue;
    if (FirstAbove(child, [&job](const Job& above) { return &above == &job; }) != nullptr)
      RetryWhole(child, cancelled_too);
  }
}

}  // namespace taskd::scheduler
