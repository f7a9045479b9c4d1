#include "worker/shell/dialogs.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/graph/put_batch.h"
#include "common/io/log.h"
#include "common/io/random.h"
#include "common/io/zstd_frame.h"
#include "common/rpc/errors.h"
#include "common/rpc/wire.h"
#include "taskd/v1/graph.pb.h"
#include "taskd/v1/worker_session.pb.h"
#include "worker/shell/values.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kNoWake = ~uint64_t{0};
constexpr size_t kTokenBytes = 16;
constexpr uint32_t kPutGraph = ~0u;  // of all that an attempt puts
// Until the scheduler, too, has seen that a holder is gone.
constexpr uint64_t kGetPauseNs = 200'000'000;
// So many processes that wait are worth a word, and then each doubling. Nothing bounds them: each is needed for its
// task to go on, and the tasks that it waits for need others.
constexpr uint32_t kManyWaiting = 64;

absl::Status Wrong(std::string message) {
  return absl::FailedPreconditionError(std::move(message));
}

}  // namespace

void Dialogs::Begin(const AttemptRef& attempt, ExecRequest& request) {
  if (request.body == nullptr || request.body->has_builtin()) return;
  Dialog& dialog = dialogs_[attempt];
  dialog = {};
  dialog.function = !request.body->has_command();
  if (dialog.function || socket_.empty()) return;
  dialog.access = std::make_shared<TaskAccess>(dir_, socket_, io::RandomHex(kTokenBytes));
  for (const v1::OutputSlot& output : request.body->outputs())
    dialog.output_names.push_back(output.name());
  request.access = dialog.access;
  tokens_[dialog.access->token] = attempt;
}

Dialogs::Dialog* Dialogs::Find(const TaskAsked& asked, AttemptRef& attempt) {
  if (auto* token = std::get_if<std::string>(&asked.who)) {
    auto known = tokens_.find(*token);
    if (known == tokens_.end()) return nullptr;
    attempt = known->second;
  } else {
    attempt = std::get<AttemptRef>(asked.who);
  }
  auto dialog = dialogs_.find(attempt);
  return dialog == dialogs_.end() ? nullptr : &dialog->second;
}

void Dialogs::OnAsked(TaskAsked& asked, std::vector<Event>& events) {
  AttemptRef attempt;
  Dialog* dialog = Find(asked, attempt);
  if (dialog == nullptr) {
    return asked.answer({absl::NotFoundError(
        "there is no running task with this token: it has ended, or $TASKD_TOKEN was changed")});
  }
  absl::Status status;
  if (auto* submit = std::get_if<SubmitRequest>(&asked.request)) {
    status = Submit(attempt, *dialog, *submit, asked.answer, events);
  } else if (auto* await = std::get_if<AwaitRequest>(&asked.request)) {
    status = Await(attempt, *dialog, *await, asked.answer, events);
  } else if (auto* put = std::get_if<PutRequest>(&asked.request)) {
    status = Put(attempt, *dialog, *put, asked.answer, events);
  } else if (auto* delegate = std::get_if<DelegateRequest>(&asked.request)) {
    status = Delegate(*dialog, *delegate);
    if (status.ok()) asked.answer({});
  } else {
    const uint64_t token = next_token_++;
    Get& get = gets_[token];
    get.attempt = attempt;
    get.object = std::get<GetRequest>(asked.request).object;
    get.answer = std::move(asked.answer);
    LookUp(token, get);
  }
  if (!status.ok()) asked.answer({status});
}

absl::Status Dialogs::Submit(const AttemptRef& attempt, Dialog& dialog, SubmitRequest& request,
                             AnswerTo& answer, std::vector<Event>& events) {
  if (request.frame.size() > limits::kFrameBytes) {
    return absl::InvalidArgumentError(StrCat("a batch of ", FormatBytes(request.frame.size()),
                                             "; at most ", FormatBytes(limits::kFrameBytes),
                                             " are allowed: send smaller ones"));
  }
  if (dialog.submits && dialog.early != request.early) {
    return Wrong("a task submits either early or held: not one batch so and another so");
  }
  if (dialog.submitting) return Wrong("the batch before has no answer yet: send one at a time");
  if (!request.early && !dialog.held.empty() && dialog.held[0].graph != request.graph)
    return Wrong("a task holds one graph until its end: submit several graphs early");
  if (!request.early && dialog.held_bytes + request.frame.size() > limits::kHeldBytes) {
    return absl::ResourceExhaustedError(StrCat(
        "a task holds at most ", FormatBytes(limits::kHeldBytes),
        " of what it submits until its end: submit early, or let tasks submit in their turn"));
  }
  dialog.submits = true;
  dialog.early = request.early;
  if (request.early) {
    dialog.asked = {request.graph, std::move(request.frame)};
    dialog.submitting = std::move(answer);
  } else {
    dialog.held_bytes += request.frame.size();
    dialog.held.push_back({request.graph, std::move(request.frame)});
    answer({});
  }
  events.push_back(event::ExecSubmit{attempt, request.early});
  return absl::OkStatus();
}

