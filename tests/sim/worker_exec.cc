// Executors: an attempt reads its inputs when it starts, and ends as its fate says unless it is
// killed before.
#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = worker::event;

const SimWorker::Blob* SimWorker::FindBlob(const worker::LocalKey& key) const {
  auto found = store_.find({key.id, {}});
  if (found == store_.end()) found = store_.find(key);
  return found == store_.end() ? nullptr : &found->second;
}

// False: one is missing. The digest is what the oracle's is made of.
bool SimWorker::ReadInputs(const Assignment& assignment, Exec& exec) {
  exec.digest = 1;
  for (const InputEdge& e : assignment.edges) {
    for (uint32_t i = e.first; i < e.first + e.count; ++i) {
      worker::LocalKey key{assignment.objects[i].id, e.parts};
      if (damaged_.contains(key.id)) Lose({key.id, {}}, false);
      const Blob* blob = FindBlob(key);
      if (blob != nullptr) {
        exec.reads.push_back(key);
        exec.digest = HashCombine(exec.digest, ReadValue(blob->value, e.parts));
        continue;
      }
      if (!vanished_.contains(key.id)) {
        world_.Fail(StrCat("worker", index_, " starts ", ToString(assignment.attempt),
                           " without its input ", ToString(key.id.object), " version ",
                           key.id.version));
      }
      NoticeVanished(key.id);
      return false;
    }
  }
  return true;
}

void SimWorker::StartExec(const AttemptRef& attempt) {
  world_.checker.OnStartExec(index_, attempt);
  auto found = assignments_.find(attempt);
  if (found == assignments_.end()) {
    return world_.Fail(
        StrCat("worker", index_, " starts ", ToString(attempt), " that it was not assigned"));
  }
  const Assignment& assignment = found->second.assignment;
  Exec& exec = execs_[attempt];
  exec.need = assignment.need;
  exec.started_ns = world_.loop.now();
  CheckResources();
  if (!ReadInputs(assignment, exec)) {
    if (world_.failed()) return;
    return After(rng_.Below(kMs), [this, attempt] { FailExec(attempt, FailureClass::kStore); });
  }
  const uint32_t plan = found->second.plan;
  uint64_t ns = world_.plan.DurationNs(plan, attempt.task.ordinal, attempt.attempt);
  uint64_t limit = assignment.time_limit_ns;
  bool hangs = world_.plan.FateOf(plan, attempt.task.ordinal, attempt.attempt) == Fate::kHang;
  if (world_.plan.jobs[plan].tasks[attempt.task.ordinal].early)
    After(rng_.Below(ns * slow_ + 1), [this, attempt] { Submit(attempt); });
  if (gets_rng_.Chance(world_.options.gets_per_mille)) {
    const ObjectId end{attempt.task.job,
                       world_.plan.jobs[plan].tasks[attempt.task.ordinal].first_output};
    After(gets_rng_.Below(ns * slow_ + 1), [this, attempt, plan, end] {
      // Once: else what it has made again would read in turn, and so on.
      if (world_.getters.insert(attempt.task).second) GetSome(attempt, plan, end);
    });
  }
  if (limit != 0 && (hangs || ns * slow_ > limit))
    return After(limit, [this, attempt] { FailExec(attempt, FailureClass::kTimeout); });
  After(ns * slow_, [this, attempt] { EndExec(attempt, false); });
}

void SimWorker::CheckResources() {
  Resources used;
  for (const auto& [ref, exec] : execs_) {
    if (!exec.waits) used += exec.need;
  }
  if (!used.Fits(capacity_)) {
    world_.Fail(StrCat("worker", index_, " is oversubscribed: ", used.cpus_milli, " of ",
                       capacity_.cpus_milli, " milli-cpus, ", used.memory_bytes, " of ",
                       capacity_.memory_bytes, " bytes"));
  }
}

void SimWorker::KillExec(const AttemptRef& attempt) {
  if (!execs_.contains(attempt)) return;  // its end is in our queue
  // A stubborn one has done its work before the signal counts.
  Exec& exec = execs_.at(attempt);
  exec.stubborn = rng_.Chance(world_.options.stubborn_per_mille) && !exec.waits && exec.gets == 0;
  if (exec.stubborn) return;
  After(rng_.Below(rng_.Chance(200) ? 500 * kMs : 10 * kMs),
        [this, attempt] { EndExec(attempt, true); });
}

