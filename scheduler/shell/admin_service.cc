#include "scheduler/shell/admin_service.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/graph/name_syntax.h"
#include "common/io/clock.h"
#include "common/rpc/auth.h"
#include "common/rpc/errors.h"
#include "common/rpc/idle_tick.h"
#include "common/rpc/wire.h"
#include "scheduler/shell/describe.h"
#include "scheduler/shell/listing.h"
#include "taskd/v1/admin.grpc.pb.h"

namespace taskd::scheduler {
namespace {

uint64_t Sum(std::span<const uint64_t> values) {
  uint64_t sum = 0;
  for (uint64_t value : values) sum += value;
  return sum;
}

}  // namespace

class AdminService::Service final : public v1::Admin::CallbackService {
 public:
  Service(const Cluster* cluster, const JobStore* jobs, const WorkerDirectory* directory,
          CoreLoop* loop)
      : cluster_(cluster), jobs_(jobs), directory_(directory), loop_(loop) {}

  using Context = grpc::CallbackServerContext;
  using Reactor = grpc::ServerUnaryReactor;

  Reactor* GetStatus(Context* context, const v1::GetStatusRequest*,
                     v1::ClusterStatus* to) override {
    return Answer(context, [this, to](const SchedulerCore& core, uint64_t now_ns) {
      FillStatus(core, now_ns, to);
      return absl::OkStatus();
    });
  }

