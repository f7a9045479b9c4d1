#include "common/rpc/wire.h"

#include <cstdio>

#include "common/base/text.h"
#include "common/rpc/interned_names.h"
#include "taskd/v1/types.pb.h"
#include "taskd/v1/worker_session.pb.h"

namespace taskd::rpc {
namespace {

absl::Status Bad(std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat("malformed message: ", what, "; is the peer of another version?"));
}

// The enums number their values alike (session.h), so a check of the range is all that decoding
// needs.
template <class To, class From>
absl::StatusOr<To> DecodeEnum(From value, To first, To last, std::string_view name) {
  if (static_cast<int>(value) < static_cast<int>(first) ||
      static_cast<int>(value) > static_cast<int>(last)) {
    return Bad(StrCat(name, " ", static_cast<int>(value), " is unknown"));
  }
  return static_cast<To>(value);
}

// Bytes of the character that `text` begins with; 0: it is not UTF-8.
size_t CharacterBytes(std::string_view text) {
  const auto at = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const size_t n = at(0) < 0x80 ? 1 : at(0) < 0xC2 ? 0 : at(0) < 0xE0 ? 2 : at(0) < 0xF0 ? 3 : 4;
  if (n == 0 || at(0) > 0xF4 || n > text.size()) return 0;
  for (size_t i = 1; i < n; ++i) {
    if ((at(i) & 0xC0) != 0x80) return 0;
  }
  // Not the longer spellings of shorter ones, not halves of UTF-16 pairs, nothing past the last one.
  const bool odd = (at(0) == 0xE0 && at(1) < 0xA0) || (at(0) == 0xED && at(1) > 0x9F) ||
                   (at(0) == 0xF0 && at(1) < 0x90) || (at(0) == 0xF4 && at(1) > 0x8F);
  return odd ? 0 : n;
}

absl::Status CheckRef(AttemptRef attempt) {
  if (attempt.task.job == 0 || attempt.attempt == 0 ||
      attempt.task.ordinal >= limits::kTasksPerJob) {
    return Bad(StrCat("attempt ", ToString(attempt), " cannot exist"));
  }
  return absl::OkStatus();
}

absl::Status CheckVersion(const ObjectVersion& id) {
  if (id.object.job == 0) return Bad("an object of job 0");
  return absl::OkStatus();
}

template <class List>
absl::Status DecodeRefs(const List& from, std::vector<AttemptRef>* to) {
  to->reserve(from.size());
  for (const auto& ref : from) {
    auto attempt = Decode(ref);
    if (!attempt.ok()) return attempt.status();
    to->push_back(*attempt);
  }
  return absl::OkStatus();
}

template <class To>
void EncodeBadHolders(const std::vector<BadHolder>& from, To* to) {
  for (const BadHolder& bad : from) {
    v1::BadHolder* added = to->add_bad_holders();
    added->set_job(bad.id.object.job);
    added->set_object(bad.id.object.ordinal);
    added->set_version(bad.id.version);
    added->set_worker(bad.worker.packed());
    added->set_missing(bad.missing);
  }
}

template <class From>
absl::Status DecodeBadHolders(const From& from, std::vector<BadHolder>* to) {
  for (const v1::BadHolder& bad : from.bad_holders()) {
    BadHolder holder{{{bad.job(), bad.object()}, bad.version()},
                     WorkerId::FromPacked(bad.worker()),
                     bad.missing()};
    if (absl::Status status = CheckVersion(holder.id); !status.ok()) return status;
    to->push_back(holder);
  }
  return absl::OkStatus();
}

}  // namespace

std::string MessageText(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const size_t n = CharacterBytes(text);
    char spelled[8];
    if (n == 0)
      std::snprintf(spelled, sizeof spelled, "\\x%02x", static_cast<unsigned char>(text[0]));
    const std::string_view piece = n == 0 ? std::string_view(spelled) : text.substr(0, n);
    if (out.size() + piece.size() > limits::kMessageBytes) break;
    out += piece;
    text.remove_prefix(n == 0 ? 1 : n);
  }
  return out;
}

void Encode(const Resources& from, v1::Resources* to) {
  to->set_cpus_milli(from.cpus_milli);
  to->set_memory_bytes(from.memory_bytes);
  for (const PoolAmount& amount : from.pools) {
    if (amount.milli == 0) break;
    v1::PoolAmount* pool = to->add_pools();
    pool->set_name(PoolName(amount.pool));
    pool->set_milli(amount.milli);
  }
}

void Encode(TaskId from, v1::TaskRef* to) {
  to->set_job(from.job);
  to->set_ordinal(from.ordinal);
}

