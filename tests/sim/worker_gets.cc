// Objects that bodies ask for while they run, by the rules of worker/shell/dialogs.cc: a lookup at the scheduler, then the
// store has it or a gather brings it; what is still to come is awaited first. Whatever goes wrong, it begins anew with
// its lookup.
#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = worker::event;

namespace {
constexpr uint64_t kPauseNs = 200 * kMs;
}

// Most are what a task close by reads: that may be on its way to this worker.
Ordinal SimWorker::DrawGet(const JobPlan& job, Ordinal end) {
  const Ordinal newest = end - 1;
  const uint64_t close = job.objects[newest].task + gets_rng_.Below(12);
  if (close < job.tasks.size() && gets_rng_.Chance(700)) {
    for (const EdgePlan& e : job.tasks[close].edges) {
      if (&world_.plan.jobs[e.job] == &job && e.parts.whole() && e.objects.back() < end)
        return e.objects[gets_rng_.Below(e.objects.size())];
    }
  }
  return newest - static_cast<Ordinal>(gets_rng_.Below(std::min<Ordinal>(end, 40)));
}

// Of objects before that one: none of their tasks waits for this one.
void SimWorker::GetSome(const AttemptRef& attempt, uint32_t plan, ObjectId end) {
  auto exec = execs_.find(attempt);
  if (exec == execs_.end() || exec->second.stubborn || end.ordinal == 0) return;
  for (uint64_t n = gets_rng_.Between(1, 3); n > 0; --n) {
    const ObjectId object{end.job, DrawGet(world_.plan.jobs[plan], end.ordinal)};
    Get& get = gets_[++last_get_];
    get = {.attempt = attempt, .object = object, .plan = plan};
    ++exec->second.gets;
    ++world_.stats.gets;
    LookUp(last_get_, get);
  }
}

// Of what it has submitted so far.
void SimWorker::GetOfChild(const AttemptRef& attempt, const Exec& exec) {
  if (!gets_rng_.Chance(world_.options.gets_per_mille)) return;
  const uint32_t plan = PlanOf(attempt).tasks[attempt.task.ordinal].child - 1;
  const JobPlan& child = world_.plan.jobs[plan];
  Ordinal tasks = 0;
  while (tasks < child.tasks.size() && child.batch_of_task[tasks] < exec.submitted) ++tasks;
  const TaskPlan& last = child.tasks[tasks - 1];
  GetSome(attempt, plan, {exec.child, last.first_output + last.output_count});
}

void SimWorker::LookUp(uint64_t token, Get& get) {
  get.gathering = {};
  get.retry_ns = 0;
  if (!up_) return;  // the next session does
  SendReport();
  world_.net.LookUp(stream_, token, get.object);
}

void SimWorker::LookUpAll() {
  for (auto& [token, get] : gets_) {
    auto exec = execs_.find(get.attempt);
    if (exec == execs_.end() || exec->second.waiting_get != token) LookUp(token, get);
  }
}

void SimWorker::OnFound(scheduler::StreamId stream, uint64_t token, event::Gather where,
                        bool never) {
  auto found = gets_.find(token);
  if (!alive() || stream != stream_ || found == gets_.end()) return;
  Get& get = found->second;
  if (never) {
    ++world_.stats.gets_failed;
    EndGet(found);
    return;
  }
  const ObjectVersion id = where.object.id;
  if (id.version == 0) {
    if (auto exec = execs_.find(get.attempt); exec != execs_.end()) {
      if (exec->second.waits) {  // one wait at a time
        EndGet(found);
        return;
      }
      exec->second.waits = true;
      exec->second.waiting_get = token;
    }
    ++world_.stats.gets_waited;
    event::ExecYield yield{get.attempt, {get.object}};
    for (const auto& [other_token, other] : gets_) {
      if (other.attempt == get.attempt && (other.gathering.version != 0 || other.retry_ns != 0))
        yield.awaits.push_back(other.object);
    }
    return Post(std::move(yield));
  }
  get.gathering = id;
  ReadFor(id);
  if (!gets_.contains(token)) return;
  ++world_.stats.gets_gathered;
  NoteAddresses(where.object);
  where.session = stream;
  Post(std::move(where));
}

// What the core says is here, and cannot be read, is looked for again.
void SimWorker::OnReplica(const ObjectVersion& id) {
  ReadFor(id);
  OnGatherFailed(id);
}

void SimWorker::ReadFor(const ObjectVersion& id) {
  for (auto it = gets_.begin(); it != gets_.end();) {
    const Get& get = it->second;
    if (get.gathering != id) {
      ++it;
      continue;
    }
    if (damaged_.contains(id)) Lose({id, {}}, false);
    auto blob = store_.find({id, {}});
    if (blob == store_.end()) {
      // The store's word of it comes to the core after the gather.
      After(gets_rng_.Below(kMs), [this, id] { NoticeVanished(id); });
      ++it;
      continue;
    }
    // After a crash another job may have the number.
    if (world_.PlanOf(get.object.job) == get.plan &&
        blob->second.value != world_.plan.jobs[get.plan].objects[get.object.ordinal].value)
      return world_.Fail(StrCat(ToString(get.attempt), " on ", name_, " asked for ",
                                ToString(get.object), " and got wrong bytes"));
    ++world_.stats.gets_answered;
    it = EndGet(it);
  }
}

void SimWorker::OnGatherFailed(const ObjectVersion& id) {
  for (auto& [token, get] : gets_) {
    if (get.gathering != id) continue;
    if (++get.tries == limits::kTaskGetTries)
      return world_.Fail(StrCat(ToString(get.attempt), " on ", name_, " could not have ",
                                ToString(get.object), " from anybody"));
    ++world_.stats.gets_retried;
    get.gathering = {};
    get.retry_ns = world_.loop.now() + kPauseNs;
    After(kPauseNs, [this, token = token, due = get.retry_ns] {
      auto found = gets_.find(token);
      if (found != gets_.end() && found->second.retry_ns == due) LookUp(token, found->second);
    });
  }
}

SimWorker::Gets::iterator SimWorker::EndGet(Gets::iterator get) {
  auto exec = execs_.find(get->second.attempt);
  if (exec != execs_.end()) --exec->second.gets;
  return gets_.erase(get);
}

void SimWorker::ReleaseGets(const AttemptRef& attempt) {
  std::erase_if(gets_, [&](const auto& entry) { return entry.second.attempt == attempt; });
}

}  // namespace taskd::sim
