// What the scheduler is told. The rules for what it answers are in rules.cc, those for the end in
// end_checks.cc.
#include "tests/sim/checker.h"

#include <algorithm>
#include <optional>
#include <utility>
#include <variant>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = scheduler::event;
using scheduler::StreamId;

Checker::Checker(World& world) : world_(world), peers_(world.options.workers.size()) {}

void Checker::Fail(const std::string& what) { world_.Fail(what); }

Checker::Job& Checker::JobOf(JobId id) {
  Job& job = jobs_[id];
  const JobPlan* plan = world_.FindJobPlan(id);
  if (job.tasks.empty() && plan != nullptr) {
    job.tasks.resize(plan->tasks.size());
    job.objects.resize(plan->objects.size());
  }
  return job;
}

Checker::Task* Checker::FindTask(TaskId id) {
  Job& job = JobOf(id.job);
  return id.ordinal < job.tasks.size() ? &job.tasks[id.ordinal] : nullptr;
}

uint32_t Checker::IndexOfWorker(WorkerId id) {
  auto found = index_of_worker_.find(id.packed());
  if (found == index_of_worker_.end()) {
    Fail(StrCat("nobody was ever welcomed as ", ToString(id)));
    return 0;
  }
  return found->second;
}

void Checker::OnEvent(const scheduler::Event& any) {
  std::visit(
      [this](const auto& e) {
        if constexpr (requires { On(e); }) On(e);
      },
      any);
}

Checker::Peer* Checker::Current(StreamId stream) {
  auto found = streams_.find(stream);
  if (found == streams_.end()) return nullptr;
  Peer& peer = peers_[found->second.peer];
  return peer.connected && peer.stream == stream ? &peer : nullptr;
}

// Its replicas could be read, as far as the scheduler had to know: a worker that is connected and
// not silent, or that has been gone for less than rerun_after.
bool Checker::Readable(const Peer& peer) const {
  const scheduler::Config& config = world_.options.scheduler;
  uint64_t now = world_.loop.now();
  if (!peer.back) return now < restarted_at_ + config.forget_after_ns;
  if (peer.connected && !peer.listing) return now < peer.last_heard + config.silent_ns;
  // What it has not named yet counts no longer than if it had not come.
  if (!peer.named && now >= restarted_at_ + config.forget_after_ns) return false;
  return now < peer.closed_at + config.rerun_after_closed_ns;
}

bool Checker::HasReadable(ObjectId id) const {
  auto job = jobs_.find(id.job);
  if (job == jobs_.end() || id.ordinal >= job->second.objects.size()) return false;
  const Object& object = job->second.objects[id.ordinal];
  // After a restart those that have not named what they hold count until the first one comes that
  // has it.
  const ObjectVersion version{id, object.version};
  return std::any_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
    return (peer.named || peer.listed.contains(version) || !object.claimed) &&
           peer.holds.contains(version) && Readable(peer);
  });
}

void Checker::Hold(Peer& peer, const ObjectVersion& id) {
  if (dead_.contains(id)) return;
  peer.holds.insert(id);
  const JobPlan* plan = world_.FindJobPlan(id.object.job);
  if (plan == nullptr || id.object.ordinal >= plan->objects.size()) return;
  Object& object = JobOf(id.object.job).objects[id.object.ordinal];
  if (object.version == id.version) object.claimed = true;
}

bool Checker::IsNeeded(const ObjectVersion& id) {
  const JobPlan* plan = world_.FindJobPlan(id.object.job);
  if (plan == nullptr || id.object.ordinal >= plan->objects.size()) return false;
  if (JobOf(id.object.job).objects[id.object.ordinal].version != id.version) return false;
  return !WhoNeeds(id.object, Wants::kCertain).empty();
}

bool Checker::IsSoleNeeded(uint32_t worker, const ObjectVersion& id) {
  for (uint32_t p = 0; p < peers_.size(); ++p) {
    if ((p == worker) != peers_[p].holds.contains(id)) return false;
  }
  return IsNeeded(id);
}