void SimWorker::EndExec(const AttemptRef& attempt, bool killed) {
  auto found = execs_.find(attempt);
  if (found == execs_.end()) return;
  if (killed) {
    PostExecDone({.attempt = attempt,
                  .end = AttemptEnd::kCancelled,
                  .run_ns = world_.loop.now() - found->second.started_ns});
    return;
  }
  const uint32_t plan = assignments_.at(attempt).plan;
  // What was put is given away once.
  if (PlanOf(attempt).options[PlanOf(attempt).tasks[attempt.task.ordinal].option].put &&
      !world_.puts_taken.insert(attempt.task).second)
    return FailExec(attempt, FailureClass::kStore);
  const Fate fate = world_.plan.FateOf(plan, attempt.task.ordinal, attempt.attempt);
  if (fate != Fate::kPoison &&
      (IsSubmitting(attempt) || found->second.gets > 0 || IsWaiting(attempt)))
    return After(1 + rng_.Below(kMs), [this, attempt] { EndExec(attempt, false); });
  switch (fate) {
    case Fate::kHang:
    case Fate::kMiscount:
    case Fate::kFinish:
      if (disk_full_ && !HasRoom(OutputBytes(attempt)))
        return FailExec(attempt, FailureClass::kStore);
      if (bad_ || found->second.refused) return FailExec(attempt, FailureClass::kExit);
      return PostExecDone(FinishExec(attempt, found->second));
    case Fate::kFail:
      return FailExec(attempt, rng_.Chance(500) ? FailureClass::kExit : FailureClass::kSignal);
    case Fate::kPoison:
      // Often before the scheduler knows that it runs.
      world_.Trace("fault", StrCat("poison of ", ToString(attempt), " kills worker", index_));
      return world_.faults.OnPoison(index_);
  }
}

uint64_t SimWorker::OutputBytes(const AttemptRef& attempt) const {
  const JobPlan& plan = PlanOf(attempt);
  const TaskPlan& task = plan.tasks[attempt.task.ordinal];
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < task.output_count; ++i)
    bytes += plan.objects[task.first_output + i].size_bytes;
  return bytes;
}

void SimWorker::FailExec(const AttemptRef& attempt, FailureClass failure) {
  if (!execs_.contains(attempt)) return;
  PostExecDone({.attempt = attempt,
                .end = AttemptEnd::kFailed,
                .failure = failure,
                .exit_code = 3,
                .message = "planned",
                .run_ns = world_.loop.now() - execs_[attempt].started_ns});
}

event::ExecDone SimWorker::FinishExec(const AttemptRef& attempt, const Exec& exec) {
  uint32_t job = assignments_.at(attempt).plan;
  const JobPlan& plan = world_.plan.jobs[job];
  const TaskPlan& task = plan.tasks[attempt.task.ordinal];
  uint32_t outputs = task.output_count;
  if (world_.plan.FateOf(job, attempt.task.ordinal, attempt.attempt) == Fate::kMiscount)
    outputs = rng_.Chance(500) ? outputs + 1 : outputs - 1;
  event::ExecDone done{.attempt = attempt, .run_ns = world_.loop.now() - exec.started_ns};
  for (uint32_t i = 0; i < outputs; ++i) {
    Ordinal ordinal = task.first_output + i;
    if (i >= task.output_count) {  // one too many
      done.outputs.push_back({{1, 0}});
      continue;
    }
    if (plan.objects[ordinal].delegated != kNoOrdinal) {
      done.outputs.push_back({{.delegated = plan.objects[ordinal].delegated}});
      ++world_.stats.delegations;
      continue;
    }
    if (OutputValue(world_.options.seed, job, attempt.task.ordinal, i, exec.digest) !=
        plan.objects[ordinal].made) {
      world_.Fail(StrCat(ToString(attempt), " on worker", index_,
                         " computed a wrong value: it read wrong bytes"));
    }
    uint64_t value = plan.objects[ordinal].value;
    if (world_.Mutate(Mutation::kWrongBytes, 30)) value ^= 1;
    uint64_t size = plan.objects[ordinal].size_bytes;
    const bool on_disk =
        PutBlob({{{attempt.task.job, ordinal}, attempt.attempt}, {}}, {value, size});
    done.outputs.push_back({{size, CrcOf(value, size)}, on_disk});
  }
  return done;
}

