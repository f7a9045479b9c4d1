#include "tests/sim/client.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = scheduler::event;
using scheduler::action::Reply;

SimClient::SimClient(World& world, uint32_t job)
    : world_(world),
      plan_(job),
      rng_(Mix64(world.options.seed) ^ (0xC11E + uint64_t{job} * 0x10001)),
      leaving_(Mix64(world.options.seed) ^ (0x1EA5E + uint64_t{job} * 0x10001)),
      ephemeral_(job != 0 && leaving_.Chance(300)) {}

bool SimClient::cancelled() const {
  return cancelled_ || (ephemeral_ && job_ != 0 && world_.checker.Cancelled(job_));
}

void SimClient::After(uint64_t delay, std::function<void()> call) {
  world_.loop.After(delay, [this, connection = connection_, call = std::move(call)] {
    if (connection == connection_) call();
  });
}

void SimClient::Send(scheduler::Event event) {
  // One stream: in order.
  last_sent_ = std::max(last_sent_, world_.loop.now() + world_.net.Delay());
  world_.loop.At(last_sent_, [this, connection = connection_, event = std::move(event)]() mutable {
    if (connection != connection_) return world_.scheduler.NeverCame(event);
    world_.scheduler.Post(std::move(event));
  });
}

scheduler::Token SimClient::Expect(std::function<void(const Reply&)> handler) {
  return world_.scheduler.Expect(
      [this, connection = connection_, handler = std::move(handler)](const Reply& reply) {
        if (connection == connection_) handler(reply);
      });
}

scheduler::Token SimClient::ExpectTaken(const char* what, std::function<void()> then) {
  return Expect([this, what, then = std::move(then)](const Reply& reply) {
    if (reply.code != 0 && !cancelled())
      return world_.Fail(StrCat(what, " was refused: ", reply.message));
    if (then) then();
  });
}

void SimClient::Start() {
  After(rng_.Below(50 * kMs), [this] { Open(); });
  world_.loop.After(rng_.Below(world_.options.fault_window_ns), [this] { Wander(); });
  // The first one stays: something has to be needed to the end.
  if (plan_ != 0 && rng_.Chance(150))
    world_.loop.After(rng_.Below(world_.options.fault_window_ns), [this] { Cancel(); });
}

void SimClient::Disconnected() {
  if (!world_.scheduler.alive()) speaks_in_ = 0;  // nobody is left who would notice
  ++connection_;
  After(rng_.Below(200 * kMs), [this] { Resume(); });
}

// That its stream broke is noticed late, perhaps after the next one is there: then that one speaks
// for the client.
bool SimClient::Crash() {
  if (!world_.scheduler.alive()) return false;
  const uint64_t noticed = rng_.Below(100 * kMs);
  if (leaving_.Chance(200)) {
    Goodbye();
    return true;
  }
  world_.loop.After(noticed, [this, broken = connection_] {
    if (speaks_in_ == broken) world_.scheduler.Post(event::ClientGone{id()});
  });
  Disconnected();
  return true;
}

// Leaves in order, and comes back as if it had not.
void SimClient::Goodbye() {
  last_sent_ = std::max(last_sent_, world_.loop.now() + world_.net.Delay());
  world_.loop.At(last_sent_, [this, connection = connection_] {
    if (connection != connection_) return;
    world_.scheduler.Post(event::ClientGone{id(), true});
    speaks_in_ = 0;
    Disconnected();
  });
}

// When its job has ended: while others go on, and perhaps read of it, or want something.
void SimClient::ForgetEarly() {
  if (!sealed_ || !world_.scheduler.alive()) return;
  std::optional<scheduler::JobView> view = world_.scheduler.core().GetJob(job_);
  if (view.has_value() && view->ended_ns != 0) Forget();
}

void SimClient::Resume() {
  if (!world_.scheduler.alive()) return After(1 + rng_.Below(100 * kMs), [this] { Resume(); });
  Hello();
  if (!asked_to_forget_) return Open();
  if (!wants_.empty()) SetWants(wants_);  // a scheduler that has restarted does not know them
  Forget();
}