void Checker::Replay(const scheduler::action::Journal& r) {
  using scheduler::action::RecordKind;
  Job& job = JobOf(r.job);
  if (r.kind == RecordKind::kSeal) job.sealed = true;
  if (r.kind == RecordKind::kForget) {
    for (JobId of : world_.families.FamilyOf(r.job)) JobOf(of).forgotten = true;
  }
  if (r.kind == RecordKind::kSubmit) job.batches = r.number + 1;
  if (r.kind == RecordKind::kDiscard) job.discarded = job.cancelled = job.sealed = true;
  if (r.kind == RecordKind::kBatch) job.batches = r.number + 1;
  if (r.kind == RecordKind::kPublishDataset || r.kind == RecordKind::kDropDataset) {
    OnDatasetRecord(r);
    DatasetsAtRest();
  }
  // Also of a job of which no client has heard the number yet.
  if (r.kind == RecordKind::kCancelJob) job.cancelled = job.cancelled_once = job.sealed = true;
  if (world_.FindJobPlan(r.job) == nullptr) return;
  if (r.kind == RecordKind::kRetryTasks) {
    for (JobId of : world_.families.FamilyOf(r.job)) {
      retries_[of] = JobOf(of).retried = true;
      if (of != r.job && !r.tasks.empty()) continue;
      if (r.number == 1 && MayReturn(of, r.job)) JobOf(of).cancelled = false;
    }
  }
  if (r.kind == RecordKind::kFinalFailure) {
    job.tasks[r.number].failed = true;
    job.tasks[r.number].finished = false;
    job.tasks[r.number].failure = r.failure;
  }
  if (r.kind != RecordKind::kFinish) return;
  SealChild({r.job, r.number}, r.attempt);
  job.tasks[r.number].finished = true;
  job.tasks[r.number].accepted = r.attempt;
  const TaskPlan& plan = world_.FindJobPlan(r.job)->tasks[r.number];
  for (uint16_t i = 0; i < plan.output_count; ++i) {
    if (std::find(r.kept.begin(), r.kept.end(), i) == r.kept.end())
      job.objects[plan.first_output + i].version = r.attempt;
  }
}

// A retry may have put back a consumer of it.
bool Checker::MayBeRetriedFor(ObjectId id) {
  const ObjectPlan& plan = world_.FindJobPlan(id.job)->objects[id.ordinal];
  const ObjectId alias = StandsFor(id);
  return retries_.contains(id.job) || (alias != ObjectId{} && MayBeRetriedFor(alias)) ||
         std::any_of(plan.consumers_elsewhere.begin(), plan.consumers_elsewhere.end(),
                     [this](const auto& reader) {
                       const auto& jobs = world_.families.JobsOf(reader.job);
                       return std::any_of(jobs.begin(), jobs.end(),
                                          [this](JobId job) { return retries_.contains(job); });
                     });
}

void Checker::OnRestart(const std::vector<scheduler::action::Journal>& records) {
  restarted_at_ = world_.loop.now();
  OnRestartOfClients();
  rebuilds_.clear();
  index_of_worker_.clear();
  for (auto& [id, stream] : streams_) stream.state = StreamState::kClosed;
  for (auto& [ref, attempt] : attempts_) attempt.excused = true;
  LoseJobs();
  for (Peer& peer : peers_) {
    peer.connected = peer.listing = peer.draining = peer.back = peer.named = false;
    peer.listed.clear();
  }
  for (auto& [id, job] : jobs_) {
    job.sealed = job.cancelled = job.cancelled_once = job.forgotten = false;
    job.accepted = job.discarded = false;
    job.batches = 0;
    for (Task& task : job.tasks) {
      task.accepted = 0;
      task.finished = task.failed = false;
      task.failures = task.all_failures;  // a retry between them may be lost
    }
    for (Object& object : job.objects) object = {};
  }
  datasets_.clear();
  dead_.clear();
  for (const scheduler::action::Journal& record : records) Replay(record);
  needs_changed_ = true;
  // With a retry among the records some of what is held was unneeded for a moment, and given up.
  for (auto& [id, job] : jobs_) {
    for (Ordinal o = 0; o < job.objects.size(); ++o)
      job.objects[o].gone = MayBeRetriedFor({id, o}) || !HasReadable({id, o});
  }
}

