#include "tests/sim/options.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "tests/sim/loop.h"

namespace taskd::sim {
namespace {

template <typename T, size_t n>
T Pick(Prng& rng, const T (&choices)[n]) {
  return choices[rng.Below(n)];
}

constexpr const char* kMutationNames[] = {
    "",         "outcome-attempt", "lose-outcome", "lose-assign", "lose-free",
    "lose-ack", "wrong-bytes",     "swap-inputs",  "extra-cpus",  "double-finish"};
static_assert(std::size(kMutationNames) == static_cast<size_t>(Mutation::kCount));

void DrawCluster(Prng& rng, Options& o) {
  uint64_t count = rng.Between(3, 6);
  for (uint64_t i = 0; i < count; ++i) {
    uint32_t cpus =
        i == 0 ? Pick(rng, {4000u, 8000u}) : Pick(rng, {1000u, 1500u, 2000u, 4000u, 8000u});
    uint64_t memory = i == 0 ? uint64_t{8} << 30
                             : Pick(rng, {uint64_t{1} << 30, uint64_t{4} << 30, uint64_t{8} << 30});
    Resources capacity{cpus, memory};
    bool has_device = rng.Chance(400) || i == 0;
    if (has_device) capacity.pools[0] = {kDevices, Pick(rng, {1000u, 2000u})};
    o.workers.push_back(capacity);
    o.broken.push_back(has_device && rng.Chance(200) && i != 0);
    std::vector<uint32_t>& attributes = o.attributes.emplace_back();
    for (uint32_t a = 1; a <= kAttributes; ++a) {
      if (rng.Chance(500) || i == 0) attributes.push_back(a);
    }
  }
  o.licences_milli = Pick(rng, {1000u, 2000u, 3000u});
  o.hosts = static_cast<uint32_t>(rng.Between(1, count));
  o.scheduler.rerun_after_closed_ns = Pick(rng, {20 * kMs, 100 * kMs, 500 * kMs});
  o.scheduler.silent_ns = Pick(rng, {300 * kMs, 1 * kSec, 5 * kSec});
  o.scheduler.forget_after_ns = std::max(o.scheduler.silent_ns + 100 * kMs,
                                         Pick(rng, {500 * kMs, 2 * kSec, 10 * kSec, 30 * kSec}));
  o.scheduler.straggler_ns = Pick(rng, {20 * kMs, 100 * kMs, limits::kStragglerNs});
  o.scheduler.lookahead_ns = Pick(rng, {uint64_t{0}, 1 * kMs, limits::kLookaheadNs, 200 * kMs});
  // A draw of its own: all others stay as they were.
  Prng leases(Mix64(o.seed) ^ 0x1EA5E);
  Prng quarantine(Mix64(o.seed) ^ 0xBAD);
  o.scheduler.quarantine_ns = Pick(quarantine, {50 * kMs, 1 * kSec, limits::kQuarantineNs});
  o.scheduler.client_lease_ns = Pick(leases, {20 * kMs, 100 * kMs, 1 * kSec, 30 * kSec});
  Prng early(Mix64(o.seed) ^ 0xEA51);
  o.scheduler.early_fetch_ns = Pick(early, {uint64_t{1}, 20 * kMs, limits::kEarlyFetchNs});
  o.heartbeat_ns = o.scheduler.silent_ns / 5;
  o.worker.fetches_total = static_cast<uint32_t>(Pick(rng, {1u, 2u, limits::kFetchesTotal}));
  o.worker.fetches_per_peer =
      std::min(o.worker.fetches_total, Pick(rng, {1u, limits::kFetchesPerPeer, 8u}));
}

void DrawSteps(Prng& rng, Options& o) {
  o.scheduler_budget = Pick(rng, {1u, 2u, 5u, 50u, 1000u, 100'000u});
  o.worker_budget = Pick(rng, {1u, 3u, 20u, 100'000u});
  o.inbox_cut = Pick(rng, {0u, 0u, 1u, 7u});
  o.spurious_step_per_mille = Pick(rng, {0u, 0u, 50u});
  o.journal_sync_ns = Pick(rng, {1 * kUs, 1 * kMs, 20 * kMs, 200 * kMs});
  o.step_delay_ns = Pick(rng, {1u, 50'000u, 2'000'000u});
  o.validate_every = o.seed % 8 == 0 ? 1 : 100;
}

void DrawNetwork(Prng& rng, Options& o) {
  o.delay_min_ns = Pick(rng, {50 * kUs, 200 * kUs, 1 * kMs});
  o.delay_max_ns = o.delay_min_ns + Pick(rng, {50 * kUs, 2 * kMs, 19 * kMs});
  o.bandwidth_bytes_per_ms = Pick(rng, {10'000u, 100'000u, 1'000'000u});
  o.busy_per_mille = Pick(rng, {0u, 20u, 200u});
  o.io_error_per_mille = Pick(rng, {0u, 0u, 10u, 50u});
}

void DrawGraphs(Prng& rng, Options& o) {
  o.tasks = static_cast<uint32_t>(rng.Chance(100) ? rng.Between(400, 800) : rng.Between(200, 320));
  o.jobs = static_cast<uint32_t>(rng.Between(1, 4));
  o.max_output_bytes = Pick(rng, {1u, 400u, 60'000u, 8'000'000u});
  o.doomed_per_mille = Pick(rng, {0u, 0u, 3u, 10u});
  o.flaky_per_mille = Pick(rng, {0u, 30u, 200u});
  o.poison_per_mille = Pick(rng, {0u, 0u, 0u, 3u});
  o.hang_per_mille = Pick(rng, {0u, 0u, 5u, 30u});
  o.miscount_per_mille = Pick(rng, {0u, 0u, 5u, 30u});
  o.exec_ns = Pick(rng, {200 * kUs, 5 * kMs, 30 * kMs});
  Prng gets(Mix64(o.seed) ^ 0x6E75);
  o.gets_per_mille = Pick(gets, {0u, 30u, 100u, 400u});
}

// A store from one that has room for nothing to one that is never full.
void DrawStores(Options& o) {
  Prng rng(Mix64(o.seed) ^ 0x5709E);
  const bool limited = rng.Chance(700);
  for (size_t i = 0; i < o.workers.size(); ++i) {
    const uint64_t objects =
        Pick(rng, {uint64_t{0}, uint64_t{1}, uint64_t{2}, uint64_t{5}, uint64_t{30}});
    o.stores.push_back(limited ? 1 + objects * o.max_output_bytes : 0);
  }
}

// Not of the first one, which can run everything.
void DrawLives(Options& o) {
  Prng rng(Mix64(o.seed) ^ 0x11FE);
  const uint64_t least = o.fault_window_ns / 4;
  for (size_t i = 0; i < o.workers.size(); ++i)
    o.lives.push_back(i != 0 && rng.Chance(150) ? rng.Between(least, 4 * least) : 0);
}

}  // namespace

Options Options::Draw(uint64_t seed) {
  Options o;
  o.seed = seed;
  Prng rng(Mix64(seed) ^ 0x0901);
  DrawCluster(rng, o);
  DrawSteps(rng, o);
  DrawNetwork(rng, o);
  DrawGraphs(rng, o);
  o.faults = static_cast<uint32_t>(rng.Chance(200) ? rng.Between(20, 50) : rng.Between(8, 16));
  o.fault_window_ns = 200 * kMs + o.tasks * o.exec_ns / 4 + rng.Below(400 * kMs);
  o.stubborn_per_mille = Pick(rng, {0u, 200u, 700u});
  DrawStores(o);
  DrawLives(o);
  return o;
}

Mutation MutationByName(const std::string& name) {
  auto found = std::find(std::begin(kMutationNames), std::end(kMutationNames), name);
  return static_cast<Mutation>(found - std::begin(kMutationNames));
}

const char* Name(Mutation mutation) { return kMutationNames[static_cast<size_t>(mutation)]; }

}  // namespace taskd::sim
