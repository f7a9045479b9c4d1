// Every invariant that holds between units of work. Each check names what is wrong and where.
#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

struct Recount {
  std::vector<uint64_t> objects, object_bytes, idle_bytes, home, to_move, sends, sending_bytes;
  struct OfFamily {
    uint64_t ready = 0, attempts = 0, left_cpu_us = 0, outside_wants = 0, open_children = 0;
    StateCounts of_children = {};
    uint64_t children = 0;
    auto operator<=>(const OfFamily&) const = default;
  };
  absl::btree_map<JobId, OfFamily> families;  // by root
  OfFamily* family = nullptr;                 // of the job looked at
};

// Everything that was told, and all that is due, has had its effects.
bool Quiet(const State& state) {
  return state.worklist.empty() && state.commands.empty() &&
         state.timers.EarliestNs() > state.now_ns;
}

std::string CheckAlias(const State& state, const Job& job, Ordinal ordinal) {
  const ObjectRec& object = job.objects[ordinal];
  const ObjectId name{job.id, ordinal};
  const CollectionRec& c = job.BehindAlias(object);
  if (object.replicas != kNil || object.unclaimed)
    return StrCat(name, ": delegated, and has replicas");
  if (c.alias != ordinal) return StrCat(name, ": what is behind it does not know it");
  if (!Quiet(state)) return "";
  if (c.held != state.Wanted(job, object))
    return StrCat(name, ": wanted, and what is behind it is not held, or the reverse");
  if (c.behind == ObjectId{}) return "";
  const Job* next = state.FindJob(c.job);
  if (next == nullptr || c.behind != state.Behind(*next, c.first))
    return StrCat(name, ": something else is behind it");
  return "";
}

std::string CheckObject(const State& state, const Job& job, Ordinal ordinal, Recount& seen) {
  const ObjectRec& object = job.objects[ordinal];
  const ObjectId name{job.id, ordinal};
  uint32_t usable = 0, staying = 0, to_move = 0, previous = kNil;
  for (uint32_t r = object.replicas; r != kNil; r = state.replicas[r].next) {
    const ReplicaRec& replica = state.replicas[r];
    if (replica.worker >= state.workers.size() || state.workers[replica.worker] == nullptr) {
      return StrCat(name, ": a replica at a free worker slot ", replica.worker);
    }
    const auto& held = state.workers[replica.worker]->held;
    if (replica.held_at >= held.size() || held[replica.held_at] != ObjectId{job.id, ordinal})
      return StrCat(name, ": not listed where its holder should have it");
    if (object.wide) {
      const WideIndex& index = state.wide_objects.find({job.id, ordinal})->second;
      auto it = index.find(replica.worker);
      if (it == index.end() || it->second != previous)
        return StrCat(name, ": its index of holders is wrong");
      previous = r;
    }
    usable += replica.usable;
    staying += replica.usable && state.workers[replica.worker]->up();
    to_move += replica.to_move;
    seen.to_move[replica.worker] += replica.to_move;
    ++seen.objects[replica.worker];
    seen.object_bytes[replica.worker] += object.size_bytes;
    if (object.live_consumers == 0) seen.idle_bytes[replica.worker] += object.size_bytes;
  }
  if (usable != object.usable) return StrCat(name, ": replica counts are wrong");
  if (object.replicas != kNil && object.version == 0)
    return StrCat(name, ": replicas of no version");
  if (object.unclaimed && (object.replicas != kNil || object.version == 0))
    return StrCat(name, ": unclaimed, with replicas or without a version");
  if (!object.announced && object.presence != state.Actual(job, object)) {
    return StrCat(name, ": its presence changed and nobody is told");
  }
  if (object.alias) return CheckAlias(state, job, ordinal);
  if (!Quiet(state)) return "";
  if (object.replicas != kNil && !state.Wanted(job, object))
    return StrCat(name, ": unwanted and not freed");
  if (usable > 0 && staying == 0 && to_move < usable)
    return StrCat(name, ": only where workers leave, and not to be moved");
  if (to_move > usable || (to_move > 0 && !object.copying))
    return StrCat(name, ": nobody moves it");
  // A crash may have lost the seal after which it was freed: then it is made when a consumer comes.
  bool seal_lost = !job.sealed && job.taken_in.front().start < state.config.start_count &&
                   object.live_consumers == 0 && object.outside_wants == 0;
  if (job.tasks[object.producer].state == TaskState::kDone && !seal_lost &&
      object.presence == Presence::kMissing && state.Wanted(job, object)) {
    return StrCat(name, ": gone and not made again, wanted by ", object.live_consumers,
                  " consumers, ", uint32_t{object.outside_wants}, " outside",
                  object.graph_want ? ", the graph" : "", job.sealed ? "" : ", the open job");
  }
  return "";
}

