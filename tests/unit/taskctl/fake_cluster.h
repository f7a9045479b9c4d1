// A scheduler and a worker's data service in this process, that do what a test tells them to.
#ifndef TASKD_TESTS_UNIT_TASKCTL_FAKE_CLUSTER_H_
#define TASKD_TESTS_UNIT_TASKCTL_FAKE_CLUSTER_H_

#include <grpcpp/grpcpp.h>

#include <atomic>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "taskd/v1/admin.grpc.pb.h"
#include "taskd/v1/client_session.grpc.pb.h"
#include "taskd/v1/data.grpc.pb.h"

namespace taskd::client {

using ServerStream = grpc::ServerReaderWriter<v1::SchedulerToClient, v1::ClientToScheduler>;

// Serves the session after its handshake. `stream_number` counts the streams: 1, 2 ...
using SessionScript = std::function<grpc::Status(uint32_t stream_number, ServerStream& stream)>;

class FakeScheduler : public v1::Admin::Service, public v1::ClientSession::Service {
 public:
  // Writes an access file to a fresh folder.
  FakeScheduler();
  ~FakeScheduler() override;

  const std::string& dir() const { return dir_; }
  // Returns when no script runs any more: their streams are cancelled.
  void Stop();

  // Set before the first call.
  SessionScript script;
  std::function<grpc::Status()> get_status;  // instead of an answer
  uint32_t protocol;
  std::function<std::string(uint32_t stream_number)> cluster_id;
  std::string key = "the-client-key";  // that it accepts

  uint32_t streams() const { return streams_; }
  // What each stream's hello said, by number.
  std::vector<v1::ClientHello> hellos() {
    std::lock_guard lock(mutex_);
    return hellos_;
  }

  grpc::Status GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest* request,
                         v1::ClusterStatus* status) override;
  grpc::Status Connect(grpc::ServerContext* context, ServerStream* stream) override;

 private:
  std::string dir_;
  std::atomic<uint32_t> streams_ = 0;
  std::mutex mutex_;
  std::vector<v1::ClientHello> hellos_;
  std::unique_ptr<grpc::Server> server_;
};

class FakeWorker : public v1::Data::Service {
 public:
  using FetchScript =
      std::function<grpc::Status(const v1::FetchItem&, grpc::ServerWriter<v1::FetchChunk>&)>;
  explicit FakeWorker(FetchScript script);
  ~FakeWorker() override;
  const std::string& address() const { return address_; }

  grpc::Status Fetch(grpc::ServerContext* context, const v1::FetchRequest* request,
                     grpc::ServerWriter<v1::FetchChunk>* writer) override;
  grpc::Status Log(grpc::ServerContext* context, const v1::LogRequest* request,
                   grpc::ServerWriter<v1::LogChunk>* writer) override;

 private:
  FetchScript script_;
  std::string address_;
  std::unique_ptr<grpc::Server> server_;
};

// Answers the request with an empty reply, or one that `fill` has filled in.
void Answer(ServerStream& stream, const v1::ClientToScheduler& request,
            const std::function<void(v1::Reply&)>& fill = {});

}  // namespace taskd::client

#endif  // TASKD_TESTS_UNIT_TASKCTL_FAKE_CLUSTER_H_
