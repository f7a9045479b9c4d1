// Starts a process that is in a cgroup from its first instruction on: posix_spawn can do that from glibc 2.39 on.
// Moving it there afterwards would miss what it has started and taken until then, and costs the kernel a wait of
// milliseconds.
#ifndef TASKD_WORKER_EXEC_SPAWN_INTO_CGROUP_H_
#define TASKD_WORKER_EXEC_SPAWN_INTO_CGROUP_H_

#include "worker/exec/spawn.h"

namespace taskd::worker {

// As Spawn does it, which calls it. ENOSYS where clone3 is not allowed, or not known for this processor.
Spawned SpawnIntoCgroup(const SpawnRequest& request, char* const* argv, char* const* env);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_SPAWN_INTO_CGROUP_H_
