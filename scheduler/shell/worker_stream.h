// One worker's stream. Incoming messages are decoded on gRPC's threads; outgoing ones are built on
// the core thread.
#ifndef TASKD_SCHEDULER_SHELL_WORKER_STREAM_H_
#define TASKD_SCHEDULER_SHELL_WORKER_STREAM_H_

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "common/rpc/stream_session.h"
#include "scheduler/shell/worker_service.h"
#include "taskd/v1/worker_session.grpc.pb.h"

namespace taskd::scheduler {

class WorkerStream final : public rpc::SessionHandler<v1::SchedulerToWorker, v1::WorkerToScheduler>,
                           public std::enable_shared_from_this<WorkerStream> {
 public:
  using Session = rpc::StreamSession<v1::SchedulerToWorker, v1::WorkerToScheduler>;

  WorkerStream(WorkerService* service, StreamId id) : service_(service), id_(id) {}

  void OnStart(std::shared_ptr<Session> session) override;
  bool OnMessage(v1::WorkerToScheduler& message) override;
  void OnClosed(const grpc::Status& status) override;

  // The rest is called on the core thread.
  void Welcome(WorkerId worker);
  void Refuse(const absl::Status& why);
  void Assign(const Assignment& assignment);
  void Retract(AttemptRef attempt);
  void CancelAttempt(AttemptRef attempt);
  void Free(const ObjectVersion& object);
  void AckOutcomes(uint64_t sequence);
  void Drain();
  void Gather(const InputObject& object);
  void Retire();
  void ResumeAttempt(AttemptRef attempt);
  // Sends what the calls above have added; breaks a stream whose worker takes too little.
  void Flush();

  void Close(const grpc::Status& status);
  void Break();

  StreamId id() const { return id_; }
  std::string name() const;
  uint64_t identity() const;
  bool said_hello() const;

 private:
  std::shared_ptr<Session> session() const;
  bool Hello(const v1::WorkerToScheduler& message);
  absl::Status CheckHello(const v1::WorkerHello& hello) const;
  // Posts what the message says; whether there is room for more, or what is wrong with it.
  absl::StatusOr<bool> Report(const v1::WorkerToScheduler& message);
  // Whether to read on, when that is not for later.
  bool ReportOrClose(const v1::WorkerToScheduler& message);
  void CloseMalformed(const absl::Status& why);
  absl::Status Submit(v1::WorkerToScheduler& message);
  absl::Status ReportInventory(const v1::WorkerToScheduler& message);
  absl::Status ReportYields(const v1::WorkerToScheduler& message);
  void LookUp(const v1::ObjectLookup& lookup);
  void SendAnswer(const AttemptRef& attempt, uint32_t number, JobId job, Ordinal first_object,
                  const absl::Status& status);
  void SendFound(uint64_t token, ObjectId object, const SchedulerCore& core);
  void KeepValues(const v1::WorkerToScheduler& message);
  // That of an input which the worker does not hold, has not been sent, and which is known here.
  std::optional<SmallValue> ValueFor(const InputObject& object);
  uint64_t AddValues(const Assignment& assignment, v1::Assignment& to);
  void AddGather(const InputObject& object, v1::SchedulerToWorker& out, v1::Gather* to);
  void AddPeers(const InputObject& object, v1::SchedulerToWorker& out);
  uint64_t AddPeersAndBody(const Assignment& assignment, v1::SchedulerToWorker& out);
  void SweepBodies(v1::SchedulerToWorker& out);

  static constexpr size_t kSweepBodies = 1024;

  WorkerService* const service_;
  const StreamId id_;

  mutable std::mutex mutex_;
  std::shared_ptr<Session> session_;  // null after OnClosed
  WorkerProfile profile_;
  bool greeted_ = false;
  std::atomic<uint32_t> worker_ = 0;  // packed WorkerId once welcomed

  // Of the core thread: what this stream has been told already.
  absl::flat_hash_set<WorkerId> peers_sent_;
  absl::flat_hash_set<std::pair<JobId, uint32_t>> bodies_sent_;
  size_t sweep_bodies_at_ = kSweepBodies;
  absl::flat_hash_set<ObjectVersion> frees_gathered_;
  absl::flat_hash_set<ObjectVersion> values_sent_;  // and not freed since
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_WORKER_STREAM_H_
