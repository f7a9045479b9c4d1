// A client's session with the scheduler: submits a graph, follows jobs, and states wants. It
// outlives its stream: when that breaks it connects again, goes on with the first batch that the
// scheduler does not have, and states its subscriptions and wants anew. One thread uses it;
// Interrupt() may come from any thread.
//
// A session is one client to the scheduler: when its stream breaks, or its process dies, what it
// wants and its ephemeral jobs stay for a lease. The destructor leaves in order: they go at once.
#ifndef TASKD_CLI_CLIENT_CLIENT_SESSION_H_
#define TASKD_CLI_CLIENT_CLIENT_SESSION_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/connection.h"
#include "common/base/ids.h"
#include "taskd/v1/client_session.pb.h"

namespace taskd::client {

inline constexpr uint64_t kNoDeadline = ~uint64_t{0};

// A graph on its way: frames are asked for by number, in order, and again from a lower number after
// the stream broke.
struct Submission {
  std::string name;
  std::string owner;
  int32_t priority = 0;
  uint32_t weight = 0;  // these as in v1::OpenJob
  uint32_t max_running = 0;
  uint64_t ttl_ns = 0;
  bool ephemeral = false;
  bool follow = false;  // Follow comes next: its first news are asked for with the graph
  std::string id;       // 16 bytes; empty: a fresh one. The same id names the same job
  uint32_t batches = 0;
  std::function<absl::StatusOr<std::string>(uint32_t number)>
      frame;  // one zstd-compressed GraphBatch
};

class ClientSession {
 public:
  struct Options {
    std::string name = "taskctl";
    uint64_t give_up_ns = 30'000'000'000;        // without a connection for so long
    std::function<void(std::string_view)> note;  // "lost the connection ...": may be empty
  };

  ClientSession(Connection& connection, Options options);
  ~ClientSession();
  ClientSession(const ClientSession&) = delete;
  ClientSession& operator=(const ClientSession&) = delete;

  // Sends the graph, seals it, and returns when the scheduler has all of it: a graph of one batch goes
  // and is answered in one message. `opened` (may be empty) gets the job's id as soon as it has one. Later
  // calls follow the job.
  absl::StatusOr<JobId> Submit(Submission submission,
                               const std::function<void(JobId)>& opened = {});

  // Returns when every one of `jobs` has ended. `update` gets the newest state of a job whenever
  // one came, and a null pointer about every `tick_ns` without news.
  absl::Status Follow(const std::vector<JobId>& jobs,
                      const std::function<void(const v1::JobUpdate*)>& update,
                      uint64_t deadline_ns = kNoDeadline, uint64_t tick_ns = 1'000'000'000);

  // Wants `object` besides what it wants already, until it exists: the update has at least one
  // address. An error when it cannot come to exist: the scheduler's failure.
  absl::StatusOr<v1::ObjectUpdate> AwaitObject(ObjectId object, uint64_t deadline_ns = kNoDeadline);

  // The running call, and each later one, returns kAborted soon.
  void Interrupt();

 private:
  class Stream;
  using Reply = v1::Reply;

  // Runs `work` until it ends with something else than a lost stream, connecting before each try.
  absl::Status Persist(const std::function<absl::Status()>& work, uint64_t deadline_ns);
  absl::Status EnsureConnected(uint64_t deadline_ns);
  absl::Status ConnectOnce();
  void Disconnect();
  absl::Status Broken();
  bool interrupted() const;

  absl::Status SubmitOnce(const Submission& submission, JobId* job,
                          const std::function<void(JobId)>& opened);
  absl::Status SendBatches(const Submission& submission, JobId job, uint32_t next);
  absl::Status FollowOnce(std::set<JobId>& left,
                          const std::function<void(const v1::JobUpdate*)>& update,
                          uint64_t deadline_ns, uint64_t tick_ns);
  absl::Status AwaitOnce(ObjectId object, v1::ObjectUpdate* found, uint64_t deadline_ns);
  absl::Status Forgotten(JobId job) const;

  // Sends `message` with a fresh token, which it returns.
  absl::StatusOr<uint64_t> Send(v1::ClientToScheduler message);
  // Takes the next message. kDeadlineExceeded when none came in time; kUnavailable, and no stream
  // any more, when it broke.
  absl::Status Receive(uint64_t deadline_ns);
  void Take(v1::SchedulerToClient message);
  absl::StatusOr<Reply> AwaitReply(uint64_t token, uint64_t deadline_ns);

  struct Shared;
  std::unique_ptr<Shared> shared_;  // what other threads touch; outlives the stream

  Connection& connection_;
  Options options_;
  const uint64_t client_id_;  // not 0
  bool leased_ = false;       // the scheduler keeps something for this client
  std::shared_ptr<Stream> stream_;
  std::string cluster_id_;
  bool restarted_ = false;  // the scheduler that we meet is not the one that we knew
  uint64_t next_token_ = 1;
  std::map<uint64_t, Reply> replies_;
  std::map<JobId, v1::JobUpdate> jobs_;  // newest state of subscribed jobs, not yet shown
  std::set<JobId> subscribed_;           // with this stream, and to be followed yet
  std::map<ObjectId, v1::ObjectUpdate> objects_;
  std::vector<ObjectId> wants_;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_CLIENT_SESSION_H_
