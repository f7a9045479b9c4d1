// Everything at rest: what the core says against the plan, and what the workers still hold.
#include <algorithm>
#include <vector>

#include "common/base/names.h"
#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

void Checker::CheckEnd() {
  for (uint32_t plan = 0; plan < world_.clients.size() && !world_.failed(); ++plan)
    CheckJobEnd(plan);
  CheckStores();
  if (world_.scheduler.replies_due() != 0) Fail("a request got no reply");
}

void Checker::CheckJobEnd(uint32_t plan) {
  JobId id = world_.families.RootJob(plan);
  if (id == 0) return Fail(StrCat("job ", plan, " of the plan was never opened"));
  std::optional<scheduler::JobView> view = world_.scheduler.core().GetJob(id);
  if (!view.has_value()) return Fail(StrCat("job ", id, " is not there"));
  if (view->forgotten) {
    if (!world_.clients[plan]->asked_to_forget()) Fail(StrCat("nobody forgot job ", id));
    ++world_.stats.forgotten_early;
    return;
  }
  bool cancelled = world_.clients[plan]->cancelled();
  bool some_cancelled = world_.clients[plan]->cancelled_tasks();
  if (view->state == JobState::kCancelled && !cancelled && !some_cancelled)
    return Fail(StrCat("job ", id, " was cancelled by nobody"));
  if (view->ended_ns == 0) Fail(StrCat("job ", id, " has ended, and has no time of it"));
  uint64_t failed = 0;
  for (JobId of : world_.families.FamilyOf(id)) {
    if (!JobOf(of).discarded) failed += CheckTasksEnd(of);
  }
  if (world_.failed() || cancelled) return;
  if (view->state == JobState::kDone ? failed > 0 : failed == 0 && !some_cancelled) {
    return Fail(
        StrCat("job ", id, " ended as ", Name(view->state), " with ", failed, " failed tasks"));
  }
  for (JobId of : world_.families.FamilyOf(id)) {
    if (JobOf(of).discarded) continue;
    const JobPlan& job = *world_.FindJobPlan(of);
    for (Ordinal o = 0; o < job.objects.size() && !world_.failed(); ++o)
      CheckObjectEnd({of, o}, job.objects[o]);
  }
}

uint64_t Checker::CheckTasksEnd(JobId id) {
  uint64_t failed = 0;
  for (Ordinal t = 0; t < world_.FindJobPlan(id)->tasks.size() && !world_.failed(); ++t) {
    auto view = world_.scheduler.core().GetTask({id, t});
    if (!view.has_value() && ClientOf(id).cancelled()) continue;  // its batch never came
    CheckTaskEnd({id, t});
    failed += view.has_value() && view->state == TaskState::kFailed;
  }
  return failed;
}

bool Checker::CulpritExplains(const JobPlan& plan, Ordinal task, Ordinal culprit) const {
  return AnyUpstream(world_.plan, plan, task,
                     [&](Ordinal o) { return plan.objects[o].task == culprit; });
}

// It was never made, or was not for a while; or what is behind it.
bool Checker::MakerExplains(ObjectId input, TaskId reader) {
  for (; input != ObjectId{}; input = NextBehind(input)) {
    const ObjectPlan& plan = world_.FindJobPlan(input.job)->objects[input.ordinal];
    const Ordinal maker = plan.task;
    // An impure task made it anew, by itself.
    if (OptionsOf({input.job, maker}).impure &&
        world_.families.ChildrenOf({input.job, maker}).size() > 1)
      return true;
    if (input.job == reader.job && plan.delegated == kNoOrdinal) continue;
    auto view = world_.scheduler.core().GetTask({input.job, maker});
    if (!view.has_value() || view->state != TaskState::kDone || jobs_.at(input.job).retried)
      return true;
    // A cancel that met a rebuild, which a restart does not know of.
    if (restarted_at_ != 0 && ClientOf(input.job).cancelled_tasks()) return true;
  }
  return false;
}

// Something that it reads of another job.
bool Checker::ImportExplains(TaskId id) {
  for (const EdgePlan& e : world_.FindJobPlan(id.job)->tasks[id.ordinal].edges) {
    const JobId job = world_.families.Resolve(id.job, e.job);
    for (Ordinal o : e.objects) {
      if (MakerExplains({job, o}, id)) return true;
    }
  }
  return false;
}

