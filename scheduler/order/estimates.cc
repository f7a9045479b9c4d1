#include "scheduler/order/estimates.h"

#include <algorithm>

namespace taskd::order {
namespace {

uint64_t AddSaturating(uint64_t a, uint64_t b) { return a + b < a ? ~uint64_t{0} : a + b; }

uint64_t Duration(const Network& n, uint32_t node) {
  if (n.is_bundle(node)) return 0;
  return n.duration_ns.empty() ? kUnknownNs : n.duration_ns[n.task_of[node]];
}

// The inputs one after another, the one that leaves most room below its own peak first.
uint64_t Need(const Network& n, const std::vector<uint64_t>& need, std::vector<uint32_t>& inputs,
              uint64_t makes) {
  auto room = [&](uint32_t s) { return need[n.producer[s]] - n.weight[s]; };
  std::stable_sort(inputs.begin(), inputs.end(),
                   [&](uint32_t a, uint32_t b) { return room(a) > room(b); });
  uint64_t held = 0, peak = 0;
  for (uint32_t s : inputs) {
    peak = std::max(peak, AddSaturating(held, need[n.producer[s]]));
    held = AddSaturating(held, n.weight[s]);
  }
  return std::max(peak, AddSaturating(held, makes));
}

}  // namespace

Estimates Estimate(const Network& n) {
  Estimates e;
  e.need.resize(n.node_count());
  e.paths.resize(n.node_count());
  std::vector<uint32_t> inputs;
  for (uint32_t node = 0; node < n.node_count(); ++node) {
    uint64_t paths = n.is_bundle(node) ? 0 : 1;
    uint64_t makes = 0;
    for (uint32_t s : n.inputs(node)) paths += e.paths[n.producer[s]];
    for (uint32_t s = n.source_begin[node]; s < n.source_begin[node + 1]; ++s) makes += n.weight[s];
    e.paths[node] = static_cast<uint32_t>(std::min<uint64_t>(paths, kMaxPaths));
    inputs.assign(n.inputs(node).begin(), n.inputs(node).end());
    e.need[node] = Need(n, e.need, inputs, makes);
  }
  return e;
}

std::vector<uint32_t> Tails(const Network& n) {
  std::vector<uint64_t> after(n.node_count(), 0);  // of a node's start
  std::vector<uint32_t> tails(n.task_count());
  for (uint32_t node = n.node_count(); node-- > 0;) {
    for (uint32_t reader : n.readers(node)) after[node] = std::max(after[node], after[reader]);
    after[node] = AddSaturating(after[node], Duration(n, node));
    if (n.is_bundle(node)) continue;
    tails[n.task_of[node]] =
        static_cast<uint32_t>(std::clamp<uint64_t>(after[node] / 1'000'000, 1, 0xFFFFFFFFu));
  }
  return tails;
}

std::vector<uint64_t> Heads(const Network& n) {
  std::vector<uint64_t> heads(n.node_count(), 0);
  for (uint32_t node = 0; node < n.node_count(); ++node) {
    for (uint32_t s : n.inputs(node)) heads[node] = std::max(heads[node], heads[n.producer[s]]);
    heads[node] = AddSaturating(heads[node], Duration(n, node));
  }
  return heads;
}

}  // namespace taskd::order