absl::Status Dialogs::Put(const AttemptRef& attempt, Dialog& dialog, const PutRequest& request,
                          AnswerTo& answer, std::vector<Event>& events) {
  if (dialog.submits && !dialog.early)
    return Wrong("a task that puts submits early, and this one holds what it has submitted");
  const uint32_t number = dialog.puts;
  const std::string name = request.name.empty() ? StrCat("put_", number) : request.name;
  const v1::GraphBatch batch = graph::NextPutBatch(number, worker_, {name, request.token});
  SubmitRequest submit{true, io::Compress(batch.SerializeAsString()), kPutGraph};
  return Submit(attempt, dialog, submit, answer, events);
}

absl::Status Dialogs::Await(const AttemptRef& attempt, Dialog& dialog, AwaitRequest& request,
                            AnswerTo& answer, std::vector<Event>& events) {
  if (dialog.waits())
    return Wrong("the task waits already: one wait at a time, for all that it needs");
  if (request.objects.size() > limits::kAwaitObjects) {
    return absl::InvalidArgumentError(StrCat("a task waits for at most ", limits::kAwaitObjects,
                                             " objects at once, not ", request.objects.size()));
  }
  if (request.objects.empty()) {
    answer({});
    return absl::OkStatus();
  }
  dialog.waiting = std::move(answer);
  BeginsToWait(dialog);
  events.push_back(event::ExecYield{attempt, std::move(request.objects)});
  return absl::OkStatus();
}

absl::Status Dialogs::Delegate(Dialog& dialog, const DelegateRequest& request) {
  const auto& names = dialog.output_names;
  auto found = std::find(names.begin(), names.end(), request.output);
  if (found == names.end() || dialog.access == nullptr) {
    std::string known;
    for (const std::string& name : names) known += StrCat(known.empty() ? "" : ", ", name);
    return absl::NotFoundError(StrCat("the task has no output '", request.output, "'",
                                      known.empty() ? "" : "; it has ", known));
  }
  dialog.access->Delegate(static_cast<uint32_t>(found - names.begin()), request.object);
  return absl::OkStatus();
}

void Dialogs::BeginsToWait(const Dialog& dialog) {
  if (!dialog.function || ++waiting_functions_ < std::max(kManyWaiting, 2 * told_waiting_)) return;
  told_waiting_ = waiting_functions_;
  io::LogWarning(StrCat(
      waiting_functions_,
      " functions wait inside of their tasks, and each keeps its process with its memory until it "
      "goes on; recursion needs fewer when a function returns what it spawned (a Ref, or "
      "op->delegate) instead of waiting for it"));
}

void Dialogs::StopsToWait(const Dialog& dialog) {
  if (dialog.function && dialog.waits() && --waiting_functions_ == 0) told_waiting_ = 0;
}

void Dialogs::LookUp(uint64_t token, Get& get) {
  get.gathering = {};
  get.retry_ns = 0;
  lookups_.push_back({token, get.object});
}

void Dialogs::OnSessionUp() {
  lookups_.clear();
  for (auto& [token, get] : gets_) {
    auto dialog = dialogs_.find(get.attempt);
    const bool awaits = dialog != dialogs_.end() && dialog->second.waiting_get == token;
    if (!awaits) LookUp(token, get);
  }
}

void Dialogs::OnMessage(SessionId session, const v1::SchedulerToWorker& message,
                        std::vector<Event>& events) {
  for (const v1::SubmissionAnswer& from : message.submission_answers()) {
    auto attempt = rpc::Decode(from.attempt());
    if (!attempt.ok()) continue;
    const bool taken = !from.has_failure();
    events.push_back(event::SubmitAnswered{session, *attempt, from.number(), taken});
    auto it = dialogs_.find(*attempt);
    if (it == dialogs_.end() || !it->second.submitting || from.number() != it->second.taken)
      continue;  // the answer to an older one
    Dialog& dialog = it->second;
    dialog.taken += taken;
    dialog.puts += taken && dialog.asked.graph == kPutGraph;
    dialog.asked = {};
    TaskAnswer answer;
    if (!taken) answer.status = rpc::FromFailure(from.failure());
    answer.job = from.job();
    answer.first_object = from.first_object();
    std::exchange(dialog.submitting, {})(std::move(answer));
  }
  for (const v1::AttemptRef& from : message.resumes()) {
    auto attempt = rpc::Decode(from);
    if (attempt.ok()) events.push_back(event::Resume{session, *attempt});
  }
  if (gets_.empty()) return;
  for (const v1::Replica& freed : message.frees()) {
    for (auto& [token, get] : gets_) {
      const ObjectVersion& id = get.gathering;
      if (id.version != 0 && id == ObjectVersion{{freed.job(), freed.object()}, freed.version()})
        LookUp(token, get);
    }
  }
  for (const v1::ObjectFound& found : message.found()) OnFound(session, found, events);
}

