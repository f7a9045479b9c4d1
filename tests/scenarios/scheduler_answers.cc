#include "tests/scenarios/scheduler_answers.h"

#include "common/base/names.h"
#include "common/base/text.h"

namespace taskd::scenario {
namespace {

using namespace taskd::scheduler;  // NOLINT: every name of the core's views

std::string AskTask(const SchedulerCore& core, const SchedulerNames& names, TaskId id) {
  const auto t = core.GetTask(id);
  if (!t) return "none";
  std::string out(Name(t->state));
  if (t->running) out += " running";
  if (t->reason != WaitReason::kNone) out += StrCat(" ", Name(t->reason));
  if (t->worker) out += " " + names.TextOf(t->worker);
  if (t->attempts != 0) out += StrCat(" attempts=", t->attempts);
  if (t->failure != FailureClass::kNone) out += StrCat(" ", Name(t->failure));
  if (t->culprit != kNoOrdinal) out += " culprit=" + names.TextOf(TaskId{id.job, t->culprit});
  return out;
}

std::string AskExplain(const SchedulerCore& core, const SchedulerNames& names, TaskId id) {
  const auto e = core.Explain(id);
  if (!e) return "none";
  std::string out = StrCat(Name(e->task.state), e->task.reason == WaitReason::kNone ? "" : " ",
                           e->task.reason == WaitReason::kNone ? "" : Name(e->task.reason));
  if (e->inputs_missing != 0) out += StrCat(" missing=", e->inputs_missing, "/", e->inputs_total);
  for (const WaitingInputView& i : e->inputs) {
    out += StrCat(" ", names.TextOf(i.object), "(", Name(i.producer), i.lost ? ",lost" : "");
    if (i.root != TaskId{id.job, core.GetObject(i.object)->producer.ordinal}) {
      out += StrCat(",for ", names.TextOf(i.root), ":", Name(i.root_state));
      if (i.root_reason != WaitReason::kNone) out += StrCat(" ", Name(i.root_reason));
    }
    out += ")";
  }
  if (e->standing.ahead != 0)
    out += StrCat(" ahead=", e->standing.about ? "~" : "", e->standing.ahead);
  if (e->standing.sharing != 0) out += StrCat(" sharing=", e->standing.sharing);
  for (const WorkerFitView& w : e->workers) {
    out += StrCat(" ", names.TextOf(w.worker),
                  w.now         ? ":now"
                  : w.when_idle ? ":idle"
                                : ":never",
                  w.limit.kind == LimitKind::kNone
                      ? ""
                      : "(" + ToString(w.limit, "pool" + std::to_string(w.limit.pool)) + ")",
                  w.count == 1 ? "" : StrCat("x", w.count));
  }
  for (const AttemptView& a : e->attempts) {
    out += StrCat(" #", Text(a.attempt), "@", names.TextOf(a.worker), ":",
                  a.ended ? Name(a.end) : Name(a.state));
  }
  if (e->failure.failure != FailureClass::kNone) {
    out += StrCat(" culprit=", names.TextOf(e->failure.task), ":", Name(e->failure.failure));
    if (e->failure.exit_code != 0) out += StrCat(" exit=", e->failure.exit_code);
    if (!e->failure.message.empty()) out += " " + Quoted(e->failure.message);
  }
  return out;
}

std::string AskJob(const SchedulerCore& core, const SchedulerNames& names, JobId id) {
  const auto j = core.GetJob(id);
  if (!j) return "none";
  std::string out(Name(j->state));
  if (j->forgotten) out += " forgotten";
  for (uint8_t i = 1; i <= 6; ++i) {
    if (j->tasks[i] != 0) out += StrCat(" ", Name(static_cast<TaskState>(i)), "=", j->tasks[i]);
  }
  auto add = [&](std::string_view name, uint64_t value) {
    if (value != 0) out += StrCat(" ", name, "=", value);
  };
  add("running", j->running);
  add("recomputed", j->recomputed);
  add("retried", j->retried);
  add("moved", j->bytes_moved);
  add("saved", j->bytes_saved);
  for (const FailureView& f : j->failures) {
    out += StrCat(" failure=", names.TextOf(f.task), "#", Text(f.attempt), ":", Name(f.failure));
  }
  return out;
}

std::string AskJobs(const SchedulerCore& core) {
  std::string out;
  JobId next = 0;
  do {  // in pages, as clients do
    for (JobId id : core.ListJobs(next, 2, &next)) out += StrCat(out.empty() ? "" : " ", id);
  } while (next != 0);
  return out;
}

std::string AskObject(const SchedulerCore& core, const SchedulerNames& names, ObjectId id) {
  const auto o = core.GetObject(id);
  if (!o) return "none";
  std::string out =
      o->version == 0 ? "never_made" : StrCat("#", Text(o->version), "~", o->size_bytes);
  if (o->available) out += " available";
  if (o->wanted) out += " wanted";
  if (o->behind != id) out += " behind=" + names.TextOf(o->behind);
  if (!o->holders.empty()) out += " @" + HoldersText(names, o->holders);
  return out;
}

std::string AskWorker(const SchedulerCore& core, WorkerId id) {
  const auto w = core.GetWorker(id);
  if (!w) return "none";
  std::string out(Name(w->state));
  if (w->stream == 0) out += " disconnected";
  auto add = [&](std::string_view name, uint64_t value) {
    if (value != 0) out += StrCat(" ", name, "=", value);
  };
  add("running", w->running);
  add("assigned", w->assigned);
  add("cpus_milli", w->in_use.cpus_milli);
  add("mem", w->in_use.memory_bytes);
  add("home", w->queued_home);
  add("objects", w->objects);
  add("bytes", w->object_bytes);
  if (w->store_budget_bytes != 0) {
    add("promised", w->promised_bytes);
    add("store", w->store_budget_bytes);
  }
  add("quarantined", w->quarantined);
  add("to_move", w->to_move);
  add("gathering", w->gathering);
  add("finished", w->finished);
  return out;
}

std::string AskCounters(const SchedulerCore& core) {
  const Counters& c = core.counters();
  std::string out;
  auto add = [&](std::string_view name, uint64_t value) {
    if (value != 0) out += StrCat(out.empty() ? "" : " ", name, "=", value);
  };
  for (uint8_t i = 1; i <= 7; ++i) add(Name(static_cast<AttemptEnd>(i)), c.attempts_ended[i]);
  add("home", c.assigned[0]);
  add("idle", c.assigned[1]);
  add("moved", c.assigned[2]);
  add("second", c.assigned[3]);
  add("alone", c.assigned[4]);
  add("closed", c.workers_lost[0]);
  add("silent", c.workers_lost[1]);
  add("goodbye", c.workers_lost[2]);
  add("restarted", c.workers_lost[3]);
  add("retracts", c.retracts_sent);
  add("held", c.held_for_memory);
  add("bytes_moved", c.bytes_moved);
  add("bytes_saved", c.bytes_saved);
  add("objects_lost", c.objects_lost);
  add("recomputed", c.tasks_recomputed);
  add("retried", c.tasks_retried);
  add("stale", c.stale_messages);
  add("recoveries", c.recoveries);
  return out;
}

}  // namespace

std::string AskScheduler(const SchedulerCore& core, const SchedulerNames& names,
                         const Words& words) {
  const std::string& what = words[0];
  if (what == "counters") return AskCounters(core);
  if (what == "workers") return StrCat(core.ListWorkers().size());
  if (what == "jobs") return AskJobs(core);
  if (what == "task") return AskTask(core, names, names.ParseTask(words[1]));
  if (what == "explain") return AskExplain(core, names, names.ParseTask(words[1]));
  if (what == "job") return AskJob(core, names, static_cast<JobId>(ParseNumber(words[1])));
  if (what == "object") return AskObject(core, names, names.ParseObject(words[1]));
  if (what == "worker") return AskWorker(core, names.ParseWorkerId(words[1]));
  throw ScenarioError{
      StrCat("no such question: ", what,
             " (wake, counters, jobs, workers, task, explain, job, object, worker)")};
}

}  // namespace taskd::scenario
