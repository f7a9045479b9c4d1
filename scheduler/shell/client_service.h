// The scheduler's end of the client sessions: graphs come in, the states of jobs and wanted objects
// go out.
//
// Job updates are coalesced: at most one in kUpdatePeriodNs a job and client, the newest state
// each, and the final state at once. A client that reads slowly gets fewer of them.
#ifndef TASKD_SCHEDULER_SHELL_CLIENT_SERVICE_H_
#define TASKD_SCHEDULER_SHELL_CLIENT_SERVICE_H_

#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "absl/container/btree_map.h"
#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "scheduler/shell/cluster.h"
#include "scheduler/shell/core_loop.h"
#include "scheduler/shell/intake.h"
#include "scheduler/shell/job_store.h"
#include "scheduler/shell/worker_directory.h"

namespace grpc {
class Service;
}

namespace taskd::scheduler {

inline constexpr uint64_t kUpdatePeriodNs = 50'000'000;

class ClientStream;

class ClientService : public ActionSink {
 public:
  // All of them must outlive the service; loop and intake are given before they start.
  ClientService(const Cluster* cluster, JobStore* jobs, WorkerDirectory* directory);
  ~ClientService() override;

  void SetLoop(CoreLoop* loop, Intake* intake) {
    loop_ = loop;
    intake_ = intake;
  }
  grpc::Service* grpc_service();

  void OnActions(uint64_t now_ns, const SchedulerCore& core, std::span<Action> actions) override;
  uint64_t OnTime(uint64_t now_ns, const SchedulerCore& core) override;

  // Breaks every stream and refuses new ones.
  void Shutdown();

  uint64_t connected();

 private:
  friend class ClientStream;
  class Service;

  // Who follows a job, and what of it they have not been told.
  struct Followers {
    std::vector<std::shared_ptr<ClientStream>> streams;
    uint64_t sent_ns = 0;
    bool changed = false;
    bool told_end = false;  // the last update sent was a final state
  };

  std::shared_ptr<ClientStream> Open();
  void Close(ClientStream& stream);

  // The newest stream of a client speaks for it: what an older one had to say came before, or is
  // not said any more. Any thread.
  void Attach(const std::shared_ptr<ClientStream>& stream);
  void Detach(const ClientStream& stream, bool for_good);
  // Whether there is room for more.
  bool PostFor(const ClientStream& stream, Event event, uint32_t items);

  // On the core thread.
  void Subscribe(const std::shared_ptr<ClientStream>& stream, JobId job, uint64_t now_ns,
                 const SchedulerCore& core);
  void SetWants(const std::shared_ptr<ClientStream>& stream, std::vector<ObjectId> objects,
                const SchedulerCore& core);
  void Left(const std::shared_ptr<ClientStream>& stream);
  void DropWants(const std::shared_ptr<ClientStream>& stream);
  void SendJob(JobId job, Followers& followers, uint64_t now_ns, const SchedulerCore& core);
  void SendObject(ObjectId object, const SchedulerCore& core,
                  std::span<const std::shared_ptr<ClientStream>> streams);

  const Cluster* const cluster_;
  JobStore* const jobs_;
  WorkerDirectory* const directory_;
  CoreLoop* loop_ = nullptr;
  Intake* intake_ = nullptr;
  std::unique_ptr<Service> service_;

  std::mutex mutex_;
  absl::flat_hash_set<std::shared_ptr<ClientStream>> streams_;
  absl::flat_hash_map<ClientId, std::shared_ptr<ClientStream>> speakers_;
  bool stopping_ = false;

  // Of the core thread.
  absl::flat_hash_map<JobId, Followers> followers_;
  absl::flat_hash_set<JobId> changed_jobs_;  // with followers that wait for an update
  absl::btree_map<ObjectId, std::vector<std::shared_ptr<ClientStream>>> wanting_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_CLIENT_SERVICE_H_
