// Ends the attempts of a daemon that dies without a chance to do so itself (kill -9, out of
// memory).
//
// A small process beside the daemon, forked before the daemon has threads, holds the reading end of
// a pipe and shares a list of process groups with it: a bit for each number that a process can have. When
// the pipe closes, the daemon is gone: it kills the groups on the list and ends. It sleeps until then, and
// an entry costs no system call. PR_SET_PDEATHSIG would reach the first process of an attempt only, not the
// rest of its pipeline.
#ifndef TASKD_WORKER_EXEC_GUARDIAN_H_
#define TASKD_WORKER_EXEC_GUARDIAN_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace taskd::worker {

class Guardian {
 public:
  // Forks: call it first thing in main, before threads and before descriptors that nobody else may
  // hold. `kill_fd`: gets a byte too, when the daemon is gone (Cgroups::kill_fd); -1: none.
  static absl::StatusOr<std::unique_ptr<Guardian>> Start(int kill_fd = -1);
  ~Guardian();  // it kills what is still on its list
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  // Thread safe. Remove before the group's leader is reaped: until then its number cannot be used
  // again.
  void Add(pid_t group) const;
  void Remove(pid_t group) const;

 private:
  Guardian(int fd, pid_t pid, uint64_t* groups) : fd_(fd), pid_(pid), groups_(groups) {}
  const int fd_;
  const pid_t pid_;
  uint64_t* const groups_;  // shared with the process; a bit for each group on the list
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_GUARDIAN_H_