void Encode(ObjectId from, v1::ObjectRef* to) {
  to->set_job(from.job);
  to->set_ordinal(from.ordinal);
}

void Encode(AttemptRef from, v1::AttemptRef* to) {
  to->set_job(from.task.job);
  to->set_ordinal(from.task.ordinal);
  to->set_attempt(from.attempt);
}

void Encode(const Replica& from, v1::Replica* to) {
  Encode(from.id, to);
  to->set_size_bytes(from.size_bytes);
  to->set_crc32c(from.crc32c);
}

void Encode(ObjectVersion from, v1::Replica* to) {
  to->set_job(from.object.job);
  to->set_object(from.object.ordinal);
  to->set_version(from.version);
}

void Encode(const Inventory& from, v1::Inventory* to) {
  for (const Replica& replica : from.replicas) Encode(replica, to->add_replicas());
  for (AttemptRef attempt : from.assigned) Encode(attempt, to->add_assigned());
  for (AttemptRef attempt : from.running) Encode(attempt, to->add_running());
}

void Encode(const Outcome& from, v1::Outcome* to) {
  to->set_sequence(from.sequence);
  Encode(from.attempt, to->mutable_attempt());
  to->set_end(Encode(from.end));
  to->set_failure(Encode(from.failure));
  to->set_exit_code(from.exit_code);
  to->set_message(MessageText(from.message));
  to->set_exception(from.exception);
  to->set_run_ns(from.run_ns);
  to->set_fetched_bytes(from.fetched_bytes);
  to->set_first_output(from.first_output);
  for (const OutputInfo& output : from.outputs) {
    v1::OutputInfo* added = to->add_outputs();
    added->set_size_bytes(output.size_bytes);
    added->set_crc32c(output.crc32c);
    if (output.delegated != kNoOrdinal) added->set_delegated(output.delegated + 1);
  }
  to->set_submitted(from.submitted);
  EncodeBadHolders(from.bad_holders, to);
}

void Encode(const InputObject& from, v1::Gather* to) {
  to->set_job(from.id.object.job);
  to->set_object(from.id.object.ordinal);
  to->set_version(from.id.version);
  to->set_size_bytes(from.size_bytes);
  for (WorkerId holder : from.holders) {
    if (!holder) break;
    to->add_holders(holder.packed());
  }
}

void Encode(const GatherFailure& from, v1::GatherFailure* to) {
  to->set_job(from.object.object.job);
  to->set_object(from.object.object.ordinal);
  to->set_version(from.object.version);
  EncodeBadHolders(from.bad_holders, to);
}

v1::TaskState Encode(TaskState state) { return static_cast<v1::TaskState>(state); }
v1::AttemptState Encode(AttemptState state) { return static_cast<v1::AttemptState>(state); }
v1::AttemptEnd Encode(AttemptEnd end) { return static_cast<v1::AttemptEnd>(end); }
v1::FailureClass Encode(FailureClass failure) { return static_cast<v1::FailureClass>(failure); }
v1::WaitReason Encode(WaitReason reason) { return static_cast<v1::WaitReason>(reason); }
v1::WorkerState Encode(WorkerState state) { return static_cast<v1::WorkerState>(state); }
v1::JobState Encode(JobState state) { return static_cast<v1::JobState>(state); }

absl::StatusOr<PoolAmount> Decode(const v1::PoolAmount& from) {
  if (from.name().empty() || from.milli() == 0)
    return absl::InvalidArgumentError("a pool needs a name and an amount above 0");
  uint16_t number = PoolNumber(from.name());
  if (number == kNoPool) {
    return absl::ResourceExhaustedError(StrCat("more than ", limits::kPoolNames,
                                               " names of pools: '", from.name(), "' is too many"));
  }
  return PoolAmount{number, from.milli()};
}

absl::StatusOr<Resources> Decode(const v1::Resources& from) {
  Resources out{from.cpus_milli(), from.memory_bytes()};
  if (static_cast<uint32_t>(from.pools_size()) > limits::kPoolsPerRequest) {
    return absl::InvalidArgumentError(
        StrCat("at most ", limits::kPoolsPerRequest, " pools, not ", from.pools_size()));
  }
  for (const v1::PoolAmount& pool : from.pools()) {
    auto amount = Decode(pool);
    if (!amount.ok()) return amount.status();
    if (out.Pool(amount->pool) != 0)
      return absl::InvalidArgumentError(StrCat("pool '", pool.name(), "' is named twice"));
    Resources one;
    one.pools[0] = *amount;
    out += one;
  }
  return out;
}
TaskId Decode(const v1::TaskRef& from) { return {from.job(), from.ordinal()}; }
ObjectId Decode(const v1::ObjectRef& from) { return {from.job(), from.ordinal()}; }

