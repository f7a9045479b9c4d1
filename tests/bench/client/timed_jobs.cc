#include "tests/bench/client/timed_jobs.h"

#include <chrono>
#include <memory>
#include <thread>
#include <utility>

#include "cli/client/client_session.h"
#include "cli/client/connection.h"
#include "cli/client/load_graph.h"
#include "common/base/text.h"

namespace taskd::bench {
namespace {

using Clock = std::chrono::steady_clock;

double SecondsSince(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

absl::StatusOr<TimedJob> RunJob(client::ClientSession& session,
                                const std::vector<std::string>& frames) {
  client::Submission submission;
  submission.name = "bench";
  submission.owner = "bench";
  submission.follow = true;
  submission.batches = static_cast<uint32_t>(frames.size());
  submission.frame = [&](uint32_t number) -> absl::StatusOr<std::string> { return frames[number]; };
  TimedJob timed;
  v1::JobUpdate last;
  const Clock::time_point start = Clock::now();
  absl::StatusOr<JobId> job = session.Submit(std::move(submission));
  if (!job.ok()) return job.status();
  timed.accepted_seconds = SecondsSince(start);
  absl::Status followed = session.Follow({*job}, [&](const v1::JobUpdate* update) {
    if (update != nullptr) last = *update;
  });
  timed.seconds = SecondsSince(start);
  if (!followed.ok()) return followed;
  if (last.state() != v1::JOB_DONE || last.done() != last.total())
    return absl::InternalError(
        StrCat("job ", *job, " ended in state ", v1::JobState_Name(last.state()), " with ",
               last.done(), " of ", last.total(), " tasks done: ", last.first_failure().message()));
  timed.job = *job;
  timed.done = last.done();
  return timed;
}

}  // namespace

absl::StatusOr<std::vector<TimedJob>> RunJobs(const TimedJobs& what) {
  absl::StatusOr<client::LoadedGraph> graph = client::LoadGraph(what.file, {});
  if (!graph.ok()) return graph.status();
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(what.dir);
  if (!connection.ok()) return connection.status();
  client::ClientSession session(**connection, {.name = "bench"});
  std::vector<TimedJob> timed;
  for (uint32_t i = 0; i < what.warm + what.times; ++i) {
    if (what.gap_ms != 0) std::this_thread::sleep_for(std::chrono::milliseconds(what.gap_ms));
    absl::StatusOr<TimedJob> job = RunJob(session, graph->frames);
    if (!job.ok()) return job.status();
    if (i >= what.warm) timed.push_back(*job);
  }
  return timed;
}

}  // namespace taskd::bench
