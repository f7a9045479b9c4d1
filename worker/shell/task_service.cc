#include "worker/shell/task_service.h"

#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "common/rpc/wire.h"
#include "taskd/v1/task.grpc.pb.h"

namespace taskd::worker {
namespace {

// The answer to one call. Dropped without one, because the attempt has ended, it says so.
class Call {
 public:
  Call(grpc::ServerUnaryReactor* reactor, std::atomic<uint32_t>& calls)
      : reactor_(reactor), calls_(calls) {}
  ~Call() {
    if (!finished_) Finish(absl::CancelledError("the task has ended, or is being stopped"));
  }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void Finish(const absl::Status& status) {
    finished_ = true;
    --calls_;
    reactor_->Finish(rpc::ToGrpc(status));
  }

 private:
  grpc::ServerUnaryReactor* const reactor_;
  std::atomic<uint32_t>& calls_;
  bool finished_ = false;
};

class Service final : public v1::Task::CallbackService {
 public:
  explicit Service(std::shared_ptr<Inbox> inbox) : inbox_(std::move(inbox)) {}

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context,
                                   const v1::TaskSubmitRequest* request,
                                   v1::TaskSubmitReply* reply) override {
    return Post(context, request->token(), SubmitRequest{request->early(), request->frame()},
                [reply](const TaskAnswer& answer) { reply->set_job(answer.job); });
  }

  grpc::ServerUnaryReactor* Await(grpc::CallbackServerContext* context,
                                  const v1::TaskAwaitRequest* request,
                                  v1::TaskAwaitReply*) override {
    AwaitRequest await;
    for (const v1::ObjectRef& object : request->objects())
      await.objects.push_back(rpc::Decode(object));
    return Post(context, request->token(), std::move(await), [](const TaskAnswer&) {});
  }

  grpc::ServerUnaryReactor* Delegate(grpc::CallbackServerContext* context,
                                     const v1::TaskDelegateRequest* request,
                                     v1::TaskDelegateReply*) override {
    return Post(context, request->token(), DelegateRequest{request->output(), request->object()},
                [](const TaskAnswer&) {});
  }

 private:
  template <typename Fill>
  grpc::ServerUnaryReactor* Post(grpc::CallbackServerContext* context, const std::string& token,
                                 TaskRequest request, Fill fill) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    auto call = std::make_shared<Call>(reactor, calls_);
    if (++calls_ > limits::kTaskConnections) {
      call->Finish(absl::ResourceExhaustedError(
          StrCat(limits::kTaskConnections, " requests of tasks have no answer yet: try again")));
      return reactor;
    }
    inbox_->Post(TaskAsked{token, std::move(request), [call, fill](TaskAnswer answer) {
                             if (answer.status.ok()) fill(answer);
                             call->Finish(answer.status);
                           }});
    return reactor;
  }

  const std::shared_ptr<Inbox> inbox_;
  std::atomic<uint32_t> calls_{0};
};

}  // namespace

struct TaskService::Impl {
  explicit Impl(std::shared_ptr<Inbox> inbox) : service(std::move(inbox)) {}
  Service service;
  rpc::RunningServer server;
  std::string file;  // of the socket
};

absl::StatusOr<std::unique_ptr<TaskService>> TaskService::Start(const std::string& folder,
                                                                std::shared_ptr<Inbox> inbox) {
  auto impl = std::make_unique<Impl>(std::move(inbox));
  const std::string file = folder + "/task.socket";
  const bool fits = file.size() < sizeof(sockaddr_un::sun_path);
  if (fits) {
    unlink(file.c_str());  // of a worker that died: the folder is ours
    impl->file = file;
  }
  grpc::Service* services[] = {&impl->service};
  auto server = rpc::StartServer(fits ? "unix:" + file : "127.0.0.1:0", rpc::ChannelClass::kControl,
                                 services);
  if (!server.ok()) return server.status();
  impl->server = *std::move(server);
  return std::unique_ptr<TaskService>(new TaskService(std::move(impl)));
}

TaskService::TaskService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TaskService::~TaskService() {
  rpc::StopServer(*impl_->server.server, 0);
  if (!impl_->file.empty()) unlink(impl_->file.c_str());
}

const std::string& TaskService::address() const { return impl_->server.address; }

}  // namespace taskd::worker
