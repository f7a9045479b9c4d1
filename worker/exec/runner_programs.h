// What bodies that are functions run in.
#ifndef TASKD_WORKER_EXEC_RUNNER_PROGRAMS_H_
#define TASKD_WORKER_EXEC_RUNNER_PROGRAMS_H_

#include <string>

namespace taskd::worker {

struct RunnerPrograms {
  std::string native;         // taskd-runner
  std::string python;         // the interpreter: a path, or a name in $PATH
  std::string python_runner;  // taskd_runner.py
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_RUNNER_PROGRAMS_H_
