#include "cli/client/client_session.h"

#include <grpcpp/grpcpp.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/io/random.h"
#include "common/rpc/auth.h"
#include "common/rpc/errors.h"
#include "taskd/v1/client_session.grpc.pb.h"

namespace taskd::client {
namespace {

constexpr uint32_t kWindow = 4;  // batches in flight: hides the round trip, bounds memory
constexpr uint64_t kHandshakeNs = 10'000'000'000;
constexpr uint64_t kGoodbyeNs = 1'000'000'000;  // else there is the lease
constexpr uint64_t kFirstBackoffNs = 50'000'000;
constexpr uint64_t kLastBackoffNs = 1'000'000'000;
constexpr size_t kInboxMessages = 1024;  // above: the reader waits

bool Ended(v1::JobState state) {
  return state == v1::JOB_DONE || state == v1::JOB_FAILED || state == v1::JOB_CANCELLED;
}

absl::Status Interrupted() { return absl::AbortedError("interrupted"); }

}  // namespace

struct ClientSession::Shared {
  std::mutex mutex;
  std::condition_variable changed;
  bool interrupted = false;
  std::shared_ptr<Stream> current;

  // False: interrupted. The deadline is of io::NowNs().
  template <typename Condition>
  bool WaitUntil(std::unique_lock<std::mutex>& lock, uint64_t deadline_ns, Condition condition) {
    auto done = [&] { return interrupted || condition(); };
    if (deadline_ns == kNoDeadline) {
      changed.wait(lock, done);
    } else {
      uint64_t now = io::NowNs();
      changed.wait_for(lock, std::chrono::nanoseconds(deadline_ns > now ? deadline_ns - now : 0),
                       done);
    }
    return !interrupted;
  }
};

// One stream with a thread that reads it. All calls but Cancel are the session's thread's.
class ClientSession::Stream {
 public:
  Stream(Shared& shared, const Connection& connection)
      : shared_(shared), stub_(v1::ClientSession::NewStub(connection.channel())) {
    rpc::AddKey(context_, connection.access().client_key);
    stream_ = stub_->Connect(&context_);
    reader_ = std::thread([this] { ReadAll(); });
  }

  ~Stream() {
    context_.TryCancel();
    {
      std::lock_guard lock(shared_.mutex);
      stopping_ = true;
    }
    shared_.changed.notify_all();
    reader_.join();
    if (!finished_) stream_->Finish();
  }

  void Cancel() { context_.TryCancel(); }

  bool Write(const v1::ClientToScheduler& message) { return stream_->Write(message); }

  // True: `message` is the next one. False: none within the deadline, interrupted, or the stream
  // has closed.
  bool Next(uint64_t deadline_ns, v1::SchedulerToClient* message) {
    std::unique_lock lock(shared_.mutex);
    if (!shared_.WaitUntil(lock, deadline_ns, [&] { return !inbox_.empty() || closed_; }))
      return false;
    if (inbox_.empty()) return false;
    *message = std::move(inbox_.front());
    inbox_.pop_front();
    lock.unlock();
    shared_.changed.notify_all();
    return true;
  }

  bool closed() const {
    std::lock_guard lock(shared_.mutex);
    return closed_ && inbox_.empty();
  }

  // How the stream ended. Cancels it first if it has not.
  grpc::Status Finish() {
    context_.TryCancel();
    std::unique_lock lock(shared_.mutex);
    stopping_ = true;
    shared_.changed.notify_all();
    shared_.changed.wait(lock, [&] { return closed_; });
    lock.unlock();
    if (!finished_) end_ = stream_->Finish();
    finished_ = true;
    return end_;
  }

  // Returns when the scheduler has heard it, or does not seem to.
  void SayGoodbye() {
    v1::ClientToScheduler goodbye;
    goodbye.mutable_goodbye();
    if (!stream_->Write(goodbye) || !stream_->WritesDone()) return;
    std::unique_lock lock(shared_.mutex);
    inbox_.clear();  // nobody reads it any more; the reader may wait for room
    stopping_ = true;
    shared_.changed.notify_all();
    shared_.WaitUntil(lock, io::NowNs() + kGoodbyeNs, [&] { return closed_; });
  }

  // How it ended by itself.
  grpc::Status End() {
    if (!finished_) end_ = stream_->Finish();
    finished_ = true;
    return end_;
  }

 private:
  void ReadAll() {
    v1::SchedulerToClient message;
    while (stream_->Read(&message)) {
      std::unique_lock lock(shared_.mutex);
      shared_.changed.wait(lock, [&] { return stopping_ || inbox_.size() < kInboxMessages; });
      inbox_.push_back(std::move(message));
      shared_.changed.notify_all();
    }
    std::lock_guard lock(shared_.mutex);
    closed_ = true;
    shared_.changed.notify_all();
  }