bool Checker::IsHeld(ObjectId id) const {
  AttemptId version = jobs_.at(id.job).objects[id.ordinal].version;
  return std::any_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
    return peer.holds.contains({id, version});
  });
}

bool Checker::MayBeReplaced(ObjectId id) {
  return FindTask({id.job, world_.FindJobPlan(id.job)->objects[id.ordinal].task})->finish_came ==
         drained_;
}

bool Checker::KnownLost(ObjectId id) const {
  return !IsHeld(id) && jobs_.at(id.job).objects[id.ordinal].unheld_at < drained_;
}

// It has been away, so its attempts may have twins and its replicas may have been made again.
void Checker::WasAway(uint32_t index) {
  Peer& peer = peers_[index];
  for (const AttemptRef& ref : peer.live) attempts_[ref].excused = true;
  std::set<ObjectVersion> holds = std::exchange(peer.holds, {});
  for (const ObjectVersion& id : holds) {
    if (Known(id.object) && !HasReadable(id.object))
      JobOf(id.object.job).objects[id.object.ordinal].gone = true;
  }
  peer.holds = std::move(holds);
}

// One that was silent for too long stays out of reach; a return that stops half-way does not count
// either.
void Checker::Disconnect(Peer& peer) {
  if (peer.connected) left_now_.insert(peer.holds.begin(), peer.holds.end());
  if (!peer.listing) peer.closed_at = Readable(peer) ? world_.loop.now() : 0;
  peer.connected = false;
  peer.listing = false;
}

void Checker::Heard(Peer& peer) {
  if (!Readable(peer)) WasAway(static_cast<uint32_t>(&peer - peers_.data()));
  peer.last_heard = world_.loop.now();
}

void Checker::Unhold(uint32_t index, const ObjectVersion& id) {
  if (peers_[index].holds.erase(id) == 0) return;
  left_now_.insert(id);
  const JobPlan* plan = world_.FindJobPlan(id.object.job);
  if (plan == nullptr || id.object.ordinal >= plan->objects.size()) return;
  Object& object = JobOf(id.object.job).objects[id.object.ordinal];
  if (!HasReadable(id.object)) object.gone = true;
  if (!IsHeld(id.object)) object.unheld_at = drained_;
}

void Checker::NoteGone(ObjectId id) {
  const JobPlan* plan = world_.FindJobPlan(id.job);
  if (plan == nullptr || id.ordinal >= plan->objects.size()) return;
  if (!HasReadable(id)) JobOf(id.job).objects[id.ordinal].gone = true;
}

// Nothing of what it had or ran is there any more.
void Checker::ClearPeer(uint32_t index) {
  Peer& peer = peers_[index];
  for (const AttemptRef& ref : peer.live) attempts_[ref].excused = true;
  peer.live.clear();
  while (!peer.holds.empty()) Unhold(index, ObjectVersion(*peer.holds.begin()));
}

