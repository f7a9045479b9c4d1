// The same graph as many jobs, one after the other, each timed as a client sees it.
#ifndef TASKD_TESTS_BENCH_CLIENT_TIMED_JOBS_H_
#define TASKD_TESTS_BENCH_CLIENT_TIMED_JOBS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/ids.h"

namespace taskd::bench {

struct TimedJobs {
  std::string file;
  std::string dir;  // as for io::AccessDir
  uint32_t times = 1;
  uint32_t warm = 0;    // jobs before them that are left out
  uint32_t gap_ms = 0;  // pause before each job, not counted
};

struct TimedJob {
  JobId job = 0;
  double seconds = 0;           // from the call of Submit to the news that the job is done
  double accepted_seconds = 0;  // of it until the scheduler had all of the graph
  uint64_t done = 0;            // tasks, all of the job's
};

// The connection and the session are open before the first job and stay open. An error when a job
// does not end as done.
absl::StatusOr<std::vector<TimedJob>> RunJobs(const TimedJobs& what);

}  // namespace taskd::bench

#endif  // TASKD_TESTS_BENCH_CLIENT_TIMED_JOBS_H_
