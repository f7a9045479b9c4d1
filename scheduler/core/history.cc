// What is kept of jobs that have ended, and for how long. A job is forgotten when somebody says so,
// when its time to live is over, or as the oldest of more ended jobs than are kept; the last two wait
// while a client wants something of it, which also does not count against that limit. Forgetting walks its objects, waits for the last attempts
// to be reported (they hold resources of workers), then leaves a compact record and gives the
// memory back a segment at a time.
#include <algorithm>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kNotFound = 5, kFailedPrecondition = 9;  // gRPC status codes
}  // namespace

JobState StateOf(const Job& job) {
  if (job.cancelled) return JobState::kCancelled;
  if (!job.seal_asked) return JobState::kOpen;
  if (!job.ended) return JobState::kRunning;
  auto some = [&job](TaskState state) {
    const auto s = static_cast<size_t>(state);
    return job.progress.counts[s] > 0 || (job.is_root() && job.family->of_children.counts[s] > 0);
  };
  return some(TaskState::kFailed)      ? JobState::kFailed
         : some(TaskState::kCancelled) ? JobState::kCancelled
                                       : JobState::kDone;
}

Job* State::JobForCommand(Token token, JobId id) {
  Job* job = FindJob(id);
  if (job != nullptr && job->child == ChildState::kDiscarded) {
    Answer(token, kFailedPrecondition,
           StrCat("job ", id, " went with attempt ", ToString(job->parent), ", which submitted it"),
           id);
    return nullptr;
  }
  if (job != nullptr && !job->forgetting) return job;
  if (job != nullptr || forgotten.contains(id)) {
    Answer(token, kFailedPrecondition,
           StrCat("job ", id, " has ended and was forgotten; submit it again as a new job"), id);
  } else {
    Answer(token, kNotFound, StrCat("no job ", id));
  }
  return nullptr;
}

void State::On(event::ForgetJob& e) {
  Job* job = FindJob(e.job);
  if (job == nullptr && !forgotten.contains(e.job))
    return Answer(e.token, kNotFound, StrCat("no job ", e.job));
  if (job != nullptr && !job->is_root()) {
    return Answer(e.token, kFailedPrecondition,
                  StrCat("job ", e.job, " was submitted by task ", ToString(job->parent.task),
                         ": it is forgotten with job ", job->family->root),
                  e.job);
  }
  if (job != nullptr && (!job->ended || job->retries_pending > 0)) {
    return Answer(e.token, kFailedPrecondition,
                  job->cancelled
                      ? StrCat("job ", e.job, " is being cancelled: try again when it has ended")
                      : StrCat("job ", e.job, " has not ended: cancel it first"),
                  e.job);
  }
  if (std::string who = job == nullptr || job->forgetting ? "" : WhoReads(*job); !who.empty())
    return Answer(e.token, kFailedPrecondition, StrCat("job ", e.job, ": ", who), e.job);
  if (job != nullptr) BeginForget(*job);
  Answer(e.token, 0, "", e.job);
}

// Of a job whose state of being ended or wanted may have changed.
void State::Reclassify(Job& job) {
  if (!job.is_root()) return Reclassify(RootOf(job));
  bool idle = job.ended && !job.forgetting && job.family->outside_wants == 0;
  if (idle && job.expired) return BeginForget(job);
  if (idle != job.idle) {
    job.idle = idle;
    if (idle) {
      job.idle_since_ns = job.ended_ns;
      idle_jobs.insert({job.idle_since_ns, job.id});
    } else {
      idle_jobs.erase({job.idle_since_ns, job.id});
    }
  }
  // What was forgotten before the restart has a record of it.
  while (!restoring && idle_jobs.size() > config.ended_jobs_kept)
    BeginForget(*jobs[idle_jobs.begin()->second]);
}

void State::BeginForget(Job& job) {
  if (job.forgetting) return;
  job.forgetting = true;
  counters.jobs_ended -= job.is_root();
  if (job.idle) idle_jobs.erase({job.idle_since_ns, job.id});
  job.idle = false;
  // What its tasks submitted goes with it.
  if (job.is_root() || !jobs[job.parent.task.job]->forgetting)
    Emit(action::Journal{.kind = action::RecordKind::kForget, .job = job.id});
  Enqueue({.kind = WorkKind::kForgetObjects, .job = job.id});
}