void SimClient::Hello() {
  last_sent_ = std::max(last_sent_, world_.loop.now() + world_.net.Delay());
  world_.loop.At(last_sent_, [this, connection = connection_] {
    if (connection != connection_) return;
    speaks_in_ = connection;
    world_.scheduler.Post(event::ClientBack{id()});
  });
}

void SimClient::Open() {
  event::OpenJob open;
  open.submission_hi = world_.options.seed;
  open.submission_lo = plan_;
  const JobPlan& plan = world_.plan.jobs[plan_];
  open.priority = plan.priority;
  open.owner = plan.owner;
  open.weight = plan.weight;
  open.max_running = plan.max_running;
  if (ephemeral_) open.client = id();
  open.token = Expect([this](const Reply& reply) { OnOpened(reply); });
  bool twice = rng_.Chance(100) && job_ == 0;
  Send(open);
  if (twice) Open();
}

void SimClient::OnOpened(const Reply& reply) {
  if (reply.code != 0) return world_.Fail(StrCat("OpenJob was refused: ", reply.message));
  if (job_ != 0 && reply.job != job_) return world_.Fail("the same submission got two jobs");
  if (opened_in_ == connection_) return;  // a second opening that crossed the first
  opened_in_ = connection_;
  if (job_ == 0) {
    job_ = reply.job;
    if (!world_.families.Open(job_, plan_)) return world_.Fail("two submissions got the same job");
    if (reply.next_batch != 0) return world_.Fail("a new job expects a batch other than the first");
  }
  if (reply.next_batch < acknowledged_)
    return world_.Fail(StrCat("of ", acknowledged_, " acknowledged batches only ", reply.next_batch,
                              " are known"));
  acknowledged_ = reply.next_batch;
  if (!wants_.empty()) SetWants(wants_);
  Publish();
  if (cancelled_ && !cancel_acknowledged_) SendCancel();
  SendBatch(reply.next_batch);
  if (rng_.Chance(100)) Open();
}

void SimClient::SendBatch(uint32_t number) {
  const auto& batches = world_.plan.jobs[plan_].batches;
  if (number == batches.size()) return Seal();
  event::AddBatch add;
  add.job = job_;
  add.number = number;
  add.batch = batches[number];
  if (cancelled_) return;
  if (!FillImports(add.batch))
    return After(1 + rng_.Below(50 * kMs), [this, number] { SendBatch(number); });
  add.token = Expect([this, number](const Reply& reply) {
    if (reply.code != 0 && !cancelled()) {
      if (ReadsForgotten(world_.plan.jobs[plan_].batches[number])) return GiveUp();
      return world_.Fail(StrCat("batch ", number, " was refused: ", reply.message));
    }
    if (reply.code != 0) {
      sealed_ = true;
      return;
    }
    if (number < acknowledged_) return;  // the answer to a duplicate
    acknowledged_ = number + 1;
    Publish();
    After(rng_.Below(20 * kMs), [this, number] { SendBatch(number + 1); });
  });
  Send(add);
  if (rng_.Chance(150)) {
    add.token = Expect([this, number](const Reply& reply) {
      if (reply.code == 0 || cancelled()) return;
      if (ReadsForgotten(world_.plan.jobs[plan_].batches[number])) return;
      world_.Fail(StrCat("a repeated batch was refused: ", reply.message));
    });
    Send(std::move(add));
  }
}

Ordinal SimClient::objects() const {
  const JobPlan& plan = world_.plan.jobs[plan_];
  Ordinal count = 0;
  for (uint32_t b = 0; b < acknowledged_; ++b) {
    for (const scheduler::Batch::Task& task : plan.batches[b].tasks) count += task.output_count;
  }
  return count;
}

