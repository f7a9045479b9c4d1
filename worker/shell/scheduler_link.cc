#include "worker/shell/scheduler_link.h"

#include <algorithm>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/access_file.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/random.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "common/rpc/stream_session.h"
#include "common/rpc/wire.h"
#include "taskd/v1/worker_session.grpc.pb.h"

namespace taskd::worker {
namespace {

using Session = rpc::StreamSession<v1::WorkerToScheduler, v1::SchedulerToWorker>;

// Ranks for the outbox: field numbers where order matters (see StreamSession::Add). A start goes
// before any outcome of the same attempt wherever it joins, so it never cuts a batch of outcomes.
// Submissions are applied before outcomes, whatever their number.
constexpr uint32_t kAnywhere = 0;
constexpr uint32_t kInventoryRank = 2, kSubmissionRank = 3, kOutcomeRank = 4, kAddedRank = 5,
                   kLostRank = 6, kInventoryDoneRank = 9, kGoodbyeRank = 10, kGatherFailedRank = 11;
constexpr uint64_t kRefBytes = 16, kReplicaBytes = 32, kOutcomeBytes = 64;

constexpr uint64_t kFirstBackoffNs = 50'000'000, kMaxBackoffNs = 2'000'000'000;
constexpr uint64_t kWelcomeWaitNs = 10'000'000'000;
constexpr uint64_t kLogEveryNs = 30'000'000'000;
constexpr uint64_t kPatienceNs = 5'000'000;

// What a scheduler that is reached says and will say again.
bool IsFatal(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kUnauthenticated:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kUnimplemented:
      return true;
    default:
      return false;
  }
}

uint32_t Weight(const v1::SchedulerToWorker& m) {
  return 1 + static_cast<uint32_t>(m.assignments_size() + m.retracts_size() + m.cancels_size() +
                                   m.frees_size());
}

// Channels are kept for good. A call holds its channel until after its last reaction, and gRPC 1.51
// aborts when the last reference to a channel goes in a reaction (grpc#37198), so nobody could say
// when to let go. An unused channel has no connection, and a worker meets few addresses.
std::shared_ptr<grpc::Channel> ChannelTo(const std::string& address) {
  static std::mutex& mutex = *new std::mutex;
  static auto& channels = *new absl::flat_hash_map<std::string, std::shared_ptr<grpc::Channel>>;
  std::lock_guard lock(mutex);
  std::shared_ptr<grpc::Channel>& channel = channels[address];
  if (channel == nullptr) channel = rpc::MakeChannel(address, rpc::ChannelClass::kControl);
  return channel;
}

// Carries what gRPC says to the inbox.
class Handler : public rpc::SessionHandler<v1::WorkerToScheduler, v1::SchedulerToWorker> {
 public:
  Handler(SessionId id, std::shared_ptr<Inbox> inbox, std::string peer)
      : id_(id), inbox_(std::move(inbox)), peer_(std::move(peer)) {}

  void OnStart(std::shared_ptr<Session> session) override { session_ = std::move(session); }

  bool OnMessage(v1::SchedulerToWorker& message) override {
    const uint32_t weight = Weight(message);
    auto moved = std::make_shared<v1::SchedulerToWorker>();
    moved->Swap(&message);
    const bool room = inbox_->Post(SessionMessage{id_, std::move(moved)}, weight);
    if (!room) inbox_->WhenRoom([session = session_] { session->Resume(); });
    return room;
  }

  void OnClosed(const grpc::Status& status) override {
    session_ = nullptr;
    inbox_->Post(
        SessionClosed{id_, status.ok() ? absl::UnavailableError(StrCat(peer_, " ended the session"))
                                       : rpc::FromGrpc(status, peer_)});
  }

 private:
  const SessionId id_;
  const std::shared_ptr<Inbox> inbox_;
  const std::string peer_;
  std::shared_ptr<Session> session_;
};

}  // namespace

struct SchedulerLink::Stream {
  std::unique_ptr<v1::WorkerSession::Stub> stub;
  std::shared_ptr<Session> session;
};

