// Ends the attempts of a daemon that dies without a chance to do so itself (kill -9, out of
// memory).
//
// A small process beside the daemon, forked before the daemon has threads, holds the reading end of
// a pipe and a list of process groups. When the pipe closes, the daemon is gone: it kills the
// groups on its list and ends. PR_SET_PDEATHSIG would reach the first process of an attempt only,
// not the rest of its pipeline.
#ifndef TASKD_WORKER_EXEC_GUARDIAN_H_
#define TASKD_WORKER_EXEC_GUARDIAN_H_

#include <sys/types.h>

#include <memory>

#include "absl/status/statusor.h"

namespace taskd::worker {

class Guardian {
 public:
  // Forks: call it first thing in main, before threads and before descriptors that nobody else may
  // hold.
  static absl::StatusOr<std::unique_ptr<Guardian>> Start();
  ~Guardian();  // it kills what is still on its list
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  // Thread safe. Remove before the group's leader is reaped: until then its number cannot be used
  // again.
  void Add(pid_t group) const;
  void Remove(pid_t group) const;

 private:
  explicit Guardian(int fd, pid_t pid) : fd_(fd), pid_(pid) {}
  int fd_;
  pid_t pid_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_GUARDIAN_H_
