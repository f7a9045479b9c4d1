#include "scheduler/order/candidates.h"

namespace taskd::order {

bool Candidates::Traits::Less(const Candidates& c, uint32_t a, uint32_t b) {
  if (c.cold_[a] != c.cold_[b]) return c.cold_[a] < c.cold_[b];
  if (c.missing_[a] != c.missing_[b]) return c.missing_[a] < c.missing_[b];
  if (!c.by_age_ && c.touched_[a] != c.touched_[b]) return c.touched_[a] > c.touched_[b];
  return a < b;
}

Candidates::Candidates(const Network& network, const Estimates& estimates,
                       const WalkOptions& options)
    : n_(network),
      paths_(options.by_paths ? &estimates.paths : nullptr),
      by_age_(options.by_age),
      shrinking_(options.shrinking),
      cold_(network.node_count(), 0),
      warm_(network.node_count(), false),
      missing_(network.node_count(), 0),
      touched_(network.node_count(), 0),
      position_(network.node_count(), kNotInHeap) {
  for (uint32_t node = 0; node < n_.node_count(); ++node) {
    for (uint32_t s : n_.inputs(node)) cold_[node] += paths_ ? (*paths_)[n_.producer[s]] : 1;
  }
}

void Candidates::Update(const Liveness& live, uint32_t ran) {
  ++clock_;
  if (position_[ran] != kNotInHeap) heap_.Remove(*this, position_[ran]);
  Warm(ran);
  for (uint32_t node : live.changed()) {
    if (live.done(node)) continue;
    if (position_[node] != kNotInHeap) heap_.Remove(*this, position_[node]);
    if (warm_[node]) continue;
    Warm(node);
    if (live.growth(node) <= 0) continue;  // runs next anyway
    for (uint32_t reader : n_.readers(node)) Touch(live, reader);
  }
  for (uint32_t source : live.available()) {
    for (uint32_t reader : n_.readers_of_source(source)) Touch(live, reader);
  }
}

void Candidates::Warm(uint32_t first) {
  if (warm_[first]) return;
  warm_[first] = true;
  warming_.push_back(first);
  while (!warming_.empty()) {
    uint32_t node = warming_.back();
    warming_.pop_back();
    const uint64_t paths = paths_ ? (*paths_)[node] : 1;
    for (uint32_t reader : n_.readers(node)) {
      cold_[reader] -= paths;
      if (position_[reader] != kNotInHeap) heap_.Update(*this, position_[reader]);
      if (cold_[reader] > 0 || warm_[reader] || !n_.is_bundle(reader)) continue;
      warm_[reader] = true;
      warming_.push_back(reader);
    }
  }
}

void Candidates::Touch(const Liveness& live, uint32_t node) {
  if (live.done(node) || live.missing(node) == 0 || n_.is_bundle(node)) return;
  if (shrinking_ && live.growth(node) > 0) return;  // until its next input
  missing_[node] = live.missing(node);
  touched_[node] = clock_;
  if (position_[node] == kNotInHeap) {
    heap_.Push(*this, node);
  } else {
    heap_.Update(*this, position_[node]);
  }
}

}  // namespace taskd::order
