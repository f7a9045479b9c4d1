#include "tests/sim/scheduler.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "common/base/text.h"
#include "tests/sim/describe.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace action = scheduler::action;
using scheduler::kNever;

SimScheduler::SimScheduler(World& world)
    : world_(world),
      core_(std::make_unique<scheduler::SchedulerCore>(world.options.scheduler)),
      config_(world.options.scheduler),
      rng_(Mix64(world.options.seed) ^ 0x5C4E) {
  journal_.push_back({{.kind = action::RecordKind::kStart, .number = config_.start_count}, {}});
  synced_ = 1;
}

uint64_t SimScheduler::CoreNow() const { return world_.loop.now() - booted_ns_; }

void SimScheduler::Post(scheduler::Event event) {
  if (!alive_) return NeverCame(event);
  inbox_.push_back(std::move(event));
  StepAt(world_.loop.now() + rng_.Below(world_.options.step_delay_ns));
}

void SimScheduler::SetLicences(uint32_t milli) {
  Post(scheduler::event::SetPool{0, kLicences, milli});
}

void SimScheduler::NeverCame(const scheduler::Event& any) {
  std::visit(
      [this](const auto& e) {
        if constexpr (requires { e.token; }) expected_.erase(e.token);
      },
      any);
}

scheduler::Token SimScheduler::Expect(ReplyHandler handler) {
  expected_[++last_token_] = std::move(handler);
  return last_token_;
}

scheduler::Token SimScheduler::ExpectPerhaps(ReplyHandler handler) {
  of_workers_[++last_token_] = std::move(handler);
  return last_token_;
}

void SimScheduler::StepAt(uint64_t time) {
  time = std::max(time, paused_until_);
  if (time >= next_step_) return;
  next_step_ = std::max(time, world_.loop.now());
  world_.loop.At(next_step_, [this, due = next_step_, life = life_] {
    if (life != life_ || due != next_step_) return;
    if (world_.loop.now() >= paused_until_) return Step();
    next_step_ = kNever;
    StepAt(paused_until_);
  });
}

void SimScheduler::Step() {
  next_step_ = kNever;
  const Options& options = world_.options;
  size_t count =
      options.inbox_cut == 0 ? inbox_.size() : std::min<size_t>(inbox_.size(), options.inbox_cut);
  std::vector<scheduler::Event> events(
      std::make_move_iterator(inbox_.begin()),
      std::make_move_iterator(inbox_.begin() + static_cast<ptrdiff_t>(count)));
  inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<ptrdiff_t>(count));
  for (const scheduler::Event& e : events) {
    if (world_.tracing()) world_.Trace("sched <-", Describe(e));
    world_.checker.OnEvent(e);
  }
  KeepRequests(events);
  events_taken_ += count;
  const std::vector<scheduler::Event> told = events;
  uint64_t now = CoreNow();
  actions_.clear();
  uint64_t wake = core_->Step(now, events, options.scheduler_budget, actions_);
  ++world_.stats.scheduler_steps;
  if (wake < now)
    world_.Fail(StrCat("the scheduler core asked to be called in the past: ", wake, " < ", now));
  work_left_ = wake == now;
  for (scheduler::Action& a : actions_) {
    world_.action_hash = HashOf(world_.action_hash, a);
    ++world_.stats.scheduler_actions[a.index()];
    if (world_.tracing()) world_.Trace("sched ->", Describe(a));
    if (const auto* record = std::get_if<action::Journal>(&a);
        record != nullptr && record->token != 0)
      NoteChild(*record, requests_.at(record->token));
    world_.checker.OnAction(a);
    if (world_.failed()) return;
    Carry(a);
  }
  world_.checker.AfterStep(!work_left_);
  Look(told);
  Sync();
  while (!lookups_.empty() && lookups_.front().after <= events_taken_) {
    Answer(lookups_.front());
    lookups_.pop_front();
  }
  if (++steps_ % options.validate_every == 0) {
    ++world_.stats.validations;
    std::string broken = core_->Validate();
    if (!broken.empty()) world_.Fail(StrCat("SchedulerCore::Validate: ", broken));
  }
  if (work_left_ || !inbox_.empty()) {
    StepAt(world_.loop.now() + kUs);
  } else if (wake != kNever) {
    StepAt(wake + booted_ns_);
  }
  if (rng_.Chance(options.spurious_step_per_mille)) StepAt(world_.loop.now() + rng_.Below(5 * kMs));
}

void SimScheduler::Carry(action::Assign& a) {
  if (world_.Mutate(Mutation::kLoseAssign, 20)) return;
  Assignment& assignment = a.assignment;
  if (assignment.objects.size() > 1 &&
      assignment.objects.front().id != assignment.objects.back().id &&
      world_.Mutate(Mutation::kSwapInputs, 100)) {
    std::swap(assignment.objects.front(), assignment.objects.back());
  }
  worker::event::Assign assign;
  std::shared_ptr<worker::Values> values;
  for (uint32_t i = 0; i < assignment.objects.size(); ++i) {
    if (RideAlong(assignment.objects[i], values)) assign.valued.push_back(i);
  }
  assign.values = std::move(values);
  assign.assignment = std::move(assignment);
  world_.net.SendDown(a.stream, [stream = a.stream, assign = std::move(assign)](SimWorker& w) {
    w.OnAssign(stream, assign);
  });
}

