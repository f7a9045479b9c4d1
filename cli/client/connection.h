// A client's way into a cluster: the access file, one channel to the scheduler, the key on every
// call, and the admin service's calls. Thread-safe after Open. Every error is one that a user can
// act on: codes as in common/rpc/errors.h, kUnavailable also when there is no cluster at all.
#ifndef TASKD_CLI_CLIENT_CONNECTION_H_
#define TASKD_CLI_CLIENT_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/access_file.h"
#include "taskd/v1/admin.pb.h"

namespace grpc {
class Channel;
}  // namespace grpc

namespace taskd::client {

class Connection {
 public:
  // `dir` as for io::AccessDir. Reads the access file and looks for the first of its addresses that
  // answers. `timeout_ns` bounds that look and each later call.
  static absl::StatusOr<std::unique_ptr<Connection>> Open(std::string_view dir,
                                                          uint64_t timeout_ns = kDefaultTimeoutNs);
  ~Connection();
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  const std::string& dir() const { return dir_; }
  const io::AccessFile& access() const { return access_; }
  const std::string& peer() const { return peer_; }  // "the scheduler at 127.0.0.1:7070"
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }
  // Reads the access file again and turns to the scheduler that it names now; kNotFound when the
  // file is gone. Not while another thread uses this.
  absl::Status Refresh();

  // The answer that Open got.
  const v1::ClusterStatus& first_status() const { return first_status_; }

  absl::StatusOr<v1::ClusterStatus> GetStatus();
  absl::StatusOr<v1::JobList> ListJobs(const v1::ListJobsRequest& request);
  absl::StatusOr<v1::JobInfo> GetJob(const v1::GetJobRequest& request);
  absl::StatusOr<v1::JobInfo> CancelJob(const v1::CancelJobRequest& request);
  absl::StatusOr<v1::JobInfo> ForgetJob(const v1::ForgetJobRequest& request);
  absl::StatusOr<v1::JobInfo> CancelTasks(const v1::CancelTasksRequest& request);
  absl::StatusOr<v1::JobInfo> RetryTasks(const v1::RetryTasksRequest& request);
  absl::StatusOr<v1::TaskList> ListTasks(const v1::ListTasksRequest& request);
  absl::StatusOr<v1::ObjectList> ListObjects(const v1::ListObjectsRequest& request);
  absl::StatusOr<v1::ResolvedName> ResolveName(const v1::ResolveNameRequest& request);
  absl::StatusOr<v1::TaskExplanation> ExplainTask(const v1::ExplainTaskRequest& request);
  absl::StatusOr<v1::ObjectInfo> GetObject(const v1::GetObjectRequest& request);
  absl::StatusOr<v1::WorkerList> ListWorkers(const v1::ListWorkersRequest& request);
  absl::StatusOr<v1::WorkerInfo> DrainWorker(const v1::DrainWorkerRequest& request);
  absl::StatusOr<v1::DatasetInfo> PublishDataset(const v1::PublishDatasetRequest& request);
  absl::StatusOr<v1::DatasetInfo> DropDataset(const v1::DropDatasetRequest& request);
  absl::StatusOr<v1::DatasetList> ListDatasets(const v1::ListDatasetsRequest& request);

 private:
  static constexpr uint64_t kDefaultTimeoutNs = 10'000'000'000;

  Connection() = default;
  template <typename Call, typename Request, typename Response>
  absl::Status Unary(Call call, const Request& request, Response* response);

  std::string dir_;
  io::AccessFile access_;
  std::string peer_;
  uint64_t timeout_ns_ = 0;
  std::shared_ptr<grpc::Channel> channel_;
  struct Stub;  // keeps gRPC's headers out of this one
  std::unique_ptr<Stub> stub_;
  v1::ClusterStatus first_status_;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_CONNECTION_H_