void State::ExpireJob(JobId id) {
  Job* job = FindJob(id);
  if (job == nullptr || !job->ended || now_ns < job->ended_ns + job->ttl_ns) return;
  job->expired = true;
  Reclassify(*job);
}

bool State::ForgetObject(Job& job, Work& work) {
  // Once round the worklist: what it reads of others is let go first.
  if (!work.begun) {
    if (work.index < job.imports.size()) {
      LetGoImport(job, job.imports[work.index++]);
      return true;
    }
    work.begun = true;
    work.index = 0;
    Enqueue(work);
    return false;
  }
  if (work.index < job.objects.size()) {
    const ObjectRec& object = job.objects[work.index];
    if (object.replicas != kNil) DropReplicas(job, {job.id, work.index});
    if (object.outside_wants > 0) {
      Emit(action::ObjectChanged{{job.id, work.index}});
      SettleAwaiters({job.id, work.index});
    }
    ++work.index;
    return true;
  }
  if (!job.imports.empty()) {
    EndImport(job, job.imports.back());
    job.imports.pop_back();
    return true;
  }
  if (!job.importers.empty()) {
    CutImporter(job);
    return true;
  }
  if (work.cursor == kNil) work.cursor = 0;
  auto child = job.children.lower_bound({work.cursor, work.limit});
  if (child != job.children.end()) {
    work.cursor = child->first.first;
    work.limit = child->first.second + 1;
    BeginForget(*jobs[child->second]);
    return true;
  }
  job.swept = true;
  ForgetIfSwept(job);
  return false;
}

void State::ForgetIfSwept(Job& job) {
  if (job.swept && job.attempts == 0 && job.children.empty())
    Enqueue({.kind = WorkKind::kForgetRecords, .job = job.id});
}

// Of a child nothing is kept: its root's record stands for it.
void State::ForgetChildRecords(Job& job) {
  Job& parent = *jobs[job.parent.task.job];
  parent.children.erase({job.parent.task.ordinal, job.parent.attempt});
  job.family->children.erase(job.id);
  ForgetIfSwept(parent);
  ForgetIfDiscarded(parent);
  CountOutside(job, -static_cast<int32_t>(job.outside_wants));
}

void State::KeepCompact(Job& job) {
  ForgottenJob& kept = forgotten[job.id];
  kept.submission = {job.submission_hi, job.submission_lo};
  kept.view = CompactView(job);
  kept.view.forgotten = true;
  BindToClient(job, 0);
  ++counters.jobs_forgotten;
  forgotten_order.push_back(job.id);
  if (forgotten.size() > config.forgotten_jobs_kept) {
    auto oldest = forgotten.find(forgotten_order.front());
    job_of_submission.erase(oldest->second.submission);
    forgotten.erase(oldest);
    forgotten_order.pop_front();
  }
}

void State::ForgetRecords(Job& job) {
  for (size_t i = 0; i < job.progress.counts.size(); ++i)
    counters.tasks[i] -= job.progress.counts[i];
  if (job.is_root()) {
    KeepCompact(job);
  } else {
    ForgetChildRecords(job);
  }
  Emit(action::JobForgotten{job.id});
  husks.push_back(jobs.Remove(job.id));
  Enqueue({.kind = WorkKind::kDropHusk});
}

// Attempts' histories are on the heap, one for each task that has any.
bool State::DropHusk() {
  Job& husk = *husks.front();
  if (!husk.tasks.empty()) {
    uint32_t last = husk.tasks.size();
    husk.tasks.DropLastSegment();
    if (!husk.history.empty()) {
      for (Ordinal t = husk.tasks.size(); t < last; ++t) husk.history.erase(t);
      budget -= last - husk.tasks.size();
    }
  } else if (!husk.objects.empty()) {
    husk.objects.DropLastSegment();
  } else if (!husk.edges.empty()) {
    husk.edges.DropLastSegment();
  } else {
    husks.pop_front();
    return false;
  }
  return true;
}

}  // namespace taskd::scheduler
