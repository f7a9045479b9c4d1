// The part of a process's environment that does not depend on the kind of body.
#ifndef TASKD_WORKER_EXEC_ENVIRONMENT_H_
#define TASKD_WORKER_EXEC_ENVIRONMENT_H_

#include <cstdint>
#include <map>
#include <string>

#include "worker/exec/node_pools.h"
#include "worker/exec/request.h"

namespace taskd::worker {

using Environment = std::map<std::string, std::string>;

// PATH, HOME, LANG and USER of the daemon.
void AddBaseEnvironment(Environment& env);

// What the attempt was given: cpus as $TASKD_CPUS and $OMP_NUM_THREADS, units of pools as $TASKD_UNITS_<pool> and
// $CUDA_VISIBLE_DEVICES. The names that others use stay as they are if they are in `env`.
void AddGrants(const ExecRequest& request, const NodePools& pools, Environment& env);

// Whole cpus of the attempt.
uint32_t CpusOf(const Assignment& assignment);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_ENVIRONMENT_H_