  Shared& shared_;
  std::unique_ptr<v1::ClientSession::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReaderWriter<v1::ClientToScheduler, v1::SchedulerToClient>> stream_;
  std::thread reader_;
  std::deque<v1::SchedulerToClient> inbox_;  // shared_.mutex
  bool closed_ = false;                      // shared_.mutex
  bool stopping_ = false;                    // shared_.mutex
  bool finished_ = false;
  grpc::Status end_;
};

ClientSession::ClientSession(Connection& connection, Options options)
    : shared_(std::make_unique<Shared>()),
      connection_(connection),
      options_(std::move(options)),
      client_id_(io::RandomU64() | 1) {}

ClientSession::~ClientSession() {
  if (leased_ && stream_ != nullptr && !interrupted()) stream_->SayGoodbye();
  Disconnect();
}

void ClientSession::Interrupt() {
  std::shared_ptr<Stream> stream;
  {
    std::lock_guard lock(shared_->mutex);
    shared_->interrupted = true;
    stream = shared_->current;
  }
  // A write that waits for a scheduler which does not read ends only so.
  if (stream != nullptr) stream->Cancel();
  shared_->changed.notify_all();
}

bool ClientSession::interrupted() const {
  std::lock_guard lock(shared_->mutex);
  return shared_->interrupted;
}

void ClientSession::Disconnect() {
  {
    std::lock_guard lock(shared_->mutex);
    shared_->current = nullptr;
  }
  stream_ = nullptr;
  replies_.clear();
  jobs_.clear();
  subscribed_.clear();
  objects_.clear();
}

// The reason for which a call on the stream did not work. kUnavailable: connect again and go on.
absl::Status ClientSession::Broken() {
  if (interrupted()) return Interrupted();
  absl::Status status = rpc::FromGrpc(stream_->End(), connection_.peer());
  Disconnect();
  if (status.ok() || absl::IsCancelled(status) || absl::IsInternal(status) ||
      absl::IsUnknown(status)) {
    return absl::UnavailableError(StrCat(connection_.peer(), " closed the session"));
  }
  return status;
}

absl::Status ClientSession::ConnectOnce() {
  Disconnect();
  auto stream = std::make_shared<Stream>(*shared_, connection_);
  {
    std::lock_guard lock(shared_->mutex);
    shared_->current = stream;
  }
  stream_ = stream;
  v1::ClientToScheduler hello;
  hello.mutable_hello()->set_protocol(limits::kProtocolVersion);
  hello.mutable_hello()->set_name(options_.name);
  hello.mutable_hello()->set_client_id(client_id_);
  stream_->Write(hello);  // if it fails, Next() tells why
  v1::SchedulerToClient first;
  if (!stream_->Next(io::NowNs() + kHandshakeNs, &first)) {
    if (stream_->closed()) return Broken();
    bool ours = interrupted();
    stream_->Finish();
    Disconnect();
    return ours ? Interrupted()
                : absl::UnavailableError(StrCat(connection_.peer(), " did not answer in time"));
  }
  uint32_t protocol = first.welcome().protocol();
  if (protocol != limits::kProtocolVersion) {
    stream_->Finish();
    Disconnect();
    return absl::FailedPreconditionError(StrCat(connection_.peer(), " speaks protocol ", protocol,
                                                ", this client speaks ", limits::kProtocolVersion,
                                                ": use the taskctl that came with it"));
  }
  if (!cluster_id_.empty() && cluster_id_ != first.welcome().cluster_id()) restarted_ = true;
  cluster_id_ = first.welcome().cluster_id();
  Take(std::move(first));
  return absl::OkStatus();
}

absl::Status ClientSession::EnsureConnected(uint64_t deadline_ns) {
  if (stream_ != nullptr && !stream_->closed()) return absl::OkStatus();
  bool again = !cluster_id_.empty();
  uint64_t give_up_ns = io::NowNs() + options_.give_up_ns;
  uint64_t backoff_ns = kFirstBackoffNs;
  for (bool noted = false;; backoff_ns = std::min(backoff_ns * 2, kLastBackoffNs)) {
    absl::Status status = again ? connection_.Refresh() : absl::OkStatus();
    // A cluster that was stopped in order has taken its access file with it: there is nothing to
    // wait for.
    if (absl::IsNotFound(status)) return absl::UnavailableError(status.message());
    if (status.ok()) status = ConnectOnce();
    if (!absl::IsUnavailable(status) || !again) {
      if (status.ok() && noted && options_.note) options_.note("connected again");
      return status;
    }
    if (!noted && options_.note)
      options_.note(StrCat("lost ", connection_.peer(), "; trying again"));
    noted = true;
    uint64_t now = io::NowNs();
    if (now >= deadline_ns) return absl::DeadlineExceededError(status.message());
    if (now >= give_up_ns) return status;
    std::unique_lock lock(shared_->mutex);
    if (!shared_->WaitUntil(lock, std::min(now + backoff_ns, deadline_ns), [] { return false; }))
      return Interrupted();
  }
}

absl::Status ClientSession::Persist(const std::function<absl::Status()>& work,
                                    uint64_t deadline_ns) {
  for (;;) {
    if (interrupted()) return Interrupted();
    absl::Status status = EnsureConnected(deadline_ns);
    if (!status.ok()) return status;
    status = work();
    if (!absl::IsUnavailable(status) || stream_ != nullptr) return status;
  }
}

absl::StatusOr<uint64_t> ClientSession::Send(v1::ClientToScheduler message) {
  uint64_t token = next_token_++;
  message.set_token(token);
  if (stream_->Write(message)) return token;
  // What came before the end may hold the reason.
  absl::Status status;
  while (status.ok()) status = Receive(io::NowNs() + kHandshakeNs);
  return status;
}

void ClientSession::Take(v1::SchedulerToClient message) {
  for (v1::Reply& reply : *message.mutable_replies()) replies_[reply.token()] = std::move(reply);
  for (v1::JobUpdate& update : *message.mutable_jobs()) jobs_[update.job()] = std::move(update);
  for (v1::ObjectUpdate& update : *message.mutable_objects()) {
    objects_[ObjectId{update.object().job(), update.object().ordinal()}] = std::move(update);
  }
}

absl::Status ClientSession::Receive(uint64_t deadline_ns) {
  v1::SchedulerToClient message;
  if (stream_->Next(deadline_ns, &message)) {
    Take(std::move(message));
    return absl::OkStatus();
  }
  if (stream_->closed()) return Broken();
  if (interrupted()) return Interrupted();
  return absl::DeadlineExceededError("timed out");
}

absl::StatusOr<v1::Reply> ClientSession::AwaitReply(uint64_t token, uint64_t deadline_ns) {
  for (;;) {
    if (auto found = replies_.find(token); found != replies_.end()) {
      v1::Reply reply = std::move(found->second);
      replies_.erase(found);
      if (reply.has_failure()) return rpc::FromFailure(reply.failure());
      return reply;
    }
    absl::Status status = Receive(deadline_ns);
    if (!status.ok()) return status;
  }
}

absl::StatusOr<JobId> ClientSession::Submit(Submission submission,
                                            const std::function<void(JobId)>& opened) {
  if (submission.id.empty()) submission.id = io::RandomBytes(16);
  JobId job = 0;
  absl::Status status = Persist([&] { return SubmitOnce(submission, &job, opened); }, kNoDeadline);
  if (!status.ok()) return status;
  return job;
}

absl::Status ClientSession::SubmitOnce(const Submission& submission, JobId* job,
                                       const std::function<void(JobId)>& opened) {
  restarted_ = false;  // a scheduler that knows nothing of the job gets all of it
  v1::ClientToScheduler open;
  open.mutable_open()->set_submission_id(submission.id);
  open.mutable_open()->set_name(submission.name);
  open.mutable_open()->set_priority(submission.priority);
  open.mutable_open()->set_owner(submission.owner);
  open.mutable_open()->set_weight(submission.weight);
  open.mutable_open()->set_max_running(submission.max_running);
  open.mutable_open()->set_ttl_ns(submission.ttl_ns);
  open.mutable_open()->set_ephemeral(submission.ephemeral);
  leased_ |= submission.ephemeral;
  bool whole = false;
  if (submission.batches == 1) {
    absl::StatusOr<std::string> frame = submission.frame(0);
    if (!frame.ok()) return frame.status();
    whole = !frame->empty();
    open.mutable_open()->set_whole_frame(*std::move(frame));
    open.mutable_open()->set_subscribe(whole && submission.follow);
  }
  absl::StatusOr<uint64_t> token = Send(std::move(open));
  if (!token.ok()) return token.status();
  absl::StatusOr<Reply> reply = AwaitReply(*token, kNoDeadline);
  if (!reply.ok()) return reply.status();
  if (*job != reply->job() && opened) opened(reply->job());
  *job = reply->job();
  if (!whole || reply->next_batch() == 0) return SendBatches(submission, *job, reply->next_batch());
  if (submission.follow) subscribed_.insert(*job);
  return absl::OkStatus();
}

absl::Status ClientSession::SendBatches(const Submission& submission, JobId job, uint32_t next) {
  std::deque<uint64_t> in_flight;
  const auto await_oldest = [&] {
    absl::Status accepted = AwaitReply(in_flight.front(), kNoDeadline).status();
    in_flight.pop_front();
    return accepted;
  };
  while (next < submission.batches) {
    if (in_flight.size() >= kWindow) {
      if (absl::Status accepted = await_oldest(); !accepted.ok()) return accepted;
    }
    absl::StatusOr<std::string> frame = submission.frame(next);
    if (!frame.ok()) return frame.status();
    v1::ClientToScheduler batch;
    batch.mutable_batch()->set_job(job);
    batch.mutable_batch()->set_number(next++);
    batch.mutable_batch()->set_frame(*std::move(frame));
    absl::StatusOr<uint64_t> sent = Send(std::move(batch));
    if (!sent.ok()) return sent.status();
    in_flight.push_back(*sent);
  }

  // Behind the batches, without a round trip between: without each of them it is refused.
  v1::ClientToScheduler seal;
  seal.mutable_seal()->set_job(job);
  seal.mutable_seal()->set_batches(submission.batches);
  absl::StatusOr<uint64_t> token = Send(std::move(seal));
  if (!token.ok()) return token.status();
  in_flight.push_back(*token);
  while (!in_flight.empty()) {
    if (absl::Status accepted = await_oldest(); !accepted.ok()) return accepted;
  }
  return absl::OkStatus();
}

absl::Status ClientSession::Forgotten(JobId job) const {
  return absl::NotFoundError(StrCat(connection_.peer(), " was started anew and does not know job ",
                                    job, " any more: submit the graph again"));
}

absl::Status ClientSession::Follow(const std::vector<JobId>& jobs,
                                   const std::function<void(const v1::JobUpdate*)>& update,
                                   uint64_t deadline_ns, uint64_t tick_ns) {
  std::set<JobId> left(jobs.begin(), jobs.end());
  return Persist([&] { return FollowOnce(left, update, deadline_ns, tick_ns); }, deadline_ns);
}

absl::Status ClientSession::FollowOnce(std::set<JobId>& left,
                                       const std::function<void(const v1::JobUpdate*)>& update,
                                       uint64_t deadline_ns, uint64_t tick_ns) {
  for (JobId job : left) {
    if (restarted_) return Forgotten(job);
    if (subscribed_.erase(job) > 0) continue;
    v1::ClientToScheduler subscribe;
    subscribe.mutable_subscribe()->set_job(job);
    absl::StatusOr<uint64_t> token = Send(std::move(subscribe));
    if (!token.ok()) return token.status();
    absl::StatusOr<Reply> reply = AwaitReply(*token, deadline_ns);
    if (!reply.ok()) return reply.status();
  }
  while (!left.empty()) {
    for (auto next = jobs_.begin(); next != jobs_.end();) {
      const auto& [job, news] = *next;
      if (left.count(job) > 0) {
        update(&news);
        if (Ended(news.state())) left.erase(job);
      } else if (subscribed_.contains(job)) {  // for a later call
        ++next;
        continue;
      }
      next = jobs_.erase(next);
    }
    if (left.empty()) break;
    uint64_t now = io::NowNs();
    if (now >= deadline_ns) return absl::DeadlineExceededError("timed out");
    absl::Status status = Receive(std::min(now + tick_ns, deadline_ns));
    if (absl::IsDeadlineExceeded(status)) {
      update(nullptr);
    } else if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ObjectUpdate> ClientSession::AwaitObject(ObjectId object, uint64_t deadline_ns) {
  if (std::find(wants_.begin(), wants_.end(), object) == wants_.end()) wants_.push_back(object);
  v1::ObjectUpdate found;
  absl::Status status =
      Persist([&] { return AwaitOnce(object, &found, deadline_ns); }, deadline_ns);
  if (!status.ok()) return status;
  return found;
}

absl::Status ClientSession::AwaitOnce(ObjectId object, v1::ObjectUpdate* found,
                                      uint64_t deadline_ns) {
  if (restarted_) return Forgotten(object.job);
  leased_ = true;
  objects_.erase(object);
  v1::ClientToScheduler wants;
  for (ObjectId want : wants_) {
    v1::ObjectRef* ref = wants.mutable_wants()->add_objects();
    ref->set_job(want.job);
    ref->set_ordinal(want.ordinal);
  }
  absl::StatusOr<uint64_t> token = Send(std::move(wants));
  if (!token.ok()) return token.status();
  absl::StatusOr<Reply> reply = AwaitReply(*token, deadline_ns);
  if (!reply.ok()) return reply.status();
  for (;;) {
    if (auto update = objects_.find(object); update != objects_.end()) {
      *found = std::move(update->second);
      objects_.erase(update);
      if (found->has_failure()) return rpc::FromFailure(found->failure());
      if (found->data_addresses_size() > 0) return absl::OkStatus();
    }
    absl::Status status = Receive(deadline_ns);
    if (!status.ok()) return status;
  }
}

}  // namespace taskd::client
