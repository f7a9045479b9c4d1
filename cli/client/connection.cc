#include "cli/client/connection.h"

#include <grpcpp/grpcpp.h>

#include <chrono>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "taskd/v1/admin.grpc.pb.h"

namespace taskd::client {

struct Connection::Stub {
  std::unique_ptr<v1::Admin::Stub> admin;
};

Connection::~Connection() = default;

template <typename Call, typename Request, typename Response>
absl::Status Connection::Unary(Call call, const Request& request, Response* response) {
  grpc::ClientContext context;
  rpc::AddKey(context, access_.client_key);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::nanoseconds(timeout_ns_));
  grpc::Status status = ((*stub_->admin).*call)(&context, request, response);
  if (status.ok()) return absl::OkStatus();
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::UnavailableError(
        StrCat(peer_, " did not answer; see its log, or `taskctl cluster status`"));
  }
  if (status.error_code() == grpc::StatusCode::UNAUTHENTICATED) {
    return absl::UnauthenticatedError(
        StrCat(peer_, " does not accept the key in ", io::AccessPath(dir_),
               ": the file is of another cluster; take the one of this cluster, or "
               "point --dir or $TASKD_DIR at its folder"));
  }
  return rpc::FromGrpc(status, peer_);
}

absl::StatusOr<std::unique_ptr<Connection>> Connection::Open(std::string_view dir,
                                                             uint64_t timeout_ns) {
  std::unique_ptr<Connection> connection(new Connection());
  absl::StatusOr<std::string> folder = io::AccessDir(dir);
  if (!folder.ok()) return folder.status();
  connection->dir_ = *folder;
  connection->timeout_ns_ = timeout_ns;
  absl::StatusOr<io::AccessFile> access = io::ReadAccessFile(*folder);
  if (absl::IsNotFound(access.status())) {
    return absl::UnavailableError(StrCat(
        "no cluster in ", *folder,
        ": start one with `taskctl cluster start`, or name its folder with --dir or $TASKD_DIR"));
  }
  if (!access.ok()) return absl::UnavailableError(access.status().message());
  connection->access_ = *std::move(access);
  std::string path = io::AccessPath(*folder);
  if (connection->access_.client_key.empty()) {
    return absl::PermissionDeniedError(
        StrCat(path, " holds no client key: it was made for workers only"));
  }
  absl::Status last = absl::UnavailableError(StrCat(path, " names no address of a scheduler"));
  for (const std::string& address : connection->access_.addresses) {
    connection->peer_ = StrCat("the scheduler at ", address);
    connection->channel_ = rpc::MakeChannel(address, rpc::ChannelClass::kControl);
    connection->stub_ = std::make_unique<Stub>(Stub{v1::Admin::NewStub(connection->channel_)});
    absl::StatusOr<v1::ClusterStatus> status = connection->GetStatus();
    if (status.ok() && status->protocol() != limits::kProtocolVersion) {
      return absl::UnavailableError(StrCat(connection->peer_, " (version ", status->version(),
                                           ") speaks protocol ", status->protocol(),
                                           ", this taskctl speaks ", limits::kProtocolVersion,
                                           ": use the taskctl that came with that scheduler"));
    }
    if (status.ok()) {
      connection->first_status_ = *std::move(status);
      return connection;
    }
    last = status.status();
    if (!absl::IsUnavailable(last)) return last;
  }
  return last;
}

absl::Status Connection::Refresh() {
  absl::StatusOr<io::AccessFile> access = io::ReadAccessFile(dir_);
  if (absl::IsNotFound(access.status())) {
    return absl::NotFoundError(
        StrCat("the cluster in ", dir_, " was stopped: its access file is gone"));
  }
  if (!access.ok()) return absl::UnavailableError(access.status().message());
  if (access->addresses == access_.addresses && access->client_key == access_.client_key)
    return absl::OkStatus();
  if (access->addresses.empty())
    return absl::UnavailableError(StrCat(io::AccessPath(dir_), " names no address"));
  access_ = *std::move(access);
  peer_ = StrCat("the scheduler at ", access_.addresses.front());
  channel_ = rpc::MakeChannel(access_.addresses.front(), rpc::ChannelClass::kControl);
  stub_ = std::make_unique<Stub>(Stub{v1::Admin::NewStub(channel_)});
  return absl::OkStatus();
}

absl::StatusOr<v1::ClusterStatus> Connection::GetStatus() {
  v1::ClusterStatus response;
  absl::Status status = Unary(&v1::Admin::Stub::GetStatus, v1::GetStatusRequest(), &response);
  if (!status.ok()) return status;
  return response;
}

#define TASKD_ADMIN_CALL(Method, Request, Response)                             \
  absl::StatusOr<v1::Response> Connection::Method(const v1::Request& request) { \
    v1::Response response;                                                      \
    absl::Status status = Unary(&v1::Admin::Stub::Method, request, &response);  \
    if (!status.ok()) return status;                                            \
    return response;                                                            \
  }
TASKD_ADMIN_CALL(ListJobs, ListJobsRequest, JobList)
TASKD_ADMIN_CALL(GetJob, GetJobRequest, JobInfo)
TASKD_ADMIN_CALL(CancelJob, CancelJobRequest, JobInfo)
TASKD_ADMIN_CALL(ForgetJob, ForgetJobRequest, JobInfo)
TASKD_ADMIN_CALL(CancelTasks, CancelTasksRequest, JobInfo)
TASKD_ADMIN_CALL(RetryTasks, RetryTasksRequest, JobInfo)
TASKD_ADMIN_CALL(ListTasks, ListTasksRequest, TaskList)
TASKD_ADMIN_CALL(ListObjects, ListObjectsRequest, ObjectList)
TASKD_ADMIN_CALL(ResolveName, ResolveNameRequest, ResolvedName)
TASKD_ADMIN_CALL(ExplainTask, ExplainTaskRequest, TaskExplanation)
TASKD_ADMIN_CALL(GetObject, GetObjectRequest, ObjectInfo)
TASKD_ADMIN_CALL(ListWorkers, ListWorkersRequest, WorkerList)
TASKD_ADMIN_CALL(DrainWorker, DrainWorkerRequest, WorkerInfo)
TASKD_ADMIN_CALL(PublishDataset, PublishDatasetRequest, DatasetInfo)
TASKD_ADMIN_CALL(DropDataset, DropDatasetRequest, DatasetInfo)
TASKD_ADMIN_CALL(ListDatasets, ListDatasetsRequest, DatasetList)
#undef TASKD_ADMIN_CALL

}  // namespace taskd::client
