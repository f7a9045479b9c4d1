#include <algorithm>

#include "scheduler/order/walk.h"

namespace taskd::order {
namespace {

// One pass forward finds what moving each task would cost, one backward moves.
class Delayer {
 public:
  Delayer(const Network& network, const std::vector<uint32_t>& order)
      : n_(network),
        order_(order),
        position_(network.node_count(), 0),
        outside_(network.node_count(), 0),
        makes_(network.node_count(), 0),
        readers_(network.node_count(), 0),
        fixed_(network.node_count(), false) {
    for (uint32_t i = 0; i < order.size(); ++i) position_[n_.node_of[order[i]]] = i;
    for (uint32_t node = 0; node < n_.node_count(); ++node) {
      readers_[node] = static_cast<uint32_t>(n_.readers(node).size());
      for (uint32_t s = n_.source_begin[node]; s < n_.source_begin[node + 1]; ++s)
        makes_[node] += n_.weight[s];
      if (!n_.is_bundle(node)) continue;
      // When its members are read last is not one task's doing: they stay where they are.
      for (uint32_t s : n_.inputs(node)) fixed_[n_.producer[s]] = true;
    }
    FindCosts();
  }

  std::vector<uint32_t> Run() {
    std::vector<uint32_t> backward;
    backward.reserve(order_.size());
    std::vector<bool> placed(n_.node_count(), false);
    std::vector<uint32_t> stack;
    for (size_t i = order_.size(); i-- > 0;) {
      stack.push_back(n_.node_of[order_[i]]);
      while (!stack.empty()) {
        const uint32_t node = stack.back();
        stack.pop_back();
        if (placed[node]) continue;
        placed[node] = true;
        backward.push_back(n_.task_of[node]);
        const size_t base = stack.size();
        for (uint32_t s : n_.inputs(node)) {
          const uint32_t from = n_.producer[s];
          if (--readers_[from] == 0 && Moves(from)) stack.push_back(from);
        }
        std::sort(stack.begin() + static_cast<ptrdiff_t>(base), stack.end(),
                  [&](uint32_t a, uint32_t b) { return position_[a] < position_[b]; });
      }
    }
    std::reverse(backward.begin(), backward.end());
    return backward;
  }

 private:
  bool Moves(uint32_t node) const {
    return !n_.is_bundle(node) && !fixed_[node] && makes_[node] > outside_[node];
  }

  // outside_: weight of what a task reads last, plus that of the tasks that move with it.
  void FindCosts() {
    std::vector<uint32_t> last(n_.source_count(), kNone);
    for (uint32_t task : order_) {
      for (uint32_t s : n_.inputs(n_.node_of[task])) last[s] = n_.node_of[task];
    }
    for (uint32_t task : order_) {
      const uint32_t node = n_.node_of[task];
      for (uint32_t s : n_.inputs(node)) {
        const uint32_t from = n_.producer[s];
        if (last[s] != node || n_.is_bundle(from) || n_.kept[s]) continue;
        const bool along = n_.readers(from).size() == 1 && Moves(from);
        outside_[node] += along ? outside_[from] : n_.weight[s];
      }
    }
  }

  const Network& n_;
  const std::vector<uint32_t>& order_;
  std::vector<uint32_t> position_;  // a node
  std::vector<uint64_t> outside_;   // a node
  std::vector<uint64_t> makes_;     // a node
  std::vector<uint32_t> readers_;   // a node: not placed yet
  std::vector<bool> fixed_;         // a node
};

}  // namespace

std::vector<uint32_t> Delay(const Network& network, const std::vector<uint32_t>& order) {
  return Delayer(network, order).Run();
}

}  // namespace taskd::order