void Checker::On(const event::WorkerHello& e) {
  uint32_t index = static_cast<uint32_t>(e.identity - 1000);
  Peer& peer = peers_[index];
  uint64_t now = world_.loop.now();
  if (!Readable(peer)) WasAway(index);
  if (!peer.back) peer.closed_at = Readable(peer) ? now : 0;
  peer.back = true;
  if (peer.incarnation != e.incarnation) {
    ClearPeer(index);
    peer.draining = false;
  }
  for (auto& [id, stream] : streams_) {
    if (stream.peer == index && stream.state != StreamState::kClosed)
      stream.state = StreamState::kClosing;
  }
  auto previous = streams_.find(peer.stream);
  bool same = peer.incarnation == e.incarnation && previous != streams_.end();
  streams_[e.stream] = {.peer = index, .last_outcome = same ? previous->second.last_outcome : 0};
  if (peer.connected) Disconnect(peer);
  peer.connected = true;
  peer.listing = true;
  peer.stream = e.stream;
  peer.incarnation = e.incarnation;
  peer.last_heard = now;
  peer.ends_at = e.ends_after_ns == 0 ? 0 : now + e.ends_after_ns;
  peer.listed.clear();
  peer.listed_attempts.clear();
}

void Checker::On(const event::WorkerInventory& e) {
  Peer* peer = Current(e.stream);
  if (peer == nullptr) return;
  Heard(*peer);
  for (const Replica& r : e.chunk.replicas) {
    NoteGone(r.id.object);  // until now the scheduler did not know that it has it
    peer->listed.insert(r.id);
    Hold(*peer, r.id);
  }
  if (restarted_at_ != 0) {  // one of an earlier start may go on
    for (const auto* list : {&e.chunk.assigned, &e.chunk.running}) {
      for (const AttemptRef& ref : *list) {
        auto found = attempts_.find(ref);
        if (found != attempts_.end()) found->second.excused = found->second.lost;
      }
    }
  }
  peer->listed_attempts.insert(e.chunk.assigned.begin(), e.chunk.assigned.end());
  peer->listed_attempts.insert(e.chunk.running.begin(), e.chunk.running.end());
  for (const AttemptRef& ref : e.chunk.running) MarkReported(ref);
}

void Checker::On(const event::InventoryDone& e) {
  Peer* peer = Current(e.stream);
  if (peer == nullptr) return;
  Heard(*peer);
  uint32_t index = static_cast<uint32_t>(peer - peers_.data());
  peer->listing = false;
  peer->named = true;
  for (const ObjectVersion& id : peer->listed) Hold(*peer, id);
  std::vector<ObjectVersion> unlisted;
  std::set_difference(peer->holds.begin(), peer->holds.end(), peer->listed.begin(),
                      peer->listed.end(), std::back_inserter(unlisted));
  for (const ObjectVersion& id : unlisted) Unhold(index, id);
  for (auto it = peer->live.begin(); it != peer->live.end();) {
    if (peer->listed_attempts.contains(*it)) {
      ++it;
      continue;
    }
    attempts_[*it].excused = true;
    it = peer->live.erase(it);
  }
}

void Checker::MarkReported(const AttemptRef& ref) {
  auto found = attempts_.find(ref);
  if (found != attempts_.end()) found->second.reported = true;
}

void Checker::OnOutcome(uint32_t index, const Outcome& outcome) {
  Peer& peer = peers_[index];
  Stream& stream = streams_.at(peer.stream);
  stream.last_outcome = std::max(stream.last_outcome, outcome.sequence);
  auto found = attempts_.find(outcome.attempt);
  if (found == attempts_.end()) return;
  if (found->second.ended) {  // told before the scheduler's restart, and again
    if (outcome.end == AttemptEnd::kFinished && !found->second.lost)
      FindTask(outcome.attempt.task)->finish_came = drained_;
    return;
  }
  found->second.ended = true;
  found->second.end_came = drained_;
  needs_changed_ |= found->second.yielded;
  peer.live.erase(outcome.attempt);
  ++world_.stats.attempt_ends[static_cast<size_t>(outcome.end)];
  TaskId id = outcome.attempt.task;
  if (found->second.lost) return;
  if (outcome.end == AttemptEnd::kFailed) {
    ++FindTask(id)->failures;
    ++FindTask(id)->all_failures;
  }
  if (outcome.end == AttemptEnd::kFinished) {
    FindTask(id)->finish_came = drained_;
    const TaskPlan& plan = world_.FindJobPlan(id.job)->tasks[id.ordinal];
    for (uint16_t i = 0; i < plan.output_count; ++i) {
      if (outcome.outputs[i].delegated != kNoOrdinal) continue;
      ObjectVersion made{{id.job, plan.first_output + i}, outcome.attempt.attempt};
      // An outcome that was kept for a new session follows the inventory: what is not there has
      // been lost since.
      if (!peer.listing || peer.listed.contains(made)) Hold(peer, made);
    }
  }
  UnholdMissing(outcome.bad_holders);
}