std::string CheckTask(const State& state, const Job& job, Ordinal ordinal, Recount& seen) {
  const TaskRec& task = job.tasks[ordinal];
  const TaskId name{job.id, ordinal};
  bool queued = task.position != kNotInHeap;
  if (queued != (task.state == TaskState::kReady && !task.backoff)) {
    return StrCat(name, ": in a queue and not ready, or ready and in no queue");
  }
  if (queued && task.home != kNoSlot) {
    if (task.home >= state.workers.size() || state.workers[task.home] == nullptr)
      return StrCat(name, ": home is gone");
    ++seen.home[task.home];
  }
  if (task.position == kInSuspects) {
    if (!state.suspects.contains({job.id, ordinal}))
      return StrCat(name, ": a suspect that is not waiting");
  } else if (queued) {
    const ReadyQueue& queue = task.home == kNoSlot
                                  ? state.shapes[task.shape].queue
                                  : state.FindLoad(*state.workers[task.home], task.shape)->home;
    if (!queue.Holds(job, ordinal)) return StrCat(name, ": not in the queue that it says");
    ++seen.family->ready;
  }
  seen.family->left_cpu_us += state.ToldCpuUs(job, task) * HalvesLeft(task.state) / 2;
  bool live = false;
  for (uint32_t a = task.attempts; a != kNil; a = state.attempts[a].next_of_task) {
    const AttemptRec& attempt = state.attempts[a];
    if (attempt.job != job.id || attempt.task != ordinal)
      return StrCat(name, ": an attempt of another task");
    seen.family->attempts += !attempt.orphaned && !attempt.yielded;
    live |= !attempt.orphaned && attempt.state != AttemptState::kCancelling;
  }
  if (live != (task.state == TaskState::kActive))
    return StrCat(name, ": active without an attempt, or the reverse");
  if (!Quiet(state) || task.starting) {
    const bool forgotten = task.starting && Quiet(state) && job.child != ChildState::kHeld;
    return forgotten ? StrCat(name, ": starting and forgotten") : "";
  }
  if (task.state != TaskState::kWaiting && task.state != TaskState::kReady &&
      task.state != TaskState::kActive)
    return "";
  uint32_t missing = 0, away = 0;
  for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
    Presence presence = state.SourcePresence(job, job.edges[e].source);
    missing += presence == Presence::kMissing || presence == Presence::kDead;
    away += presence == Presence::kAway;
    if (presence == Presence::kDead && task.state != TaskState::kActive) {
      return StrCat(name, ": an input will never exist and it has not failed");
    }
  }
  if (missing != task.missing || away != task.away) return StrCat(name, ": input counts are wrong");
  if (task.state == TaskState::kWaiting && missing == 0 && away == 0)
    return StrCat(name, ": waiting for nothing");
  if (task.state == TaskState::kReady && missing + away > 0)
    return StrCat(name, ": ready without its inputs");
  return "";
}

// Unfinished consumers of every source, counted anew.
std::string CheckWants(const State& state, const Job& job) {
  std::vector<uint32_t> objects(job.objects.size()), collections(job.collections.size());
  const Ordinal started = job.child == ChildState::kHeld ? 0 : job.tasks.size();
  for (Ordinal t = 0; t < started; ++t) {
    const TaskRec& task = job.tasks[t];
    if (task.state == TaskState::kDone || task.state == TaskState::kFailed ||
        task.state == TaskState::kCancelled)
      continue;
    for (uint32_t e = task.edges; e < task.edges + task.edge_count; ++e) {
      uint32_t source = job.edges[e].source;
      ++(source & kCollectionBit ? collections[source & ~kCollectionBit] : objects[source]);
    }
  }
  for (uint32_t c = 0; c < job.collections.size(); ++c) {
    const CollectionRec& collection = job.collections[c];
    collections[c] += collection.held;
    if (collections[c] != collection.live_consumers)
      return StrCat("job ", job.id, " collection ", c, ": consumers");
    uint32_t missing = 0, away = 0, dead = 0;
    const Job* owner = state.MembersOf(job, collection);
    if (owner == nullptr) continue;
    for (uint32_t i = 0; i < collection.count; ++i) {
      Ordinal member = collection.first + i * collection.stride;
      if (owner == &job) objects[member] += collections[c] > 0;
      Presence presence = owner->objects[member].presence;
      missing += presence == Presence::kMissing;
      away += presence == Presence::kAway;
      dead += presence == Presence::kDead;
    }
    if (missing != collection.missing || away != collection.away || dead != collection.dead) {
      return StrCat("job ", job.id, " collection ", c, ": member counts");
    }
  }
  for (const auto& [key, importer] : job.importers) {
    const CollectionRec& c = state.FindJob(importer.job)->collections[importer.collection];
    for (uint32_t i = 0; i < c.count && c.live_consumers > 0; ++i)
      ++objects[c.first + i * c.stride];
  }
  for (Ordinal o = 0; o < job.objects.size(); ++o) {
    // Of one that is swept the readers were cut off; its records go with its last attempt.
    if (objects[o] != job.objects[o].live_consumers && !job.swept) {
      return StrCat(ToString(ObjectId{job.id, o}), ": ", job.objects[o].live_consumers,
                    " consumers, counted ", objects[o]);
    }
  }
  return "";
}

