#include "scheduler/shell/client_stream.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/random.h"
#include "common/rpc/errors.h"
#include "common/rpc/interned_names.h"
#include "common/rpc/wire.h"

namespace taskd::scheduler {
namespace {

constexpr size_t kSubmissionIdBytes = 16;
constexpr uint64_t kFrameBytesPerItem = 1024;  // of the core's queue: it takes 64 MiB of them

uint64_t Load64(const char* bytes) {
  uint64_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

// What is wrong with it, and what to say instead. `leased`: the client has an id.
absl::Status CheckOpen(const v1::OpenJob& request, bool leased) {
  auto wrong = [](const auto&... what) { return absl::InvalidArgumentError(StrCat(what...)); };
  if (request.submission_id().size() != kSubmissionIdBytes) {
    return wrong("a submission id has ", kSubmissionIdBytes, " bytes, not ",
                 request.submission_id().size());
  }
  for (const auto& [what, name] :
       {std::pair("name", &request.name()), std::pair("owner", &request.owner())}) {
    if (name->size() > limits::kJobNameBytes) {
      return wrong("the job's ", what, " has ", name->size(), " bytes; at most ",
                   limits::kJobNameBytes, " are allowed: choose a shorter one");
    }
  }
  if (request.weight() > limits::kJobWeight) {
    return wrong("the job's weight is ", request.weight(), "; it is at most ", limits::kJobWeight,
                 " (100 is normal): choose a smaller one");
  }
  if (request.ttl_ns() > limits::kJobTtlNs) {
    return wrong("the job's time to live is ", FormatDuration(request.ttl_ns()), "; it is at most ",
                 FormatDuration(limits::kJobTtlNs), ": choose a shorter one, or none");
  }
  if (request.ephemeral() && !leased) {
    return wrong("an ephemeral job needs a client that gives its id in its hello");
  }
  if (request.subscribe() && request.whole_frame().empty())
    return wrong("a job that is opened without its batch is subscribed to apart");
  if (rpc::OwnerNumber(request.owner()) == rpc::kNoOwner) {
    return absl::ResourceExhaustedError(
        StrCat("'", request.owner(), "' would be one owner more than the ", limits::kOwnerNames,
               " that a scheduler knows by name: use a name that was used before"));
  }
  return absl::OkStatus();
}

// Of a request that is right.
event::OpenJob OpenEvent(const v1::OpenJob& request, ClientId client) {
  const char* id = request.submission_id().data();
  event::OpenJob open{0, Load64(id), Load64(id + 8), request.priority(), request.ttl_ns()};
  open.owner = rpc::OwnerNumber(request.owner());
  if (request.weight() != 0) open.weight = request.weight();
  open.max_running = request.max_running();
  if (request.ephemeral()) open.client = client;
  return open;
}

}  // namespace

void ClientStream::OnStart(std::shared_ptr<Session> session) {
  std::lock_guard lock(mutex_);
  session_ = std::move(session);
}

std::shared_ptr<ClientStream::Session> ClientStream::session() const {
  std::lock_guard lock(mutex_);
  return session_;
}

bool ClientStream::OnMessage(v1::ClientToScheduler& message) {
  if (client_ == 0) return Hello(message);
  uint64_t token = message.token();
  switch (message.request_case()) {
    case v1::ClientToScheduler::kOpen:
      return Open(token, *message.mutable_open());
    case v1::ClientToScheduler::kBatch:
      return Submit(token, *message.mutable_batch());
    case v1::ClientToScheduler::kSeal:
      return Seal(token, message.seal());
    case v1::ClientToScheduler::kWants:
      return Want(token, message.wants());
    case v1::ClientToScheduler::kSubscribe:
      return Subscribe(token, message.subscribe().job());
    case v1::ClientToScheduler::kGoodbye:
      return Goodbye();
    case v1::ClientToScheduler::kHello:
      Reply(token, absl::FailedPreconditionError("hello was said before"));
      return true;
    case v1::ClientToScheduler::REQUEST_NOT_SET:
      break;
  }
  Reply(token,
        absl::UnimplementedError("this scheduler does not know the request; is the client newer?"));
  return true;
}

bool ClientStream::Hello(const v1::ClientToScheduler& message) {
  auto s = session();
  absl::Status why;
  if (!message.has_hello()) {
    why = absl::FailedPreconditionError("the first message of a client must be its hello");
  } else if (message.hello().protocol() != limits::kProtocolVersion) {
    why = absl::FailedPreconditionError(StrCat(
        "the client (version ", message.hello().version(), ") speaks protocol ",
        message.hello().protocol(), ", this scheduler (version ", kVersion, ") speaks protocol ",
        limits::kProtocolVersion, "; use the same version of taskd on both sides"));
  }
  if (!why.ok()) {
    s->Close(rpc::ToGrpc(why));
    return true;
  }
  leased_ = message.hello().client_id() != 0;
  while (client_ == 0) client_ = leased_ ? message.hello().client_id() : io::RandomU64();
  service_->Attach(shared_from_this());
  s->Send(64, 0, [&](v1::SchedulerToClient& out) {
    out.mutable_welcome()->set_protocol(limits::kProtocolVersion);
    out.mutable_welcome()->set_cluster_id(service_->cluster_->id);
  });
  return true;
}

bool ClientStream::Open(uint64_t token, v1::OpenJob& request) {
  if (absl::Status wrong = CheckOpen(request, leased_); !wrong.ok()) {
    Reply(token, wrong);
    return true;
  }
  // A frame waits for the core, then for intake: both bound what clients may leave there.
  const auto items = static_cast<uint32_t>(1 + request.whole_frame().size() / kFrameBytesPerItem);
  const bool whole = !request.whole_frame().empty();
  auto make = [open = OpenEvent(request, client_)](Token t) mutable {
    open.token = t;
    return Event(open);
  };
  JobHeader header{0, request.name(), request.owner(), io::WallMs()};
  auto on_reply = [self = shared_from_this(), token, header, subscribe = request.subscribe(),
                   frame = std::move(*request.mutable_whole_frame())](
                      const action::Reply& reply, const SchedulerCore& core, uint64_t) mutable {
    if (reply.code != 0) {
      return self->Reply(token,
                         absl::Status(static_cast<absl::StatusCode>(reply.code), reply.message));
    }
    header.job = reply.job;
    if (auto job = core.GetJobBriefly(reply.job); job && !job->forgotten)
      self->service_->jobs_->Open(std::move(header));
    if (!frame.empty()) return self->TakeWhole(token, reply, std::move(frame), subscribe);
    self->AddOpened(token, reply.job, reply.next_batch);
    self->Flush();
  };
  const bool room = service_->loop_->Request(std::move(make), std::move(on_reply), items);
  return whole && room ? AfterIntake(false) : AfterLoop(room);
}

// The batch and the seal of a job that came in one message. Intake keeps their order and refuses the seal when
// it refused the batch, so what failed first is what is answered.
void ClientStream::TakeWhole(uint64_t token, const action::Reply& opened, std::string frame,
                             bool subscribe) {
  const JobId job = opened.job;
  auto refused = std::make_shared<bool>(false);  // both answers come from one thread, or in order
  auto self = shared_from_this();
  if (opened.next_batch == 0) {
    service_->intake_->Submit(job, 0, std::move(frame),
                              [self, token, refused](const absl::Status& status) {
                                *refused = !status.ok();
                                if (*refused) self->Reply(token, status);
                              });
  }
  service_->intake_->Seal(job, 1,
                          [self, token, job, refused, subscribe](const absl::Status& status) {
                            if (*refused) return;
                            if (!status.ok()) return self->Reply(token, status);
                            self->Accepted(token, job, subscribe);
                          });
}

void ClientStream::Accepted(uint64_t token, JobId job, bool subscribe) {
  service_->loop_->Ask([self = shared_from_this(), token, job, subscribe](const SchedulerCore& core,
                                                                          uint64_t now_ns) {
    self->AddOpened(token, job, 1);
    if (subscribe) self->service_->Subscribe(self, job, now_ns, core);
    self->Flush();
  });
}

void ClientStream::AddOpened(uint64_t token, JobId job, uint32_t next_batch) {
  auto s = session();
  if (s == nullptr) return;
  s->Add(32, 0, [&](v1::SchedulerToClient& out) {
    v1::Reply* to = out.add_replies();
    to->set_token(token);
    to->set_job(job);
    to->set_next_batch(next_batch);
  });
}

void ClientStream::Flush() {
  if (auto s = session()) s->Flush();
}

bool ClientStream::Submit(uint64_t token, v1::SubmitBatch& request) {
  auto done = [self = shared_from_this(), token](const absl::Status& status) {
    self->Reply(token, status);
  };
  return AfterIntake(service_->intake_->Submit(
      request.job(), request.number(), std::move(*request.mutable_frame()), std::move(done)));
}

bool ClientStream::Seal(uint64_t token, const v1::SealJob& request) {
  auto done = [self = shared_from_this(), token](const absl::Status& status) {
    self->Reply(token, status);
  };
  return AfterIntake(service_->intake_->Seal(request.job(), request.batches(), std::move(done)));
}

bool ClientStream::Want(uint64_t token, const v1::WantSet& request) {
  std::vector<ObjectId> objects;
  for (const v1::ObjectRef& ref : request.objects()) objects.push_back(rpc::Decode(ref));
  std::sort(objects.begin(), objects.end());
  objects.erase(std::unique(objects.begin(), objects.end()), objects.end());
  for (ObjectId object : objects) {
    // Those of forgotten jobs are answered for one by one.
    if (service_->jobs_->Forgotten(object.job)) continue;
    auto record = service_->jobs_->Find(object.job);
    if (record == nullptr || object.ordinal >= record->object_count()) {
      Reply(token, absl::NotFoundError(
                       StrCat("there is no object ", ToString(object), "; wants are unchanged")));
      return true;
    }
  }
  service_->PostFor(*this, event::SetWants{client_, objects},
                    static_cast<uint32_t>(1 + objects.size()));
  return AfterLoop(
      service_->loop_->Ask([self = shared_from_this(), token, objects = std::move(objects)](
                               const SchedulerCore& core, uint64_t) mutable {
        self->Reply(token, absl::OkStatus());
        self->service_->SetWants(self, std::move(objects), core);
      }));
}

bool ClientStream::Subscribe(uint64_t token, JobId job) {
  return AfterLoop(service_->loop_->Ask(
      [self = shared_from_this(), token, job](const SchedulerCore& core, uint64_t now_ns) {
        if (!core.GetJobBriefly(job)) {
          return self->Reply(token, absl::NotFoundError(StrCat("there is no job ", job,
                                                               "; taskctl job list shows them")));
        }
        self->Reply(token, absl::OkStatus());
        self->service_->Subscribe(self, job, now_ns, core);
      }));
}

bool ClientStream::Goodbye() {
  service_->Detach(*this, true);
  if (auto s = session()) s->Close();
  return true;
}

bool ClientStream::AfterLoop(bool room) {
  if (!room) service_->loop_->WhenRoom([session = session()] { session->Resume(); });
  return room;
}

bool ClientStream::AfterIntake(bool room) {
  if (!room) service_->intake_->WhenRoom([session = session()] { session->Resume(); });
  return room;
}

void ClientStream::OnClosed(const grpc::Status&) {
  {
    std::lock_guard lock(mutex_);
    session_ = nullptr;
  }
  if (client_ != 0) service_->Detach(*this, !leased_);
  service_->loop_->Ask(
      [self = shared_from_this()](const SchedulerCore&, uint64_t) { self->service_->Left(self); });
  service_->Close(*this);
}

void ClientStream::Reply(uint64_t token, const absl::Status& status) {
  auto s = session();
  if (s == nullptr) return;
  s->Send(32 + status.message().size(), 0, [&](v1::SchedulerToClient& out) {
    v1::Reply* reply = out.add_replies();
    reply->set_token(token);
    if (!status.ok()) rpc::SetFailure(status, reply->mutable_failure());
  });
}

void ClientStream::Send(const v1::JobUpdate& update) {
  if (auto s = session())
    s->Send(128, 0, [&](v1::SchedulerToClient& out) { *out.add_jobs() = update; });
}

void ClientStream::Send(const v1::ObjectUpdate& update) {
  if (auto s = session())
    s->Send(64, 0, [&](v1::SchedulerToClient& out) { *out.add_objects() = update; });
}

uint64_t ClientStream::waiting_bytes() const {
  auto s = session();
  return s == nullptr ? 0 : s->outbox_bytes();
}

// Not kUnavailable: a client that has the stream no longer does not hear it, another one with the
// same id is to be told once, not to take turns.
void ClientStream::Supersede() {
  if (auto s = session()) {
    s->Close(rpc::ToGrpc(absl::FailedPreconditionError(
        "a newer connection with the same client id has taken over; each client draws its own")));
  }
}

void ClientStream::Break() {
  if (auto s = session()) s->Cancel();
}

}  // namespace taskd::scheduler
