#include "scheduler/shell/ranker.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/log.h"
#include "scheduler/order/order.h"

namespace taskd::scheduler {
namespace {

// Both say "collection" alike, so inputs are copied as they are.
static_assert(kCollectionBit == order::kCollectionBit);

constexpr uint32_t kSliceTasks = 8192;  // the core re-queues that many in a millisecond or two

bool IsForeign(const Batch::Collection& c) { return c.job != 0 || !c.dataset.empty(); }

void Append(const Batch& batch, order::Graph& graph) {
  for (const Batch::Options& o : batch.options)
    graph.hints.push_back({o.expect_ns, o.expect_bytes});
  for (const Batch::Collection& c : batch.collections)
    graph.collections.push_back({c.first, IsForeign(c) ? 0 : c.count, c.stride});
  size_t edge = 0;
  for (const Batch::Task& task : batch.tasks) {
    const size_t before = graph.input.size();
    for (uint32_t i = 0; i < task.edge_count; ++i, ++edge) {
      // What other jobs make is there, or comes when it comes: no order here changes that.
      const uint32_t source = batch.edges[edge].source;
      if (!(source & kCollectionBit) || graph.collections[source & ~kCollectionBit].count != 0)
        graph.input.push_back(source);
    }
    graph.output_count.push_back(task.output_count);
    graph.input_count.push_back(static_cast<uint16_t>(graph.input.size() - before));
    graph.hint.push_back(task.option);
  }
  graph.wants.insert(graph.wants.end(), batch.wants.begin(), batch.wants.end());
}

}  // namespace

Ranker::Ranker(Send send) : send_(std::move(send)), thread_(std::make_unique<io::ThreadPool>(1)) {}

Ranker::~Ranker() {
  stopping_ = true;
  thread_.reset();
}

void Ranker::GiveUp(JobId job, Held& held) {
  held_items_ -= held.items();
  held.graph = {};
  held.ranked = true;
  io::LogInfo(StrCat("job ", job,
                     " is too large to be ordered here: its tasks run in the order in ",
                     "which they came; 'taskctl graph compile' gives ranks"));
}

void Ranker::Add(JobId job, const Batch& batch, bool ranked) {
  Held& held = held_[job];
  if (held.ranked) return;
  if (ranked) {
    held_items_ -= held.items();
    held = {.ranked = true};
    return;
  }
  held_items_ -= held.items();
  Append(batch, held.graph);
  held_items_ += held.items();
  for (auto it = held_.begin(); held_items_ > limits::kOrderItems; ++it) {
    if (!it->second.ranked) GiveUp(it->first, it->second);
  }
}

void Ranker::Seal(JobId job) {
  auto found = held_.find(job);
  if (found == held_.end()) return;
  Held held = std::move(found->second);
  held_.erase(found);
  held_items_ -= held.items();
  const bool hinted = std::any_of(held.graph.hints.begin(), held.graph.hints.end(),
                                  [](const order::Hint& h) { return h.ns != 0 || h.bytes != 0; });
  if (!hinted) held.graph.hint.clear();
  // Tasks that are all alike and independent: as they came is as good as any order.
  if (held.ranked || (held.graph.input.empty() && !hinted)) return;
  auto graph = std::make_shared<order::Graph>(std::move(held.graph));
  thread_->Post([this, job, graph] { Order(job, *graph); });
}

void Ranker::Forget(JobId job) {
  auto found = held_.find(job);
  if (found == held_.end()) return;
  held_items_ -= found->second.items();
  held_.erase(found);
}

void Ranker::Order(JobId job, const order::Graph& graph) {
  if (stopping_) return;
  const order::Ranks ranks = order::Order(graph);
  for (uint32_t first = 0; first < ranks.rank.size() && !stopping_; first += kSliceTasks) {
    const auto end = static_cast<ptrdiff_t>(
        std::min<uint64_t>(ranks.rank.size(), uint64_t{first} + kSliceTasks));
    send_({job,
           first,
           {ranks.rank.begin() + first, ranks.rank.begin() + end},
           {ranks.tail.begin() + first, ranks.tail.begin() + end}});
  }
}

}  // namespace taskd::scheduler
