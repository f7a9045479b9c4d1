#include "scheduler/shell/worker_stream.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "common/io/log.h"
#include "common/rpc/errors.h"
#include "common/rpc/interned_names.h"
#include "common/rpc/wire.h"
#include "scheduler/shell/listing.h"
#include "scheduler/shell/task_intake.h"

namespace taskd::scheduler {
namespace {

// Ranks for the outbox: the field numbers whose order matters (see StreamSession::Add).
constexpr uint32_t kAnywhere = 0;
constexpr uint32_t kAssignmentRank = 5;
constexpr uint32_t kFreeRank = 8;
constexpr uint32_t kGatherRank = 12;

constexpr uint64_t kRefBytes = 16;  // of an attempt or object on the wire, about
constexpr uint64_t kAssignmentBytes = 96;
constexpr uint64_t kInputBytes = 32;

uint32_t EventItems(const v1::WorkerToScheduler& message) {
  return 1 + static_cast<uint32_t>(message.started_size() + message.outcomes_size() +
                                   message.replicas_added_size() + message.replicas_lost_size() +
                                   message.gathers_failed_size());
}

template <class To, class List>
absl::Status DecodeAll(const List& from, std::vector<To>* to) {
  to->reserve(from.size());
  for (const auto& item : from) {
    auto decoded = rpc::Decode(item);
    if (!decoded.ok()) return decoded.status();
    to->push_back(*std::move(decoded));
  }
  return absl::OkStatus();
}

absl::Status DecodeReport(const v1::WorkerToScheduler& message, event::WorkerReport* report) {
  if (auto status = DecodeAll(message.started(), &report->started); !status.ok()) return status;
  if (auto status = DecodeAll(message.outcomes(), &report->outcomes); !status.ok()) return status;
  if (auto status = DecodeAll(message.replicas_added(), &report->replicas_added); !status.ok())
    return status;
  std::vector<Replica> lost;
  if (auto status = DecodeAll(message.replicas_lost(), &lost); !status.ok()) return status;
  for (const Replica& replica : lost) report->replicas_lost.push_back(replica.id);
  return DecodeAll(message.gathers_failed(), &report->gathers_failed);
}

}  // namespace

void WorkerStream::OnStart(std::shared_ptr<Session> session) {
  std::lock_guard lock(mutex_);
  session_ = std::move(session);
}

std::shared_ptr<WorkerStream::Session> WorkerStream::session() const {
  std::lock_guard lock(mutex_);
  return session_;
}

std::string WorkerStream::name() const {
  std::lock_guard lock(mutex_);
  return profile_.name;
}

uint64_t WorkerStream::identity() const {
  std::lock_guard lock(mutex_);
  return profile_.identity;
}

bool WorkerStream::said_hello() const {
  std::lock_guard lock(mutex_);
  return greeted_;
}

bool WorkerStream::OnMessage(v1::WorkerToScheduler& message) {
  if (!said_hello() && !Hello(message)) return true;
  if (message.submissions_size() == 0) return ReportOrClose(message);
  absl::Status submitted = ReportInventory(message);
  message.clear_inventory();
  if (submitted.ok()) submitted = Submit(message);
  if (submitted.ok()) return false;  // read on when they are with the core
  CloseMalformed(submitted);
  return true;
}

void WorkerStream::CloseMalformed(const absl::Status& why) {
  service_->malformed_.fetch_add(1);
  io::LogWarning(StrCat("closing the stream of worker ", name(), ": ", ToStd(why.message())));
  Close(rpc::ToGrpc(why));
}

// What the message says beside is said after what it submits.
absl::Status WorkerStream::Submit(v1::WorkerToScheduler& message) {
  std::vector<TaskIntake::Submission> submissions;
  for (v1::Submission& from : *message.mutable_submissions()) {
    auto attempt = rpc::Decode(from.attempt());
    if (!attempt.ok()) return attempt.status();
    submissions.push_back(
        {*attempt, from.number(), from.early(), std::move(*from.mutable_frame()), from.graph()});
  }
  message.clear_submissions();
  auto rest = std::make_shared<v1::WorkerToScheduler>();
  rest->Swap(&message);
  auto answer = [self = shared_from_this()](const TaskIntake::Submission& of, JobId job,
                                            Ordinal first, const absl::Status& status) {
    self->SendAnswer(of.attempt, of.number, job, first, status);
  };
  auto then = [self = shared_from_this(), rest] {
    if (!self->ReportOrClose(*rest)) return;
    if (auto s = self->session()) s->Resume();
  };
  service_->submissions_->Submit(id_, std::move(submissions), std::move(answer), std::move(then));
  return absl::OkStatus();
}

bool WorkerStream::ReportOrClose(const v1::WorkerToScheduler& message) {
  auto room = Report(message);
  if (!room.ok()) {
    CloseMalformed(room.status());
    return true;
  }
  if (!*room) service_->loop_->WhenRoom([session = session()] { session->Resume(); });
  return *room;
}

absl::Status WorkerStream::CheckHello(const v1::WorkerHello& hello) const {
  if (hello.protocol() != limits::kProtocolVersion) {
    return absl::FailedPreconditionError(
        StrCat("worker '", hello.name(), "' (version ", hello.version(), ") speaks protocol ",
               hello.protocol(), ", this scheduler (version ", kVersion, ") speaks protocol ",
               limits::kProtocolVersion, "; run the same version of taskd on both"));
  }
  if (hello.name().empty())
    return absl::InvalidArgumentError("the worker has no name; give it one with --name");
  if (hello.identity() == 0 || hello.incarnation() == 0) {
    return absl::InvalidArgumentError(
        StrCat("worker '", hello.name(), "' has no identity or incarnation"));
  }
  if (hello.capacity().cpus_milli() == 0) {
    return absl::InvalidArgumentError(
        StrCat("worker '", hello.name(), "' has no cpus; give it some with --cpus"));
  }
  std::string other = service_->NameTakenBy(hello.name(), hello.identity(), id_);
  if (!other.empty()) {
    return absl::AlreadyExistsError(StrCat("another worker named '", hello.name(),
                                           "' is connected from ", other,
                                           "; choose another name with --name"));
  }
  return absl::OkStatus();
}

// Whether the stream goes on.
bool WorkerStream::Hello(const v1::WorkerToScheduler& message) {
  if (!message.has_hello()) {
    Refuse(absl::FailedPreconditionError("the first message of a worker must be its hello"));
    return false;
  }
  const v1::WorkerHello& hello = message.hello();
  absl::StatusOr<Resources> capacity = rpc::Decode(hello.capacity());
  absl::Status status = CheckHello(hello);
  if (status.ok()) status = capacity.status();
  if (!status.ok()) {
    io::LogWarning(StrCat("refused a worker: ", ToStd(status.message())));
    Refuse(status);
    return false;
  }
  {
    std::lock_guard lock(mutex_);
    profile_ = {hello.name(),    hello.host(),    hello.data_address(), hello.metrics_address(),
                hello.version(), hello.identity()};
    greeted_ = true;
  }
  event::WorkerHello event{id_, hello.identity(), hello.incarnation(), *capacity};
  event.host = rpc::PlaceNumber(hello.host());
  event.name = rpc::PlaceNumber(hello.name());
  for (const std::string& attribute : hello.attributes())
    event.attributes.push_back(rpc::PlaceNumber(attribute));
  std::sort(event.attributes.begin(), event.attributes.end());
  event.ends_after_ns = hello.ends_after_ns();
  event.store_budget_bytes = hello.store_budget_bytes();
  service_->loop_->Post(std::move(event));
  return true;
}

absl::Status WorkerStream::ReportInventory(const v1::WorkerToScheduler& message) {
  for (const v1::Inventory& from : message.inventory()) {
    auto chunk = rpc::Decode(from);
    if (!chunk.ok()) return chunk.status();
    auto items = static_cast<uint32_t>(1 + chunk->replicas.size() + chunk->assigned.size() +
                                       chunk->running.size());
    service_->loop_->Post(event::WorkerInventory{id_, *std::move(chunk)}, items);
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> WorkerStream::Report(const v1::WorkerToScheduler& message) {
  CoreLoop& loop = *service_->loop_;
  if (absl::Status status = ReportInventory(message); !status.ok()) return status;
  event::WorkerReport report{id_};
  if (absl::Status status = DecodeReport(message, &report); !status.ok()) return status;
  KeepValues(message);
  bool room = loop.Post(std::move(report), EventItems(message));
  if (absl::Status status = ReportYields(message); !status.ok()) return status;
  for (const v1::ObjectLookup& lookup : message.lookups()) LookUp(lookup);
  if (message.has_heartbeat()) {
    const v1::Heartbeat& heartbeat = message.heartbeat();
    service_->directory_->SetStatistics(WorkerId::FromPacked(worker_), heartbeat.store_bytes(),
                                        heartbeat.fetched_bytes_total(),
                                        heartbeat.served_bytes_total());
  }
  if (message.inventory_done()) room = loop.Post(event::InventoryDone{id_});
  if (message.goodbye()) room = loop.Post(event::WorkerGoodbye{id_});
  return room;
}

// Before the core hears of the outcomes: what it assigns then finds them.
void WorkerStream::KeepValues(const v1::WorkerToScheduler& message) {
  for (const v1::Outcome& outcome : message.outcomes()) {
    for (int i = 0; i < outcome.outputs_size(); ++i) {
      const v1::OutputInfo& output = outcome.outputs(i);
      if (output.value().empty() || output.value().size() != output.size_bytes()) continue;
      const ObjectId object{outcome.attempt().job(),
                            outcome.first_output() + static_cast<Ordinal>(i)};
      service_->values_.Add({object, outcome.attempt().attempt()},
                            {output.value(), output.crc32c()});
    }
  }
}

absl::Status WorkerStream::ReportYields(const v1::WorkerToScheduler& message) {
  for (const v1::Yield& from : message.yields()) {
    auto attempt = rpc::Decode(from.attempt());
    if (!attempt.ok()) return attempt.status();
    if (from.job_size() != from.object_size() ||
        static_cast<uint32_t>(from.job_size()) > limits::kAwaitObjects)
      return absl::InvalidArgumentError("a yield for too many objects, or half of one");
    event::YieldAttempt yield{id_, *attempt, {}};
    for (int i = 0; i < from.job_size(); ++i) yield.awaits.push_back({from.job(i), from.object(i)});
    service_->loop_->Post(std::move(yield), 1 + static_cast<uint32_t>(from.job_size()));
  }
  return absl::OkStatus();
}

void WorkerStream::LookUp(const v1::ObjectLookup& lookup) {
  const ObjectId object{lookup.job(), lookup.object()};
  service_->loop_->Ask(
      [self = shared_from_this(), token = lookup.token(), object](
          const SchedulerCore& core, uint64_t) { self->SendFound(token, object, core); });
}

void WorkerStream::OnClosed(const grpc::Status& status) {
  std::string name;
  bool greeted;
  {
    std::lock_guard lock(mutex_);
    session_ = nullptr;
    greeted = greeted_;
    name = profile_.name;
  }
  if (greeted) {
    std::string why = status.ok() ? "in order" : status.error_message();
    io::LogInfo(StrCat("the stream of worker ", name, " ended: ", why.empty() ? "it broke" : why));
    service_->loop_->Post(event::WorkerClosed{id_});
  }
  service_->Forget(id_);
}

void WorkerStream::Welcome(WorkerId worker) {
  WorkerProfile profile;
  {
    std::lock_guard lock(mutex_);
    profile = profile_;
  }
  worker_ = worker.packed();
  service_->directory_->Set(worker, profile);
  io::LogInfo(StrCat("worker ", profile.name, " is ", ToString(worker), ", data at ",
                     profile.data_address));
  if (auto s = session()) {
    s->Add(64, kAnywhere, [&](v1::SchedulerToWorker& out) {
      out.mutable_welcome()->set_protocol(limits::kProtocolVersion);
      out.mutable_welcome()->set_cluster_id(service_->cluster_->id);
      out.mutable_welcome()->set_worker(worker.packed());
    });
  }
}

void WorkerStream::Refuse(const absl::Status& why) {
  auto s = session();
  if (s == nullptr) return;
  s->Add(64 + why.message().size(), kAnywhere, [&](v1::SchedulerToWorker& out) {
    rpc::SetFailure(why, out.mutable_refusal()->mutable_failure());
  });
  s->Close(rpc::ToGrpc(why));
}

void WorkerStream::AddPeers(const InputObject& object, v1::SchedulerToWorker& out) {
  for (WorkerId holder : object.holders) {
    if (!holder) break;
    if (!peers_sent_.insert(holder).second) continue;
    WorkerProfile profile = service_->directory_->Get(holder);
    v1::Peer* peer = out.add_peers();
    peer->set_worker(holder.packed());
    peer->set_data_address(profile.data_address);
    peer->set_host(profile.host);
  }
}

std::optional<SmallValue> WorkerStream::ValueFor(const InputObject& object) {
  if (object.size_bytes == 0 || object.size_bytes > limits::kInlineBytes) return std::nullopt;
  const WorkerId self = WorkerId::FromPacked(worker_);
  for (WorkerId holder : object.holders) {
    if (holder == self) return std::nullopt;
  }
  if (values_sent_.contains(object.id)) return std::nullopt;
  std::optional<SmallValue> value = service_->values_.Get(object.id);
  if (!value) return value;
  if (values_sent_.size() >= limits::kValuesNoted) values_sent_.clear();
  values_sent_.insert(object.id);
  return value;
}

// Returns how many bytes these are.
uint64_t WorkerStream::AddValues(const Assignment& assignment, v1::Assignment& to) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < assignment.objects.size() && sum < limits::kAssignmentValueBytes; ++i) {
    std::optional<SmallValue> value = ValueFor(assignment.objects[i]);
    if (!value) continue;
    sum += value->bytes.size();
    to.add_value_at(i);
    to.add_value(std::move(value->bytes));
    to.add_value_crc32c(value->crc32c);
  }
  return sum;
}

void WorkerStream::AddGather(const InputObject& object, v1::SchedulerToWorker& out,
                             v1::Gather* to) {
  AddPeers(object, out);
  rpc::Encode(object, to);
  if (std::optional<SmallValue> value = ValueFor(object)) {
    to->set_value(std::move(value->bytes));
    to->set_value_crc32c(value->crc32c);
  }
}

// Returns about how many bytes that are, beyond those of every assignment.
uint64_t WorkerStream::AddPeersAndBody(const Assignment& assignment, v1::SchedulerToWorker& out) {
  uint64_t bytes = 0;
  for (const InputObject& object : assignment.objects) AddPeers(object, out);
  JobId job = assignment.attempt.task.job;
  auto record = service_->jobs_->Find(job);
  if (record == nullptr) return bytes;  // the worker answers that it does not know the body
  if (bodies_sent_.emplace(job, assignment.body).second) {
    if (bodies_sent_.size() >= sweep_bodies_at_) SweepBodies(out);
    if (BodyPtr body = record->Body(assignment.body)) {
      v1::BodyDefinition* definition = out.add_bodies();
      definition->set_job(job);
      definition->set_body(assignment.body);
      *definition->mutable_definition() = *body;
      bytes += body->ByteSizeLong();
    }
  }
  v1::Assignment* to = out.add_assignments();
  rpc::Encode(assignment, to);
  bytes += AddValues(assignment, *to);
  to->set_key(record->TaskKey(assignment.attempt.task.ordinal));
  record->CopyArgs(assignment.attempt.task.ordinal, to->mutable_args());
  return bytes + to->args().size() + to->key().size();
}

// Both sides drop bodies of jobs that were forgotten, so many at a time that it costs little a body.
void WorkerStream::SweepBodies(v1::SchedulerToWorker& out) {
  absl::flat_hash_set<JobId> gone;
  absl::erase_if(bodies_sent_, [&](const std::pair<JobId, uint32_t>& sent) {
    if (service_->jobs_->Find(sent.first) != nullptr) return false;
    if (gone.insert(sent.first).second) out.add_forgotten_jobs(sent.first);
    return true;
  });
  sweep_bodies_at_ = std::max(kSweepBodies, 2 * bodies_sent_.size());
}

void WorkerStream::Assign(const Assignment& assignment) {
  auto s = session();
  if (s == nullptr) return;
  // A free in the message that gathers would be applied after an assignment that joins it. That
  // only matters to one that reads the freed object.
  uint32_t rank = kAnywhere;
  if (!frees_gathered_.empty()) {
    for (const InputObject& object : assignment.objects) {
      if (frees_gathered_.contains(object.id)) rank = kAssignmentRank;
    }
  }
  s->Add(kAssignmentBytes + kInputBytes * assignment.objects.size(), rank,
         [&](v1::SchedulerToWorker& out) { return AddPeersAndBody(assignment, out); });
}

void WorkerStream::Retract(AttemptRef attempt) {
  if (auto s = session()) {
    s->Add(kRefBytes, kAnywhere,
           [&](v1::SchedulerToWorker& out) { rpc::Encode(attempt, out.add_retracts()); });
  }
}

void WorkerStream::CancelAttempt(AttemptRef attempt) {
  if (auto s = session()) {
    s->Add(kRefBytes, kAnywhere,
           [&](v1::SchedulerToWorker& out) { rpc::Encode(attempt, out.add_cancels()); });
  }
}

void WorkerStream::Free(const ObjectVersion& object) {
  auto s = session();
  if (s == nullptr) return;
  if (s->outbox_bytes() == 0) frees_gathered_.clear();
  frees_gathered_.insert(object);
  values_sent_.erase(object);
  s->Add(kRefBytes, kFreeRank,
         [&](v1::SchedulerToWorker& out) { rpc::Encode(object, out.add_frees()); });
}

void WorkerStream::Gather(const InputObject& object) {
  if (auto s = session()) {
    s->Add(kRefBytes + kInputBytes, kGatherRank,
           [&](v1::SchedulerToWorker& out) { AddGather(object, out, out.add_gathers()); });
  }
}

void WorkerStream::Retire() {
  if (auto s = session()) {
    s->Add(kRefBytes, kAnywhere, [&](v1::SchedulerToWorker& out) { out.set_retire(true); });
  }
}

void WorkerStream::ResumeAttempt(AttemptRef attempt) {
  if (auto s = session()) {
    s->Add(kRefBytes, kAnywhere,
           [&](v1::SchedulerToWorker& out) { rpc::Encode(attempt, out.add_resumes()); });
  }
}

void WorkerStream::SendAnswer(const AttemptRef& attempt, uint32_t number, JobId job,
                              Ordinal first_object, const absl::Status& status) {
  auto s = session();
  if (s == nullptr) return;
  s->Send(kRefBytes + status.message().size(), kAnywhere, [&](v1::SchedulerToWorker& out) {
    v1::SubmissionAnswer* answer = out.add_submission_answers();
    rpc::Encode(attempt, answer->mutable_attempt());
    answer->set_number(number);
    answer->set_job(job);
    answer->set_first_object(first_object);
    if (!status.ok()) rpc::SetFailure(status, answer->mutable_failure());
  });
}

void WorkerStream::SendFound(uint64_t token, ObjectId object, const SchedulerCore& core) {
  auto s = session();
  if (s == nullptr) return;
  const std::optional<ObjectView> view = core.GetObject(object);
  s->Send(kRefBytes + kInputBytes, kAnywhere, [&](v1::SchedulerToWorker& out) {
    v1::ObjectFound* found = out.add_found();
    found->set_token(token);
    if (view && view->available) {
      InputObject where{{view->behind, view->version}, view->size_bytes};
      const size_t holders = std::min(view->holders.size(), where.holders.size());
      std::copy_n(view->holders.begin(), holders, where.holders.begin());
      AddGather(where, out, found->mutable_where());
    } else if (absl::Status why = WhyNever(core, *service_->jobs_, object, view); !why.ok()) {
      rpc::SetFailure(why, found->mutable_failure());
    }
  });
}

void WorkerStream::AckOutcomes(uint64_t sequence) {
  if (auto s = session()) {
    s->Add(kRefBytes, kAnywhere,
           [&](v1::SchedulerToWorker& out) { out.set_outcomes_acked(sequence); });
  }
}

void WorkerStream::Drain() {
  if (auto s = session()) {
    s->Add(kRefBytes, kAnywhere, [&](v1::SchedulerToWorker& out) { out.set_drain(true); });
  }
}

void WorkerStream::Flush() {
  auto s = session();
  if (s == nullptr) return;
  s->Flush();
  if (s->outbox_bytes() > limits::kWorkerOutboxBytes) {
    service_->overflows_.fetch_add(1);
    io::LogWarning(StrCat("worker ", name(), " does not read: ", s->outbox_bytes(),
                          " bytes wait for it; its stream is broken and will be made anew"));
    s->Cancel();
  }
}

void WorkerStream::Close(const grpc::Status& status) {
  if (auto s = session()) s->Close(status);
}

void WorkerStream::Break() {
  if (auto s = session()) s->Cancel();
}

}  // namespace taskd::scheduler
