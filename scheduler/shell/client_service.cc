#include "scheduler/shell/client_service.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "common/rpc/auth.h"
#include "common/rpc/errors.h"
#include "common/rpc/wire.h"
#include "scheduler/shell/client_stream.h"
#include "scheduler/shell/listing.h"

namespace taskd::scheduler {
namespace {

// A client with more unread than this gets its next job update later.
constexpr uint64_t kSlowClientBytes = 1u << 20;

uint64_t Count(const JobView& job, TaskState state) {
  return job.tasks[static_cast<size_t>(state)];
}

bool Ended(JobState state) { return state != JobState::kOpen && state != JobState::kRunning; }

void Fill(const JobView& job, const JobStore& jobs, v1::JobUpdate* to) {
  to->set_job(job.job);
  to->set_state(rpc::Encode(job.state));
  to->set_waiting(Count(job, TaskState::kWaiting));
  to->set_ready(Count(job, TaskState::kReady));
  to->set_active(Count(job, TaskState::kActive));
  to->set_running(job.running);
  to->set_done(Count(job, TaskState::kDone));
  to->set_failed(Count(job, TaskState::kFailed));
  to->set_cancelled(Count(job, TaskState::kCancelled));
  uint64_t total = 0;
  for (uint64_t count : job.tasks) total += count;
  to->set_total(total);
  to->set_recomputed(job.recomputed);
  to->set_retried(job.retried);
  if (job.failures.empty()) return;
  const FailureView& first = job.failures.front();
  v1::FirstFailure* failure = to->mutable_first_failure();
  rpc::Encode(first.task, failure->mutable_task());
  failure->set_key(jobs.TaskKey(first.task));
  failure->set_failure(rpc::Encode(first.failure));
  failure->set_exit_code(first.exit_code);
  failure->set_message(first.message);
}

}  // namespace

class ClientService::Service final : public v1::ClientSession::CallbackService {
 public:
  explicit Service(ClientService* owner) : owner_(owner) {}

  grpc::ServerBidiReactor<v1::ClientToScheduler, v1::SchedulerToClient>* Connect(
      grpc::CallbackServerContext* context) override {
    grpc::Status status = rpc::CheckKey(*context, {owner_->cluster_->client_key});
    std::shared_ptr<ClientStream> stream = status.ok() ? owner_->Open() : nullptr;
    if (status.ok() && stream == nullptr) {
      status = grpc::Status(grpc::StatusCode::UNAVAILABLE, "the scheduler is stopping");
    }
    if (!status.ok())
      return rpc::RefuseStream<v1::SchedulerToClient, v1::ClientToScheduler>(status);
    return rpc::AcceptStream<v1::SchedulerToClient, v1::ClientToScheduler>(context, stream);
  }

 private:
  ClientService* const owner_;
};

ClientService::ClientService(const Cluster* cluster, JobStore* jobs, WorkerDirectory* directory)
    : cluster_(cluster),
      jobs_(jobs),
      directory_(directory),
      service_(std::make_unique<Service>(this)) {}

ClientService::~ClientService() = default;

grpc::Service* ClientService::grpc_service() { return service_.get(); }

std::shared_ptr<ClientStream> ClientService::Open() {
  std::lock_guard lock(mutex_);
  if (stopping_) return nullptr;
  auto stream = std::make_shared<ClientStream>(this);
  streams_.insert(stream);
  return stream;
}

void ClientService::Close(ClientStream& stream) {
  std::lock_guard lock(mutex_);
  streams_.erase(stream.shared_from_this());
}

// Posting under the lock gives a client's events the order of its streams.
void ClientService::Attach(const std::shared_ptr<ClientStream>& stream) {
  std::shared_ptr<ClientStream> older;
  {
    std::lock_guard lock(mutex_);
    older = std::exchange(speakers_[stream->client()], stream);
    loop_->Post(event::ClientBack{stream->client()});
  }
  if (older != nullptr) older->Supersede();
}

void ClientService::Detach(const ClientStream& stream, bool for_good) {
  std::lock_guard lock(mutex_);
  auto found = speakers_.find(stream.client());
  if (found == speakers_.end() || found->second.get() != &stream) return;
  speakers_.erase(found);
  loop_->Post(event::ClientGone{stream.client(), for_good});
}

bool ClientService::PostFor(const ClientStream& stream, Event event, uint32_t items) {
  std::lock_guard lock(mutex_);
  auto found = speakers_.find(stream.client());
  bool speaks = found != speakers_.end() && found->second.get() == &stream;
  return !speaks || loop_->Post(std::move(event), items);
}

uint64_t ClientService::connected() {
  std::lock_guard lock(mutex_);
  return streams_.size();
}

void ClientService::Shutdown() {
  absl::flat_hash_set<std::shared_ptr<ClientStream>> streams;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    streams = streams_;
  }
  for (const auto& stream : streams) stream->Break();
}

