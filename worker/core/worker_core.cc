// The loop of a step: unfinished work first, then events in order; when both are done, what may
// start is started and what may be fetched is asked for. Deciding last lets a batch of events be
// seen whole.
#include "worker/core/worker_core.h"

#include <algorithm>
#include <utility>

#include "worker/core/impl.h"

namespace taskd::worker {

WorkerCore::WorkerCore(const Config& config) : impl_(std::make_unique<Impl>(config)) {}
WorkerCore::~WorkerCore() = default;

uint64_t WorkerCore::Step(uint64_t now_ns, std::span<Event> events, uint32_t budget,
                          std::vector<Action>& actions) {
  return impl_->Step(now_ns, events, budget, actions);
}
const Counters& WorkerCore::counters() const { return impl_->counters(); }
std::string WorkerCore::Validate() const { return impl_->Validate(); }

uint64_t WorkerCore::Impl::Step(uint64_t now_ns, std::span<Event> events, uint32_t budget,
                                std::vector<Action>& actions) {
  TASKD_CHECK(now_ns >= now_ns_ && budget > 0);
  now_ns_ = now_ns;
  budget_ = budget;
  actions_ = &actions;
  for (Event& event : events) inbox_.push_back(std::move(event));
  while (budget_ > 0 && !(work_.empty() && inbox_.empty())) {
    if (!work_.empty()) {
      Work work = std::move(work_.front());
      work_.pop_front();
      if (!Continue(work)) work_.push_front(std::move(work));
      continue;
    }
    Event event = std::move(inbox_.front());
    inbox_.pop_front();
    Spend(1);
    Handle(event);
  }
  if (work_.empty() && inbox_.empty()) {
    StartWhatFits();
    WakePeers();
    PlanFetches();
    SpillWhatMust();
    StopWhenIdle();
  }
  actions_ = nullptr;
  counters_.outcomes_unacked = outcomes_.size();
  if (budget_ <= 0) return now_ns;
  uint64_t wake = timers_.empty() ? kNever : timers_.begin()->first;
  if (relieving_ && no_spill_before_ns_ > now_ns) wake = std::min(wake, no_spill_before_ns_);
  return wake;
}

void WorkerCore::Impl::Handle(Event& event) {
  struct Visitor {
    Impl& core;
    void operator()(event::SessionUp& e) const { core.OnSessionUp(e); }
    void operator()(event::SessionDown& e) const {
      if (e.session == core.session_) core.connected_ = false;
    }
    void operator()(event::Assign& e) const { core.OnAssign(e); }
    void operator()(event::Retract& e) const {
      if (core.Current(e.session)) core.OnRetract(e.attempt);
    }
    void operator()(event::Cancel& e) const {
      if (core.Current(e.session)) core.OnCancel(e.attempt);
    }
    void operator()(event::Free& e) const {
      if (core.Current(e.session)) core.OnFree(e.object);
    }
    void operator()(event::Gather& e) const {
      if (core.Current(e.session) && !core.stopping_) core.OnGather(e);
    }
    void operator()(event::AckOutcomes& e) const {
      if (core.Current(e.session)) core.OnAckOutcomes(e.sequence);
    }
    void operator()(event::FetchDone& e) const { core.OnFetchDone(e); }
    void operator()(event::ExecDone& e) const { core.OnExecDone(e); }
    void operator()(event::ExecSubmit& e) const { core.OnExecSubmit(e); }
    void operator()(event::ExecYield& e) const { core.OnExecYield(e); }
    void operator()(event::SubmitAnswered& e) const {
      if (core.Current(e.session)) core.OnSubmitAnswered(e);
    }
    void operator()(event::Resume& e) const {
      if (core.Current(e.session)) core.OnResume(e.attempt);
    }
    void operator()(event::ReplicaLost& e) const { core.OnReplicaLost(e.object); }
    void operator()(event::Spilled& e) const { core.OnSpilled(e); }
    void operator()(event::Shutdown&) const { core.OnShutdown(); }
  };
  std::visit(Visitor{*this}, event);
}

bool WorkerCore::Impl::Continue(Work& work) {
  switch (work.kind) {
    case Work::Kind::kFetchItems:
      return ContinueFetchItems(work);
    case Work::Kind::kArrived:
      return ContinueArrived(work);
    case Work::Kind::kExhausted:
      return ContinueExhausted(work);
    case Work::Kind::kLost:
      return ContinueLost(work);
    case Work::Kind::kReset:
      return ContinueReset(work);
    case Work::Kind::kInventory:
      return ContinueInventory(work);
    case Work::Kind::kDialogs:
      return ContinueDialogs(work);
    case Work::Kind::kOutcomes:
      return ContinueOutcomes(work);
    case Work::Kind::kStop:
      return ContinueStop(work);
  }
  return true;
}

}  // namespace taskd::worker