std::string CheckChild(const State& state, const Job& job) {
  if (job.is_root()) return job.family->root == job.id ? "" : StrCat("job ", job.id, ": a root?");
  const Job* parent = state.FindJob(job.parent.task.job);
  if (parent == nullptr) return StrCat("job ", job.id, ": its parent is gone");
  auto it = parent->children.find({job.parent.task.ordinal, job.parent.attempt});
  if (it == parent->children.end() || it->second != job.id ||
      !job.family->children.contains(job.id))
    return StrCat("job ", job.id, ": its parent does not know it");
  const bool may_wait = state.now_ns <= state.grace_until_ns || !Quiet(state);
  // What is being forgotten is asked nothing any more.
  if (job.pending() && !job.forgetting && state.FindAttempt(job.parent) == kNil && !may_wait)
    return StrCat("job ", job.id, ": waits for an attempt that is over");
  return "";
}

bool SomeSuspectCanRun(const State& state, const Worker& worker) {
  return std::any_of(state.suspects.begin(), state.suspects.end(), [&](TaskId id) {
    const Job& job = *state.FindJob(id.job);
    return state.CanRun(worker, job.tasks[id.ordinal].shape) && !job.family->share.at_limit();
  });
}

std::string CheckWorker(const State& state, const Worker& worker, Recount& seen) {
  const WorkerId name = worker.id;
  if (worker.held.size() != seen.objects[worker.id.slot] ||
      worker.object_bytes != seen.object_bytes[worker.id.slot]) {
    return StrCat(name, ": object counts are wrong");
  }
  if (worker.idle_bytes != seen.idle_bytes[worker.id.slot])
    return StrCat(name, ": idle bytes are wrong");
  if (worker.home_tasks != seen.home[worker.id.slot])
    return StrCat(name, ": home counts are wrong");
  Resources used;
  uint32_t attempts = 0, started = 0, ahead = 0, yielded = 0;
  uint64_t promised = 0;
  for (uint32_t a = worker.first_attempt; a != kNil; a = state.attempts[a].next) {
    const AttemptRec& attempt = state.attempts[a];
    if (attempt.worker != worker.id) return StrCat(name, ": an attempt of another worker");
    if (attempt.sender && state.generations[attempt.sender.slot] == attempt.sender.generation) {
      ++seen.sends[attempt.sender.slot];
      seen.sending_bytes[attempt.sender.slot] += attempt.sent_bytes;
    }
    ++attempts;
    started += attempt.started_ns != 0;
    ahead += !attempt.slotted;
    promised += attempt.promised_in_bytes + (attempt.yielded ? 0 : attempt.promised_out_bytes);
    yielded += attempt.yielded;
    auto waits = state.awaits.find({{attempt.job, attempt.task}, attempt.id});
    if (attempt.state == AttemptState::kYielded &&
        (waits == state.awaits.end() ||
         (waits->second.left == 0 && worker.up() && !worker.resuming &&
          state.PoolsFree(state.VariantOf(attempt)))))
      return StrCat(name, ": an attempt waits for nothing");
    if (!attempt.slotted || attempt.yielded) continue;
    used += state.VariantOf(attempt).need;
  }
  if (yielded != worker.yielded) return StrCat(name, ": yielded attempts are counted wrong");
  if (worker.alone && worker.attempts - yielded != 1)
    return StrCat(name, ": a suspect's worker has company");
  if (attempts != worker.attempts || started != worker.started || ahead != worker.ahead) {
    return StrCat(name, ": attempt counts are wrong");
  }
  if (promised != worker.promised_bytes) return StrCat(name, ": promises are wrong");
  if (worker.short_of_memory != state.short_of_memory.contains(worker.id.slot) ||
      (worker.short_of_memory && (!worker.up() || worker.attempts == worker.yielded) &&
       !worker.dirty)) {
    return StrCat(name, ": waits for memory in vain");
  }
  if (worker.to_move != seen.to_move[worker.id.slot])
    return StrCat(name, ": replicas to move are counted wrong");
  if (worker.reserved && worker.up() && !worker.dirty && worker.attempts == worker.yielded &&
      SomeSuspectCanRun(state, worker))
    return StrCat(name, ": kept for a task that could run there");
  uint64_t gathering = 0;
  for (ObjectId id : worker.gathering) {
    auto gather = state.gathers.find(id);
    if (gather == state.gathers.end() || gather->second.target != worker.id)
      return StrCat(name, ": gathers what nobody ordered");
    gathering += gather->second.bytes;
  }
  if (gathering != worker.gathering_bytes) return StrCat(name, ": gathered bytes are wrong");
  bool may_take = worker.up() && worker.gathering.size() < limits::kGathersPerWorker;
  if (may_take != state.takers.contains(worker.id.slot))
    return StrCat(name, ": wrongly asked to gather, or not");
  if (used != worker.used) return StrCat(name, ": charged resources are wrong");
  if (Quiet(state) && !worker.up() && worker.home_tasks > 0)
    return StrCat(name, ": tasks wait for it in vain");
  return "";
}

}  // namespace

