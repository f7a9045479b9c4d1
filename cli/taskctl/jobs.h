// What the verbs about jobs share: selectors to ids, and how a job and its failures are told to
// people.
#ifndef TASKD_CLI_TASKCTL_JOBS_H_
#define TASKD_CLI_TASKCTL_JOBS_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/client_session.h"
#include "cli/client/connection.h"
#include "cli/taskctl/context.h"
#include "cli/taskctl/progress.h"

namespace taskd::cli {

// The jobs that `selector` names. kNotFound when `last` or `all` finds none; single ids are not
// looked up.
absl::StatusOr<std::vector<JobId>> ResolveJobs(client::Connection& connection,
                                               std::string_view selector);
// The same for a verb that takes one job.
absl::StatusOr<JobId> ResolveOneJob(client::Connection& connection, std::string_view selector);

// Calls `visit` for every job, in order of their ids.
absl::Status ForEachJob(client::Connection& connection,
                        const std::function<void(const v1::JobInfo&)>& visit);

// Calls `visit` for the newest `count` of those that `request` names, the newest first. Whether there
// are older ones yet to be looked at.
absl::StatusOr<bool> ForNewestJobs(client::Connection& connection, uint32_t count,
                                   v1::ListJobsRequest request,
                                   const std::function<void(const v1::JobInfo&)>& visit);

// Visits every object of the job that the pattern names ("": all), in their order, until `visit` returns false.
absl::Status ForEachObject(client::Connection& connection, JobId job, const std::string& pattern,
                           const std::function<bool(const v1::ObjectInfo&)>& visit);

absl::StatusOr<v1::JobInfo> GetJob(client::Connection& connection, JobId job);

bool HasEnded(v1::JobState state);
std::string StateName(v1::JobState state);

// The exit code that tells how a job ended: 0, 1 or 6; 0 for one that goes on.
int JobExitCode(v1::JobState state);
// Of several jobs: a failure counts more than a cancel.
int WorseExitCode(int a, int b);

JobFigures FiguresOf(const v1::JobUpdate& update, std::string_view name);

// One line: "job 3 index done: 81 tasks in 12 s".
std::string Outcome(const v1::JobInfo& job);
// The first culprits with worker, reason and the end of their stderr, and what to do next. ""
// without failures.
std::string FailureText(const v1::JobInfo& job);
// One of them, without what to do next.
std::string CulpritText(const v1::TaskFailure& failure);
// Wanted objects that exist, with the command that prints each.
std::string WantsText(const v1::JobInfo& job);

// `word` as a shell would read it back.
std::string ShellQuote(std::string_view word);

// What becomes of jobs that nobody waits for any more.
enum class WhenLeft { kGoOn, kCancel };

// Follows `jobs` with progress until they have ended or `timeout_ns` (0: none) is over; prints what
// came of each, sets the exit code. After a Ctrl-C or the timeout it says how to come back, or
// cancels them.
void WaitForJobs(Context& context, client::Connection& connection, client::ClientSession& session,
                 const std::vector<JobId>& jobs, uint64_t timeout_ns,
                 WhenLeft left = WhenLeft::kGoOn);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_JOBS_H_
