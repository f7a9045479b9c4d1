// The worker's process, session and steps; executors and the data plane have files of their own.
#include "tests/sim/worker.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "tests/sim/describe.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace action = worker::action;
namespace event = worker::event;

SimWorker::SimWorker(World& world, uint32_t index)
    : world_(world),
      index_(index),
      capacity_(world.options.workers[index]),
      rng_(Mix64(world.options.seed) ^ (0x3042 + uint64_t{index} * 0x10001)),
      name_(StrCat("worker", index)),
      gets_rng_(Mix64(world.options.seed) ^ (0x6E75 + uint64_t{index} * 0x10001)) {}

void SimWorker::After(uint64_t delay, std::function<void()> call) {
  world_.loop.After(delay, [this, life = life_, call = std::move(call)]() mutable {
    if (life != life_) return;
    if (world_.loop.now() >= paused_until_) return call();
    After(paused_until_ - world_.loop.now(), std::move(call));
  });
}

void SimWorker::PauseUntil(uint64_t time) { paused_until_ = std::max(paused_until_, time); }

void SimWorker::Start() {
  ++life_;
  ++incarnation_;
  worker::Config config = world_.options.worker;
  config.capacity = capacity_;
  config.store_bytes = store_budget();
  if (world_.options.broken[index_]) config.capacity.pools = {};
  if (world_.Mutate(Mutation::kExtraCapacity, 1000)) config.capacity.cpus_milli *= 2;
  core_ = std::make_unique<worker::WorkerCore>(config);
  stopping_ = disk_full_ = false;
  paused_until_ = 0;
  slow_ = 1;
  world_.Trace(name_, "starts");
  const uint64_t life = world_.healed ? 0 : world_.options.lives[index_];
  ends_at_ = life == 0 ? 0 : world_.loop.now() + life;
  if (life != 0) After(life, [this] { world_.faults.OnTimeOver(index_); });
  Connect();
  After(world_.options.heartbeat_ns, [this] { Heartbeat(); });
}

void SimWorker::Crash(bool stream_told) {
  if (!alive()) return;
  world_.Trace(name_, "dies");
  ++life_;
  core_.reset();
  stopping_ = false;
  if (stream_ != 0) {
    world_.net.Break(stream_, stream_told ? BreakKind::kBothTold : BreakKind::kSchedulerNotTold);
  }
  stream_ = 0;
  up_ = false;
  inbox_.clear();
  work_left_ = false;
  next_step_ = worker::kNever;
  report_ = {};
  store_.clear();
  vanished_.clear();
  noticed_.clear();
  damaged_.clear();
  addresses_.clear();
  assignments_.clear();
  submissions_.clear();
  execs_.clear();
  gets_.clear();
  fetches_.clear();
  spills_.clear();
}

void SimWorker::Shutdown() {
  stopping_ = true;
  Post(event::Shutdown{});
}

void SimWorker::Connect() {
  if (stream_ != 0) return;
  if (!world_.scheduler.alive()) return After(1 + rng_.Below(100 * kMs), [this] { Connect(); });
  stream_ = world_.net.Open(index_);
  up_ = false;
  world_.net.SendUp(stream_,
                    scheduler::event::WorkerHello{.stream = stream_,
                                                  .identity = 1000 + uint64_t{index_},
                                                  .incarnation = incarnation_,
                                                  .capacity = capacity_,
                                                  .host = HostName(index_ % world_.options.hosts),
                                                  .name = WorkerName(index_),
                                                  .attributes = world_.options.attributes[index_],
                                                  .ends_after_ns = LeftNs(),
                                                  .store_budget_bytes = store_budget()});
}

uint64_t SimWorker::LeftNs() const {
  const uint64_t now = world_.loop.now();
  return ends_at_ == 0 ? 0 : ends_at_ > now ? ends_at_ - now : 1;
}

void SimWorker::OnWelcome(scheduler::StreamId stream, WorkerId id) {
  if (!alive() || stream != stream_) return;
  id_ = id;
  up_ = true;
  LookUpAll();
  Post(event::SessionUp{stream, id, false});
}