std::string ValidateState(const State& state) {
  Recount seen;
  for (auto* v : {&seen.objects, &seen.object_bytes, &seen.idle_bytes, &seen.home, &seen.to_move,
                  &seen.sends, &seen.sending_bytes})
    v->resize(state.workers.size());
  StateCounts total = {};
  for (const Job* job = state.jobs.From(1); job != nullptr; job = state.jobs.From(job->id + 1)) {
    StateCounts counts = {};
    seen.family = &seen.families[job->family->root];
    seen.family->outside_wants += job->outside_wants;
    seen.family->open_children += !job->is_root() && !job->ended;
    seen.family->children += !job->is_root();
    for (Ordinal t = 0; t < job->tasks.size(); ++t) {
      ++counts[static_cast<size_t>(job->tasks[t].state)];
      if (std::string bad = CheckTask(state, *job, t, seen); !bad.empty()) return bad;
    }
    for (Ordinal o = 0; o < job->objects.size(); ++o) {
      if (std::string bad = CheckObject(state, *job, o, seen); !bad.empty()) return bad;
    }
    if (!job->is_root() && job->child != ChildState::kDiscarded) {
      for (size_t i = 0; i < counts.size(); ++i) seen.family->of_children[i] += counts[i];
    }
    if (std::string bad = CheckChild(state, *job); !bad.empty()) return bad;
    if (counts != job->progress.counts) return StrCat("job ", job->id, ": task counts are wrong");
    for (size_t i = 0; i < counts.size(); ++i) total[i] += counts[i];
    if (!Quiet(state)) continue;
    if (!job->family->parked.empty() && !job->family->share.at_limit())
      return StrCat("job ", job->id, ": below its limit and skipped");
    if (job->swept && job->attempts == 0 && job->children.empty())
      return StrCat("job ", job->id, ": swept, and its records stay");
    if (std::string bad = CheckWants(state, *job); !bad.empty()) return bad;
    if (job->sealed && job->unfinished() == 0 && !job->ended && job->retries_pending == 0 &&
        (!job->is_root() || job->family->open_children == 0))
      return StrCat("job ", job->id, ": over and not ended");
  }
  for (const auto& [root, counted] : seen.families) {
    const Family& family = *state.jobs[root]->family;
    const Recount::OfFamily known{
        family.share.ready,
        family.share.attempts,
        family.left_cpu_us,
        family.outside_wants,
        family.open_children,
        state.jobs[root]->forgetting ? counted.of_children : family.of_children.counts,
        family.children.size()};
    auto text = [](const Recount::OfFamily& f) {
      std::string out = StrCat(f.ready, " ready, ", f.attempts, " attempts, ", f.left_cpu_us,
                               " us left, ", f.outside_wants, " wants, ", f.open_children, " of ",
                               f.children, " children open, their tasks");
      for (uint64_t count : f.of_children) out += StrCat(" ", count);
      return out;
    };
    if (known != counted)
      return StrCat("job ", root, " and its children: ", text(known), "; counted ", text(counted));
  }
  if (total != state.counters.tasks) return "counters: tasks by state are wrong";
  uint64_t gathers = 0;
  for (const auto& worker : state.workers) {
    if (worker == nullptr) continue;
    gathers += worker->gathering.size();
    if (std::string bad = CheckWorker(state, *worker, seen); !bad.empty()) return bad;
  }
  if (gathers != state.gathers.size()) return "gathers are counted wrong";
  for (const auto& worker : state.workers) {
    if (worker != nullptr && (worker->sends != seen.sends[worker->id.slot] ||
                              worker->sending_bytes != seen.sending_bytes[worker->id.slot]))
      return StrCat(ToString(worker->id), ": what it sends is counted wrong");
  }
  return "";
}

}  // namespace taskd::scheduler