// The numbers of other jobs. False: something of them is still to come. What will never come makes
// this job pointless.
bool SimClient::FillImports(scheduler::Batch& batch) {
  for (scheduler::Batch::Collection& c : batch.collections) {
    if (c.job == 0) continue;
    const SimClient& other = *world_.clients[c.job - 1];
    const bool there = c.dataset.empty() ? c.first + (c.count - 1) * c.stride < other.objects()
                                         : other.published(c.dataset);
    if (other.asked_to_forget() || !there) {
      if (other.asked_to_forget() || other.cancelled()) GiveUp();
      return false;
    }
    c.job = c.dataset.empty() ? other.job_ : 0;
    ++world_.stats.imports;
  }
  return true;
}

void SimClient::GiveUp() {
  cancelled_ = true;
  SendCancel();
}

// Then the batch may be refused.
bool SimClient::ReadsForgotten(const scheduler::Batch& batch) const {
  return std::any_of(batch.collections.begin(), batch.collections.end(), [this](const auto& c) {
    return c.job != 0 && world_.clients[c.job - 1]->asked_to_forget();
  });
}

// Also again what may not have been heard.
void SimClient::Publish() {
  for (const DatasetPlan& dataset : world_.plan.jobs[plan_].datasets) {
    event::PublishDataset publish;
    publish.name = dataset.name;
    publish.objects = dataset.objects;
    publish.objects.job = job_;
    const Ordinal last =
        publish.objects.first + (publish.objects.count - 1) * publish.objects.stride;
    if (published(dataset.name) || last >= objects()) continue;
    publish.token =
        ExpectTaken("PublishDataset", [this, name = dataset.name] { published_.insert(name); });
    Send(std::move(publish));
  }
}

// Under a name that is taken.
void SimClient::PublishAnother() {
  event::PublishDataset publish;
  publish.name = *published_.begin();
  publish.objects = {job_, 0, 6};
  if (objects() < publish.objects.count) return;
  publish.token = Expect([this](const Reply& reply) {
    if (reply.code == 0) world_.Fail("two datasets have the same name");
  });
  Send(std::move(publish));
}

void SimClient::Drop(const DatasetPlan& dataset) {
  event::DropDataset drop;
  drop.name = dataset.name;
  // Perhaps it was published, and the answer has not been heard.
  if (published_.erase(dataset.name) == 0) {
    drop.token = Expect([](const Reply&) {});
  } else {
    drop.token = ExpectTaken("DropDataset");
  }
  Send(std::move(drop));
}

void SimClient::Seal() {
  event::SealJob seal;
  seal.job = job_;
  seal.batches = static_cast<uint32_t>(world_.plan.jobs[plan_].batches.size());
  for (int times = rng_.Chance(100) ? 2 : 1; times > 0; --times) {
    seal.token = ExpectTaken("SealJob", [this] { sealed_ = true; });
    Send(seal);
  }
}

void SimClient::Cancel() {
  if (calm_) return;
  if (job_ != 0 && !rng_.Chance(100)) {
    cancelled_ = true;
    return SendCancel();
  }
  event::CancelJob cancel;
  cancel.job = 777'777;
  cancel.token = Expect([this](const Reply& reply) {
    if (reply.code == 0) world_.Fail("cancelling a job that does not exist succeeded");
  });
  Send(cancel);
}

std::vector<scheduler::OrdinalRange> SimClient::DrawRanges() {
  std::vector<scheduler::OrdinalRange> ranges;
  Ordinal known = 0;
  const auto& batches = world_.plan.jobs[plan_].batches;
  for (uint32_t b = 0; b < acknowledged_; ++b)
    known += static_cast<Ordinal>(batches[b].tasks.size());
  for (uint64_t n = rng_.Between(1, 3); n > 0 && known > 0; --n) {
    scheduler::OrdinalRange range;
    range.first = static_cast<Ordinal>(rng_.Below(known));
    range.stride = static_cast<uint32_t>(rng_.Between(1, 5));
    uint32_t most = (known - 1 - range.first) / range.stride + 1;
    range.count = static_cast<uint32_t>(rng_.Between(1, std::min(most, 6u)));
    ranges.push_back(range);
  }
  return ranges;
}

