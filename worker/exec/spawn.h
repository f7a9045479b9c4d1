// Starts one process in a group and a folder of its own. The cost does not grow with the daemon's
// memory: glibc's posix_spawn shares it (CLONE_VM | CLONE_VFORK), and no code of ours runs in the
// child.
#ifndef TASKD_WORKER_EXEC_SPAWN_H_
#define TASKD_WORKER_EXEC_SPAWN_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include "worker/exec/cpu_pins.h"

namespace taskd::worker {

struct SpawnRequest {
  std::string program;  // a path
  std::vector<std::string> argv;
  std::vector<std::string> env;  // NAME=VALUE
  std::string folder;            // working directory
  int stdout_fd = -1;
  int stderr_fd = -1;
  int socket_fd = -1;  // becomes descriptor 3; -1: none
  int cgroup_fd = -1;  // of the folder of a cgroup that it is put into; -1: it stays in ours
  CpuList cpus;        // that it may run on; empty: those of this thread
};

struct Spawned {
  int error = 0;   // errno of the start, 0: started
  pid_t pid = -1;  // also the number of its process group
  int pidfd = -1;  // readable when it has ended; the caller's
};

// stdin is /dev/null; no other descriptor than 0 to 2 and the socket is inherited; signals have their
// defaults.
Spawned Spawn(const SpawnRequest& request);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_SPAWN_H_
