#include "tests/sim/world.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <utility>

#include "common/base/names.h"
#include "common/base/text.h"

namespace taskd::sim {
namespace {

// A run that needs more callbacks than this goes in circles.
constexpr uint64_t kMaxCallbacks = 20'000'000;

}  // namespace

World::World(const Options& o, const TraceOptions& trace)
    : options(o),
      plan(Plan::Draw(o)),
      families(plan.jobs.size()),
      checker(*this),
      net(*this),
      scheduler(*this),
      faults(*this),
      trace_(trace),
      mutation_rng_(Mix64(o.seed) ^ 0x3117A7E) {
  for (uint32_t i = 0; i < options.workers.size(); ++i)
    workers.push_back(std::make_unique<SimWorker>(*this, i));
  for (uint32_t j = 0; j < options.jobs; ++j)
    clients.push_back(std::make_unique<SimClient>(*this, j));
  for (const JobPlan& job : plan.jobs) {
    stats.tasks += job.tasks.size();
    stats.objects += job.objects.size();
    for (const TaskPlan& t : job.tasks) stats.edges += t.edges.size();
  }
  stats.seeds = 1;
}

void World::Fail(std::string what) {
  if (failure_.empty()) failure_ = std::move(what);
}

void World::Trace(std::string_view who, std::string_view text) {
  if (!tracing()) return;
  if (!trace_.all && who != "fault" && who != "options" &&
      text.find(trace_.story) == std::string_view::npos)
    return;
  std::printf("%12" PRIu64 ".%03" PRIu64 " us  %-12.*s %.*s\n", loop.now() / 1000,
              loop.now() % 1000, static_cast<int>(who.size()), who.data(),
              static_cast<int>(text.size()), text.data());
}

const JobPlan* World::FindJobPlan(JobId job) const {
  uint32_t index = PlanOf(job);
  return index == Families::kNoPlan ? nullptr : &plan.jobs[index];
}

bool World::Mutate(Mutation mutation, uint32_t per_mille) {
  if (options.mutation != mutation || !mutation_rng_.Chance(per_mille)) return false;
  ++stats.mutations;
  return true;
}

// False: the time has come first.
bool World::RunUntil(uint64_t time, bool (World::*done)()) {
  uint64_t next_look = 0;
  for (uint64_t callbacks = 0; !failed(); ++callbacks) {
    if (done != nullptr && loop.now() >= next_look) {
      if ((this->*done)()) return true;
      next_look = loop.now() + 20 * kMs;
    }
    if (callbacks == kMaxCallbacks) Fail("the cluster goes in circles");
    if (loop.empty() || loop.next_time() > time) return false;
    loop.RunOne();
  }
  return false;
}

bool World::JobsEnded() {
  if (!scheduler.alive()) return false;
  for (uint32_t j = 0; j < clients.size(); ++j) {
    if (!clients[j]->submitted() && !clients[j]->cancelled()) return false;
    const JobId id = families.RootJob(j);
    if (id == 0) return false;
    std::optional<scheduler::JobView> job = scheduler.core().GetJob(id);
    if (!job.has_value() || job->state == JobState::kOpen || job->state == JobState::kRunning)
      return false;
  }
  return WantsServed();
}

bool World::WantsServed() {
  for (uint32_t j = 0; j < clients.size(); ++j) {
    for (ObjectId id : clients[j]->wants()) {
      std::optional<scheduler::ObjectView> object = scheduler.core().GetObject(id);
      bool cancelled = clients[PlanOf(id.job)]->cancelled();
      if (!object.has_value()) return cancelled || clients[PlanOf(id.job)]->asked_to_forget();
      if (object->available || object->producer_state == TaskState::kFailed) continue;
      if (object->producer_state == TaskState::kCancelled || cancelled) continue;
      return false;
    }
  }
  return true;
}

bool World::Quiet() {
  if (!JobsEnded() || !scheduler.idle() || scheduler.replies_due() != 0) return false;
  const bool workers_done = std::all_of(workers.begin(), workers.end(), [](const auto& w) {
    return !w->alive() || (w->connected() && w->Leaks().empty());
  });
  if (!workers_done) return false;
  // A worker that was told that a holder is busy has no fetch under way, but will ask again.
  const std::vector<scheduler::WorkerView> views = scheduler.core().ListWorkers();
  return std::all_of(views.begin(), views.end(), [](const auto& w) { return w.gathering == 0; });
}

// Everything one after the other on one worker, three times, and the longest timers on top.
uint64_t World::ConvergenceNs() const {
  uint64_t work = 0;
  for (const JobPlan& job : plan.jobs) {
    for (const TaskPlan& t : job.tasks) {
      uint64_t runs = 2 + job.options[t.option].retries;
      work += runs * (2 * t.mean_ns + job.options[t.option].time_limit_ns +
                      job.options[t.option].backoff_ns + 4 * options.delay_max_ns);
      for (const EdgePlan& e : t.edges) {
        for (Ordinal o : e.objects) {
          work += 4 * options.delay_max_ns +
                  plan.jobs[e.job].objects[o].size_bytes * kMs / options.bandwidth_bytes_per_ms;
        }
      }
    }
  }
  return 3 * work + 4 * (options.scheduler.silent_ns + options.scheduler.forget_after_ns) +
         60 * kSec;
}

std::string World::Unfinished() {
  std::string out =
      StrCat("  ", scheduler.replies_due(), " replies due", scheduler.idle() ? "" : ", busy", "\n");
  for (const auto& w : workers)
    out += StrCat("  ", w->Line(), " ", w->alive() ? w->Leaks() : "", "\n");
  for (const scheduler::WorkerView& w : scheduler.core().ListWorkers()) {
    out += StrCat("  core: ", ToString(w.worker), " ", Name(w.state), " stream ", w.stream,
                  " assigned ", w.assigned, " running ", w.running, " home ", w.queued_home,
                  " cpus ", w.in_use.cpus_milli, "/", w.capacity.cpus_milli, "\n");
  }
  JobId next_job = 0;
  for (JobId id : scheduler.core().ListJobs(0, 1000, &next_job)) {
    std::optional<scheduler::JobView> job = scheduler.core().GetJob(id);
    if (job->forgotten) continue;
    out += StrCat("  job ", id, " ", Name(job->state), ":");
    for (size_t s = 1; s < job->tasks.size(); ++s) {
      if (job->tasks[s] != 0)
        out += StrCat(" ", Name(static_cast<TaskState>(s)), " ", job->tasks[s]);
    }
    out += "\n";
    Ordinal next = 0;
    constexpr uint32_t kUnfinishedStates = 1u << 1 | 1u << 2 | 1u << 3;
    for (const scheduler::TaskView& t :
         scheduler.core().ListTasks(id, kUnfinishedStates, 0, 10'000, &next)) {
      std::optional<scheduler::Explanation> why = scheduler.core().Explain(t.task);
      out += StrCat("    ", ToString(t.task), " ", Name(t.state), " ", Name(t.reason), " worker ",
                    ToString(t.worker));
      if (why.has_value()) {
        out += StrCat(" missing ", why->inputs_missing, "/", why->inputs_total);
        for (const auto& input : why->inputs)
          out += StrCat(" ", ToString(input.object), input.lost ? "(lost)" : "");
        for (const scheduler::WorkerFitView& fit : why->workers) {
          out += StrCat(" ", ToString(fit.worker),
                        fit.now         ? ":now"
                        : fit.when_idle ? ":idle"
                                        : ":never",
                        "/", static_cast<uint32_t>(fit.limit.kind));
        }
        for (const auto& a : why->attempts) {
          out += StrCat(" #", a.attempt, "@", ToString(a.worker), a.ended ? "=" : ":",
                        a.ended ? Name(a.end) : Name(a.state));
        }
      }
      out += "\n";
      if (out.size() > 8000) return out + "    ...\n";
    }
  }
  for (const auto& c : clients) {
    for (ObjectId id : c->wants()) {
      std::optional<scheduler::ObjectView> o = scheduler.core().GetObject(id);
      if (o.has_value() && !o->available) {
        out += StrCat("  wanted ", ToString(id), " version ", o->version, " of ",
                      ToString(o->producer), " ", Name(o->producer_state), "\n");
      }
    }
  }
  return out;
}

bool World::JobsForgotten() {
  return std::all_of(clients.begin(), clients.end(), [](const auto& c) { return c->forgotten(); });
}

// With streams that break meanwhile: who was not told learns it on its return.
void World::ForgetJobs() {
  clients_done = true;
  for (auto& c : clients) c->Forget();
  faults.BreakSome();
  RunUntil(loop.now() + 2 * options.scheduler.forget_after_ns + 2 * options.scheduler.silent_ns,
           nullptr);
  if (!failed() && !RunUntil(loop.now() + kSec, &World::JobsForgotten))
    Fail("jobs are not forgotten");
  if (!failed()) checker.CheckForgotten();
  std::string broken = failed() ? "" : scheduler.core().Validate();
  if (!broken.empty()) Fail("SchedulerCore::Validate with all forgotten: " + broken);
}

std::string World::Run() {
  Trace("options", StrCat("rerun_after ", options.scheduler.rerun_after_closed_ns / kMs,
                          " ms, silent ", options.scheduler.silent_ns / kMs, " ms, forget ",
                          options.scheduler.forget_after_ns / kMs, " ms, budgets ",
                          options.scheduler_budget, " ", options.worker_budget));
  scheduler.SetLicences(options.licences_milli);
  for (auto& w : workers) loop.After(net.Delay(), [&w] { w->Start(); });
  for (auto& c : clients) c->Start();
  faults.Plan();
  RunUntil(loop.now() + options.fault_window_ns, nullptr);
  // Every seed is hard: a needed object's only replica is lost in each.
  for (int i = 0; i < 6000 && !failed() && !faults.HardEnough(); ++i) {
    faults.Harden();
    loop.After(20 * kMs, [] {});
    RunUntil(loop.now() + 20 * kMs, nullptr);
  }
  if (!failed() && !faults.HardEnough()) Fail("the seed is too easy: " + faults.Hardness());

  // The healed phase: nothing new goes wrong, and everything has to come to its end.
  Trace("fault", "healed");
  healed = true;
  net.Heal();
  faults.Heal();
  for (auto& c : clients) c->Heal();
  if (!failed() && !RunUntil(loop.now() + ConvergenceNs(), &World::JobsEnded)) {
    Fail("stuck: not everything ended after the faults were over\n" + Unfinished());
  }
  for (auto& c : clients) c->WantLate();
  RunUntil(loop.now() + 100 * kMs, nullptr);
  if (!failed() && !RunUntil(loop.now() + ConvergenceNs(), &World::Quiet)) {
    Fail("stuck: wants not served or attempts left over\n" + Unfinished());
  }
  for (auto& c : clients) c->DropWants();
  RunUntil(loop.now() + 2 * options.scheduler.forget_after_ns + 2 * options.scheduler.silent_ns,
           nullptr);
  if (!failed() && !RunUntil(loop.now() + ConvergenceNs(), &World::Quiet))
    Fail("not quiet at the end\n" + Unfinished());
  if (!failed()) {
    std::string broken = scheduler.core().Validate();
    if (!broken.empty()) Fail("SchedulerCore::Validate at the end: " + broken);
  }
  if (!failed()) checker.CheckEnd();
  if (!failed()) ForgetJobs();
  scheduler.CountCore();
  stats.simulated_ms = loop.now() / kMs;
  return failure_;
}

}  // namespace taskd::sim