void Dialogs::OnFound(SessionId session, const v1::ObjectFound& found, std::vector<Event>& events) {
  auto it = gets_.find(found.token());
  if (it == gets_.end()) return;
  Get& get = it->second;
  if (found.has_failure()) return Answer(it, {rpc::FromFailure(found.failure())});
  if (!found.has_where()) {  // it is still to come
    Dialog& dialog = dialogs_.at(get.attempt);
    if (dialog.waits()) return Answer(it, {Wrong("the task waits already: one wait at a time")});
    dialog.waiting_get = it->first;
    BeginsToWait(dialog);
    // Each wait ends what the one before holds: what other gets of it are about to read is held on.
    event::ExecYield yield{get.attempt, {get.object}};
    for (const auto& [token, other] : gets_) {
      const bool reads = other.gathering.version != 0 || other.retry_ns != 0;
      if (reads && other.attempt == get.attempt && yield.awaits.size() < limits::kAwaitObjects)
        yield.awaits.push_back(other.object);
    }
    events.push_back(std::move(yield));
    return;
  }
  auto where = rpc::Decode(found.where());
  if (!where.ok()) return Answer(it, {where.status()});
  get.gathering = where->id;
  Read(where->id);
  if (!gets_.contains(found.token())) return;
  event::Gather gather{session, *where};
  TakeValue(found.where(), gather);
  events.push_back(std::move(gather));
}

void Dialogs::OnReplica(const ObjectVersion& object, uint64_t now_ns) {
  Read(object);
  OnGatherFailed(object, now_ns);  // the core has it, and the store cannot read it
}

void Dialogs::Read(const ObjectVersion& object) {
  for (auto it = gets_.begin(); it != gets_.end();) {
    auto get = it++;
    if (get->second.gathering != object) continue;
    absl::StatusOr<ObjectReader> reader = store_.Get({object, {}});
    if (!reader.ok()) continue;
    TaskAnswer answer;
    answer.object = *std::move(reader);
    answer.id = object;
    Answer(get, std::move(answer));
  }
}

void Dialogs::OnGatherFailed(const ObjectVersion& object, uint64_t now_ns) {
  for (auto it = gets_.begin(); it != gets_.end();) {
    auto get = it++;
    if (get->second.gathering != object) continue;
    if (++get->second.tries == limits::kTaskGetTries) {
      Answer(get, {absl::UnavailableError(StrCat("object ", ToString(object.object),
                                                 " could not be had from any worker"))});
      continue;
    }
    get->second.gathering = {};
    get->second.retry_ns = now_ns + kGetPauseNs;
    wake_ns_ = std::min(wake_ns_, get->second.retry_ns);
  }
}

void Dialogs::OnTime(uint64_t now_ns) {
  if (now_ns < wake_ns_) return;
  wake_ns_ = kNoWake;
  for (auto& [token, get] : gets_) {
    if (get.retry_ns == 0) continue;
    if (get.retry_ns <= now_ns) {
      LookUp(token, get);
    } else {
      wake_ns_ = std::min(wake_ns_, get.retry_ns);
    }
  }
}

void Dialogs::Answer(Gets::iterator get, TaskAnswer answer) {
  const AnswerTo to = std::move(get->second.answer);
  gets_.erase(get);
  to(std::move(answer));
}

const Dialogs::Submitted& Dialogs::SubmittedBy(const action::SendSubmit& a) const {
  const Dialog& dialog = dialogs_.at(a.attempt);
  if (a.early) return dialog.asked;
  TASKD_CHECK(a.number < dialog.held.size());
  return dialog.held[a.number];
}

void Dialogs::Resumed(const AttemptRef& attempt) {
  auto it = dialogs_.find(attempt);
  if (it == dialogs_.end()) return;
  StopsToWait(it->second);
  if (AnswerTo waiting = std::exchange(it->second.waiting, {})) return waiting({});
  auto get = gets_.find(std::exchange(it->second.waiting_get, 0));
  if (get != gets_.end()) LookUp(get->first, get->second);
}

void Dialogs::ReleaseSubmission(const AttemptRef& attempt) {
  auto it = dialogs_.find(attempt);
  if (it == dialogs_.end()) return;
  it->second.held = {};
  it->second.submits = false;
  if (it->second.ended) dialogs_.erase(it);
}

void Dialogs::Release(const AttemptRef& attempt) {
  auto it = dialogs_.find(attempt);
  if (it == dialogs_.end()) return;
  StopsToWait(it->second);
  if (it->second.access != nullptr) tokens_.erase(it->second.access->token);
  for (auto get = gets_.begin(); get != gets_.end();) {
    get = get->second.attempt == attempt ? gets_.erase(get) : std::next(get);
  }
  if (!it->second.submits) {
    dialogs_.erase(it);
    return;
  }
  Dialog ended;  // what it holds goes with its outcome
  ended.submits = ended.ended = true;
  ended.held = std::move(it->second.held);
  it->second = std::move(ended);
}

}  // namespace taskd::worker