void SimWorker::OnStreamClosed(scheduler::StreamId stream) {
  if (!alive() || stream != stream_) return;
  stream_ = 0;
  if (up_) Post(event::SessionDown{stream});
  up_ = false;
  After(rng_.Below(world_.healed ? 100 * kMs : 600 * kMs), [this] { Connect(); });
}

void SimWorker::Heartbeat() {
  if (up_) world_.net.SendUp(stream_, scheduler::event::WorkerReport{.stream = stream_});
  After(world_.options.heartbeat_ns, [this] { Heartbeat(); });
}

void SimWorker::OnAssign(scheduler::StreamId stream, event::Assign assign) {
  if (!alive()) return;
  const Assignment& assignment = assign.assignment;
  // The shell keeps what the executors need; a repeated assignment does not touch it.
  assignments_.try_emplace(assignment.attempt,
                           Assigned{assignment, world_.PlanOf(assignment.attempt.task.job)});
  for (const InputObject& input : assignment.objects) NoteAddresses(input);
  assign.session = stream;
  Post(std::move(assign));
}

void SimWorker::OnGather(scheduler::StreamId stream, event::Gather gather) {
  if (!alive()) return;
  NoteAddresses(gather.object);
  gather.session = stream;
  Post(std::move(gather));
}

void SimWorker::OnFree(scheduler::StreamId stream, const ObjectVersion& id) {
  for (auto& [token, get] : gets_) {
    if (stream == stream_ && get.gathering == id) LookUp(token, get);
  }
  Post(event::Free{stream, id});
}

void SimWorker::NoteAddresses(const InputObject& input) {
  for (WorkerId holder : input.holders) {
    if (!holder) break;
    uint32_t index = world_.checker.IndexOfWorker(holder);
    addresses_[holder] = {index, world_.workers[index]->incarnation()};
  }
}

void SimWorker::Retire() {
  if (!alive() || stopping_) return;
  Shutdown();
  world_.faults.OnRetired(index_);
}

void SimWorker::Post(worker::Event event) {
  if (!alive()) return;
  inbox_.push_back(std::move(event));
  StepAt(world_.loop.now() + rng_.Below(world_.options.step_delay_ns));
}

void SimWorker::StepAt(uint64_t time) {
  time = std::max(time, paused_until_);
  if (time >= next_step_) return;
  next_step_ = std::max(time, world_.loop.now());
  world_.loop.At(next_step_, [this, due = next_step_, life = life_] {
    if (life != life_ || due != next_step_) return;
    if (world_.loop.now() >= paused_until_) return Step();
    next_step_ = worker::kNever;
    StepAt(paused_until_);
  });
}

void SimWorker::Step() {
  next_step_ = worker::kNever;
  std::vector<worker::Event> events(std::make_move_iterator(inbox_.begin()),
                                    std::make_move_iterator(inbox_.end()));
  inbox_.clear();
  if (world_.tracing()) {
    for (const worker::Event& e : events) world_.Trace(name_ + " <-", Describe(e));
  }
  uint64_t now = world_.loop.now();
  actions_.clear();
  uint64_t wake = core_->Step(now, events, world_.options.worker_budget, actions_);
  ++world_.stats.worker_steps;
  if (wake < now) world_.Fail(StrCat(name_, ": the core asked to be called in the past"));
  work_left_ = wake == now;
  if (!work_left_) {
    for (const ObjectVersion& id : noticed_) vanished_.erase(id);
    noticed_.clear();
  }
  uint64_t life = life_;
  std::vector<worker::Action> actions = std::move(actions_);
  for (worker::Action& a : actions) {
    world_.action_hash = HashOf(world_.action_hash + index_, a);
    ++world_.stats.worker_actions[a.index()];
    if (world_.tracing()) world_.Trace(name_ + " ->", Describe(a));
    Carry(a);
    if (life != life_ || world_.failed()) return;
  }
  SendReport();
  actions_ = std::move(actions);
  if (++steps_ % world_.options.validate_every == 0) {
    ++world_.stats.validations;
    std::string broken = core_->Validate();
    if (!broken.empty()) world_.Fail(StrCat(name_, ": WorkerCore::Validate: ", broken));
  }
  if (work_left_ || !inbox_.empty()) {
    StepAt(now + kUs);
  } else if (wake != worker::kNever) {
    StepAt(wake);
  }
}