SchedulerLink::SchedulerLink(Options options, std::shared_ptr<Inbox> inbox)
    : options_(std::move(options)), inbox_(std::move(inbox)) {}

SchedulerLink::~SchedulerLink() {
  if (stream_ != nullptr) stream_->session->Cancel();
}

uint64_t SchedulerLink::OnTime(uint64_t now_ns, const HeartbeatFigures& figures) {
  if (stream_ == nullptr) {
    if (stopping_) return ~uint64_t{0};
    if (now_ns >= connect_at_ns_) Connect(now_ns);
    return stream_ == nullptr ? connect_at_ns_ : opened_ns_ + kWelcomeWaitNs;
  }
  if (!up_) {
    if (now_ns >= opened_ns_ + kWelcomeWaitNs) {
      stream_->session->Cancel();  // OnClosed follows
      opened_ns_ = now_ns;
    }
    return opened_ns_ + kWelcomeWaitNs;
  }
  if (now_ns >= heartbeat_at_ns_) {
    heartbeat_at_ns_ = now_ns + limits::kHeartbeatNs;
    stream_->session->Send(40, kAnywhere, [&](v1::WorkerToScheduler& out) {
      v1::Heartbeat* heartbeat = out.mutable_heartbeat();
      heartbeat->set_store_bytes(figures.store_bytes);
      heartbeat->set_running(figures.running);
      heartbeat->set_queued(figures.queued);
      heartbeat->set_fetched_bytes_total(figures.fetched_bytes);
      heartbeat->set_served_bytes_total(figures.served_bytes);
    });
  }
  return heartbeat_at_ns_;
}

void SchedulerLink::Connect(uint64_t now_ns) {
  absl::StatusOr<io::AccessFile> access = io::ReadAccessFile(options_.access_dir);
  if (!access.ok()) return Failed(access.status(), now_ns);
  std::vector<std::string> addresses = access->addresses;
  if (!options_.scheduler.empty()) addresses = {options_.scheduler};
  if (addresses.empty()) {
    return Failed(
        absl::NotFoundError(StrCat(io::AccessPath(options_.access_dir), " names no address")),
        now_ns);
  }
  address_ = addresses[failures_ % addresses.size()];
  opened_ns_ = now_ns;
  const std::string peer = StrCat("the scheduler at ", address_);
  auto stream = std::make_unique<Stream>();
  stream->stub = v1::WorkerSession::NewStub(ChannelTo(address_));
  stream->session = rpc::ConnectStream<v1::WorkerToScheduler, v1::SchedulerToWorker>(
      access->worker_key, std::make_shared<Handler>(++session_id_, inbox_, peer),
      [&](auto* context, auto* reactor) { stream->stub->async()->Connect(context, reactor); });
  stream_ = std::move(stream);
  stream_->session->Send(256, kAnywhere, [&](v1::WorkerToScheduler& out) {
    v1::WorkerHello* hello = out.mutable_hello();
    hello->set_protocol(limits::kProtocolVersion);
    hello->set_cluster_id(cluster_id_);
    hello->set_name(options_.name);
    hello->set_identity(options_.identity);
    hello->set_incarnation(options_.incarnation);
    rpc::Encode(options_.capacity, hello->mutable_capacity());
    hello->set_store_budget_bytes(options_.store_budget_bytes);
    hello->set_host(options_.host);
    hello->set_data_address(options_.data_address);
    hello->set_metrics_address(options_.metrics_address);
    hello->set_version(options_.version);
    for (const std::string& attribute : options_.attributes) hello->add_attributes(attribute);
    if (options_.ends_at_ns != 0) {
      uint64_t now = io::NowNs();
      hello->set_ends_after_ns(options_.ends_at_ns > now ? options_.ends_at_ns - now : 1);
    }
  });
}