void ClientService::OnActions(uint64_t now_ns, const SchedulerCore& core,
                              std::span<Action> actions) {
  for (const Action& action : actions) {
    if (auto* changed = std::get_if<action::JobChanged>(&action)) {
      auto found = followers_.find(changed->job);
      if (found == followers_.end()) continue;
      found->second.changed = true;
      changed_jobs_.insert(changed->job);
      auto job = core.GetJobBriefly(changed->job);
      if (job && Ended(job->state) && !found->second.told_end)
        SendJob(changed->job, found->second, now_ns, core);
    } else if (auto* object = std::get_if<action::ObjectChanged>(&action)) {
      auto found = wanting_.find(object->object);
      if (found != wanting_.end()) SendObject(object->object, core, found->second);
    } else if (auto* gone = std::get_if<action::JobForgotten>(&action)) {
      for (auto it = wanting_.lower_bound({gone->job, 0});
           it != wanting_.end() && it->first.job == gone->job; ++it)
        SendObject(it->first, core, it->second);
      intake_->Forget(gone->job);
    }
  }
}

uint64_t ClientService::OnTime(uint64_t now_ns, const SchedulerCore& core) {
  uint64_t next = kNever;
  std::vector<JobId> jobs(changed_jobs_.begin(), changed_jobs_.end());
  for (JobId job : jobs) {
    Followers& followers = followers_[job];
    if (now_ns >= followers.sent_ns + kUpdatePeriodNs) SendJob(job, followers, now_ns, core);
    if (followers.changed) {
      next = std::min(next, std::max(followers.sent_ns, now_ns) + kUpdatePeriodNs);
    } else {
      changed_jobs_.erase(job);
    }
  }
  return next;
}

// To every follower that keeps up; the others wait for the next period.
void ClientService::SendJob(JobId job, Followers& followers, uint64_t now_ns,
                            const SchedulerCore& core) {
  auto view = core.GetJob(job);
  if (!view) return;
  v1::JobUpdate update;
  Fill(*view, *jobs_, &update);
  followers.sent_ns = now_ns;
  followers.changed = false;
  followers.told_end = Ended(view->state);
  for (const auto& stream : followers.streams) {
    if (!Ended(view->state) && stream->waiting_bytes() > kSlowClientBytes) {
      followers.changed = true;
    } else {
      stream->Send(update);
    }
  }
}

void ClientService::Subscribe(const std::shared_ptr<ClientStream>& stream, JobId job,
                              uint64_t now_ns, const SchedulerCore& core) {
  if (stream->left) return;
  Followers& followers = followers_[job];
  if (std::find(followers.streams.begin(), followers.streams.end(), stream) ==
      followers.streams.end()) {
    followers.streams.push_back(stream);
    stream->subscriptions.push_back(job);
  }
  if (auto view = core.GetJob(job)) {
    v1::JobUpdate update;
    Fill(*view, *jobs_, &update);
    stream->Send(update);
    // It is up to date: a short job then ends without a further message that its end would wait for.
    if (followers.streams.size() == 1) followers.sent_ns = now_ns;
  }
}

void ClientService::DropWants(const std::shared_ptr<ClientStream>& stream) {
  for (ObjectId object : stream->wants) {
    auto found = wanting_.find(object);
    if (found == wanting_.end()) continue;
    std::erase(found->second, stream);
    if (found->second.empty()) wanting_.erase(found);
  }
  stream->wants.clear();
}

void ClientService::SetWants(const std::shared_ptr<ClientStream>& stream,
                             std::vector<ObjectId> objects, const SchedulerCore& core) {
  DropWants(stream);
  if (stream->left) return;
  for (ObjectId object : objects) {
    wanting_[object].push_back(stream);
    SendObject(object, core, {&stream, 1});
  }
  stream->wants = std::move(objects);
}

void ClientService::Left(const std::shared_ptr<ClientStream>& stream) {
  stream->left = true;
  DropWants(stream);
  for (JobId job : stream->subscriptions) {
    auto found = followers_.find(job);
    if (found == followers_.end()) continue;
    std::erase(found->second.streams, stream);
    if (found->second.streams.empty()) {
      changed_jobs_.erase(job);
      followers_.erase(found);
    }
  }
  stream->subscriptions.clear();
}

// Where the object is, or why it will never be; nothing while it is still to come.
void ClientService::SendObject(ObjectId object, const SchedulerCore& core,
                               std::span<const std::shared_ptr<ClientStream>> streams) {
  auto view = core.GetObject(object);
  v1::ObjectUpdate update;
  rpc::Encode(object, update.mutable_object());
  if (view && view->available) {
    update.set_version(view->version);
    update.set_size_bytes(view->size_bytes);
    if (view->behind != object) rpc::Encode(view->behind, update.mutable_behind());
    for (WorkerId holder : view->holders) {
      WorkerProfile profile = directory_->Get(holder);
      if (!profile.data_address.empty()) update.add_data_addresses(profile.data_address);
    }
  } else if (absl::Status why = WhyNever(core, *jobs_, object, view); !why.ok()) {
    rpc::SetFailure(why, update.mutable_failure());
  } else {
    return;
  }
  for (const auto& stream : streams) stream->Send(update);
}

}  // namespace taskd::scheduler
