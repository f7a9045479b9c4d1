#include "worker/shell/task_service.h"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <functional>
#include <mutex>
#include <utility>
#include <vector>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/io/thread_pool.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "common/rpc/wire.h"
#include "taskd/v1/task.grpc.pb.h"

namespace taskd::worker {
namespace {

constexpr uint32_t kFileThreads = 2;  // that copy what is put

// One call, which is answered once: by Dialogs, or because that has let go of it (the attempt has ended), or because
// the service stops.
class Call {
 public:
  using Fill = std::function<void(const TaskAnswer&)>;  // of the reply

  Call(grpc::ServerUnaryReactor* reactor, Fill fill) : reactor_(reactor), fill_(std::move(fill)) {}
  ~Call() { Answer({absl::CancelledError("the task has ended, or is being stopped")}); }
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  void Answer(const TaskAnswer& answer) {
    if (answered_.exchange(true)) return;
    if (answer.status.ok() && fill_) fill_(answer);
    reactor_->Finish(rpc::ToGrpc(answer.status));
  }

 private:
  grpc::ServerUnaryReactor* const reactor_;  // gone once it is finished, and the reply with it
  const Fill fill_;
  std::atomic<bool> answered_{false};
};

class Service final : public v1::Task::CallbackService {
 public:
  Service(std::shared_ptr<Inbox> inbox, Puts& puts) : inbox_(std::move(inbox)), puts_(puts) {}

  grpc::ServerUnaryReactor* Submit(grpc::CallbackServerContext* context,
                                   const v1::TaskSubmitRequest* request,
                                   v1::TaskSubmitReply* reply) override {
    return Post(context, request->token(),
                SubmitRequest{request->early(), request->frame(), request->graph()},
                [reply](const TaskAnswer& answer) {
                  reply->set_job(answer.job);
                  reply->set_first_object(answer.first_object);
                });
  }

  grpc::ServerUnaryReactor* Await(grpc::CallbackServerContext* context,
                                  const v1::TaskAwaitRequest* request,
                                  v1::TaskAwaitReply*) override {
    AwaitRequest await;
    for (const v1::ObjectRef& object : request->objects())
      await.objects.push_back(rpc::Decode(object));
    return Post(context, request->token(), std::move(await), {});
  }

  grpc::ServerUnaryReactor* Delegate(grpc::CallbackServerContext* context,
                                     const v1::TaskDelegateRequest* request,
                                     v1::TaskDelegateReply*) override {
    return Post(context, request->token(), DelegateRequest{request->output(), request->object()},
                {});
  }

  grpc::ServerUnaryReactor* Put(grpc::CallbackServerContext* context,
                                const v1::TaskPutRequest* request,
                                v1::TaskPutReply* reply) override {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    std::shared_ptr<Call> call = Begin(reactor, [reply](const TaskAnswer& answer) {
      rpc::Encode(ObjectId{answer.job, answer.first_object}, reply->mutable_object());
    });
    if (call == nullptr) return reactor;
    files_.Post(
        [this, call, who = request->token(), path = request->path(), name = request->name()] {
          absl::StatusOr<std::string> kept =
              path.starts_with('/')
                  ? puts_.KeepFile(path, io::NowNs())
                  : absl::InvalidArgumentError(StrCat("'", path, "' is no absolute path"));
          if (!kept.ok()) return call->Answer({kept.status()});
          Post(call, who, PutRequest{*kept, name});
        });
    return reactor;
  }

  // The server waits for all calls, and nobody else may answer those that are under way.
  void Close() {
    std::vector<std::weak_ptr<Call>> calls;
    {
      std::lock_guard lock(mutex_);
      closed_ = true;
      calls.swap(calls_);
    }
    for (const std::weak_ptr<Call>& weak : calls) {
      if (auto call = weak.lock()) call->Answer({absl::UnavailableError("the worker stops")});
    }
  }

 private:
  grpc::ServerUnaryReactor* Post(grpc::CallbackServerContext* context, const std::string& token,
                                 TaskRequest request, Call::Fill fill) {
    grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
    if (std::shared_ptr<Call> call = Begin(reactor, std::move(fill)))
      Post(call, token, std::move(request));
    return reactor;
  }

  void Post(const std::shared_ptr<Call>& call, const std::string& token, TaskRequest request) {
    inbox_->Post(
        TaskAsked{token, std::move(request), [call](TaskAnswer answer) { call->Answer(answer); }});
  }

  // Null: it has been refused.
  std::shared_ptr<Call> Begin(grpc::ServerUnaryReactor* reactor, Call::Fill fill) {
    auto call = std::make_shared<Call>(reactor, std::move(fill));
    absl::Status refused = Admit(call);
    if (refused.ok()) return call;
    call->Answer({refused});
    return nullptr;
  }

  absl::Status Admit(const std::shared_ptr<Call>& call) {
    std::lock_guard lock(mutex_);
    if (closed_) return absl::UnavailableError("the worker stops");
    if (calls_.size() >= limits::kTaskConnections)
      std::erase_if(calls_, [](const std::weak_ptr<Call>& c) { return c.expired(); });
    if (calls_.size() >= limits::kTaskConnections) {
      return absl::ResourceExhaustedError(
          StrCat(limits::kTaskConnections, " requests of tasks have no answer yet: try again"));
    }
    calls_.push_back(call);
    return absl::OkStatus();
  }

  const std::shared_ptr<Inbox> inbox_;
  Puts& puts_;
  std::mutex mutex_;
  std::vector<std::weak_ptr<Call>> calls_;  // some may be over
  bool closed_ = false;
  io::ThreadPool files_{kFileThreads};  // last: its threads end first
};

}  // namespace

struct TaskService::Impl {
  Impl(std::shared_ptr<Inbox> inbox, Puts& puts) : service(std::move(inbox), puts) {}
  Service service;
  rpc::RunningServer server;
  std::string file;  // of the socket
};

absl::StatusOr<std::unique_ptr<TaskService>> TaskService::Start(const std::string& folder,
                                                                std::shared_ptr<Inbox> inbox,
                                                                Puts& puts) {
  auto impl = std::make_unique<Impl>(std::move(inbox), puts);
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
  if (fits)
    chmod(file.c_str(), 0600);  // until then the folder, which is its owner's, keeps others out
  return std::unique_ptr<TaskService>(new TaskService(std::move(impl)));
}

TaskService::TaskService(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

TaskService::~TaskService() {
  impl_->service.Close();
  rpc::StopServer(*impl_->server.server, 0);
  if (!impl_->file.empty()) unlink(impl_->file.c_str());
}

const std::string& TaskService::address() const { return impl_->server.address; }

}  // namespace taskd::worker
