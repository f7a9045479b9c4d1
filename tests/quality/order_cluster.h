// A graph of dask's on a cluster that runs the production scheduler core, by our ranks or by dask's.
#ifndef TASKD_TESTS_QUALITY_ORDER_CLUSTER_H_
#define TASKD_TESTS_QUALITY_ORDER_CLUSTER_H_

#include <cstdint>
#include <string>

#include "tests/quality/cluster.h"
#include "tests/quality/order_graphs.h"

namespace taskd::quality {

struct ClusterRun {
  LiveResults::Peak peak;
  double seconds = 0;  // makespan
  std::string error;   // "" when every task ran
};

// The world is cluster.h's. Tasks take half a second to one and a half, each the same whatever the
// ranks; results have `kResultBytes`; nothing of this is told to the scheduler. What nobody reads is
// wanted. By dask's ranks: as a client would give them, without tails, which dask does not know.
inline constexpr uint64_t kResultBytes = 64ull << 20;
ClusterRun RunOnCluster(const DaskGraph& graph, const Setting& setting, bool by_dask);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_ORDER_CLUSTER_H_