std::optional<event::SessionUp> SchedulerLink::OnMessage(const SessionMessage& message,
                                                         uint64_t now_ns) {
  if (message.message->has_refusal()) {
    Failed(rpc::FromFailure(message.message->refusal().failure()), now_ns);
    return std::nullopt;
  }
  if (up_ || !message.message->has_welcome()) return std::nullopt;
  const v1::Welcome& welcome = message.message->welcome();
  if (welcome.protocol() != limits::kProtocolVersion) {
    fatal_ = absl::FailedPreconditionError(StrCat(
        "the scheduler at ", address_, " speaks protocol ", welcome.protocol(), ", this worker ",
        limits::kProtocolVersion, "; run the same version of taskd on both"));
    return std::nullopt;
  }
  const bool other = !cluster_id_.empty() && cluster_id_ != welcome.cluster_id();
  cluster_id_ = welcome.cluster_id();
  up_ = true;
  failures_ = 0;
  log_at_ns_ = 0;
  heartbeat_at_ns_ = now_ns;
  const WorkerId worker = WorkerId::FromPacked(welcome.worker());
  io::LogInfo(StrCat("connected to the scheduler at ", address_, " as ", ToString(worker),
                     other ? ": it is another cluster, so everything here is dropped" : ""));
  return event::SessionUp{session_id_, worker, other};
}

std::optional<event::SessionDown> SchedulerLink::OnClosed(const SessionClosed& closed,
                                                          uint64_t now_ns) {
  if (!Current(closed.session)) return std::nullopt;
  const bool was_up = std::exchange(up_, false);
  stream_.reset();
  Failed(closed.status, now_ns);
  if (!was_up) return std::nullopt;
  fatal_ = absl::OkStatus();  // it had let us in, so it may do so again
  return event::SessionDown{closed.session};
}

void SchedulerLink::Failed(const absl::Status& status, uint64_t now_ns) {
  if (stopping_) return;
  if (IsFatal(status) && fatal_.ok()) fatal_ = status;
  const uint64_t backoff = std::min(kFirstBackoffNs << std::min(failures_, 10u), kMaxBackoffNs);
  ++failures_;
  // Spread over half of it, so that a thousand workers do not come back in step.
  connect_at_ns_ = now_ns + backoff / 2 + io::RandomU64() % (backoff / 2);
  if (now_ns < log_at_ns_) return;
  log_at_ns_ = now_ns + kLogEveryNs;
  io::LogWarning(
      StrCat(ToStd(status.message()), fatal_.ok() ? "; trying again until it answers" : ""));
}

void SchedulerLink::Break(const absl::Status& why) {
  if (stream_ == nullptr) return;
  io::LogError(
      StrCat("the scheduler at ", address_, " sent a damaged message: ", ToStd(why.message())));
  stream_->session->Cancel();
}

template <typename Fill>
void SchedulerLink::Add(SessionId session, uint64_t bytes, uint32_t rank, Fill&& fill) {
  urgent_ = true;
  if (up_ && Current(session)) stream_->session->Add(bytes, rank, std::forward<Fill>(fill));
}

template <typename Fill>
void SchedulerLink::AddPatient(SessionId session, uint64_t bytes, uint32_t rank, Fill&& fill) {
  if (patient_since_ns_ == 0) patient_since_ns_ = io::NowNs();
  if (up_ && Current(session)) stream_->session->Add(bytes, rank, std::forward<Fill>(fill));
}

void SchedulerLink::Send(const action::SendInventory& a) {
  const uint64_t bytes = kReplicaBytes * a.chunk.replicas.size() +
                         kRefBytes * (a.chunk.assigned.size() + a.chunk.running.size());
  Add(a.session, bytes, kInventoryRank,
      [&](v1::WorkerToScheduler& out) { rpc::Encode(a.chunk, out.add_inventory()); });
}

void SchedulerLink::Send(const action::SendInventoryDone& a) {
  Add(a.session, 2, kInventoryDoneRank,
      [](v1::WorkerToScheduler& out) { out.set_inventory_done(true); });
}

void SchedulerLink::Send(const action::SendStarted& a) {
  AddPatient(a.session, kRefBytes, kAnywhere,
             [&](v1::WorkerToScheduler& out) { rpc::Encode(a.attempt, out.add_started()); });
}

