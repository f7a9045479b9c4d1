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
      rng_(Mix64(world.options.seed) ^ (0xC11E + uint64_t{job} * 0x10001)) {}

void SimClient::Send(scheduler::Event event) {
  // One stream: in order.
  last_sent_ = std::max(last_sent_, world_.loop.now() + world_.net.Delay());
  world_.loop.At(last_sent_, [this, event = std::move(event)]() mutable {
    world_.scheduler.Post(std::move(event));
  });
}

void SimClient::Start() {
  world_.loop.After(rng_.Below(50 * kMs), [this] { Open(); });
  world_.loop.After(rng_.Below(world_.options.fault_window_ns), [this] { Wander(); });
  if (rng_.Chance(120))
    world_.loop.After(rng_.Below(world_.options.fault_window_ns), [this] { Cancel(); });
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
  open.token = world_.scheduler.Expect([this](const Reply& reply) {
    if (reply.code != 0) return world_.Fail(StrCat("OpenJob was refused: ", reply.message));
    bool again = job_ != 0;
    if (again && reply.job != job_) return world_.Fail("the same submission got two jobs");
    if (again) return;  // a second opening that crossed the first
    job_ = reply.job;
    if (world_.plan_of_job.contains(job_)) return world_.Fail("two submissions got the same job");
    world_.plan_of_job[job_] = plan_;
    world_.job_ids[plan_] = job_;
    if (reply.next_batch != 0) return world_.Fail("a new job expects a batch other than the first");
    SendBatch(0);
    if (rng_.Chance(100)) Open();
  });
  bool twice = rng_.Chance(100) && job_ == 0;
  Send(open);
  if (twice) Open();
}

void SimClient::SendBatch(uint32_t number) {
  const auto& batches = world_.plan.jobs[plan_].batches;
  if (number == batches.size()) return Seal();
  event::AddBatch add;
  add.job = job_;
  add.number = number;
  add.batch = batches[number];
  add.token = world_.scheduler.Expect([this, number](const Reply& reply) {
    if (reply.code != 0 && !cancelled_) {
      return world_.Fail(StrCat("batch ", number, " was refused: ", reply.message));
    }
    if (reply.code != 0) {
      sealed_ = true;
      return;
    }
    if (number < acknowledged_) return;  // the answer to a duplicate
    acknowledged_ = number + 1;
    world_.loop.After(rng_.Below(20 * kMs), [this, number] { SendBatch(number + 1); });
  });
  Send(add);
  if (rng_.Chance(150)) {
    add.token = world_.scheduler.Expect([this](const Reply& reply) {
      if (reply.code != 0 && !cancelled_)
        world_.Fail(StrCat("a repeated batch was refused: ", reply.message));
    });
    Send(std::move(add));
  }
}

void SimClient::Seal() {
  event::SealJob seal;
  seal.job = job_;
  seal.batches = static_cast<uint32_t>(world_.plan.jobs[plan_].batches.size());
  for (int times = rng_.Chance(100) ? 2 : 1; times > 0; --times) {
    seal.token = world_.scheduler.Expect([this](const Reply& reply) {
      if (reply.code != 0 && !cancelled_)
        return world_.Fail(StrCat("SealJob was refused: ", reply.message));
      sealed_ = true;
    });
    Send(seal);
  }
}

void SimClient::Cancel() {
  if (calm_) return;
  event::CancelJob cancel;
  bool unknown = job_ == 0 || rng_.Chance(100);
  cancel.job = unknown ? 777'777 : job_;
  if (!unknown) cancelled_ = true;
  cancel.token = world_.scheduler.Expect([this, unknown](const Reply& reply) {
    if (unknown && reply.code == 0) world_.Fail("cancelling a job that does not exist succeeded");
    if (!unknown && reply.code != 0) world_.Fail(StrCat("CancelJob was refused: ", reply.message));
  });
  Send(cancel);
}

std::vector<ObjectId> SimClient::DrawWants(uint64_t count) {
  std::vector<ObjectId> wants;
  uint64_t objects = acknowledged_ == 0 ? 0 : world_.plan.jobs[plan_].batches[0].tasks.size();
  if (sealed_ && acknowledged_ == world_.plan.jobs[plan_].batches.size()) {
    objects = world_.plan.jobs[plan_].objects.size();
  }
  if (objects == 0) return wants;
  for (uint64_t i = 0; i < count; ++i)
    wants.push_back({job_, static_cast<Ordinal>(rng_.Below(objects))});
  return wants;
}

void SimClient::SetWants(std::vector<ObjectId> wants) {
  wants_ = wants;
  Send(event::SetWants{.client = 50 + uint64_t{plan_}, .objects = std::move(wants)});
}

void SimClient::Wander() {
  if (calm_) return;
  if (job_ != 0) SetWants(DrawWants(rng_.Below(4)));
  world_.loop.After(rng_.Below(300 * kMs), [this] { Wander(); });
}

void SimClient::WantLate() {
  if (!rng_.Chance(600)) return;
  SetWants(DrawWants(1 + rng_.Below(6)));
  world_.stats.late_wants += wants_.size();
}

void SimClient::DropWants() {
  if (rng_.Chance(500)) SetWants({});
}

}  // namespace taskd::sim