void Checker::UnholdMissing(const std::vector<BadHolder>& bad_holders) {
  for (const BadHolder& bad : bad_holders) {
    auto holder = index_of_worker_.find(bad.worker.packed());
    if (bad.missing && holder != index_of_worker_.end()) Unhold(holder->second, bad.id);
  }
}

void Checker::On(const event::WorkerReport& e) {
  Peer* peer = Current(e.stream);
  if (peer == nullptr) return;
  Heard(*peer);
  uint32_t index = static_cast<uint32_t>(peer - peers_.data());
  for (const AttemptRef& ref : e.started) MarkReported(ref);
  for (const Outcome& outcome : e.outcomes) OnOutcome(index, outcome);
  for (const Replica& r : e.replicas_added) {
    Hold(*peer, r.id);
    if (peer->listing) peer->listed.insert(r.id);
  }
  for (const ObjectVersion& id : e.replicas_lost) {
    peer->listed.erase(id);
    Unhold(index, id);
  }
  for (const GatherFailure& failure : e.gathers_failed) UnholdMissing(failure.bad_holders);
}

void Checker::On(const event::WorkerGoodbye& e) {
  Peer* peer = Current(e.stream);
  if (peer == nullptr) return;
  ClearPeer(static_cast<uint32_t>(peer - peers_.data()));
}

void Checker::On(const event::WorkerClosed& e) {
  auto found = streams_.find(e.stream);
  if (found == streams_.end()) return;
  if (found->second.state != StreamState::kClosed) found->second.state = StreamState::kClosing;
  Peer* peer = Current(e.stream);
  if (peer != nullptr) Disconnect(*peer);
}

void Checker::On(const event::RetryTasks& e) {
  if (!jobs_.contains(e.job)) return;
  // Of named tasks, what is behind their inputs is put back, too.
  for (JobId job : world_.families.FamilyOf(e.job)) {
    retries_[job] = false;
    JobOf(job).retried = true;
  }
}

bool Checker::MayBeUnneeded(ObjectId id) {
  std::string who = WhoNeeds(id, Wants::kCertain);
  return who.empty() || who.ends_with("again");
}

// What only workers out of reach hold, and nobody needs, is freed without a message: they learn it
// on their return. After a restart a worker that lists what it has is out of reach for the rest.
void Checker::ForgetUnneeded() {
  auto in_reach = [](const Peer& peer, const ObjectVersion& id) {
    return peer.connected && (peer.named || peer.listed.contains(id));
  };
  for (uint32_t p = 0; p < peers_.size(); ++p) {
    if (peers_[p].connected && peers_[p].named) continue;
    std::vector<ObjectVersion> unneeded;
    for (const ObjectVersion& id : peers_[p].holds) {
      if (in_reach(peers_[p], id)) continue;
      bool elsewhere = std::any_of(peers_.begin(), peers_.end(), [&](const Peer& other) {
        return in_reach(other, id) && other.holds.contains(id);
      });
      if (!elsewhere && Known(id.object) && MayBeUnneeded(id.object)) {
        unneeded.push_back(id);
      }
    }
    for (const ObjectVersion& id : unneeded) Unhold(p, id);
  }
}

