#include "cli/client/task_socket.h"

#include <grpcpp/client_context.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "common/base/limits.h"
#include "common/io/random.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "common/rpc/wire.h"
#include "taskd/v1/task.grpc.pb.h"

namespace taskd::client {

struct TaskSocket::Impl {
  std::string token;
  std::shared_ptr<grpc::Channel> channel;
  std::unique_ptr<v1::Task::Stub> stub;

  template <typename Request, typename Reply>
  absl::Status Call(grpc::Status (v1::Task::Stub::*call)(grpc::ClientContext*, const Request&,
                                                         Reply*),
                    Request& request, Reply* reply) {
    grpc::ClientContext context;
    request.set_token(token);
    const grpc::Status status = ((*stub).*call)(&context, request, reply);
    return status.ok() ? absl::OkStatus() : rpc::FromGrpc(status, "this task's worker");
  }
};

std::unique_ptr<TaskSocket> TaskSocket::FromEnvironment() {
  const char* socket = std::getenv("TASKD_SOCKET");
  const char* token = std::getenv("TASKD_TOKEN");
  if (socket == nullptr || token == nullptr || *socket == '\0' || *token == '\0') return nullptr;
  auto impl = std::make_unique<Impl>();
  impl->token = token;
  impl->channel = rpc::MakeChannel(socket, rpc::ChannelClass::kControl);
  impl->stub = v1::Task::NewStub(impl->channel);
  return std::unique_ptr<TaskSocket>(new TaskSocket(std::move(impl)));
}

TaskSocket::TaskSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
TaskSocket::~TaskSocket() = default;

absl::StatusOr<TaskSocket::Submitted> TaskSocket::Submit(const std::vector<std::string>& frames,
                                                         bool early) {
  Submitted submitted;
  const auto graph = static_cast<uint32_t>(io::RandomU64());  // of no other process of the task
  for (size_t i = 0; i < frames.size(); ++i) {
    v1::TaskSubmitRequest request;
    request.set_early(early);
    request.set_frame(frames[i]);
    request.set_graph(graph);
    v1::TaskSubmitReply reply;
    absl::Status status = impl_->Call(&v1::Task::Stub::Submit, request, &reply);
    if (!status.ok()) return status;
    submitted.job = reply.job();
    if (i == 0) submitted.first_object = reply.first_object();
  }
  return submitted;
}

absl::StatusOr<ObjectId> TaskSocket::Put(const std::string& path, const std::string& name) {
  v1::TaskPutRequest request;
  request.set_path(path);
  request.set_name(name);
  v1::TaskPutReply reply;
  absl::Status status = impl_->Call(&v1::Task::Stub::Put, request, &reply);
  if (!status.ok()) return status;
  return rpc::Decode(reply.object());
}

absl::Status TaskSocket::Await(const std::vector<ObjectId>& objects) {
  for (size_t begin = 0; begin < objects.size(); begin += limits::kAwaitObjects) {
    const size_t end = std::min<size_t>(objects.size(), begin + limits::kAwaitObjects);
    v1::TaskAwaitRequest request;
    for (size_t i = begin; i < end; ++i) rpc::Encode(objects[i], request.add_objects());
    v1::TaskAwaitReply reply;
    absl::Status status = impl_->Call(&v1::Task::Stub::Await, request, &reply);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status TaskSocket::Delegate(std::string_view output, Ordinal object) {
  v1::TaskDelegateRequest request;
  request.set_output(std::string(output));
  request.set_object(object);
  v1::TaskDelegateReply reply;
  return impl_->Call(&v1::Task::Stub::Delegate, request, &reply);
}

}  // namespace taskd::client