const JobPlan& SimWorker::PlanOf(const AttemptRef& attempt) const {
  return world_.plan.jobs[assignments_.at(attempt).plan];
}

// The next batch. Early ones wait for the answer to the one before.
void SimWorker::Submit(const AttemptRef& attempt) {
  auto found = execs_.find(attempt);
  if (found == execs_.end()) return;
  const TaskPlan& task = PlanOf(attempt).tasks[attempt.task.ordinal];
  const size_t batches = world_.plan.jobs[task.child - 1].batches.size();
  Exec& exec = found->second;
  if (exec.asking || exec.submitted == batches) return;
  submissions_.try_emplace(attempt, task.child - 1);
  exec.asking = task.early;
  exec.submitted += !task.early;
  Post(event::ExecSubmit{attempt, task.early});
}

// Before it ends it submits what is left. True: it is not done with that yet.
bool SimWorker::IsSubmitting(const AttemptRef& attempt) {
  const TaskPlan& task = PlanOf(attempt).tasks[attempt.task.ordinal];
  if (task.child == 0) return false;
  const size_t batches = world_.plan.jobs[task.child - 1].batches.size();
  Exec& exec = execs_.at(attempt);
  while (!exec.asking && !exec.refused && exec.submitted < batches) Submit(attempt);
  return exec.asking;
}

// Once all that it submits early is taken it may wait for some of that.
bool SimWorker::IsWaiting(const AttemptRef& attempt) {
  const TaskPlan& task = PlanOf(attempt).tasks[attempt.task.ordinal];
  Exec& exec = execs_.at(attempt);
  if (exec.waits || !task.early || exec.stubborn || exec.refused || exec.child == 0)
    return exec.waits;
  if (std::exchange(exec.waited, true) || rng_.Chance(300)) return false;
  event::ExecYield yield{attempt, {}};
  const uint64_t objects = world_.plan.jobs[task.child - 1].objects.size();
  for (uint64_t n = rng_.Below(4); n > 0; --n)
    yield.awaits.push_back({exec.child, static_cast<Ordinal>(rng_.Below(objects))});
  exec.waits = true;
  Post(std::move(yield));
  return true;
}

void SimWorker::ResumeExec(const AttemptRef& attempt) {
  auto found = execs_.find(attempt);
  if (found == execs_.end()) return;  // its end is in our queue
  if (!found->second.waits)
    return world_.Fail(StrCat(name_, " resumes ", ToString(attempt), ", which does not wait"));
  found->second.waits = false;
  CheckResources();
  auto get = gets_.find(std::exchange(found->second.waiting_get, 0));
  if (get != gets_.end()) LookUp(get->first, get->second);
}

void SimWorker::SendSubmission(const worker::action::SendSubmit& a) {
  auto found = submissions_.find(a.attempt);
  if (found == submissions_.end())
    return world_.Fail(StrCat(name_, " sends a batch that was released"));
  scheduler::event::SubmitFromTask submit{
      .stream = stream_, .attempt = a.attempt, .number = a.number, .early = a.early};
  submit.batch = world_.plan.jobs[found->second].batches[a.number];
  for (scheduler::Batch::Collection& c : submit.batch.collections) {
    if (c.job != 0) c.job = a.attempt.task.job;
  }
  submit.token = world_.scheduler.ExpectPerhaps(
      [this, a, life = life_, stream = stream_](const scheduler::action::Reply& reply) {
        if (life != life_ || stream != stream_ || !up_) return;
        const bool taken = reply.code == 0;
        auto exec = execs_.find(a.attempt);
        if (a.early && exec != execs_.end() && exec->second.asking) {
          exec->second.asking = false;
          exec->second.submitted += taken;
          exec->second.refused = !taken;
          if (taken) exec->second.child = reply.job;
          if (taken) GetOfChild(a.attempt, exec->second);
        }
        if (a.early) Post(event::SubmitAnswered{stream, a.attempt, a.number, taken});
        if (a.early && taken) Submit(a.attempt);
      });
  ++world_.stats.submissions;
  world_.net.SendUp(stream_, std::move(submit));
}

void SimWorker::PostExecDone(event::ExecDone done) {
  world_.checker.OnExecEnd(done.attempt, done.end);
  execs_.erase(done.attempt);
  Post(std::move(done));
}

}  // namespace taskd::sim
