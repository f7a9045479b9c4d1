// Attempts: fetching -> queued -> running -> ended. An attempt pins its whole bundle from the
// assignment to its end. Ready ones wait in one queue per need, so that a large need does not hold
// up small ones; of the queues whose head fits, the best head starts.
#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "common/base/units.h"
#include "worker/core/impl.h"

namespace taskd::worker {

void WorkerCore::Impl::OnAssign(event::Assign& event) {
  const Assignment& assignment = event.assignment;
  uint32_t slot = FindAttempt(assignment.attempt);
  if (slot != kNoSlot) {
    Attempt& known = attempts_[slot];
    if (Current(event.session) && !stopping_ && known.disowned && known.successor == nullptr) {
      known.successor = std::make_unique<event::Assign>(std::move(event));
    }
    return;
  }
  if (!Current(event.session) || stopping_ || ended_.contains(assignment.attempt)) {
    Emit(action::ReleaseAttempt{assignment.attempt});
    return;
  }
  Admit(event);
}

void WorkerCore::Impl::Admit(const event::Assign& event) {
  const Assignment& assignment = event.assignment;
  uint32_t slot = kNoSlot;
  if (attempts_unused_.empty()) {
    slot = static_cast<uint32_t>(attempts_.size());
    attempts_.emplace_back();
  } else {
    slot = attempts_unused_.back();
    attempts_unused_.pop_back();
  }
  Attempt& attempt = attempts_[slot];
  attempt.phase = Phase::kFetching;
  attempt.rank = {-int64_t{assignment.priority}, assignment.order, assignment.attempt};
  attempt.need = assignment.need;
  attempt.first_output = assignment.first_output;
  attempt.output_count = assignment.output_count;
  attempt.next_use = assignment.next_use;
  attempt_index_.emplace(assignment.attempt, slot);
  ++counters_.fetching;
  if (!attempt.need.Fits(config_.capacity)) {
    Outcome refused;
    refused.end = AttemptEnd::kRefused;
    refused.message =
        StrCat("needs ", FormatCpus(attempt.need.cpus_milli), " cpus and ",
               attempt.need.memory_bytes, " bytes of memory; this worker has ",
               FormatCpus(config_.capacity.cpus_milli), " and ", config_.capacity.memory_bytes);
    End(slot, std::move(refused));
    return;
  }
  PinInputs(slot, event);
  if (attempts_[slot].missing == 0) Enqueue(slot);
}

void WorkerCore::Impl::OnRetract(const AttemptRef& ref) {
  uint32_t slot = FindAttempt(ref);
  if (slot == kNoSlot) return;  // its outcome is on its way
  Outcome outcome;
  outcome.end = AttemptEnd::kRetracted;
  if (attempts_[slot].disowned) {
    if (attempts_[slot].successor != nullptr) End(slot, std::move(outcome));
    return;
  }
  if (Begun(attempts_[slot].phase)) return;  // the Started that was sent is the answer
  End(slot, std::move(outcome));
}

void WorkerCore::Impl::OnCancel(const AttemptRef& ref) {
  uint32_t slot = FindAttempt(ref);
  if (slot == kNoSlot) return;
  Attempt& attempt = attempts_[slot];
  if (Begun(attempt.phase) && !attempt.disowned) {
    if (!attempt.kill_sent) Emit(action::KillExec{ref});
    attempt.kill_sent = true;
    return;
  }
  if (attempt.disowned && attempt.successor == nullptr) return;
  Outcome outcome;
  outcome.end = AttemptEnd::kCancelled;
  End(slot, std::move(outcome));
}

void WorkerCore::Impl::OnExecDone(event::ExecDone& event) {
  uint32_t slot = FindAttempt(event.attempt);
  if (slot == kNoSlot || !Begun(attempts_[slot].phase)) return;
  Attempt& attempt = attempts_[slot];
  if (attempt.disowned || stopping_) {
    if (event.end == AttemptEnd::kFinished) DropOutputs(attempt, event.outputs);
    EndSilently(slot);
    return;
  }
  Outcome outcome;
  outcome.end = event.end;
  outcome.failure = event.failure;
  outcome.exit_code = event.exit_code;
  outcome.message = std::move(event.message);
  outcome.exception = std::move(event.exception);
  outcome.run_ns = event.run_ns;
  if (event.end == AttemptEnd::kFinished && event.outputs.size() != attempt.output_count) {
    DropOutputs(attempt, event.outputs);
    outcome.end = AttemptEnd::kFailed;
    outcome.failure = FailureClass::kOutputMissing;
    outcome.message =
        StrCat("the executor made ", event.outputs.size(), " outputs of ", attempt.output_count);
  } else if (event.end == AttemptEnd::kFinished) {
    KeepOutputs(attempt, event.outputs);
    outcome.submitted = attempt.submitted;
    outcome.outputs.assign(event.outputs.begin(), event.outputs.end());
  }
  End(slot, std::move(outcome));
}

void WorkerCore::Impl::KeepOutputs(const Attempt& attempt,
                                   const std::vector<StoredOutput>& outputs) {
  const AttemptRef ref = attempt.ref();
  const Ordinal first = attempt.first_output;
  for (uint32_t i = 0; i < outputs.size(); ++i) {
    LocalKey key = {{{ref.task.job, first + i}, ref.attempt}, {}};
    if (outputs[i].delegated != kNoOrdinal) continue;
    if (FindPiece(key) != kNoSlot) continue;  // only this attempt makes this version
    const uint32_t index = NewPiece(key);
    pieces_[index].next_use = attempt.next_use;
    BecomeLocal(index, outputs[i].size_bytes, outputs[i].crc32c, outputs[i].on_disk);
  }
}

// What an executor made beyond its task's outputs has no name here: the next ordinal is another
// task's, whose bytes may lie in the store already while its end is still in our queue.
void WorkerCore::Impl::DropOutputs(const Attempt& attempt,
                                   const std::vector<StoredOutput>& outputs) {
  for (uint32_t i = 0; i < std::min<size_t>(outputs.size(), attempt.output_count); ++i) {
    if (outputs[i].delegated != kNoOrdinal) continue;
    LocalKey key = {{{attempt.ref().task.job, attempt.first_output + i}, attempt.ref().attempt},
                    {}};
    if (FindPiece(key) == kNoSlot) Emit(action::Drop{key});
  }
}

void WorkerCore::Impl::StartWhatFits() {
  if (stopping_ || !ResumeWhatFits()) return;
  while (budget_ > 0) {
    const uint32_t free_cpus = config_.capacity.cpus_milli - in_use_.cpus_milli;
    const std::pair<Rank, uint32_t>* best = nullptr;
    for (const auto& [need, queue] : queues_) {  // ordered by cpus: the rest is larger
      if (need.cpus_milli > free_cpus) break;
      if (!FitsNow(need)) continue;
      if (best == nullptr || *queue.begin() < *best) best = &*queue.begin();
    }
    if (best == nullptr) return;
    Start(best->second);
  }
}

void WorkerCore::Impl::Start(uint32_t slot) {
  Spend(1);
  Dequeue(slot);
  Attempt& attempt = attempts_[slot];
  attempt.phase = Phase::kRunning;
  ++counters_.running;
  in_use_ += attempt.need;
  attempt.units = units_.Grant(attempt.need);
  if (connected_) Emit(action::SendStarted{session_, attempt.ref()});
  Emit(action::StartExec{attempt.ref(), attempt.units});
}

void WorkerCore::Impl::Enqueue(uint32_t slot) {
  Attempt& attempt = attempts_[slot];
  TASKD_CHECK(attempt.phase == Phase::kFetching && attempt.missing == 0);
  attempt.phase = Phase::kQueued;
  --counters_.fetching;
  ++counters_.queued;
  queues_[attempt.need].emplace(attempt.rank, slot);
}

void WorkerCore::Impl::Dequeue(uint32_t slot) {
  Attempt& attempt = attempts_[slot];
  TASKD_CHECK(attempt.phase == Phase::kQueued);
  auto queue = queues_.find(attempt.need);
  TASKD_CHECK(queue != queues_.end() && queue->second.erase({attempt.rank, slot}) == 1);
  if (queue->second.empty()) queues_.erase(queue);
  --counters_.queued;
}

void WorkerCore::Impl::End(uint32_t slot, Outcome outcome) {
  Attempt& attempt = attempts_[slot];
  outcome.sequence = ++last_sequence_;
  outcome.attempt = attempt.ref();
  outcome.first_output = attempt.first_output;
  outcome.fetched_bytes = attempt.disowned ? 0 : attempt.fetched_bytes;
  ++counters_.attempts_ended[static_cast<uint8_t>(outcome.end)];
  ended_.insert(outcome.attempt);
  const bool held = !attempt.early && outcome.submitted > 0;
  attempt.riding = held;
  outcomes_.push_back({std::move(outcome), held});
  if (connected_) Report(outcomes_.back());
  if (attempt.disowned) {
    attempt.successor.reset();  // what the old one left is released when it is reaped
  } else {
    EndSilently(slot);
  }
}

void WorkerCore::Impl::Report(const Unacked& unacked) {
  if (unacked.held) SendHeld(unacked.outcome.attempt, unacked.outcome.submitted);
  Emit(action::SendOutcome{session_, unacked.outcome});
}

void WorkerCore::Impl::EndSilently(uint32_t slot) {
  Spend(1);
  Attempt& attempt = attempts_[slot];
  std::unique_ptr<event::Assign> successor = std::move(attempt.successor);
  if (attempt.submits && !attempt.riding) Emit(action::ReleaseSubmission{attempt.ref()});
  // The shell's copy of the body is the successor's by now.
  if (successor == nullptr || stopping_) Emit(action::ReleaseAttempt{attempt.ref()});
  Remove(slot);
  if (successor != nullptr && !stopping_) Admit(*successor);
}

void WorkerCore::Impl::Remove(uint32_t slot) {
  Attempt& attempt = attempts_[slot];
  switch (attempt.phase) {
    case Phase::kFetching:
      --counters_.fetching;
      break;
    case Phase::kQueued:
      Dequeue(slot);
      break;
    case Phase::kRunning:
      --counters_.running;
      in_use_ -= attempt.need;
      units_.GiveBack(attempt.units);
      break;
    case Phase::kYielded:
    case Phase::kResuming:
      --counters_.running;
      break;
    case Phase::kUnused:
      TASKD_CHECK(false);
  }
  attempt_index_.erase(attempt.ref());
  std::vector<uint32_t> pieces = std::move(attempt.pieces);
  const uint32_t generation = attempt.generation + 1;
  attempt = Attempt{};
  attempt.generation = generation;
  attempts_unused_.push_back(slot);
  for (uint32_t piece : pieces) Unpin(piece);
}

uint32_t WorkerCore::Impl::FindAttempt(const AttemptRef& ref) const {
  auto it = attempt_index_.find(ref);
  return it == attempt_index_.end() ? kNoSlot : it->second;
}

}  // namespace taskd::worker