// Items of one step share a message as long as its order of application is theirs.
template <typename T>
void SimWorker::Report(uint32_t order, std::vector<T> scheduler::event::WorkerReport::*list,
                       T item) {
  if (order < report_order_ || rng_.Chance(100)) SendReport();
  report_order_ = order;
  (report_.*list).push_back(std::move(item));
}

void SimWorker::SendReport() {
  scheduler::event::WorkerReport report = std::exchange(report_, {});
  report_order_ = 0;
  if (report.started.empty() && report.outcomes.empty() && report.replicas_added.empty() &&
      report.replicas_lost.empty() && report.gathers_failed.empty()) {
    return;
  }
  report.stream = stream_;
  if (up_) world_.net.SendUp(stream_, std::move(report));
}

void SimWorker::MutateOutcome(Outcome& outcome) {
  if (outcome.end != AttemptEnd::kFinished) return;
  if (world_.Mutate(Mutation::kOutcomeAttempt, 50)) outcome.attempt.attempt += 1;
}

void SimWorker::CarrySend(worker::Action& any) {
  using scheduler::event::WorkerReport;
  auto current = [this](worker::SessionId session) { return up_ && session == stream_; };
  if (auto* a = std::get_if<action::SendInventory>(&any)) {
    if (!current(a->session)) return;
    SendReport();
    for (const Replica& replica : a->chunk.replicas) Told(replica.id);
    world_.net.SendUp(stream_, scheduler::event::WorkerInventory{stream_, std::move(a->chunk)});
  } else if (auto* a = std::get_if<action::SendInventoryDone>(&any)) {
    if (!current(a->session)) return;
    SendReport();
    world_.net.SendUp(stream_, scheduler::event::InventoryDone{stream_});
  } else if (auto* a = std::get_if<action::SendStarted>(&any)) {
    if (current(a->session)) Report(0, &WorkerReport::started, a->attempt);
  } else if (auto* a = std::get_if<action::SendOutcome>(&any)) {
    if (!current(a->session)) return;
    if (a->outcome.end == AttemptEnd::kFinished && world_.Mutate(Mutation::kLoseOutcome, 20))
      return;
    if (a->outcome.end == AttemptEnd::kFinished && world_.Mutate(Mutation::kDoubleFinish, 50)) {
      Outcome twin = a->outcome;
      twin.attempt.attempt += 1;
      Report(1, &WorkerReport::outcomes, std::move(twin));
    }
    NoteValues(a->outcome);
    MutateOutcome(a->outcome);
    Report(1, &WorkerReport::outcomes, std::move(a->outcome));
  } else if (auto* a = std::get_if<action::SendReplicaAdded>(&any)) {
    if (current(a->session)) {
      Told(a->replica.id);
      Report(2, &WorkerReport::replicas_added, a->replica);
    }
    OnReplica(a->replica.id);
  } else if (auto* a = std::get_if<action::SendReplicaLost>(&any)) {
    if (current(a->session)) Report(3, &WorkerReport::replicas_lost, a->object);
  } else if (auto* a = std::get_if<action::SendGatherFailed>(&any)) {
    const ObjectVersion object = a->failure.object;
    if (current(a->session)) Report(4, &WorkerReport::gathers_failed, std::move(a->failure));
    OnGatherFailed(object);
  } else if (auto* a = std::get_if<action::SendSubmit>(&any)) {
    if (!current(a->session)) return;
    SendReport();
    SendSubmission(*a);
  } else if (auto* a = std::get_if<action::SendYield>(&any)) {
    if (!current(a->session)) return;
    SendReport();
    ++world_.stats.yields;
    world_.net.SendUp(stream_,
                      scheduler::event::YieldAttempt{stream_, a->attempt, std::move(a->awaits)});
  }
}

