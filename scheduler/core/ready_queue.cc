#include "scheduler/core/ready_queue.h"

#include <algorithm>
#include <functional>
#include <tuple>

#include "common/base/muldiv.h"
#include "common/base/prefetch.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kNotUrgent = 0x80000000u;
constexpr uint32_t kOrderMask = 0x7FFFFFFFu;
constexpr uint32_t kStaleTails = 64;  // kept beyond twice the lane's size
constexpr uint32_t kIdleLanes = 4;
constexpr uint32_t kLookedForStanding = 4096;  // tasks of a job
constexpr uint32_t kAskedAhead = 8;            // tasks before their turn, see prefetch.cc
}  // namespace

uint32_t InvertedPriority(const Job& job, const TaskRec& task) {
  int64_t priority = int64_t{job.family->share.priority} + job.options[task.option].priority;
  priority = std::clamp<int64_t>(priority, INT32_MIN, INT32_MAX);
  return ~(static_cast<uint32_t>(static_cast<int32_t>(priority)) ^ 0x80000000u);
}

uint32_t OrderIn(const TaskRec& task, bool urgent) {
  return urgent ? kOrderMask - std::min(task.tail, kOrderMask)
                : kNotUrgent | std::min(task.rank, kOrderMask);
}

void ReadyItemTraits::SetPosition(State& state, const ReadyItem& item, uint32_t position) {
  state.jobs[item.job]->tasks[item.ordinal].position = position;
}

bool ReadyQueue::LaneTraits::Less(const ReadyQueue& queue, uint32_t a, uint32_t b) {
  const Lane& x = queue.lanes_[a];
  const Lane& y = queue.lanes_[b];
  if (x.inverted_priority != y.inverted_priority) return x.inverted_priority < y.inverted_priority;
  if (x.virtual_us != y.virtual_us) return x.virtual_us < y.virtual_us;
  return x.job < y.job;
}

uint32_t ReadyQueue::FindLane(JobId job) const {
  if (last_ < lanes_.size() && lanes_[last_].job == job) return last_;
  auto it = lane_of_.find(job);
  return it == lane_of_.end() ? kNotInHeap : it->second;
}

uint32_t ReadyQueue::LaneFor(JobId job) {
  uint32_t index = FindLane(job);
  if (index == kNotInHeap) {
    if (unused_.empty()) {
      index = static_cast<uint32_t>(lanes_.size());
      lanes_.emplace_back();
    } else {
      index = unused_.back();
      unused_.pop_back();
    }
    lane_of_[job] = index;
    lanes_[index].job = job;
  }
  last_ = index;
  return index;
}

// A few lanes are kept: a queue that is emptied and filled for each task does not make a lane each
// time.
void ReadyQueue::Emptied(uint32_t index) {
  Lane& lane = lanes_[index];
  HeapOf(lane).Remove(*this, lane.place);
  lane.parked = lane.mixed_tails = false;
  ClearAndRelease(lane.by_tail);
  if (lane_of_.size() <= kIdleLanes) return;
  lane_of_.erase(lane.job);
  lane.job = 0;
  unused_.push_back(index);
}

void ReadyQueue::SetHead(Lane& lane) {
  uint32_t priority = lane.by_rank.top().inverted_priority;
  if (priority == lane.inverted_priority) return;
  lane.inverted_priority = priority;
  HeapOf(lane).Update(*this, lane.place);
}

void ReadyQueue::Push(State& state, Job& job, Ordinal ordinal) {
  const TaskRec& task = job.tasks[ordinal];
  uint32_t index = LaneFor(job.id);
  Lane& lane = lanes_[index];
  ReadyItem item{InvertedPriority(job, task), task.rank, ordinal, job.id};
  lane.by_rank.Push(state, item);
  AddTail(job, lane, item, task.tail);
  ++size_;
  if (lane.by_rank.size() > 1) return SetHead(lane);
  lane.inverted_priority = item.inverted_priority;
  lane.virtual_us = job.family->share.virtual_us;
  by_share_.Push(*this, index);
}

void ReadyQueue::Remove(State& state, Job& job, Ordinal ordinal) {
  uint32_t index = FindLane(job.id);
  TASKD_CHECK(index != kNotInHeap);
  Lane& lane = lanes_[index];
  lane.by_rank.Remove(state, job.tasks[ordinal].position);
  // Its record is far from those of the tasks that run.
  if (const ReadyItem* next = lane.by_rank.Following(kAskedAhead);
      next != nullptr && next->job != 0)
    PrefetchRecord(job.tasks[next->ordinal]);
  --size_;
  if (lane.by_rank.empty()) {
    Emptied(index);
  } else {
    SetHead(lane);
  }
}

bool ReadyQueue::Unpark(const Job& job) {
  uint32_t index = FindLane(job.id);
  if (index == kNotInHeap || !lanes_[index].parked) return false;
  Lane& lane = lanes_[index];
  parked_.Remove(*this, lane.place);
  lane.parked = false;
  lane.virtual_us = job.family->share.virtual_us;
  by_share_.Push(*this, index);
  return true;
}

