#include "scheduler/shell/worker_service.h"

#include <utility>
#include <variant>

#include "common/base/text.h"
#include "common/rpc/auth.h"
#include "scheduler/shell/worker_stream.h"

namespace taskd::scheduler {

class WorkerService::Service final : public v1::WorkerSession::CallbackService {
 public:
  explicit Service(WorkerService* owner) : owner_(owner) {}

  grpc::ServerBidiReactor<v1::WorkerToScheduler, v1::SchedulerToWorker>* Connect(
      grpc::CallbackServerContext* context) override {
    grpc::Status status = rpc::CheckKey(*context, {owner_->cluster_->worker_key});
    std::shared_ptr<WorkerStream> stream = status.ok() ? owner_->Open() : nullptr;
    if (status.ok() && stream == nullptr) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the scheduler is stopping");
    }
    if (!status.ok())
      return rpc::RefuseStream<v1::SchedulerToWorker, v1::WorkerToScheduler>(status);
    return rpc::AcceptStream<v1::SchedulerToWorker, v1::WorkerToScheduler>(context, stream);
  }

 private:
  WorkerService* const owner_;
};

WorkerService::WorkerService(const Cluster* cluster, JobStore* jobs, WorkerDirectory* directory)
    : cluster_(cluster),
      jobs_(jobs),
      directory_(directory),
      service_(std::make_unique<Service>(this)) {}

WorkerService::~WorkerService() = default;

grpc::Service* WorkerService::grpc_service() { return service_.get(); }

std::shared_ptr<WorkerStream> WorkerService::Open() {
  std::lock_guard lock(mutex_);
  if (stopping_) return nullptr;
  auto stream = std::make_shared<WorkerStream>(this, next_stream_++);
  streams_.emplace(stream->id(), stream);
  return stream;
}

void WorkerService::Forget(StreamId stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream);
}

std::shared_ptr<WorkerStream> WorkerService::Find(StreamId stream) {
  std::lock_guard lock(mutex_);
  auto found = streams_.find(stream);
  return found == streams_.end() ? nullptr : found->second;
}

std::string WorkerService::NameTakenBy(const std::string& name, uint64_t identity,
                                       StreamId except) {
  std::lock_guard lock(mutex_);
  for (const auto& [id, stream] : streams_) {
    if (id == except || !stream->said_hello() || stream->name() != name ||
        stream->identity() == identity)
      continue;
    return "another work folder";
  }
  return "";
}

void WorkerService::Shutdown() {
  absl::flat_hash_map<StreamId, std::shared_ptr<WorkerStream>> streams;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    streams = streams_;
  }
  for (const auto& [id, stream] : streams) stream->Break();
}

void WorkerService::OnActions(uint64_t, const SchedulerCore&, std::span<Action> actions) {
  for (Action& action : actions) {
    std::visit([this](auto& a) { Do(a); }, action);
  }
  for (const auto& [id, stream] : touched_) {
    if (stream != nullptr) stream->Flush();
  }
  touched_.clear();
}

uint64_t WorkerService::OnTime(uint64_t, const SchedulerCore&) { return kNever; }

// The stream, to be flushed after the actions at hand; null when it is gone.
WorkerStream* WorkerService::Touch(StreamId stream) {
  auto [it, added] = touched_.try_emplace(stream);
  if (added) it->second = Find(stream);
  return it->second.get();
}

void WorkerService::Do(action::Welcome& welcome) {
  if (WorkerStream* stream = Touch(welcome.stream)) stream->Welcome(welcome.worker);
}
void WorkerService::Do(action::Refuse& refuse) {
  if (WorkerStream* stream = Touch(refuse.stream))
    stream->Refuse(absl::FailedPreconditionError(refuse.reason));
}
void WorkerService::Do(action::CloseStream& close) {
  if (WorkerStream* stream = Touch(close.stream)) {
    stream->Close(grpc::Status(grpc::StatusCode::ABORTED,
                               "a newer connection of this worker took its place"));
  }
}
void WorkerService::Do(action::Assign& assign) {
  if (WorkerStream* stream = Touch(assign.stream)) stream->Assign(assign.assignment);
}
void WorkerService::Do(action::Retract& retract) {
  if (WorkerStream* stream = Touch(retract.stream)) stream->Retract(retract.attempt);
}
void WorkerService::Do(action::Cancel& cancel) {
  if (WorkerStream* stream = Touch(cancel.stream)) stream->CancelAttempt(cancel.attempt);
}
void WorkerService::Do(action::Free& free) {
  values_.Drop(free.object);
  if (WorkerStream* stream = Touch(free.stream)) stream->Free(free.object);
}
void WorkerService::Do(action::AckOutcomes& ack) {
  if (WorkerStream* stream = Touch(ack.stream)) stream->AckOutcomes(ack.sequence);
}
void WorkerService::Do(action::Drain& drain) {
  if (WorkerStream* stream = Touch(drain.stream)) stream->Drain();
}
void WorkerService::Do(action::Gather& gather) {
  if (WorkerStream* stream = Touch(gather.stream)) stream->Gather(gather.object);
}
void WorkerService::Do(action::Retire& retire) {
  if (WorkerStream* stream = Touch(retire.stream)) stream->Retire();
}
void WorkerService::Do(action::Resume& resume) {
  if (WorkerStream* stream = Touch(resume.stream)) stream->ResumeAttempt(resume.attempt);
}

}  // namespace taskd::scheduler