  Reactor* ListJobs(Context* context, const v1::ListJobsRequest* request,
                    v1::JobList* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t now_ns) {
      return scheduler::ListJobs(core, *jobs_, Describe(core, now_ns), *request, to);
    });
  }

  Reactor* GetJob(Context* context, const v1::GetJobRequest* request, v1::JobInfo* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t now_ns) {
      auto view = core.GetJob(request->job());
      if (!view) return NoJob(request->job());
      Describe(core, now_ns).Job(*view, to);
      return absl::OkStatus();
    });
  }

  Reactor* CancelJob(Context* context, const v1::CancelJobRequest* request,
                     v1::JobInfo* to) override {
    return Command(context, request->job(), to, [job = request->job()](Token token) {
      return event::CancelJob{token, job};
    });
  }

  Reactor* ForgetJob(Context* context, const v1::ForgetJobRequest* request,
                     v1::JobInfo* to) override {
    return Command(context, request->job(), to, [job = request->job()](Token token) {
      return event::ForgetJob{token, job};
    });
  }

  Reactor* CancelTasks(Context* context, const v1::CancelTasksRequest* request,
                       v1::JobInfo* to) override {
    JobId job = request->job();
    auto tasks = Matching(job, request->pattern());
    if (!tasks.ok()) return Refuse(context, tasks.status());
    return Command(context, job, to, [job, tasks = *std::move(tasks)](Token token) {
      return event::CancelTasks{token, job, tasks};
    });
  }

  Reactor* RetryTasks(Context* context, const v1::RetryTasksRequest* request,
                      v1::JobInfo* to) override {
    JobId job = request->job();
    std::vector<OrdinalRange> named;  // none: all of the job
    if (!request->pattern().empty()) {
      auto tasks = Matching(job, request->pattern());
      if (!tasks.ok()) return Refuse(context, tasks.status());
      named = *std::move(tasks);
    }
    bool cancelled = request->cancelled();
    return Command(context, job, to, [job, cancelled, named = std::move(named)](Token token) {
      return event::RetryTasks{token, job, named, cancelled};
    });
  }

  Reactor* ListTasks(Context* context, const v1::ListTasksRequest* request,
                     v1::TaskList* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t now_ns) {
      return scheduler::ListTasks(core, *jobs_, Describe(core, now_ns), *request, to);
    });
  }

  Reactor* ListObjects(Context* context, const v1::ListObjectsRequest* request,
                       v1::ObjectList* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t now_ns) {
      return scheduler::ListObjects(core, *jobs_, Describe(core, now_ns), *request, to);
    });
  }

  Reactor* ResolveName(Context* context, const v1::ResolveNameRequest* request,
                       v1::ResolvedName* to) override {
    Reactor* reactor = context->DefaultReactor();
    if (Allowed(context, reactor)) reactor->Finish(rpc::ToGrpc(Resolve(*request, to)));
    return reactor;
  }

  Reactor* ExplainTask(Context* context, const v1::ExplainTaskRequest* request,
                       v1::TaskExplanation* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t now_ns) {
      TaskId task = rpc::Decode(request->task());
      auto view = core.Explain(task);
      if (!view) return NoTask(core, task);
      Describe(core, now_ns).Explain(*view, to);
      return absl::OkStatus();
    });
  }

  Reactor* GetObject(Context* context, const v1::GetObjectRequest* request,
                     v1::ObjectInfo* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t now_ns) {
      ObjectId object = rpc::Decode(request->object());
      auto view = core.GetObject(object);
      if (!view) return NoObject(core, object);
      Describe(core, now_ns).Object(*view, to);
      return absl::OkStatus();
    });
  }

  Reactor* ListWorkers(Context* context, const v1::ListWorkersRequest*,
                       v1::WorkerList* to) override {
    return Answer(context, [this, to](const SchedulerCore& core, uint64_t now_ns) {
      for (const WorkerView& view : core.ListWorkers())
        Describe(core, now_ns).Worker(view, to->add_workers());
      return absl::OkStatus();
    });
  }

  Reactor* PublishDataset(Context* context, const v1::PublishDatasetRequest* request,
                          v1::DatasetInfo* to) override {
    auto objects = MatchingObjects(request->job(), request->objects());
    if (!objects.ok()) return Refuse(context, objects.status());
    return DatasetCommand(context, request->name(), to,
                          [name = request->name(), objects = *objects](Token token) {
                            return event::PublishDataset{token, name, objects};
                          });
  }

  Reactor* DropDataset(Context* context, const v1::DropDatasetRequest* request,
                       v1::DatasetInfo* to) override {
    return DatasetCommand(context, request->name(), to, [name = request->name()](Token token) {
      return event::DropDataset{token, name};
    });
  }

  Reactor* ListDatasets(Context* context, const v1::ListDatasetsRequest* request,
                        v1::DatasetList* to) override {
    return Answer(context, [this, request, to](const SchedulerCore& core, uint64_t) {
      uint32_t limit = request->limit() == 0 ? limits::kQueryRecords
                                             : std::min(request->limit(), limits::kQueryRecords);
      std::vector<DatasetView> sets = core.ListDatasets(request->cursor(), limit);
      for (const DatasetView& set : sets) Describe(set, to->add_datasets());
      if (sets.size() == limit) to->set_next_cursor(sets.back().name);
      return absl::OkStatus();
    });
  }

  Reactor* DrainWorker(Context* context, const v1::DrainWorkerRequest* request,
                       v1::WorkerInfo* to) override {
    Reactor* reactor = context->DefaultReactor();
    if (!Allowed(context, reactor)) return reactor;
    loop_->Ask([this, reactor, request, to](const SchedulerCore& core, uint64_t) {
      auto worker = FindWorker(core, *request);
      if (!worker.ok()) return reactor->Finish(rpc::ToGrpc(worker.status()));
      Drain(*worker, request->retire(), reactor, to);
    });
    return reactor;
  }

 private:
  Describer Describe(const SchedulerCore& core, uint64_t now_ns) const {
    return Describer(core, *jobs_, *directory_, now_ns);
  }

  static grpc::Status StatusOf(const action::Reply& reply) {
    return reply.code == 0 ? grpc::Status::OK
                           : grpc::Status(static_cast<grpc::StatusCode>(reply.code), reply.message);
  }

  // Else the reactor is finished with the reason.
  bool Allowed(Context* context, Reactor* reactor) const {
    grpc::Status status = rpc::CheckKey(*context, {cluster_->client_key});
    if (!status.ok()) reactor->Finish(status);
    return status.ok();
  }

  Reactor* Refuse(Context* context, const absl::Status& why) const {
    Reactor* reactor = context->DefaultReactor();
    if (Allowed(context, reactor)) reactor->Finish(rpc::ToGrpc(why));
    return reactor;
  }

  // The tasks that a pattern names; an error when it names none.
  absl::StatusOr<std::vector<OrdinalRange>> Matching(JobId job, const std::string& pattern) const {
    auto record = jobs_->Find(job);
    if (record == nullptr) return NoRecord(*jobs_, job);
    auto runs = record->MatchTasks(pattern);
    if (!runs.ok()) return runs.status();
    std::vector<OrdinalRange> tasks;
    for (const graph::Run& run : *runs) tasks.push_back({run.first, run.count, run.stride});
    if (tasks.empty()) {
      return absl::NotFoundError(StrCat("no task of job ", job, " is named by '", pattern,
                                        "'; taskctl task list ", job, " shows them"));
    }
    return tasks;
  }

  absl::StatusOr<ObjectRange> MatchingObjects(JobId job, const std::string& pattern) const {
    auto record = jobs_->Find(job);
    if (record == nullptr) return NoRecord(*jobs_, job);
    auto runs = record->MatchObjects(pattern);
    if (!runs.ok()) return runs.status();
    if (runs->size() != 1) {
      return absl::InvalidArgumentError(
          StrCat("'", pattern, "' names ", runs->empty() ? "nothing" : "several rows of objects",
                 "; a dataset is one output of one task or of a whole template, e.g. map[*].c"));
    }
    return ObjectRange{job, runs->front().first, runs->front().count, runs->front().stride};
  }

  void Describe(const DatasetView& set, v1::DatasetInfo* to) const {
    const ObjectRange& objects = set.objects;
    const Ordinal last = objects.first + (objects.count - 1) * objects.stride;
    to->set_name(set.name);
    to->set_job(objects.job);
    to->set_objects(objects.count);
    to->set_first(jobs_->ObjectName({objects.job, objects.first}));
    to->set_last(jobs_->ObjectName({objects.job, last}));
  }

  // Answers with what the dataset is, or, when it is dropped, with whose it was.
  template <class F>
  Reactor* DatasetCommand(Context* context, const std::string& name, v1::DatasetInfo* to, F make) {
    Reactor* reactor = context->DefaultReactor();
    if (!Allowed(context, reactor)) return reactor;
    loop_->Request(std::move(make), [this, reactor, name, to](const action::Reply& reply,
                                                              const SchedulerCore& core, uint64_t) {
      to->set_name(name);
      to->set_job(reply.job);
      if (auto objects = core.GetDataset(name)) Describe({name, *objects}, to);
      reactor->Finish(StatusOf(reply));
    });
    return reactor;
  }

  // Gives the core an event about a job, and answers with what the job is then.
  template <class F>
  Reactor* Command(Context* context, JobId job, v1::JobInfo* to, F make) {
    Reactor* reactor = context->DefaultReactor();
    if (!Allowed(context, reactor)) return reactor;
    loop_->Request(std::move(make),
                   [this, reactor, job, to](const action::Reply& reply, const SchedulerCore& core,
                                            uint64_t now_ns) {
                     auto view = core.GetJob(job);
                     if (!view) return reactor->Finish(rpc::ToGrpc(NoJob(job)));
                     Describe(core, now_ns).Job(*view, to);
                     reactor->Finish(StatusOf(reply));
                   });
    return reactor;
  }

  // Runs `answer` on the core thread and finishes the call with its status. gRPC keeps request and
  // response until then.
  template <class F>
  Reactor* Answer(Context* context, F answer) {
    Reactor* reactor = context->DefaultReactor();
    if (!Allowed(context, reactor)) return reactor;
    loop_->Ask([reactor, answer = std::move(answer)](const SchedulerCore& core, uint64_t now_ns) {
      reactor->Finish(rpc::ToGrpc(answer(core, now_ns)));
    });
    return reactor;
  }

  void FillStatus(const SchedulerCore& core, uint64_t now_ns, v1::ClusterStatus* to) const {
    const Counters& counters = core.counters();
    to->set_cluster_id(cluster_->id);
    to->set_version(kVersion);
    to->set_protocol(limits::kProtocolVersion);
    to->set_uptime_ms((now_ns - cluster_->started_ns) / 1'000'000);
    Resources capacity, in_use;
    for (const WorkerView& worker : core.ListWorkers()) {
      if (worker.state == WorkerState::kLost) continue;
      to->set_workers_total(to->workers_total() + 1);
      if (worker.state != WorkerState::kUp) continue;
      to->set_workers_up(to->workers_up() + 1);
      capacity.cpus_milli += worker.capacity.cpus_milli;
      capacity.memory_bytes += worker.capacity.memory_bytes;
      in_use.cpus_milli += worker.in_use.cpus_milli;
      in_use.memory_bytes += worker.in_use.memory_bytes;
    }
    rpc::Encode(capacity, to->mutable_capacity());
    rpc::Encode(in_use, to->mutable_in_use());
    auto tasks = [&](TaskState state) { return counters.tasks[static_cast<size_t>(state)]; };
    to->set_jobs_running(counters.jobs_open);
    to->set_jobs_total(counters.jobs_open + counters.jobs_ended);
    to->set_tasks_waiting(tasks(TaskState::kWaiting));
    to->set_tasks_ready(tasks(TaskState::kReady));
    to->set_tasks_active(tasks(TaskState::kActive));
    to->set_tasks_done(tasks(TaskState::kDone));
    to->set_tasks_failed(tasks(TaskState::kFailed));
    to->set_tasks_cancelled(tasks(TaskState::kCancelled));
    to->set_bytes_moved(counters.bytes_moved);
    to->set_bytes_saved(counters.bytes_saved);
    to->set_assigned_home(counters.assigned[static_cast<size_t>(AssignReason::kHome)]);
    to->set_assigned_idle(counters.assigned[static_cast<size_t>(AssignReason::kIdle)]);
    to->set_assigned_moved(counters.assigned[static_cast<size_t>(AssignReason::kMoved)]);
    to->set_workers_lost(Sum(counters.workers_lost));
    to->set_objects_lost(counters.objects_lost);
    to->set_tasks_recomputed(counters.tasks_recomputed);
    to->set_retracts(counters.retracts_sent);
    to->set_metrics_address(cluster_->metrics_address);
  }

  absl::Status Resolve(const v1::ResolveNameRequest& request, v1::ResolvedName* to) const {
    auto record = jobs_->Find(request.job());
    if (record == nullptr) return NoRecord(*jobs_, request.job());
    auto thing = record->Resolve(request.name());
    if (!thing.ok()) return thing.status();
    if (thing->has_parts && thing->parts.hi != thing->parts.lo + 1) {
      return absl::InvalidArgumentError(StrCat(
          "'", request.name(), "' names several parts; name one, e.g. [", thing->parts.lo, "]"));
    }
    rpc::Encode(TaskId{request.job(), thing->task}, to->mutable_task());
    to->set_is_object(thing->is_object);
    if (thing->is_object) rpc::Encode(ObjectId{request.job(), thing->object}, to->mutable_object());
    to->set_has_part(thing->has_parts);
    to->set_part(thing->parts.lo);
    return absl::OkStatus();
  }

  absl::StatusOr<WorkerId> FindWorker(const SchedulerCore& core,
                                      const v1::DrainWorkerRequest& request) const {
    std::vector<std::string> names;
    for (const WorkerView& view : core.ListWorkers()) {
      if (view.state == WorkerState::kLost) continue;
      std::string name = directory_->Name(view.worker);
      if (request.name().empty() ? view.worker.packed() == request.worker()
                                 : name == request.name()) {
        return view.worker;
      }
      names.push_back(std::move(name));
    }
    std::string asked =
        request.name().empty() ? ToString(WorkerId::FromPacked(request.worker())) : request.name();
    return absl::NotFoundError(StrCat("there is no worker '", asked, "'",
                                      graph::DidYouMean(asked, names),
                                      "; taskctl worker list shows them"));
  }

  void Drain(WorkerId worker, bool retire, Reactor* reactor, v1::WorkerInfo* to) {
    loop_->Request(
        [worker, retire](Token token) {
          return event::DrainWorker{token, worker, retire};
        },
        [this, reactor, worker, to](const action::Reply& reply, const SchedulerCore& core,
                                    uint64_t now_ns) {
          if (auto view = core.GetWorker(worker)) Describe(core, now_ns).Worker(*view, to);
          reactor->Finish(StatusOf(reply));
        });
  }

  const Cluster* const cluster_;
  const JobStore* const jobs_;
  const WorkerDirectory* const directory_;
  CoreLoop* const loop_;
  rpc::IdleTick idle_tick_;  // the first call after a quiet second is answered at once, too
};

AdminService::AdminService(const Cluster* cluster, const JobStore* jobs,
                           const WorkerDirectory* directory, CoreLoop* loop)
    : service_(std::make_unique<Service>(cluster, jobs, directory, loop)) {}

AdminService::~AdminService() = default;

grpc::Service* AdminService::grpc_service() { return service_.get(); }

}  // namespace taskd::scheduler
