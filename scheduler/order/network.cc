#include "scheduler/order/network.h"

#include <algorithm>
#include <bit>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/check.h"

namespace taskd::order {
namespace {

constexpr uint32_t kBlockBits = 4;    // the smallest shared blocks have 16 members
constexpr uint32_t kWeightBits = 20;  // of the largest result, so that sums fit into 64 bits
constexpr uint64_t kMembersAnyway = 1u << 16;

class Builder {
 public:
  explicit Builder(const Graph& graph) : graph_(graph) {
    uint64_t plain = graph.output_count.size() + graph.input.size() + kMembersAnyway;
    direct_budget_ = 4 * plain;
    shared_budget_ = 16 * plain;
  }

  Network Build() {
    const uint32_t tasks = graph_.task_count();
    TASKD_CHECK(graph_.input_count.size() == tasks);
    n_.node_of.reserve(tasks);
    n_.task_of.reserve(tasks);
    n_.input.reserve(graph_.input.size());
    bundle_of_.assign(graph_.collections.size(), kNone);
    n_.source_begin.push_back(0);
    n_.input_begin.push_back(0);
    uint64_t at = 0;
    for (uint32_t t = 0; t < tasks; ++t) {
      std::span<const uint32_t> inputs{graph_.input.data() + at, graph_.input_count[t]};
      at += inputs.size();
      for (uint32_t i : inputs) {
        if (i & kCollectionBit) BundleOf(i & ~kCollectionBit);
      }
      AddTask(t, inputs);
    }
    AddReaders();
    Keep();
    return std::move(n_);
  }

 private:
  void AddTask(uint32_t task, std::span<const uint32_t> inputs) {
    const uint32_t node = n_.node_count();
    const size_t begin = n_.input.size();
    for (uint32_t i : inputs) {
      uint32_t source = i & kCollectionBit ? n_.source_begin[bundle_of_[i & ~kCollectionBit]]
                                           : source_of_object_[i];
      if (last_reader_[source] == node) continue;
      last_reader_[source] = node;
      n_.input.push_back(source);
    }
    std::sort(n_.input.begin() + static_cast<ptrdiff_t>(begin), n_.input.end());
    n_.node_of.push_back(node);
    for (uint32_t o = 0; o < graph_.output_count[task]; ++o) {
      source_of_object_.push_back(n_.source_count());
      AddSource(node);
    }
    Close(task);
  }

  void AddSource(uint32_t node) {
    n_.producer.push_back(node);
    last_reader_.push_back(kNone);
  }

  void Close(uint32_t task) {
    n_.task_of.push_back(task);
    n_.source_begin.push_back(n_.source_count());
    TASKD_CHECK(n_.input.size() < kNone);
    n_.input_begin.push_back(static_cast<uint32_t>(n_.input.size()));
  }

  uint32_t CloseBundle() {
    const uint32_t node = n_.node_count();
    AddSource(node);
    Close(kNone);
    return node;
  }

  void BundleOf(uint32_t index) {
    if (bundle_of_[index] != kNone) return;
    const Collection& c = graph_.collections[index];
    auto [it, added] = same_.try_emplace(std::tuple(c.first, c.count, c.stride), kNone);
    if (added) it->second = NewBundle(c);
    bundle_of_[index] = it->second;
  }

  uint32_t NewBundle(const Collection& c) {
    if (c.count <= direct_budget_) {
      direct_budget_ -= c.count;
      for (uint64_t k = 0; k < c.count; ++k)
        n_.input.push_back(source_of_object_[c.first + k * c.stride]);
      return CloseBundle();
    }
    // Block b of level l of a class (stride, remainder) has the members [b << l, (b + 1) << l).
    const uint32_t remainder = c.first % c.stride;
    uint64_t lo = c.first / c.stride;
    const uint64_t hi = lo + c.count;
    std::vector<uint32_t> sources;
    while (lo < hi) {
      uint32_t level =
          std::min<uint32_t>(lo == 0 ? 31 : std::countr_zero(lo), std::bit_width(hi - lo) - 1);
      if (level < kBlockBits) {
        sources.push_back(source_of_object_[remainder + lo * c.stride]);
        ++lo;
        continue;
      }
      uint32_t block = Block(c.stride, remainder, level, static_cast<uint32_t>(lo >> level));
      if (block != kNone) sources.push_back(n_.source_begin[block]);
      lo += uint64_t{1} << level;
    }
    // Out of budget (collections of ever other strides): its last member stands for all. Only the
    // quality of the order suffers.
    if (sources.empty()) sources.push_back(source_of_object_[c.first + (c.count - 1) * c.stride]);
    n_.input.insert(n_.input.end(), sources.begin(), sources.end());
    return CloseBundle();
  }

  using BlockKey = std::tuple<uint32_t, uint32_t, uint32_t, uint32_t>;

