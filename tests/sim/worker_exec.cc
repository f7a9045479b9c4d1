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
  const Assignment& assignment = found->second;
  Exec& exec = execs_[attempt];
  exec.need = assignment.need;
  exec.started_ns = world_.loop.now();
  CheckResources();
  if (!ReadInputs(assignment, exec)) {
    if (world_.failed()) return;
    return After(rng_.Below(kMs), [this, attempt] { FailExec(attempt, FailureClass::kStore); });
  }
  uint64_t ns = world_.plan.DurationNs(world_.PlanOf(attempt.task.job), attempt.task.ordinal,
                                       attempt.attempt);
  uint64_t limit = assignment.time_limit_ns;
  bool hangs = world_.plan.FateOf(world_.PlanOf(attempt.task.job), attempt.task.ordinal,
                                  attempt.attempt) == Fate::kHang;
  if (limit != 0 && (hangs || ns * slow_ > limit))
    return After(limit, [this, attempt] { FailExec(attempt, FailureClass::kTimeout); });
  After(ns * slow_, [this, attempt] { EndExec(attempt, false); });
}

void SimWorker::CheckResources() {
  Resources used;
  for (const auto& [ref, exec] : execs_) {
    used += exec.need;
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
  if (rng_.Chance(world_.options.stubborn_per_mille)) return;
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
  switch (
      world_.plan.FateOf(world_.PlanOf(attempt.task.job), attempt.task.ordinal, attempt.attempt)) {
    case Fate::kHang:
    case Fate::kMiscount:
    case Fate::kFinish:
      if (disk_full_) return FailExec(attempt, FailureClass::kStore);
      if (bad_) return FailExec(attempt, FailureClass::kExit);
      return PostExecDone(FinishExec(attempt, found->second));
    case Fate::kFail:
      return FailExec(attempt, rng_.Chance(500) ? FailureClass::kExit : FailureClass::kSignal);
    case Fate::kPoison:
      // Often before the scheduler knows that it runs.
      world_.Trace("fault", StrCat("poison of ", ToString(attempt), " kills worker", index_));
      return world_.faults.OnPoison(index_);
  }
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
  uint32_t job = world_.PlanOf(attempt.task.job);
  const JobPlan& plan = world_.plan.jobs[job];
  const TaskPlan& task = plan.tasks[attempt.task.ordinal];
  uint32_t outputs = task.output_count;
  if (world_.plan.FateOf(job, attempt.task.ordinal, attempt.attempt) == Fate::kMiscount)
    outputs = rng_.Chance(500) ? outputs + 1 : outputs - 1;
  event::ExecDone done{.attempt = attempt, .run_ns = world_.loop.now() - exec.started_ns};
  for (uint32_t i = 0; i < outputs; ++i) {
    Ordinal ordinal = task.first_output + i;
    if (i >= task.output_count) {  // one too many
      done.outputs.push_back({1, 0});
      continue;
    }
    uint64_t value = OutputValue(world_.options.seed, job, attempt.task.ordinal, i, exec.digest);
    if (value != plan.objects[ordinal].value) {
      world_.Fail(StrCat(ToString(attempt), " on worker", index_,
                         " computed a wrong value: it read wrong bytes"));
    }
    if (world_.Mutate(Mutation::kWrongBytes, 30)) value ^= 1;
    uint64_t size = plan.objects[ordinal].size_bytes;
    store_[{{{attempt.task.job, ordinal}, attempt.attempt}, {}}] = {value, size};
    done.outputs.push_back({size, CrcOfValue(value)});
  }
  return done;
}

void SimWorker::PostExecDone(event::ExecDone done) {
  world_.checker.OnExecEnd(done.attempt, done.end);
  execs_.erase(done.attempt);
  Post(std::move(done));
}

}  // namespace taskd::sim
