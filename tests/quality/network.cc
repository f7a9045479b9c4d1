#include "tests/quality/network.h"

#include <algorithm>
#include <cmath>

namespace taskd::quality {

namespace {
constexpr double kDoneBytes = 0.5;  // less than a byte is left only by rounding
}

void Network::Start(uint64_t id, uint32_t source, uint32_t target, uint64_t bytes) {
  const uint32_t workers = static_cast<uint32_t>(ports_.size() / 2);
  flows_[id] = {source, workers + target, static_cast<double>(bytes), 0};
  changed_ = true;
}

void Network::Stop(uint64_t id) {
  flows_.erase(id);
  changed_ = true;
}

// Progressive filling: the port that gives its flows least fixes their rates first.
void Network::ShareOut() {
  if (!changed_) return;
  changed_ = false;
  for (Port& port : ports_) port = {capacity_, 0};
  std::vector<Flow*> open;
  for (auto& [id, flow] : flows_) {
    open.push_back(&flow);
    ++ports_[flow.source].flows;
    ++ports_[flow.target].flows;
  }
  while (!open.empty()) {
    uint32_t tightest = 0;
    double share = -1;
    for (uint32_t p = 0; p < ports_.size(); ++p) {
      if (ports_[p].flows == 0) continue;
      double each = ports_[p].free / ports_[p].flows;
      if (share < 0 || each < share) {
        share = each;
        tightest = p;
      }
    }
    std::erase_if(open, [&](Flow* flow) {
      if (flow->source != tightest && flow->target != tightest) return false;
      flow->rate = share;
      for (uint32_t p : {flow->source, flow->target}) {
        ports_[p].free = std::max(0.0, ports_[p].free - share);
        --ports_[p].flows;
      }
      return true;
    });
  }
}

uint64_t Network::NextDoneNs() {
  ShareOut();
  uint64_t next = kNever;
  for (const auto& [id, flow] : flows_) {
    double ns = flow.left_bytes <= kDoneBytes ? 0 : std::ceil(flow.left_bytes / flow.rate);
    next = std::min(next, now_ns_ + static_cast<uint64_t>(ns));
  }
  return next;
}

std::vector<uint64_t> Network::Advance(uint64_t now_ns) {
  ShareOut();
  const double ns = static_cast<double>(now_ns - now_ns_);
  now_ns_ = now_ns;
  std::vector<uint64_t> done;
  for (auto& [id, flow] : flows_) {
    flow.left_bytes -= flow.rate * ns;
    if (flow.left_bytes <= kDoneBytes) done.push_back(id);
  }
  for (uint64_t id : done) Stop(id);
  return done;
}

}  // namespace taskd::quality
