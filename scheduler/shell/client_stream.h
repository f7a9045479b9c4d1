// One client's stream: its requests, and what goes back.
#ifndef TASKD_SCHEDULER_SHELL_CLIENT_STREAM_H_
#define TASKD_SCHEDULER_SHELL_CLIENT_STREAM_H_

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/rpc/stream_session.h"
#include "scheduler/shell/client_service.h"
#include "taskd/v1/client_session.grpc.pb.h"

namespace taskd::scheduler {

class ClientStream final : public rpc::SessionHandler<v1::SchedulerToClient, v1::ClientToScheduler>,
                           public std::enable_shared_from_this<ClientStream> {
 public:
  using Session = rpc::StreamSession<v1::SchedulerToClient, v1::ClientToScheduler>;

  explicit ClientStream(ClientService* service) : service_(service) {}

  void OnStart(std::shared_ptr<Session> session) override;
  bool OnMessage(v1::ClientToScheduler& message) override;
  void OnClosed(const grpc::Status& status) override;

  // From any thread.
  void Reply(uint64_t token, const absl::Status& status);
  void Send(const v1::JobUpdate& update);
  void Send(const v1::ObjectUpdate& update);
  uint64_t waiting_bytes() const;  // of what it has not read
  void Supersede();                // a newer stream of its client is there
  void Break();

  ClientId client() const { return client_; }  // 0: it has not said hello

  // Of the core thread.
  std::vector<ObjectId> wants;
  std::vector<JobId> subscriptions;
  bool left = false;

 private:
  std::shared_ptr<Session> session() const;
  bool Hello(const v1::ClientToScheduler& message);
  bool Open(uint64_t token, v1::OpenJob& request);
  void TakeWhole(uint64_t token, const action::Reply& opened, std::string frame, bool subscribe);
  void Accepted(uint64_t token, JobId job, bool subscribe);
  bool Submit(uint64_t token, v1::SubmitBatch& request);
  bool Seal(uint64_t token, const v1::SealJob& request);
  bool Want(uint64_t token, const v1::WantSet& request);
  bool Subscribe(uint64_t token, JobId job);
  bool Goodbye();
  void AddOpened(uint64_t token, JobId job, uint32_t next_batch);
  void Flush();
  // What to tell gRPC after work was queued: false, and a promise to resume, when there is no room
  // for more.
  bool AfterLoop(bool room);
  bool AfterIntake(bool room);

  ClientService* const service_;
  mutable std::mutex mutex_;
  std::shared_ptr<Session> session_;  // null after OnClosed

  // Of the reading thread.
  ClientId client_ = 0;
  bool leased_ = false;  // the client has an id that it may come back with
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_CLIENT_STREAM_H_