void SimScheduler::Carry(action::Gather& a) {
  std::shared_ptr<worker::Values> values;
  RideAlong(a.object, values);
  worker::event::Gather gather{0, a.object, std::move(values)};
  world_.net.SendDown(a.stream, [stream = a.stream, gather = std::move(gather)](SimWorker& w) {
    w.OnGather(stream, gather);
  });
}

void SimScheduler::LookUp(Lookup lookup) {
  if (!alive_) return;
  lookup.after = events_taken_ + inbox_.size();
  lookups_.push_back(lookup);
  StepAt(world_.loop.now() + rng_.Below(world_.options.step_delay_ns));
}

// As WorkerStream::SendFound does.
void SimScheduler::Answer(const Lookup& lookup) {
  const std::optional<scheduler::ObjectView> view = core_->GetObject(lookup.object);
  worker::event::Gather where;
  bool never = false;
  if (view && view->available) {
    where.object = {{view->behind, view->version}, view->size_bytes};
    const size_t holders = std::min(view->holders.size(), where.object.holders.size());
    std::copy_n(view->holders.begin(), holders, where.object.holders.begin());
    std::shared_ptr<worker::Values> values;
    RideAlong(where.object, values);
    where.values = std::move(values);
    world_.checker.OnFound(lookup.object, where.object.id);
  } else {
    never = !view || view->producer_state == TaskState::kFailed ||
            view->producer_state == TaskState::kCancelled;
    if (never) world_.checker.OnNever(lookup.object);
  }
  world_.net.SendDown(lookup.stream, [lookup, where, never](SimWorker& w) {
    w.OnFound(lookup.stream, lookup.token, where, never);
  });
}

void SimScheduler::KeepValue(const ObjectVersion& object, worker::Values::Value value) {
  constexpr size_t kKept = 64;
  if (!alive_ || !values_.emplace(object, value).second) return;
  values_order_.push_back(object);
  if (values_order_.size() <= kKept) return;
  values_.erase(values_order_.front());
  values_order_.pop_front();
}

bool SimScheduler::RideAlong(const InputObject& object, std::shared_ptr<worker::Values>& values) {
  const auto found = values_.find(object.id);
  if (found == values_.end() || object.size_bytes == 0 || rng_.Chance(200)) return false;
  if (values == nullptr) values = std::make_shared<worker::Values>();
  values->values.insert(*found);
  return true;
}

void SimScheduler::Carry(scheduler::Action& any) {
  SimNet& net = world_.net;
  if (auto* a = std::get_if<action::Welcome>(&any)) {
    net.SendDown(a->stream, [a = *a](SimWorker& w) { w.OnWelcome(a.stream, a.worker); });
  } else if (auto* a = std::get_if<action::Refuse>(&any)) {
    net.ClosedByScheduler(a->stream);
  } else if (auto* a = std::get_if<action::CloseStream>(&any)) {
    net.ClosedByScheduler(a->stream);
  } else if (auto* a = std::get_if<action::Assign>(&any)) {
    Carry(*a);
  } else if (auto* a = std::get_if<action::Retract>(&any)) {
    net.SendDown(a->stream, [a = *a](SimWorker& w) {
      w.Post(worker::event::Retract{a.stream, a.attempt});
    });
  } else if (auto* a = std::get_if<action::Cancel>(&any)) {
    net.SendDown(a->stream, [a = *a](SimWorker& w) {
      w.Post(worker::event::Cancel{a.stream, a.attempt});
    });
  } else if (auto* a = std::get_if<action::Free>(&any)) {
    if (world_.Mutate(Mutation::kLoseFree, 200)) return;
    values_.erase(a->object);
    net.SendDown(a->stream, [a = *a](SimWorker& w) { w.OnFree(a.stream, a.object); });
  } else if (auto* a = std::get_if<action::Gather>(&any)) {
    Carry(*a);
  } else if (auto* a = std::get_if<action::Resume>(&any)) {
    net.SendDown(a->stream, [a = *a](SimWorker& w) {
      w.Post(worker::event::Resume{a.stream, a.attempt});
    });
  } else if (auto* a = std::get_if<action::Retire>(&any)) {
    net.SendDown(a->stream, [](SimWorker& w) { w.Retire(); });
  } else if (auto* a = std::get_if<action::AckOutcomes>(&any)) {
    // Acks are cumulative: only losing all of them shows.
    if (world_.Mutate(Mutation::kLoseAck, 1000)) return;
    AfterSync([&net, a = *a] {
      net.SendDown(a.stream, [a](SimWorker& w) {
        w.Post(worker::event::AckOutcomes{a.stream, a.sequence});
      });
    });
  } else if (auto* a = std::get_if<action::Reply>(&any)) {
    auto& asked = of_workers_.contains(a->token) ? of_workers_ : expected_;
    auto found = asked.find(a->token);
    if (found == asked.end())
      return world_.Fail(StrCat("a second or unasked reply to token ", a->token));
    AfterSync([this, handler = std::move(found->second), a = *a] {
      world_.loop.After(world_.net.Delay(), [handler, a] { handler(a); });
    });
    asked.erase(found);
    requests_.erase(a->token);
  } else if (auto* a = std::get_if<action::Journal>(&any)) {
    Record(*a);
  }
  // Drain, JobChanged and ObjectChanged leave no trace in this world: the checkers read
  // them.
}

}  // namespace taskd::sim