absl::StatusOr<AttemptRef> Decode(const v1::AttemptRef& from) {
  AttemptRef attempt{{from.job(), from.ordinal()}, from.attempt()};
  if (absl::Status status = CheckRef(attempt); !status.ok()) return status;
  return attempt;
}

absl::StatusOr<Replica> Decode(const v1::Replica& from) {
  Replica replica{{{from.job(), from.object()}, from.version()}, from.size_bytes(), from.crc32c()};
  if (absl::Status status = CheckVersion(replica.id); !status.ok()) return status;
  return replica;
}

absl::StatusOr<Inventory> Decode(const v1::Inventory& from) {
  Inventory to;
  to.replicas.reserve(from.replicas_size());
  for (const v1::Replica& item : from.replicas()) {
    auto replica = Decode(item);
    if (!replica.ok()) return replica.status();
    to.replicas.push_back(*replica);
  }
  if (absl::Status status = DecodeRefs(from.assigned(), &to.assigned); !status.ok()) return status;
  if (absl::Status status = DecodeRefs(from.running(), &to.running); !status.ok()) return status;
  return to;
}

absl::StatusOr<Outcome> Decode(const v1::Outcome& from) {
  Outcome to;
  auto attempt = Decode(from.attempt());
  auto end = Decode(from.end());
  auto failure = Decode(from.failure());
  if (!attempt.ok()) return attempt.status();
  if (!end.ok()) return end.status();
  if (!failure.ok()) return failure.status();
  if (from.outputs_size() > static_cast<int>(limits::kOutputsPerTask))
    return Bad("an outcome with too many outputs");
  to.sequence = from.sequence();
  to.attempt = *attempt;
  to.end = *end;
  to.failure = *failure;
  to.exit_code = from.exit_code();
  to.message = MessageText(from.message());
  if (from.exception().size() <= limits::kExceptionBytes) to.exception = from.exception();
  to.run_ns = from.run_ns();
  to.fetched_bytes = from.fetched_bytes();
  to.first_output = from.first_output();
  for (const v1::OutputInfo& output : from.outputs())
    to.outputs.push_back({output.size_bytes(), output.crc32c(), output.delegated() - 1});
  to.submitted = from.submitted();
  if (absl::Status status = DecodeBadHolders(from, &to.bad_holders); !status.ok()) return status;
  return to;
}

absl::StatusOr<InputObject> Decode(const v1::Gather& from) {
  InputObject to{{{from.job(), from.object()}, from.version()}, from.size_bytes()};
  if (absl::Status status = CheckVersion(to.id); !status.ok()) return status;
  if (static_cast<size_t>(from.holders_size()) > to.holders.size())
    return absl::InvalidArgumentError("a gather names too many holders");
  for (int i = 0; i < from.holders_size(); ++i)
    to.holders[static_cast<size_t>(i)] = WorkerId::FromPacked(from.holders(i));
  return to;
}

absl::StatusOr<GatherFailure> Decode(const v1::GatherFailure& from) {
  GatherFailure to{{{from.job(), from.object()}, from.version()}, {}};
  if (absl::Status status = CheckVersion(to.object); !status.ok()) return status;
  if (absl::Status status = DecodeBadHolders(from, &to.bad_holders); !status.ok()) return status;
  return to;
}

absl::StatusOr<TaskState> Decode(v1::TaskState state) {
  return DecodeEnum(state, TaskState::kWaiting, TaskState::kCancelled, "task state");
}
absl::StatusOr<AttemptState> Decode(v1::AttemptState state) {
  return DecodeEnum(state, AttemptState::kAssigned, AttemptState::kYielded, "attempt state");
}
absl::StatusOr<AttemptEnd> Decode(v1::AttemptEnd end) {
  return DecodeEnum(end, AttemptEnd::kFinished, AttemptEnd::kLost, "attempt end");
}
absl::StatusOr<FailureClass> Decode(v1::FailureClass failure) {
  return DecodeEnum(failure, FailureClass::kNone, kLastFailureClass, "failure class");
}
absl::StatusOr<WaitReason> Decode(v1::WaitReason reason) {
  return DecodeEnum(reason, WaitReason::kNone, kLastWaitReason, "wait reason");
}
absl::StatusOr<WorkerState> Decode(v1::WorkerState state) {
  return DecodeEnum(state, WorkerState::kUp, WorkerState::kLost, "worker state");
}
absl::StatusOr<JobState> Decode(v1::JobState state) {
  return DecodeEnum(state, JobState::kOpen, JobState::kCancelled, "job state");
}

}  // namespace taskd::rpc