void SimWorker::Carry(worker::Action& any) {
  if (auto* a = std::get_if<action::StartFetch>(&any)) {
    StartFetch(*a);
  } else if (auto* a = std::get_if<action::CancelFetch>(&any)) {
    After(rng_.Below(2 * kMs), [this, fetch = a->fetch] { FinishFetch(fetch, true); });
  } else if (auto* a = std::get_if<action::StartExec>(&any)) {
    StartExec(a->attempt);
  } else if (auto* a = std::get_if<action::KillExec>(&any)) {
    KillExec(a->attempt);
  } else if (auto* a = std::get_if<action::ReleaseAttempt>(&any)) {
    if (execs_.contains(a->attempt))
      return world_.Fail(StrCat(name_, " releases ", ToString(a->attempt), " while it runs"));
    ReleaseGets(a->attempt);
    assignments_.erase(a->attempt);
  } else if (auto* a = std::get_if<action::ResumeExec>(&any)) {
    ResumeExec(a->attempt);
  } else if (auto* a = std::get_if<action::ReleaseSubmission>(&any)) {
    if (submissions_.erase(a->attempt) == 0)
      return world_.Fail(StrCat(name_, " releases a submission twice"));
  } else if (auto* a = std::get_if<action::PutValues>(&any)) {
    PutValues(*a);
  } else if (auto* a = std::get_if<action::Spill>(&any)) {
    StartSpill(*a);
  } else if (auto* a = std::get_if<action::Drop>(&any)) {
    Drop(a->key);
  } else if (std::holds_alternative<action::DropAll>(any)) {
    store_.clear();
    vanished_.clear();
    noticed_.clear();
    damaged_.clear();
  } else if (std::holds_alternative<action::Stopped>(any)) {
    if (!stopping_) return world_.Fail(StrCat(name_, " stopped unasked"));
    if (!execs_.empty())
      return world_.Fail(StrCat(name_, " stopped with ", execs_.size(), " bodies running"));
    if (up_) {
      SendReport();
      world_.net.SendUp(stream_, scheduler::event::WorkerGoodbye{stream_});
    }
    if (stream_ != 0) world_.net.CloseByWorker(stream_);
    stream_ = 0;
    Crash(true);
  } else {
    CarrySend(any);
  }
}

std::string SimWorker::Leaks() const {
  if (!inbox_.empty() || work_left_) return StrCat(name_, " has events or work left");
  if (!execs_.empty()) return StrCat(name_, " still runs ", ToString(execs_.begin()->first));
  if (!gets_.empty()) return StrCat(name_, " still gets ", ToString(gets_.begin()->second.object));
  if (!fetches_.empty()) return StrCat(name_, " still fetches");
  if (!spills_.empty()) return StrCat(name_, " still writes to disk");
  if (!assignments_.empty())
    return StrCat(name_, " did not release ", ToString(assignments_.begin()->first));
  if (!submissions_.empty())
    return StrCat(name_, " keeps what ", ToString(submissions_.begin()->first), " submitted");
  const worker::Counters& c = counters();
  if (c.outcomes_unacked != 0)
    return StrCat(name_, " has ", c.outcomes_unacked, " outcomes that nobody acknowledged");
  if (c.fetching + c.queued + c.running != 0) {
    return StrCat(name_, " counts ", c.fetching, " fetching, ", c.queued, " queued, ", c.running,
                  " running attempts");
  }
  return "";
}

std::string SimWorker::Line() const {
  if (!alive()) return StrCat(name_, " dead");
  const worker::Counters& c = counters();
  return StrCat(name_, " ", ToString(id_), up_ ? " up" : " not connected", " stream ", stream_,
                "; fetching ", c.fetching, " queued ", c.queued, " running ", c.running,
                " unacked ", c.outcomes_unacked, " replicas ", c.replicas, "; bodies ",
                execs_.size(), " fetches ", fetches_.size(), " store ", store_.size(), " cpus ",
                capacity_.cpus_milli);
}

}  // namespace taskd::sim
