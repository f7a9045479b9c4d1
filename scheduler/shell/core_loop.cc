#include "scheduler/shell/core_loop.h"

#include <algorithm>
#include <chrono>
#include <future>
#include <optional>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/io/clock.h"

namespace taskd::scheduler {
namespace {

// Transitions in one step: a few milliseconds, so that questions and outboxes are served in
// between.
constexpr uint32_t kStepBudget = 4096;
// What one small job and its client may have in the queue.
constexpr size_t kFewItems = 4;

}  // namespace

CoreLoop::CoreLoop(const Config& config, std::vector<ActionSink*> sinks)
    : core_(config), sinks_(std::move(sinks)) {}

CoreLoop::~CoreLoop() { Stop(); }

void CoreLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void CoreLoop::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  not_empty_.notify_one();
  if (thread_.joinable()) thread_.join();
}

bool CoreLoop::Post(Event event, uint32_t items) { return Enqueue({std::move(event), items}); }

bool CoreLoop::Request(std::function<Event(Token)> make, OnReply on_reply, uint32_t items) {
  return Enqueue({Requested{std::move(make), std::move(on_reply)}, items});
}

bool CoreLoop::Ask(Question question) { return Enqueue({std::move(question), 1}); }

bool CoreLoop::HasRoomLocked() const { return queued_items_ < limits::kEventQueueItems; }

bool CoreLoop::Enqueue(Item item) {
  std::lock_guard lock(mutex_);
  queued_items_ += item.items;
  bool was_empty = queue_.empty();
  queue_.push_back(std::move(item));
  if (was_empty) not_empty_.notify_one();
  return HasRoomLocked();
}

void CoreLoop::WhenRoom(std::function<void()> resume) {
  {
    std::lock_guard lock(mutex_);
    if (!HasRoomLocked()) {
      waiting_for_room_.push_back(std::move(resume));
      return;
    }
  }
  resume();
}

void CoreLoop::WaitForRoom() {
  auto room = std::make_shared<std::promise<void>>();
  WhenRoom([room] { room->set_value(); });
  room->get_future().wait();
}

void CoreLoop::AskAndWait(const Question& question) {
  std::promise<void> done;
  Ask([&](const SchedulerCore& core, uint64_t now_ns) {
    question(core, now_ns);
    done.set_value();
  });
  done.get_future().wait();
}

CoreLoop::Stats CoreLoop::stats() const {
  std::lock_guard lock(mutex_);
  Stats stats = stats_;
  stats.queue_items = queued_items_;
  return stats;
}

bool CoreLoop::nearly_idle() const {
  std::lock_guard lock(mutex_);
  return queue_.size() < kFewItems;
}

void CoreLoop::Run() {
  for (;;) {
    std::deque<Item> items = TakeItems(std::min(core_wake_, sink_wake_));
    uint64_t start_ns = io::NowNs();
    uint64_t events = items.size();
    Process(items);
    uint64_t end_ns = io::NowNs();
    std::lock_guard lock(mutex_);
    stats_.events += events;
    stats_.busy_ns += end_ns - start_ns;
    if (stop_ && queue_.empty()) return;
  }
}

// Everything that has gathered; nothing when `wake_at` came first. Wakes those that waited for
// room.
std::deque<CoreLoop::Item> CoreLoop::TakeItems(uint64_t wake_at) {
  std::deque<Item> items;
  std::vector<std::function<void()>> resumed;
  {
    std::unique_lock lock(mutex_);
    auto ready = [this] { return stop_ || !queue_.empty(); };
    uint64_t now_ns = io::NowNs();
    if (wake_at == kNever) {
      not_empty_.wait(lock, ready);
    } else if (wake_at > now_ns) {
      not_empty_.wait_for(lock, std::chrono::nanoseconds(wake_at - now_ns), ready);
    }
    items.swap(queue_);
    queued_items_ = 0;
    resumed.swap(waiting_for_room_);
  }
  for (auto& resume : resumed) resume();
  return items;
}

void CoreLoop::Process(std::deque<Item>& items) {
  std::vector<Event> events;
  for (Item& item : items) {
    if (Event* event = std::get_if<Event>(&item.what)) {
      events.push_back(std::move(*event));
    } else if (Requested* request = std::get_if<Requested>(&item.what)) {
      Token token = next_token_++;
      waiting_.emplace(token, std::move(request->on_reply));
      events.push_back(request->make(token));
    } else {
      if (!events.empty()) Step(events);
      std::get<Question>(item.what)(core_, io::NowNs());
    }
  }
  if (!events.empty() || core_wake_ <= io::NowNs()) Step(events);
  sink_wake_ = kNever;
  for (ActionSink* sink : sinks_)
    sink_wake_ = std::min(sink_wake_, sink->OnTime(io::NowNs(), core_));
}

void CoreLoop::Step(std::vector<Event>& events) {
  uint64_t now_ns = io::NowNs();
  actions_.clear();
  core_wake_ = core_.Step(now_ns, events, kStepBudget, actions_);
  events.clear();
  Deliver(now_ns, actions_);
  std::lock_guard lock(mutex_);
  ++stats_.steps;
}

void CoreLoop::Deliver(uint64_t now_ns, std::vector<Action>& actions) {
  for (ActionSink* sink : sinks_) sink->OnActions(now_ns, core_, actions);
  for (Action& action : actions) {
    auto* reply = std::get_if<action::Reply>(&action);
    if (reply == nullptr) continue;
    auto waiting = waiting_.extract(reply->token);
    if (!waiting.empty()) waiting.mapped()(*reply, core_, now_ns);
  }
}

}  // namespace taskd::scheduler
