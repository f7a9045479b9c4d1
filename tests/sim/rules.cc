// Which actions of the scheduler are allowed.
#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/names.h"
#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace action = scheduler::action;
using scheduler::StreamId;

void Checker::OnAction(const scheduler::Action& any) {
  std::visit(
      [this](const auto& a) {
        using A = std::decay_t<decltype(a)>;
        if constexpr (requires { a.stream; })
          CheckStream(a.stream, std::is_same_v<A, action::Welcome>);
        if (world_.failed()) return;
        if constexpr (std::is_same_v<A, action::CloseStream> || std::is_same_v<A, action::Refuse>) {
          streams_[a.stream].state = StreamState::kClosed;
          Peer* peer = Current(a.stream);
          if (peer != nullptr) Disconnect(*peer);
        }
        if constexpr (std::is_same_v<A, action::Drain>)
          peers_[streams_[a.stream].peer].draining = true;
        if constexpr (requires { On(a); }) On(a);
      },
      any);
}

void Checker::CheckStream(StreamId id, bool welcome) {
  auto found = streams_.find(id);
  if (found == streams_.end())
    return Fail(StrCat("an action to stream ", id, ", which does not exist"));
  Stream& stream = found->second;
  if (stream.state == StreamState::kClosed)
    return Fail(StrCat("an action to stream ", id, ", which is closed"));
  if (welcome && std::exchange(stream.welcomed, true))
    Fail(StrCat("a second welcome on stream ", id));
}

void Checker::On(const action::Welcome& a) {
  Stream& stream = streams_[a.stream];
  auto [entry, fresh] = index_of_worker_.emplace(a.worker.packed(), stream.peer);
  if (!fresh && entry->second != stream.peer)
    Fail(StrCat(ToString(a.worker), " names two workers"));
  Peer& peer = peers_[stream.peer];
  if (peer.id != a.worker) peer.draining = false;  // it was forgotten, or restarted: a new worker
  peer.id = a.worker;
}

void Checker::On(const action::Assign& a) {
  const Assignment& assignment = a.assignment;
  Stream& stream = streams_[a.stream];
  Peer& peer = peers_[stream.peer];
  if (!stream.welcomed) return Fail("an assignment before the welcome");
  Task* task = FindTask(assignment.attempt.task);
  if (task == nullptr)
    return Fail(
        StrCat("an assignment of ", ToString(assignment.attempt), ", which does not exist"));
  const Job& root = JobOf(world_.families.RootOf(assignment.attempt.task.job));
  if (JobOf(assignment.attempt.task.job).cancelled ||
      (root.cancelled && root.cancelled_in < drained_))
    return Fail("an assignment of a cancelled job's task");
  if (task->failed) FollowRetries();
  if (task->failed && FollowsAnew(assignment.attempt.task)) task->failed = false;
  if (task->failed)
    return Fail(StrCat(ToString(assignment.attempt), " is assigned although its task has failed"));
  CheckAssignment(peer, assignment);
  CheckSingle(assignment);
  if (!OptionsOf(assignment.attempt.task).put) CheckJobLimit(assignment);
  if (task->accepted != 0) CheckRerun(assignment);
  if (world_.failed()) return;
  if (task->finished) rebuilds_.insert(assignment.attempt.task);
  task->finished = false;
  task->attempts.push_back(assignment.attempt.attempt);
  const bool alone = std::all_of(peer.live.begin(), peer.live.end(), [this](const AttemptRef& ref) {
    return attempts_.at(ref).yielded;
  });
  // What was put takes nothing.
  attempts_[assignment.attempt] = {.peer = stream.peer,
                                   .assigned = true,
                                   .alone = alone,
                                   .yielded = OptionsOf(assignment.attempt.task).put};
  peer.live.insert(assignment.attempt);
}