std::pair<JobId, Ordinal> ReadyQueue::Any() const {
  const Lane& lane = lanes_[by_share_.empty() ? parked_.top() : by_share_.top()];
  return {lane.job, lane.by_rank.top().ordinal};
}

bool ReadyQueue::Holds(const Job& job, Ordinal ordinal) const {
  uint32_t index = FindLane(job.id);
  if (index == kNotInHeap) return false;
  const Lane& lane = lanes_[index];
  uint32_t position = job.tasks[ordinal].position;
  return lane.by_rank.Has(position) && lane.by_rank.at(position).ordinal == ordinal &&
         lane.place != kNotInHeap && lane.virtual_us <= job.family->share.virtual_us;
}

void ReadyQueue::AddTail(const Job& job, Lane& lane, const ReadyItem& item, uint32_t tail) {
  if (!lane.mixed_tails) {
    if (lane.by_rank.size() == 1) lane.tail = tail;
    if (lane.tail == tail) return;
    lane.mixed_tails = true;
    return RebuildTails(job, lane);
  }
  if (lane.by_tail.size() > 2 * uint64_t{lane.by_rank.size()} + kStaleTails)
    return RebuildTails(job, lane);
  lane.by_tail.push_back({item.inverted_priority, ~tail, item.ordinal, item.job});
  std::push_heap(lane.by_tail.begin(), lane.by_tail.end(), std::greater<>());
}

void ReadyQueue::RebuildTails(const Job& job, Lane& lane) {
  lane.by_tail.clear();
  lane.by_rank.ForEach([&](ReadyItem item) {
    item.rank = ~job.tasks[item.ordinal].tail;
    lane.by_tail.push_back(item);
  });
  std::make_heap(lane.by_tail.begin(), lane.by_tail.end(), std::greater<>());
}

const ReadyItem* ReadyQueue::Urgent(const State& state, const Job& job, Lane& lane) {
  while (!lane.by_tail.empty()) {
    const ReadyItem& front = lane.by_tail.front();
    const TaskRec& task = job.tasks[front.ordinal];
    bool here = lane.by_rank.Has(task.position) &&
                lane.by_rank.at(task.position).ordinal == front.ordinal && ~task.tail == front.rank;
    if (here) return state.IsUrgent(job, task.tail) ? &front : nullptr;
    std::pop_heap(lane.by_tail.begin(), lane.by_tail.end(), std::greater<>());
    lane.by_tail.pop_back();
  }
  return nullptr;
}

bool ReadyQueue::Top(State& state, QueuePlace place, Precedence* head) {
  while (!by_share_.empty()) {
    uint32_t index = by_share_.top();
    Lane& lane = lanes_[index];
    Job& job = *state.jobs[lane.job];
    if (job.family->share.at_limit()) {
      --state.budget;
      by_share_.Remove(*this, lane.place);
      lane.parked = true;
      parked_.Push(*this, index);
      job.family->parked.push_back({place, job.id});
      continue;
    }
    if (lane.virtual_us != job.family->share.virtual_us) {
      --state.budget;
      lane.virtual_us = job.family->share.virtual_us;
      by_share_.Update(*this, lane.place);
      if (by_share_.top() != index) continue;
    }
    const ReadyItem* item = &lane.by_rank.top();
    bool urgent = false;
    if (!lane.mixed_tails) {
      urgent = state.IsUrgent(job, lane.tail);
    } else if (const ReadyItem* longest = Urgent(state, job, lane);
               longest != nullptr && longest->inverted_priority == item->inverted_priority) {
      item = longest;
      urgent = true;
    }
    *head = {item->inverted_priority, lane.virtual_us, lane.job,
             OrderIn(job.tasks[item->ordinal], urgent), item->ordinal};
    return true;
  }
  return false;
}

QueueStanding ReadyQueue::StandingOf(const State& state, const Job& job, Ordinal ordinal) const {
  auto place_of = [&](const Job& in, Ordinal task) {
    const TaskRec& record = in.tasks[task];
    return std::tuple(InvertedPriority(in, record),
                      OrderIn(record, state.IsUrgent(in, record.tail)), task);
  };
  const auto own = place_of(job, ordinal);
  const uint32_t priority = std::get<0>(own);
  QueueStanding out;
  for (const Lane& lane : lanes_) {
    if (lane.place == kNotInHeap) continue;
    const bool other = lane.job != job.id;
    if (other && (lane.parked || lane.inverted_priority > priority)) continue;
    if (other && lane.inverted_priority == priority) {
      ++out.sharing;
      continue;
    }
    const Job& in = *state.jobs[lane.job];
    uint64_t looked = 0, first = 0;
    lane.by_rank.VisitSome(kLookedForStanding, [&](const ReadyItem& item) {
      ++looked;
      const auto place = place_of(in, item.ordinal);
      first += other ? std::get<0>(place) < priority : place < own;
    });
    const bool all = lane.by_rank.places() <= kLookedForStanding;
    out.ahead += all ? first : MulDiv(first, lane.by_rank.size(), std::max<uint64_t>(looked, 1));
    out.about |= !all;
    out.sharing += other && first < looked;
  }
  return out;
}

}  // namespace taskd::scheduler
