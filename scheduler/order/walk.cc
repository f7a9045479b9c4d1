#include "scheduler/order/walk.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "scheduler/order/candidates.h"
#include "scheduler/order/path.h"

namespace taskd::order {
namespace {

// Readers looked at to choose where to climb: a result that a million tasks read must not be looked
// through each time.
constexpr uint32_t kReadersSeen = 32;

// A stack's part, its top (which runs first) at the end.
void Arrange(Inputs rule, const Estimates& e, uint32_t* begin, uint32_t* end) {
  switch (rule) {
    case Inputs::kAscending:
      std::reverse(begin, end);
      return;
    case Inputs::kDescending:
      return;
    case Inputs::kNeediest:
      std::sort(begin, end, [&](uint32_t a, uint32_t b) {
        return e.need[a] != e.need[b] ? e.need[a] < e.need[b] : a > b;
      });
      return;
  }
}

class Walker {
 public:
  Walker(const Network& network, const Estimates& estimates, const std::vector<uint32_t>& results,
         const WalkOptions& options)
      : n_(network),
        estimates_(estimates),
        results_(results),
        options_(options),
        path_(network, *this),
        opened_(network.node_count(), false) {
    if (options.aim == Aim::kClimb) next_reader_.resize(network.node_count());
    for (uint32_t node = 0; node < next_reader_.size(); ++node)
      next_reader_[node] = n_.reader_begin[n_.source_begin[node]];
    if (options.aim == Aim::kCheapest) candidates_.emplace(network, estimates, options);
  }

  Liveness Run() {
    while (true) {
      if (path_.RunFree()) continue;
      if (candidates_) TakeWarm();
      if (path_.empty() && !NextTarget()) break;
      path_.Advance();
    }
    return std::move(path_.live());
  }

  // Hooks of the path.
  void Ran(uint32_t node) {
    if (options_.aim == Aim::kClimb) {
      for (uint32_t source : path_.live().available()) climb_.push_back(n_.producer[source]);
    }
    if (candidates_) candidates_->Update(path_.live(), node);
  }
  void Arrange(uint32_t* begin, uint32_t* end) {
    order::Arrange(options_.inputs, estimates_, begin, end);
  }

 private:
  // What warm inputs alone complete comes before anything new is begun; one such task at a time.
  void TakeWarm() {
    if (path_.depth() > warm_depth_) return;
    warm_depth_ = ~uint64_t{0};
    if (candidates_->empty() || !candidates_->best_is_warm()) return;
    warm_depth_ = path_.depth();
    path_.Push(candidates_->Pop());
  }

  bool NextTarget() {
    if (options_.aim == Aim::kClimb && Climb()) return true;
    if (candidates_ && !candidates_->empty()) {
      path_.Push(candidates_->Pop());
      return true;
    }
    for (; next_result_ < results_.size(); ++next_result_) {
      uint32_t node = results_[next_result_];
      if (path_.live().done(node)) continue;
      path_.Push(options_.aim == Aim::kResults ? node : FirstBelow(node));
      return true;
    }
    return false;
  }

  // The task below a result to begin with. A node is gone through once; when the way leads to it
  // again, it is the target, so that the ways together are no longer than the graph.
  uint32_t FirstBelow(uint32_t node) {
    while (path_.live().missing(node) > 0 && !opened_[node]) {
      opened_[node] = true;
      node = path_.FirstInput(node);
    }
    return node;
  }

  bool Climb() {
    const Liveness& live = path_.live();
    while (!climb_.empty()) {
      const uint32_t node = climb_.back();
      uint32_t& at = next_reader_[node];
      const uint32_t end = n_.reader_begin[n_.source_begin[node + 1]];
      while (at < end && live.done(n_.reader[at])) ++at;
      uint32_t best = kNone, seen = 0;
      for (uint32_t k = at; k < end && seen < kReadersSeen; ++k) {
        const uint32_t reader = n_.reader[k];
        if (live.done(reader)) continue;
        ++seen;
        if (best == kNone || live.missing(reader) < live.missing(best)) best = reader;
      }
      if (best != kNone) {
        path_.Push(best);
        return true;
      }
      climb_.pop_back();
    }
    return false;
  }

  const Network& n_;
  const Estimates& estimates_;
  const std::vector<uint32_t>& results_;
  const WalkOptions options_;
  Path<Walker> path_;
  std::vector<bool> opened_;
  uint64_t next_result_ = 0;
  std::vector<uint32_t> climb_;        // nodes with live results, the newest last
  std::vector<uint32_t> next_reader_;  // a node: before it all have run
  std::optional<Candidates> candidates_;
  uint64_t warm_depth_ = ~uint64_t{0};  // of the path, below a task that warm inputs complete
};

class Follower {
 public:
  Follower(const Network& network, const std::vector<uint32_t>& order)
      : n_(network), order_(order), path_(network, *this) {}

  Liveness Run() {
    while (true) {
      if (path_.RunFree()) continue;
      if (path_.empty() && !NextTarget()) break;
      path_.Advance();
    }
    return std::move(path_.live());
  }

  void Ran(uint32_t) {}
  void Arrange(uint32_t* begin, uint32_t* end) { std::reverse(begin, end); }

 private:
  bool NextTarget() {
    const Liveness& live = path_.live();
    for (; next_ < order_.size(); ++next_) {
      const uint32_t node = n_.node_of[order_[next_]];
      if (live.done(node)) continue;
      if (live.missing(node) == 0 && live.growth(node) > 0) {
        later_.push_back(node);
        continue;
      }
      path_.Push(node);
      return true;
    }
    for (; next_later_ < later_.size(); ++next_later_) {
      if (live.done(later_[next_later_])) continue;
      path_.Push(later_[next_later_]);
      return true;
    }
    return false;
  }

  const Network& n_;
  const std::vector<uint32_t>& order_;
  Path<Follower> path_;
  std::vector<uint32_t> later_;  // could have run, but nothing needed them
  uint64_t next_ = 0, next_later_ = 0;
};

}  // namespace

Liveness Walk(const Network& network, const Estimates& estimates,
              const std::vector<uint32_t>& results, const WalkOptions& options) {
  return Walker(network, estimates, results, options).Run();
}

Liveness Follow(const Network& network, const std::vector<uint32_t>& order) {
  return Follower(network, order).Run();
}

Liveness Replay(const Network& network, const std::vector<uint32_t>& order) {
  Liveness live(network);
  for (uint32_t task : order) live.Run(network.node_of[task]);
  return live;
}

}  // namespace taskd::order