void Checker::CheckAssignment(const Peer& peer, const Assignment& a) {
  const JobPlan& job = *world_.FindJobPlan(a.attempt.task.job);
  const TaskPlan& plan = job.tasks[a.attempt.task.ordinal];
  std::string what = StrCat("the assignment of ", ToString(a.attempt));
  uint32_t index = static_cast<uint32_t>(&peer - peers_.data());
  const bool put = OptionsOf(a.attempt.task).put;
  if (peer.draining && !put) return Fail(what + " goes to a worker that is being drained");
  if (attempts_.contains(a.attempt)) return Fail(what + " names an attempt that was used before");
  const auto& variants = job.shapes[plan.shape].variants;
  if (put ? a.need != Resources{}
          : std::none_of(variants.begin(), variants.end(),
                         [&](const scheduler::Batch::Variant& v) { return v.need == a.need; })) {
    return Fail(what + " needs other resources than its task");
  }
  if (!a.need.Fits(world_.options.workers[index])) return Fail(what + " does not fit its worker");
  if (a.first_output != plan.first_output || a.output_count != plan.output_count ||
      a.body != plan.body) {
    return Fail(what + " has other outputs or another body than its task");
  }
  CheckPlace(peer, a);
  CheckLicences(a);
  CheckInputs(a);
}

const scheduler::Batch::Shape& Checker::ShapeOf(TaskId id) {
  const JobPlan& job = *world_.FindJobPlan(id.job);
  return job.shapes[job.tasks[id.ordinal].shape];
}