// Not of the first job: something has to be needed to the end.
void SimClient::CancelSome() {
  if (calm_ || plan_ == 0 || acknowledged_ == 0) return;
  event::CancelTasks cancel;
  cancel.job = job_;
  cancel.tasks = DrawRanges();
  cancel.token = ExpectTaken("CancelTasks");
  cancelled_tasks_ = true;
  Send(std::move(cancel));
}

void SimClient::Retry() {
  if (acknowledged_ == 0) return;
  event::RetryTasks retry;
  retry.job = job_;
  if (rng_.Chance(300)) retry.tasks = DrawRanges();
  retry.cancelled_too = rng_.Chance(500);
  retry.token = ExpectTaken("RetryTasks");
  Send(std::move(retry));
}

void SimClient::Forget() {
  event::ForgetJob forget;
  forget.job = job_;
  asked_to_forget_ = true;
  if (!published_.empty()) {
    forget.token = Expect([this](const Reply& reply) {
      if (reply.code == 0) world_.Fail("a job with a dataset was forgotten");
    });
    Send(forget);
  }
  for (const DatasetPlan& dataset : world_.plan.jobs[plan_].datasets) Drop(dataset);
  forget.token = Expect([this](const Reply& reply) {
    if (reply.code == 0) {
      forgotten_ = true;
      return;
    }
    // Somebody reads of it, or it has something to make again.
    if (world_.healed && world_.clients_done)
      return world_.Fail(StrCat("ForgetJob was refused: ", reply.message));
    After(1 + rng_.Below(100 * kMs), [this] { Forget(); });
  });
  Send(forget);
}

void SimClient::SendCancel() {
  event::CancelJob cancel;
  cancel.job = job_;
  cancel.token = Expect([this](const Reply& reply) {
    if (reply.code != 0) return world_.Fail(StrCat("CancelJob was refused: ", reply.message));
    cancel_acknowledged_ = true;
  });
  Send(cancel);
}

void SimClient::DrawWantsOf(const SimClient& owner, uint64_t count, std::vector<ObjectId>& wants) {
  const JobPlan& plan = world_.plan.jobs[owner.plan_];
  uint64_t objects = owner.acknowledged_ == 0 ? 0 : plan.batches[0].tasks.size();
  if (owner.sealed_ && owner.acknowledged_ == plan.batches.size()) objects = plan.objects.size();
  for (uint64_t i = 0; i < count && objects != 0; ++i)
    wants.push_back({owner.job_, static_cast<Ordinal>(rng_.Below(objects))});
}

// Of its own job, and sometimes of another's.
std::vector<ObjectId> SimClient::DrawWants(uint64_t count) {
  std::vector<ObjectId> wants;
  DrawWantsOf(*this, count, wants);
  const SimClient& other = *world_.clients[rng_.Below(world_.clients.size())];
  if (rng_.Chance(200)) DrawWantsOf(other, 2, wants);
  return wants;
}

void SimClient::SetWants(std::vector<ObjectId> wants) {
  wants_ = wants;
  Send(event::SetWants{.client = id(), .objects = std::move(wants)});
}

void SimClient::Wander() {
  if (calm_ || asked_to_forget_) return;
  if (opened_in_ == connection_) {
    SetWants(DrawWants(rng_.Below(4)));
    if (rng_.Chance(100)) CancelSome();
    if (rng_.Chance(150)) Retry();
    if (!published_.empty() && rng_.Chance(50)) PublishAnother();
    if (plan_ != 0 && rng_.Chance(100)) ForgetEarly();
  }
  world_.loop.After(rng_.Below(300 * kMs), [this] { Wander(); });
}

void SimClient::WantLate() {
  if (asked_to_forget_) return;
  if (!rng_.Chance(600)) return;
  SetWants(DrawWants(1 + rng_.Below(6)));
  world_.stats.late_wants += wants_.size();
}

void SimClient::DropWants() {
  if (asked_to_forget_) return;
  if (rng_.Chance(500)) SetWants({});
  for (const DatasetPlan& dataset : world_.plan.jobs[plan_].datasets) {
    if (rng_.Chance(500) && published(dataset.name)) Drop(dataset);
  }
}

}  // namespace taskd::sim