void SchedulerLink::Send(const action::SendOutcome& a, const std::vector<std::string>& values) {
  uint64_t bytes = kOutcomeBytes + a.outcome.message.size();
  for (const std::string& value : values) bytes += value.size();
  AddPatient(a.session, bytes, kOutcomeRank, [&](v1::WorkerToScheduler& out) {
    v1::Outcome* outcome = out.add_outcomes();
    rpc::Encode(a.outcome, outcome);
    for (size_t i = 0; i < values.size(); ++i)
      outcome->mutable_outputs(static_cast<int>(i))->set_value(values[i]);
  });
  if (a.outcome.end != AttemptEnd::kFinished) urgent_ = true;
}

void SchedulerLink::Send(const action::SendReplicaAdded& a) {
  Add(a.session, kReplicaBytes, kAddedRank,
      [&](v1::WorkerToScheduler& out) { rpc::Encode(a.replica, out.add_replicas_added()); });
}

void SchedulerLink::Send(const action::SendReplicaLost& a) {
  Add(a.session, kReplicaBytes, kLostRank,
      [&](v1::WorkerToScheduler& out) { rpc::Encode(a.object, out.add_replicas_lost()); });
}

void SchedulerLink::Send(const action::SendGatherFailed& a) {
  Add(a.session, kReplicaBytes * (1 + a.failure.bad_holders.size()), kGatherFailedRank,
      [&](v1::WorkerToScheduler& out) { rpc::Encode(a.failure, out.add_gathers_failed()); });
}

void SchedulerLink::Send(const action::SendSubmit& a, const Dialogs::Submitted& submitted) {
  Add(a.session, kRefBytes + submitted.frame.size(), kSubmissionRank,
      [&](v1::WorkerToScheduler& out) {
        v1::Submission* submission = out.add_submissions();
        rpc::Encode(a.attempt, submission->mutable_attempt());
        submission->set_number(a.number);
        submission->set_early(a.early);
        submission->set_graph(submitted.graph);
        submission->set_frame(submitted.frame);
      });
}

void SchedulerLink::Send(const action::SendYield& a) {
  Add(a.session, kRefBytes + 8 * a.awaits.size(), kAnywhere, [&](v1::WorkerToScheduler& out) {
    v1::Yield* yield = out.add_yields();
    rpc::Encode(a.attempt, yield->mutable_attempt());
    for (const ObjectId& object : a.awaits) {
      yield->add_job(object.job);
      yield->add_object(object.ordinal);
    }
  });
}

void SchedulerLink::Send(const LookupMessage& message) {
  Add(session_id_, kRefBytes, kAnywhere, [&](v1::WorkerToScheduler& out) {
    v1::ObjectLookup* lookup = out.add_lookups();
    lookup->set_token(message.token);
    lookup->set_job(message.object.job);
    lookup->set_object(message.object.ordinal);
  });
}

uint64_t SchedulerLink::Flush(uint64_t now_ns, bool may_wait) {
  const uint64_t until_ns = patient_since_ns_ + kPatienceNs;
  if (may_wait && !urgent_ && patient_since_ns_ != 0 && now_ns < until_ns) return until_ns;
  urgent_ = false;
  patient_since_ns_ = 0;
  if (!up_) return ~uint64_t{0};
  stream_->session->Flush();
  if (stream_->session->outbox_bytes() <= limits::kWorkerOutboxBytes) return ~uint64_t{0};
  io::LogWarning(StrCat("the scheduler at ", address_,
                        " does not read; the stream is broken and will be made anew"));
  stream_->session->Cancel();
  return ~uint64_t{0};
}

void SchedulerLink::Goodbye() {
  stopping_ = true;
  if (!up_) return;
  stream_->session->Send(2, kGoodbyeRank,
                         [](v1::WorkerToScheduler& out) { out.set_goodbye(true); });
  stream_->session->Close();
}

}  // namespace taskd::worker
