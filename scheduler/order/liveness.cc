#include "scheduler/order/liveness.h"

#include <algorithm>
#include <utility>

#include "common/base/check.h"

namespace taskd::order {

Liveness::Liveness(const Network& network)
    : n_(network),
      missing_(network.node_count()),
      makes_(network.node_count(), 0),
      frees_(network.node_count(), 0),
      done_(network.node_count(), false),
      users_(network.source_count()),
      heir_(network.source_count(), 0) {
  order_.reserve(n_.task_count());
  for (uint32_t node = 0; node < n_.node_count(); ++node)
    missing_[node] = static_cast<uint32_t>(n_.inputs(node).size());
  for (uint32_t s = 0; s < n_.source_count(); ++s) {
    makes_[n_.producer[s]] += n_.weight[s];
    users_[s] = static_cast<uint32_t>(n_.readers_of_source(s).size()) + (n_.kept[s] ? 1 : 0);
    heir_[s] = n_.kept[s] ? kNone : 0;
    for (uint32_t reader : n_.readers_of_source(s)) heir_[s] ^= reader;
    // In source order a bundle comes after its members, so its own sum is whole when it is passed on.
    if (users_[s] == 1 && heir_[s] != kNone) {
      uint32_t from = n_.producer[s];
      frees_[heir_[s]] += n_.is_bundle(from) ? frees_[from] : n_.weight[s];
    }
  }
}

void Liveness::Run(uint32_t node) {
  TASKD_CHECK(missing_[node] == 0 && !done_[node]);
  done_[node] = true;
  order_.push_back(n_.task_of[node]);
  available_.clear();
  changed_.clear();
  live_ += makes_[node];
  peak_ = std::max(peak_, live_);
  transient_peak_ = std::max(transient_peak_, live_ - over_);
  for (uint32_t s : n_.inputs(node)) to_use_.emplace_back(s, node);
  while (!to_use_.empty()) {
    auto [source, reader] = to_use_.back();
    to_use_.pop_back();
    Use(source, reader);
  }
  for (uint32_t s = n_.source_begin[node]; s < n_.source_begin[node + 1]; ++s) {
    if (users_[s] == 0) live_ -= n_.weight[s];
    if (users_[s] == 1 && heir_[s] == kNone) over_ += n_.weight[s];
    MakeAvailable(s);
  }
}

void Liveness::Use(uint32_t source, uint32_t reader) {
  heir_[source] ^= reader;
  --users_[source];
  if (users_[source] == 1) return OneReaderLeft(source);
  if (users_[source] > 1) return;
  const uint32_t from = n_.producer[source];
  if (n_.is_bundle(from)) {
    for (uint32_t member : n_.inputs(from)) to_use_.emplace_back(member, from);
  } else {
    live_ -= n_.weight[source];
  }
}

// Tells the last reader what it frees; through bundles, if they have but one reader too.
void Liveness::OneReaderLeft(uint32_t source) {
  const uint32_t from = n_.producer[source];
  uint64_t weight = n_.is_bundle(from) ? frees_[from] : n_.weight[source];
  while (true) {
    const uint32_t reader = heir_[source];
    if (reader == kNone) {
      over_ += weight;
      return;
    }
    frees_[reader] += weight;
    if (!n_.is_bundle(reader)) {
      if (missing_[reader] == 0 && !done_[reader]) changed_.push_back(reader);
      return;
    }
    source = n_.source_begin[reader];
    if (users_[source] != 1) return;
  }
}

void Liveness::MakeAvailable(uint32_t source) {
  // A bundle that is complete makes its own source available: `available_` is the worklist.
  size_t at = available_.size();
  available_.push_back(source);
  for (; at < available_.size(); ++at) {
    for (uint32_t reader : n_.readers_of_source(available_[at])) {
      if (--missing_[reader] > 0) continue;
      if (n_.is_bundle(reader)) {
        done_[reader] = true;
        available_.push_back(n_.source_begin[reader]);
      } else {
        changed_.push_back(reader);
      }
    }
  }
}

}  // namespace taskd::order