void Checker::CheckTaskEnd(TaskId id) {
  const JobPlan& plan = *world_.FindJobPlan(id.job);
  std::optional<scheduler::TaskView> view = world_.scheduler.core().GetTask(id);
  if (!view.has_value()) return Fail(StrCat("the core does not know ", ToString(id)));
  ++world_.stats.task_ends[static_cast<size_t>(view->state)];
  const Task& task = *FindTask(id);
  switch (view->state) {
    case TaskState::kDone:
      if (task.accepted == 0) Fail(StrCat(ToString(id), " is done without an accepted finish"));
      return;
    case TaskState::kCancelled:
      if (!ClientOf(id.job).cancelled() && !ClientOf(id.job).cancelled_tasks())
        Fail(StrCat(ToString(id), " was cancelled by nobody"));
      return;
    case TaskState::kFailed:
      if (view->failure != FailureClass::kInputFailed) {
        if (!task.failed || task.failure != view->failure)
          Fail(StrCat(ToString(id), " failed without a record of it"));
        return;
      }
      if (view->culprit == id.ordinal) {
        if (!ImportExplains(id))
          Fail(StrCat(ToString(id), " failed because of other jobs without a reason: ",
                      world_.scheduler.core().Explain(id)->failure.message));
        return;
      }
      if (view->culprit >= plan.tasks.size() || !CulpritExplains(plan, id.ordinal, view->culprit)) {
        return Fail(StrCat(ToString(id), " failed because of ", view->culprit,
                           ", which is not upstream of it"));
      }
      // A retry does not put back what depends on a cancelled task.
      if (!FindTask({id.job, view->culprit})->failed &&
          world_.scheduler.core().GetTask({id.job, view->culprit})->state !=
              TaskState::kCancelled) {
        Fail(StrCat(ToString(id), " failed because of ", view->culprit,
                    ", which did not fail itself"));
      }
      return;
    default:
      return Fail(StrCat(ToString(id), " is ", Name(view->state), " at the end"));
  }
}

// A wanted object can be had from a holder that the core names, with the oracle's value; or its
// task has failed.
void Checker::CheckObjectEnd(ObjectId id, const ObjectPlan& plan) {
  bool outside = WantedByClient(id, Wants::kCertain) || WantedByDataset(id, Wants::kCertain);
  if (!plan.wanted && !outside) return;
  const scheduler::SchedulerCore& core = world_.scheduler.core();
  std::optional<scheduler::ObjectView> view = core.GetObject(id);
  if (!view.has_value()) return Fail(StrCat("the core does not know ", ToString(id)));
  if (core.GetTask({id.job, plan.task})->state != TaskState::kDone) return;
  if (const ObjectId behind = Behind(id); behind != id) {
    if (view->behind != behind)
      return Fail(StrCat(ToString(id), " was delegated, and the core says to ",
                         ToString(view->behind), ", not to ", ToString(behind)));
    const ObjectPlan& other = world_.FindJobPlan(behind.job)->objects[behind.ordinal];
    if (other.value != plan.value) return Fail(StrCat(ToString(behind), " has another value"));
    return CheckWanted(behind, other);
  }
  CheckWanted(id, plan);
}

// Under its own name, by whatever name it is wanted.
void Checker::CheckWanted(ObjectId id, const ObjectPlan& plan) {
  const scheduler::SchedulerCore& core = world_.scheduler.core();
  std::optional<scheduler::ObjectView> view = core.GetObject(id);
  if (core.GetTask({id.job, plan.task})->state != TaskState::kDone) return;
  if (!view->available || view->holders.empty())
    return Fail(StrCat(ToString(id), " is wanted, but nobody has it"));
  if (!view->wanted) return Fail(StrCat(ToString(id), " is wanted, but the core says it is not"));
  for (WorkerId holder : view->holders) {
    const SimWorker& worker = *world_.workers[IndexOfWorker(holder)];
    if (!worker.alive() || worker.id() != holder) continue;  // remembered until it is forgotten
    const SimWorker::Blob* blob = worker.FindBlob({{id, view->version}, {}});
    if (blob == nullptr)
      return Fail(StrCat(ToString(id), " is not at ", ToString(holder), ", which the core names"));
    if (blob->value != plan.value)
      return Fail(StrCat(ToString(id), " has a wrong value at ", ToString(holder)));
    if (view->crc32c != CrcOf(plan.value, plan.size_bytes) || view->size_bytes != plan.size_bytes) {
      return Fail(StrCat(ToString(id), " has a wrong crc or size in the core"));
    }
    ++world_.stats.values_checked;
  }
  const JobPlan& job = *world_.FindJobPlan(id.job);
  CheckCopies(id, job.options[job.tasks[plan.task].option].replicas);
}