void Checker::CheckPlace(const Peer& peer, const Assignment& a) {
  const scheduler::Batch::Shape& shape = ShapeOf(a.attempt.task);
  if (peer.ends_at != 0 && !OptionsOf(a.attempt.task).put &&
      world_.loop.now() + shape.needs_time_ns >= peer.ends_at)
    return Fail(StrCat("the assignment of ", ToString(a.attempt), " goes to a worker that ends"));
  if (!shape.HasRule() || shape.preferred) return;
  uint32_t index = static_cast<uint32_t>(&peer - peers_.data());
  auto has = [](const std::vector<uint32_t>& names, uint32_t name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  bool named = (shape.workers.empty() && shape.hosts.empty()) ||
               has(shape.workers, WorkerName(index)) ||
               has(shape.hosts, HostName(index % world_.options.hosts));
  for (uint32_t attribute : shape.attributes)
    named = named && has(world_.options.attributes[index], attribute);
  if (!named)
    Fail(StrCat("the assignment of ", ToString(a.attempt), " to worker", index,
                " is against its rule"));
}

void Checker::CheckLicences(const Assignment& a) {
  auto taken = [this](const AttemptRef& ref) {
    uint32_t milli = 0;
    for (const PoolAmount& amount : ShapeOf(ref.task).variants[0].cluster) milli += amount.milli;
    return milli;
  };
  uint32_t wanted = taken(a.attempt), used = 0;
  std::string users;
  if (wanted == 0) return;
  for (const Peer& peer : peers_) {
    if (!Readable(peer)) continue;
    for (const AttemptRef& ref : peer.live) {
      const Attempt& attempt = attempts_.at(ref);
      const uint32_t milli = attempt.excused || attempt.yielded ? 0 : taken(ref);
      if (milli > 0) users += " " + ToString(ref);
      used += milli;
    }
  }
  if (used + wanted > licences_milli_)
    Fail(StrCat("the assignment of ", ToString(a.attempt), " takes ", wanted, " licences beside ",
                used, " of ", licences_milli_, ", which these have:", users));
}

void Checker::CheckJobLimit(const Assignment& a) {
  const JobId job = world_.families.RootOf(a.attempt.task.job);
  const uint32_t limit = world_.FindJobPlan(job)->max_running;
  if (limit == 0) return;
  size_t live = 0;
  for (const Peer& peer : peers_) {
    if (!Readable(peer)) continue;  // what an absent worker runs may have a second attempt
    live += std::count_if(peer.live.begin(), peer.live.end(), [&](const AttemptRef& ref) {
      const Attempt& attempt = attempts_.at(ref);
      return world_.families.RootOf(ref.task.job) == job && !attempt.excused && !attempt.yielded;
    });
  }
  if (live >= limit) {
    Fail(StrCat("the assignment of ", ToString(a.attempt), " is beyond the ", limit,
                " attempts at once that its job may have"));
  }
}

void Checker::CheckInputs(const Assignment& a) {
  const TaskPlan& plan = world_.FindJobPlan(a.attempt.task.job)->tasks[a.attempt.task.ordinal];
  std::string what = StrCat("the assignment of ", ToString(a.attempt));
  if (a.edges.size() != plan.edges.size())
    return Fail(what + " has another number of edges than its task");
  for (size_t e = 0; e < a.edges.size(); ++e) {
    const InputEdge& edge = a.edges[e];
    const EdgePlan& expected = plan.edges[e];
    if (edge.slot != expected.slot || edge.parts != expected.parts ||
        edge.count != expected.objects.size() || edge.first + edge.count > a.objects.size()) {
      return Fail(StrCat(what, ": edge ", e, " is not the task's"));
    }
    for (uint32_t i = 0; i < edge.count; ++i) {
      const InputObject& input = a.objects[edge.first + i];
      const ObjectId id =
          Behind({world_.families.Resolve(a.attempt.task.job, expected.job), expected.objects[i]});
      const ObjectPlan& object = world_.FindJobPlan(id.job)->objects[id.ordinal];
      if (input.id.object != id)
        return Fail(StrCat(what, ": edge ", e, " names ", ToString(input.id.object), ", not ",
                           ToString(id)));
      if (input.id.version != JobOf(id.job).objects[id.ordinal].version) {
        return Fail(StrCat(what, ": version ", input.id.version, " of ", ToString(id),
                           " is not the accepted one"));
      }
      if (input.size_bytes != object.size_bytes)
        return Fail(StrCat(what, ": wrong size of ", ToString(id)));
      if (!input.holders[0]) return Fail(StrCat(what, ": no holder of ", ToString(id)));
    }
  }
}

const scheduler::Batch::Options& Checker::OptionsOf(TaskId id) {
  const JobPlan& job = *world_.FindJobPlan(id.job);
  return job.options[job.tasks[id.ordinal].option];
}

void Checker::CheckSingle(const Assignment& a) {
  TaskId id = a.attempt.task;
  bool twin = false;
  for (AttemptId other : FindTask(id)->attempts) {
    const Attempt& attempt = attempts_[{id, other}];
    if (attempt.ended) continue;
    // A rebuild may be called off and begun anew in one step; a worker out of reach is not told.
    // Likewise of a cancel that a retry followed.
    bool abandoned =
        (FindTask(id)->accepted != 0 || JobOf(id.job).retried) && !peers_[attempt.peer].connected;
    // What runs long may get a second attempt, when it asked for that.
    bool straggles = attempt.started && OptionsOf(id).straggler_milli != 0;
    if (!attempt.excused && !abandoned && !straggles && Readable(peers_[attempt.peer])) {
      return Fail(StrCat(ToString(a.attempt), " is assigned while attempt ", other,
                         " is live at worker", attempt.peer, ", which is not away"));
    }
    twin = true;
  }
  if (twin) ++world_.stats.twins;
}

void Checker::CheckRerun(const Assignment& a) {
  ++world_.stats.reruns;
  TaskId id = a.attempt.task;
  Job& job = JobOf(id.job);
  const TaskPlan& plan = world_.FindJobPlan(id.job)->tasks[id.ordinal];
  bool lost = false, needed = false, retried = retries_.contains(id.job);
  for (Ordinal o = plan.first_output; o < plan.first_output + plan.output_count; ++o) {
    if (IsDelegated({id.job, o})) continue;
    // Freed and wanted again in one step: no message tells of it when its holder is out of reach.
    retried |= MayBeRetriedFor({id.job, o});
    if (!job.objects[o].gone && HasReadable({id.job, o})) continue;
    lost = true;
    std::string who = WhoNeeds({id.job, o}, Wants::kPossible);
    needed = needed || !who.empty();
    if (who == "a client") ++world_.stats.rebuilt_for_clients;
  }
  if (!lost && !retried) {
    std::string holders;
    for (Ordinal o = plan.first_output; o < plan.first_output + plan.output_count; ++o) {
      holders += "; " + HoldersText({id.job, o});
    }
    return Fail(StrCat(ToString(a.attempt),
                       " runs again although every output always had a replica", holders));
  }
  if (needed) return;
  ++world_.stats.needless_reruns;
  world_.Trace("checker", StrCat(ToString(a.attempt), " runs again, but nobody needs it now"));
}

std::string Checker::HoldersText(ObjectId id) const {
  AttemptId version = jobs_.at(id.job).objects[id.ordinal].version;
  std::string out = StrCat(ToString(id), "#", version, " at");
  for (uint32_t p = 0; p < peers_.size(); ++p) {
    if (!peers_[p].holds.contains({id, version})) continue;
    out += StrCat(" worker", p, Readable(peers_[p]) ? "" : " (away)");
  }
  return out;
}

void Checker::On(const action::Free& a) {
  Stream& stream = streams_[a.stream];
  ObjectId id = a.object.object;
  const JobPlan* plan = world_.FindJobPlan(id.job);
  if (!Known(id) && world_.families.WasChild(id.job)) return;
  if (plan == nullptr || id.ordinal >= plan->objects.size())
    return Fail("a Free of an object that does not exist");
  freed_.insert(a.object);
  bool accepted = a.object.version == JobOf(id.job).objects[id.ordinal].version;
  bool held = HasReadable(id);
  if (accepted) dead_.insert(a.object);
  Unhold(stream.peer, a.object);
  peers_[stream.peer].listed.erase(a.object);
  // Freed is freed everywhere: a worker out of reach, or that has not yet listed what it has, learns
  // it then.
  for (uint32_t p = 0; p < peers_.size() && accepted; ++p) {
    if (!peers_[p].connected || peers_[p].listing) Unhold(p, a.object);
  }
  if (!accepted || !held || HasReadable(id) || MayBeReplaced(id)) return;
  // Who needs it may have been put back after it was freed, in the same step.
  if (MayBeRetriedFor(id)) return;
  if (IsMadeAnew({id.job, plan->objects[id.ordinal].task}, id)) return;
  std::string needed = WhoNeeds(id, Wants::kCertain);
  // A rebuild counts its inputs a little later than it is decided.
  if (needed.ends_with("again"))
    ++world_.stats.early_frees;
  else if (!needed.empty())
    Fail(StrCat("the last replica of ", ToString(id), " is freed although it is needed: ", needed));
}

// An impure task runs again for all its outputs, because another one of them is or was lost; what
// comes back meanwhile does not count.
bool Checker::IsMadeAnew(TaskId task, ObjectId but) {
  if (!OptionsOf(task).impure) return false;
  std::optional<scheduler::TaskView> view = world_.scheduler.core().GetTask(task);
  if (!view.has_value() || view->state != TaskState::kDone) return true;
  const TaskPlan& plan = world_.FindJobPlan(task.job)->tasks[task.ordinal];
  for (Ordinal o = plan.first_output; o < plan.first_output + plan.output_count; ++o) {
    if (o != but.ordinal && !HasReadable({task.job, o}) && !IsDelegated({task.job, o})) return true;
  }
  return false;
}

void Checker::On(const action::Gather& a) {
  const Peer& target = peers_[streams_[a.stream].peer];
  const ObjectVersion& id = a.object.id;
  std::string what = StrCat("a gather of ", ToString(id.object));
  const JobPlan* plan = world_.FindJobPlan(id.object.job);
  if (plan == nullptr || id.object.ordinal >= plan->objects.size())
    return Fail(what + ", which does not exist");
  if (!target.connected || target.draining) Fail(what + " by a worker that is not there to stay");
  if (target.holds.contains(id)) Fail(what + " by a worker that has it");
  if (id.version != JobOf(id.object.job).objects[id.object.ordinal].version)
    Fail(what + " in another version than the accepted one");
  if (!a.object.holders[0]) Fail(what + " from nobody");
}

// It may go: nobody needs what only it has.
void Checker::On(const action::Retire& a) {
  uint32_t leaver = streams_[a.stream].peer;
  if (peers_[leaver].stream != a.stream) return;  // a newer one came in the same step
  if (!peers_[leaver].draining) return Fail("a worker is retired that nobody drained");
  for (const ObjectVersion& id : peers_[leaver].holds) {
    if (!Known(id.object)) continue;  // a crash took it along
    if (id.version != JobOf(id.object.job).objects[id.object.ordinal].version) continue;
    bool elsewhere = left_now_.contains(id);
    for (uint32_t p = 0; p < peers_.size(); ++p)
      elsewhere |= p != leaver && peers_[p].connected && peers_[p].holds.contains(id);
    if (elsewhere) continue;
    std::string needed = WhoNeeds(id.object, Wants::kCertain);
    if (needed.empty() || needed.ends_with("again") || MayBeRetriedFor(id.object)) continue;
    return Fail(StrCat("worker", leaver, " is retired with the only copy of ", ToString(id.object),
                       ": ", needed));
  }
}

// When `root` is tried again as a whole: what its tasks submitted, unless it goes with an attempt that has not
// finished.
bool Checker::MayReturn(JobId of, JobId root) {
  return !JobOf(of).discarded && (of == root || JobOf(of).accepted);
}

// A worker may drop copies for room; a last one that is needed goes only by the scheduler's order.
void Checker::OnDrop(uint32_t worker, const ObjectVersion& id, bool last) {
  if (!last || freed_.contains(id) || !Known(id.object)) return;
  if (id.version != JobOf(id.object.job).objects[id.object.ordinal].version) return;
  std::string needed = WhoNeeds(id.object, Wants::kCertain);
  if (needed.empty()) return;
  Fail(StrCat("worker", worker, " drops the last copy of ", ToString(id.object), "#", id.version,
              " unasked although it is needed: ", needed));
}

// An attempt that is being cancelled is no reason not to try again elsewhere.
// A cancelled attempt does not stand in the way of others.
void Checker::On(const action::Cancel& a) {
  auto found = attempts_.find(a.attempt);
  if (found != attempts_.end()) found->second.excused = true;
}

void Checker::On(const action::AckOutcomes& a) {
  uint64_t last = streams_[a.stream].last_outcome;
  if (a.sequence > last) {
    Fail(StrCat("outcome ", a.sequence, " is acknowledged, but only ", last, " came"));
  }
}

void Checker::On(const action::Journal& a) {
  using action::RecordKind;
  needs_changed_ = true;
  switch (a.kind) {
    case RecordKind::kFinish:
      return OnFinish(a);
    case RecordKind::kFinalFailure:
      return OnFinalFailure(a);
    case RecordKind::kSeal:
      JobOf(a.job).sealed = true;
      return;
    case RecordKind::kCancelJob:
      CheckCancel(a.job);
      JobOf(a.job).cancelled = JobOf(a.job).cancelled_once = JobOf(a.job).sealed = true;
      JobOf(a.job).cancelled_in = drained_;
      return;
    case RecordKind::kSubmit:
      return OnSubmit(a);
    case RecordKind::kDiscard:
      return OnDiscard(a.job);
    case RecordKind::kBatch:
      JobOf(a.job).batches = a.number + 1;
      return;
    case RecordKind::kPublishDataset:
    case RecordKind::kDropDataset:
      return OnDatasetRecord(a);
    case RecordKind::kForget:
      for (JobId of : world_.families.FamilyOf(a.job)) JobOf(of).forgotten = true;
      return;
    case RecordKind::kRetryTasks:
      for (JobId of : world_.families.FamilyOf(a.job)) {
        if (of != a.job && !a.tasks.empty()) continue;
        if (a.number == 1 && MayReturn(of, a.job)) JobOf(of).cancelled = false;
      }
      return;
    default:
      return;
  }
}

// An attempt that came back may do a rebuild that was not assigned yet.
bool Checker::SomethingGone(TaskId id) {
  const TaskPlan& plan = world_.FindJobPlan(id.job)->tasks[id.ordinal];
  for (Ordinal o = plan.first_output; o < plan.first_output + plan.output_count; ++o) {
    if (IsDelegated({id.job, o})) continue;
    if (JobOf(id.job).objects[o].gone || !HasReadable({id.job, o})) return true;
  }
  return false;
}

void Checker::OnFinish(const action::Journal& a) {
  TaskId id{a.job, a.number};
  Task* task = FindTask(id);
  AttemptRef ref{id, a.attempt};
  auto found = attempts_.find(ref);
  if (task == nullptr || found == attempts_.end())
    return Fail(StrCat("a finish of unknown ", ToString(ref)));
  if (task->finished && !SomethingGone(id)) {
    return Fail(StrCat("a second finish of ", ToString(id), " is accepted: ", a.attempt));
  }
  if (found->second.exec_end != AttemptEnd::kFinished || !found->second.ended) {
    return Fail(StrCat("a finish of ", ToString(ref), " is accepted, but it did not finish"));
  }
  if (task->failed)
    return Fail(StrCat("a finish of ", ToString(id), " is accepted after its failure"));
  SealChild(id, a.attempt);
  task->finished = true;
  task->accepted = a.attempt;
  for (AttemptId other : task->attempts)
    attempts_[{id, other}].excused = true;  // cancelled, if it can be told
  const TaskPlan& plan = world_.FindJobPlan(a.job)->tasks[a.number];
  for (uint16_t i = 0; i < plan.output_count; ++i) {
    ObjectId object{a.job, plan.first_output + i};
    Object& record = JobOf(a.job).objects[object.ordinal];
    bool kept = std::find(a.kept.begin(), a.kept.end(), i) != a.kept.end();
    if (!kept) record.version = a.attempt;
    if (kept && HasReadable(object) && OptionsOf(id).impure)
      Fail(StrCat(ToString(id), " is impure, and keeps an output of an older run"));
    record.claimed = true;
    record.gone = !HasReadable(object);
  }
  if (a.outputs.size() != plan.output_count)
    Fail(StrCat("the record of ", ToString(ref), " lacks outputs"));
}

void Checker::OnFinalFailure(const action::Journal& a) {
  TaskId id{a.job, a.number};
  Task* task = FindTask(id);
  if (task == nullptr) return Fail("a final failure of an unknown task");
  if (task->failed && !retries_.contains(id.job) && !FollowsAnew(id))
    return Fail(StrCat(ToString(id), " fails twice"));
  ++world_.stats.final_failures[static_cast<size_t>(a.failure)];
  CheckFailureCause(id, a.failure);
  task->failed = true;
  task->failure = a.failure;
}

void Checker::CheckFailureCause(TaskId id, FailureClass failure) {
  const scheduler::Batch::Options& options = OptionsOf(id);
  const Task& task = *FindTask(id);
  if (failure == FailureClass::kInputFailed) return;  // judged at the end, by its culprit
  if (failure == FailureClass::kUnschedulable) {
    if (!ShapeOf(id).fail_fast && !options.put)
      Fail(StrCat(ToString(id), " fails as unschedulable unasked"));
    return;
  }
  if (failure == FailureClass::kCrashLimit) {
    uint32_t limit = options.crash_limit == 0 ? limits::kDefaultCrashLimit : options.crash_limit;
    if ((options.retry_on & scheduler::Batch::kRetryLost) == 0) limit = 1;
    // What an impure task submits anew goes on with the crashes of what it submitted before.
    uint32_t crashes = 0;
    for (JobId same : world_.families.JobsOf(world_.PlanOf(id.job))) {
      for (AttemptId attempt : FindTask({same, id.ordinal})->attempts) {
        const Attempt& at = attempts_[{{same, id.ordinal}, attempt}];
        // Also one whose worker was given up and came back: its outcome was late.
        crashes += (at.started || at.alone) && (!at.ended || at.excused) ? 1 : 0;
      }
    }
    if (crashes < limit)
      Fail(StrCat(ToString(id), " is over its crash limit of ", limit, " after ", crashes));
    return;
  }
  if (task.failures <= options.retries && options.RetriedOn(failure, 0)) {
    Fail(StrCat(ToString(id), " fails (", Name(failure), ") after ", task.failures,
                " failures of its own, it has ", options.retries, " retries"));
  }
}

// --- what is needed

std::string Checker::WhoNeeds(ObjectId id, Wants wants) {
  Closure closure{wants, {}};
  return WhoNeeds(id, closure);
}

std::string Checker::WhoNeeds(ObjectId id, Closure& closure) {
  const Job& job = JobOf(id.job);
  const ObjectPlan& plan = world_.FindJobPlan(id.job)->objects[id.ordinal];
  if (job.forgotten || job.discarded) return "";
  if (WantedByClient(id, closure.wants)) return "a client";
  if (!job.cancelled && plan.wanted) return "the graph";
  if (!job.cancelled && !job.sealed) return "the open job";
  if (WantedByDataset(id, closure.wants)) return "a dataset";
  std::string rebuild;
  if (const ObjectId alias = StandsFor(id); alias != ObjectId{}) {
    std::string who = WhoNeeds(alias, closure);
    if (!who.empty() && !who.ends_with("again")) return who;
    rebuild = std::move(who);
  }
  for (Ordinal consumer : plan.consumers) {
    std::string why = WhyRun({id.job, consumer}, closure);
    if (why.ends_with("again")) {
      rebuild = std::move(why);
    } else if (!why.empty()) {
      return why;
    }
  }
  for (const ObjectPlan::Elsewhere& reader : plan.consumers_elsewhere) {
    for (JobId other : world_.families.JobsOf(reader.job)) {
      if (world_.families.Resolve(other, world_.PlanOf(id.job)) != id.job) continue;
      if (!HasBatch(other, world_.plan.jobs[reader.job].batch_of_task[reader.task])) continue;
      if (JobOf(other).discarded) continue;
      if (!JobOf(other).cancelled && !JobOf(other).sealed) return StrCat("open job ", other);
      std::string why = WhyRun({other, reader.task}, closure);
      if (why.ends_with("again")) {
        rebuild = std::move(why);
      } else if (!why.empty()) {
        return why;
      }
    }
  }
  return rebuild;
}

bool Checker::HasBatch(JobId job, uint32_t number) {
  return job != 0 && JobOf(job).batches > number;
}

// "" when it need not. Else it has not ended, or has to run again because an output is needed and
// gone.
std::string Checker::WhyRun(TaskId id, Closure& closure) {
  std::map<TaskId, std::string>& memo = closure.memo;
  auto known = memo.find(id);
  if (known != memo.end()) return known->second;
  const Job& job = JobOf(id.job);
  const Task& task = job.tasks[id.ordinal];
  const TaskPlan& plan = world_.FindJobPlan(id.job)->tasks[id.ordinal];
  std::string why;
  if (task.failed || (job.cancelled && task.accepted == 0)) return memo[id] = "";
  if (!task.finished) {
    // The core's word is taken for what ended without a record of its own: cancelled, or a rebuild
    // called off.
    std::optional<scheduler::TaskView> view = world_.scheduler.core().GetTask(id);
    bool ended = !view.has_value() || view->state == TaskState::kFailed ||
                 view->state == TaskState::kCancelled;
    if (!ended && view->state != TaskState::kDone) {
      return memo[id] = StrCat(ToString(id), task.accepted == 0 ? " has not finished"
                                                                : " has not finished again");
    }
    if (ended) return memo[id] = "";
  }
  for (Ordinal o = plan.first_output; o < plan.first_output + plan.output_count && why.empty();
       ++o) {
    // What only workers that are away hold is made again when a task waits for nothing else.
    bool lost =
        closure.wants == Wants::kCertain ? KnownLost({id.job, o}) : !HasReadable({id.job, o});
    if (!lost || IsDelegated({id.job, o})) continue;
    std::string who = WhoNeeds({id.job, o}, closure);
    if (!who.empty()) why = StrCat("because of ", who, ", ", ToString(id), " has to run again");
  }
  return memo[id] = why;
}

}  // namespace taskd::sim
