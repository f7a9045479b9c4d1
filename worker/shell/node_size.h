// How much of this machine is ours: what a worker offers when it is not told.
#ifndef TASKD_WORKER_SHELL_NODE_SIZE_H_
#define TASKD_WORKER_SHELL_NODE_SIZE_H_

#include <string>

#include "common/base/session.h"

namespace taskd::worker {

// cpus: the least of the affinity mask, the cgroup's quota (v1 or v2) and $SLURM_CPUS_ON_NODE, at
// least one thousandth. Memory: four fifths of the least of the machine's, the cgroup's and
// $SLURM_MEM_PER_NODE. `root` stands before /proc and /sys, for tests.
Resources DetectNodeSize(const std::string& root = "");

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_NODE_SIZE_H_