  // Makes the blocks below first; existing ones end the walk. kNone: out of budget.
  uint32_t Block(uint32_t stride, uint32_t remainder, uint32_t level, uint32_t index) {
    std::vector<std::pair<uint32_t, uint32_t>> todo = {{level, index}};
    while (!todo.empty()) {
      auto [l, i] = todo.back();
      BlockKey key{stride, remainder, l, i};
      if (blocks_.contains(key)) {
        todo.pop_back();
        continue;
      }
      if (l == kBlockBits) {
        if (shared_budget_ < (1u << kBlockBits)) return kNone;
        shared_budget_ -= 1u << kBlockBits;
        for (uint64_t k = uint64_t{i} << l; k < (uint64_t{i} + 1) << l; ++k)
          n_.input.push_back(source_of_object_[remainder + k * stride]);
      } else {
        auto left = blocks_.find({stride, remainder, l - 1, 2 * i});
        auto right = blocks_.find({stride, remainder, l - 1, 2 * i + 1});
        if (left == blocks_.end() || right == blocks_.end()) {
          if (right == blocks_.end()) todo.emplace_back(l - 1, 2 * i + 1);
          if (left == blocks_.end()) todo.emplace_back(l - 1, 2 * i);
          continue;
        }
        n_.input.push_back(n_.source_begin[left->second]);
        n_.input.push_back(n_.source_begin[right->second]);
      }
      blocks_[key] = CloseBundle();
      todo.pop_back();
    }
    return blocks_.at({stride, remainder, level, index});
  }

  void AddReaders() {
    n_.reader_begin.assign(n_.source_count() + 1, 0);
    for (uint32_t s : n_.input) ++n_.reader_begin[s + 1];
    for (uint32_t s = 0; s < n_.source_count(); ++s) n_.reader_begin[s + 1] += n_.reader_begin[s];
    std::vector<uint32_t>& next = last_reader_;  // no longer needed as what it was
    next.assign(n_.reader_begin.begin(), n_.reader_begin.end() - 1);
    n_.reader.resize(n_.input.size());
    for (uint32_t node = 0; node < n_.node_count(); ++node) {
      for (uint32_t s : n_.inputs(node)) n_.reader[next[s]++] = node;
    }
  }

  void Keep() {
    n_.kept.assign(n_.source_count(), false);
    for (uint32_t object : graph_.wants) n_.kept[source_of_object_[object]] = true;
    if (!graph_.wants.empty()) return;
    for (uint32_t s : source_of_object_) n_.kept[s] = n_.reader_begin[s] == n_.reader_begin[s + 1];
  }

  const Graph& graph_;
  Network n_;
  uint64_t direct_budget_ = 0;  // members that may be listed one by one
  uint64_t shared_budget_ = 0;  // members that blocks may list
  std::vector<uint32_t> source_of_object_;
  std::vector<uint32_t> last_reader_;  // a source
  std::vector<uint32_t> bundle_of_;    // a collection: its node
  absl::flat_hash_map<std::tuple<uint32_t, uint32_t, uint32_t>, uint32_t> same_;
  absl::flat_hash_map<BlockKey, uint32_t> blocks_;
};

// Of the known values; 0 if there are none.
template <typename Get>
uint64_t MeanKnown(const Graph& graph, Get get) {
  unsigned __int128 sum = 0;
  uint64_t known = 0;
  for (uint16_t h : graph.hint) {
    uint64_t value = get(graph.hints[h]);
    sum += value;
    known += value != 0;
  }
  return known == 0 ? 0 : static_cast<uint64_t>(sum / known);
}

void AddDurations(const Graph& graph, Network& network) {
  auto get = [](const Hint& h) { return h.ns; };
  const uint64_t mean = MeanKnown(graph, get);
  if (mean == 0) return;
  network.duration_ns.reserve(graph.hint.size());
  for (uint16_t h : graph.hint) {
    uint64_t ns = get(graph.hints[h]);
    network.duration_ns.push_back(ns == 0 ? mean : ns);
  }
}

void AddWeights(const Graph& graph, Network& network) {
  auto get = [](const Hint& h) { return h.bytes; };
  const uint64_t mean = MeanKnown(graph, get);
  uint64_t largest = mean;
  for (const Hint& h : graph.hints) largest = std::max(largest, h.bytes);
  const int shift =
      std::max(0, static_cast<int>(std::bit_width(largest)) - static_cast<int>(kWeightBits));
  network.weight.assign(network.source_count(), 0);
  for (uint32_t t = 0; t < graph.task_count(); ++t) {
    const uint32_t node = network.node_of[t];
    uint64_t unit = 1;
    if (mean != 0 && graph.output_count[t] > 0) {
      uint64_t bytes = get(graph.hints[graph.hint[t]]);
      unit = std::max<uint64_t>(1, ((bytes == 0 ? mean : bytes) >> shift) / graph.output_count[t]);
    }
    for (uint32_t s = network.source_begin[node]; s < network.source_begin[node + 1]; ++s)
      network.weight[s] = static_cast<uint32_t>(unit);
  }
}

}  // namespace

Network BuildNetwork(const Graph& graph) {
  Network network = Builder(graph).Build();
  AddDurations(graph, network);
  AddWeights(graph, network);
  return network;
}

}  // namespace taskd::order