// A rebuild ends with a finish; or it is called off, when what was lost came back or nobody needs
// it any more. That leaves no message, so the core's word is taken, and counting starts afresh.
void Checker::CloseRebuilds() {
  std::erase_if(rebuilds_, [this](TaskId id) {
    Task& task = *FindTask(id);
    if (task.finished || task.failed) return true;
    std::optional<scheduler::TaskView> view = world_.scheduler.core().GetTask(id);
    if (!view.has_value() || view->state != TaskState::kDone) return false;
    task.finished = true;
    for (AttemptId attempt : task.attempts)
      attempts_[{id, attempt}].excused = true;  // a worker away is not told
    const TaskPlan& plan = world_.FindJobPlan(id.job)->tasks[id.ordinal];
    for (Ordinal o = plan.first_output; o < plan.first_output + plan.output_count; ++o) {
      JobOf(id.job).objects[o].gone = !HasReadable({id.job, o});
    }
    return true;
  });
}

// Which failed tasks a retry puts back leaves no message: the core's word is taken. Their counts start
// afresh.
void Checker::FollowRetries() {
  for (auto [id, replayed] : retries_) {
    std::vector<Task>& tasks = JobOf(id).tasks;
    for (Ordinal t = 0; t < tasks.size(); ++t) {
      if (!tasks[t].failed && !tasks[t].finished) continue;
      std::optional<scheduler::TaskView> view = world_.scheduler.core().GetTask({id, t});
      if (!view.has_value() || view->state == TaskState::kFailed) continue;
      // Nobody needed its results for a moment, and they were given up.
      const TaskPlan& plan = world_.FindJobPlan(id)->tasks[t];
      for (uint16_t i = 0; i < plan.output_count && view->state < TaskState::kDone; ++i)
        JobOf(id).objects[plan.first_output + i].gone = true;
      if (!tasks[t].failed) continue;
      tasks[t].failed = false;
      if (!replayed) tasks[t].failures = 0;
    }
    GiveUpInputs(id);
  }
}

// What the job reads and only workers out of reach have may have been needed by nobody between a cancel
// and the retry, and given up without a message.
void Checker::GiveUpInputs(JobId id) {
  for (const TaskPlan& task : world_.FindJobPlan(id)->tasks) {
    for (const EdgePlan& e : task.edges) {
      for (Ordinal o : e.objects) {
        const JobId owner = world_.families.Resolve(id, e.job);
        if (owner == 0) continue;
        const ObjectId input = Behind({owner, o});
        Object& object = JobOf(input.job).objects[input.ordinal];
        object.gone |= std::none_of(peers_.begin(), peers_.end(), [&](const Peer& peer) {
          return peer.connected && peer.holds.contains({input, object.version});
        });
      }
    }
  }
}

void Checker::AfterStep(bool drained) {
  if (std::exchange(needs_changed_, false) || WantsMayGo()) ForgetUnneeded();
  CloseRebuilds();
  FollowRetries();
  if (!drained) return;
  ++drained_;
  retries_.clear();
  left_now_.clear();
  ClientsAtRest();
  DatasetsAtRest();
  for (auto& [id, stream] : streams_) {
    if (stream.state == StreamState::kClosing) stream.state = StreamState::kClosed;
  }
}

void Checker::OnStartExec(uint32_t worker, const AttemptRef& ref) {
  auto found = attempts_.find(ref);
  if (found == attempts_.end())
    return Fail(StrCat("worker", worker, " starts ", ToString(ref), ", which nobody assigned"));
  if (found->second.started) return Fail(StrCat(ToString(ref), " is started twice"));
  if (found->second.peer != worker)
    return Fail(StrCat(ToString(ref), " is started at worker", worker, ", not at its own"));
  found->second.started = true;
}

void Checker::OnExecEnd(const AttemptRef& ref, AttemptEnd end) { attempts_[ref].exec_end = end; }

}  // namespace taskd::sim
