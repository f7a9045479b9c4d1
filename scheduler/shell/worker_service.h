// The scheduler's end of the worker sessions: messages become events of the core, its actions
// become messages.
#ifndef TASKD_SCHEDULER_SHELL_WORKER_SERVICE_H_
#define TASKD_SCHEDULER_SHELL_WORKER_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "scheduler/shell/cluster.h"
#include "scheduler/shell/core_loop.h"
#include "scheduler/shell/job_store.h"
#include "scheduler/shell/value_cache.h"
#include "scheduler/shell/worker_directory.h"

namespace grpc {
class Service;
}

namespace taskd::scheduler {

class TaskIntake;
class WorkerStream;

class WorkerService : public ActionSink {
 public:
  // All of them must outlive the service; the loop is given before it starts.
  WorkerService(const Cluster* cluster, JobStore* jobs, WorkerDirectory* directory);
  ~WorkerService() override;

  void SetLoop(CoreLoop* loop, TaskIntake* submissions) {
    loop_ = loop;
    submissions_ = submissions;
  }
  grpc::Service* grpc_service();

  void OnActions(uint64_t now_ns, const SchedulerCore& core, std::span<Action> actions) override;
  uint64_t OnTime(uint64_t now_ns, const SchedulerCore& core) override;

  // Breaks every stream and refuses new ones.
  void Shutdown();

  uint64_t malformed_messages() const { return malformed_; }
  uint64_t overflows() const { return overflows_; }
  ValueCache::Totals values() const { return values_.totals(); }

 private:
  friend class WorkerStream;
  class Service;

  std::shared_ptr<WorkerStream> Open();
  void Forget(StreamId stream);
  std::shared_ptr<WorkerStream> Find(StreamId stream);
  // "" when no other daemon that is connected has the name.
  std::string NameTakenBy(const std::string& name, uint64_t identity, StreamId except);

  void Do(action::Welcome& welcome);
  void Do(action::Refuse& refuse);
  void Do(action::CloseStream& close);
  void Do(action::Assign& assign);
  void Do(action::Retract& retract);
  void Do(action::Cancel& cancel);
  void Do(action::Free& free);
  void Do(action::AckOutcomes& ack);
  void Do(action::Drain& drain);
  void Do(action::Gather& gather);
  void Do(action::Retire& retire);
  void Do(action::Resume& resume);
  template <class Other>
  void Do(Other&) {}  // replies, changes and journal records are for others
  WorkerStream* Touch(StreamId stream);

  const Cluster* const cluster_;
  JobStore* const jobs_;
  WorkerDirectory* const directory_;
  CoreLoop* loop_ = nullptr;
  TaskIntake* submissions_ = nullptr;
  std::unique_ptr<Service> service_;
  ValueCache values_;
  std::atomic<uint64_t> malformed_ = 0;
  std::atomic<uint64_t> overflows_ = 0;

  std::mutex mutex_;
  absl::flat_hash_map<StreamId, std::shared_ptr<WorkerStream>> streams_;
  StreamId next_stream_ = 1;
  bool stopping_ = false;

  // Of the core thread: the streams that the actions at hand go to.
  absl::flat_hash_map<StreamId, std::shared_ptr<WorkerStream>> touched_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_WORKER_SERVICE_H_
