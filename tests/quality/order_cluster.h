// A graph of dask's on a cluster that runs the production scheduler core.
#ifndef TASKD_TESTS_QUALITY_ORDER_CLUSTER_H_
#define TASKD_TESTS_QUALITY_ORDER_CLUSTER_H_

#include <cstdint>
#include <string>

#include "tests/quality/cluster.h"
#include "tests/quality/order_graphs.h"

namespace taskd::quality {

// Ours with our tails; the others as a client would give them, without.
enum class RanksOf {
  kOurs,
  kDask,
  kLevels,  // breadth first: what keeps many results alive
};

// The world is cluster.h's. Tasks take half a second to one and a half, each the same whatever the
// ranks; results have `kResultBytes`; nothing of this is told to the scheduler. What nobody reads is
// wanted.
inline constexpr uint64_t kResultBytes = 64ull << 20;
Result RunOnCluster(const DaskGraph& graph, const Setting& setting, RanksOf ranks,
                    StoreBudget store = {});

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_ORDER_CLUSTER_H_