// As many as its task asks for, or as there are workers that stay.
void Checker::CheckCopies(ObjectId id, uint32_t wanted) {
  uint32_t staying = 0, holding = 0;
  const scheduler::SchedulerCore& core = world_.scheduler.core();
  for (const scheduler::WorkerView& worker : core.ListWorkers()) {
    if (worker.state != WorkerState::kUp) continue;
    ++staying;
    holding += world_.workers[IndexOfWorker(worker.worker)]->FindBlob(
                   {{id, core.GetObject(id)->version}, {}}) != nullptr;
  }
  if (holding < std::min(std::max(wanted, 1u), staying)) {
    Fail(StrCat(ToString(id), " has ", holding, " copies on ", staying, " workers that stay, ",
                wanted, " are wanted"));
  }
}

// All jobs are forgotten: nothing is left of them.
void Checker::CheckForgotten() {
  const scheduler::SchedulerCore& core = world_.scheduler.core();
  for (uint32_t plan = 0; plan < world_.clients.size(); ++plan) {
    const JobId id = world_.families.RootJob(plan);
    for (JobId child : world_.families.FamilyOf(id)) {
      if (child != id && core.GetJob(child).has_value())
        return Fail(StrCat("job ", child, " is not forgotten with job ", id));
    }
    std::optional<scheduler::JobView> view = core.GetJob(id);
    if (!view.has_value() || !view->forgotten) return Fail(StrCat("job ", id, " is not forgotten"));
    if (core.GetTask({id, 0}).has_value()) Fail(StrCat("job ", id, " is forgotten, and has tasks"));
  }
  if (!core.ListDatasets("", 1).empty()) Fail("a dataset of a forgotten job");
  for (const scheduler::WorkerView& view : core.ListWorkers()) {
    if (view.objects != 0 || view.assigned != 0)
      return Fail(StrCat(ToString(view.worker), " has ", view.objects, " objects and ",
                         view.assigned, " attempts of forgotten jobs"));
  }
  for (const auto& worker : world_.workers) {
    if (worker->alive() && !worker->store().empty())
      return Fail(StrCat(worker->Line(), ": keeps objects of forgotten jobs"));
  }
}

// At rest nothing is pinned, so memory is below the mark where spilling begins.
std::string Checker::MemoryOf(const SimWorker& worker) {
  uint64_t memory = 0, disk = 0;
  for (const auto& [key, blob] : worker.store()) (blob.on_disk ? disk : memory) += blob.size_bytes;
  if (memory != worker.counters().memory_bytes || disk != worker.counters().disk_bytes)
    return StrCat("the core counts ", worker.counters().memory_bytes, " bytes in memory and ",
                  worker.counters().disk_bytes, " on disk, the store has ", memory, " and ", disk);
  const uint64_t budget = worker.store_budget();
  if (budget != 0 && memory > budget * limits::kSpillAbovePercent / 100)
    return StrCat(memory, " bytes in memory, of ", budget, ", and nothing goes to disk");
  return "";
}

void Checker::CheckStores() {
  for (const auto& worker : world_.workers) {
    if (world_.failed() || !worker->alive()) continue;
    std::string leaks = worker->Leaks();
    if (!leaks.empty()) return Fail(leaks);
    if (worker->counters().replicas != worker->store().size()) {
      return Fail(StrCat(worker->Line(), ": the core counts other replicas than the store has"));
    }
    if (std::string wrong = MemoryOf(*worker); !wrong.empty())
      return Fail(StrCat(worker->Line(), ": ", wrong));
    for (const auto& [key, blob] : worker->store()) {
      ObjectId id = key.id.object;
      if (!Known(id)) return Fail(StrCat(worker->Line(), ": leaks ", ToString(id)));
      const bool wanted = IsKept(id);
      bool current = JobOf(id.job).objects[id.ordinal].version == key.id.version;
      if (!key.parts.whole() || !wanted || !current) {
        return Fail(StrCat(worker->Line(), ": leaks ", ToString(id), " version ", key.id.version,
                           key.parts.whole() ? "" : " (parts)", wanted ? "" : ", unwanted",
                           current ? "" : ", stale"));
      }
    }
  }
}

}  // namespace taskd::sim
