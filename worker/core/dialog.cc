// What a body asks while it runs. It *submits* batches, which the shell keeps: early ones are sent at
// once and answered, held ones go in front of the attempt's outcome and are sent again with it. It
// *yields* while it waits for objects: its resources are free for others, and when the scheduler
// resumes it, it gets them before anything new starts.
#include <utility>

#include "worker/core/impl.h"

namespace taskd::worker {

void WorkerCore::Impl::OnExecSubmit(const event::ExecSubmit& event) {
  uint32_t slot = FindAttempt(event.attempt);
  if (slot == kNoSlot || !Begun(attempts_[slot].phase)) return;
  Attempt& attempt = attempts_[slot];
  attempt.submits = true;
  if (attempt.disowned) return;
  attempt.early = event.early;
  if (!event.early) {
    ++attempt.submitted;
    return;
  }
  attempt.asking = true;
  if (connected_) Emit(action::SendSubmit{session_, attempt.ref(), attempt.submitted, true});
}

void WorkerCore::Impl::OnSubmitAnswered(const event::SubmitAnswered& event) {
  uint32_t slot = FindAttempt(event.attempt);
  if (slot == kNoSlot) return;
  Attempt& attempt = attempts_[slot];
  if (!attempt.asking || event.number != attempt.submitted) return;  // the answer to an older one
  attempt.asking = false;
  if (event.taken) ++attempt.submitted;
}

void WorkerCore::Impl::OnExecYield(event::ExecYield& event) {
  uint32_t slot = FindAttempt(event.attempt);
  if (slot == kNoSlot || attempts_[slot].phase != Phase::kRunning || attempts_[slot].disowned) {
    return;
  }
  Attempt& attempt = attempts_[slot];
  attempt.phase = Phase::kYielded;
  attempt.awaits = std::move(event.awaits);
  in_use_ -= attempt.need;
  units_.GiveBack(attempt.units);
  if (connected_) Emit(action::SendYield{session_, attempt.ref(), attempt.awaits});
}

void WorkerCore::Impl::OnResume(const AttemptRef& ref) {
  uint32_t slot = FindAttempt(ref);
  if (slot == kNoSlot || attempts_[slot].phase != Phase::kYielded) return;
  attempts_[slot].phase = Phase::kResuming;
  attempts_[slot].awaits.clear();
  resuming_.push_back(ref);
}

// Those that are to go on, in the order in which they were told. False: the first has no room yet, and
// nothing else starts before it.
bool WorkerCore::Impl::ResumeWhatFits() {
  while (!resuming_.empty() && budget_ > 0) {
    uint32_t slot = FindAttempt(resuming_.front());
    if (slot != kNoSlot && attempts_[slot].phase == Phase::kResuming) {
      Attempt& attempt = attempts_[slot];
      // It knows its units by their names: no others will do.
      if (!attempt.need.Fits(config_.capacity, in_use_) || !units_.AreFree(attempt.units))
        return false;
      units_.Take(attempt.units);
      attempt.phase = Phase::kRunning;
      in_use_ += attempt.need;
      Emit(action::ResumeExec{attempt.ref()});
    }
    Spend(1);
    resuming_.pop_front();
  }
  return resuming_.empty();
}

void WorkerCore::Impl::SendHeld(const AttemptRef& ref, uint32_t batches) {
  Spend(batches);
  for (uint32_t number = 0; number < batches; ++number)
    Emit(action::SendSubmit{session_, ref, number, false});
}

// On a new session: what was asked and not answered.
bool WorkerCore::Impl::ContinueDialogs(Work& work) {
  for (; work.cursor < attempts_.size(); ++work.cursor) {
    if (budget_ <= 0) return false;
    const Attempt& attempt = attempts_[work.cursor];
    if (!Begun(attempt.phase) || attempt.disowned) continue;
    Spend(1);
    if (attempt.asking) Emit(action::SendSubmit{session_, attempt.ref(), attempt.submitted, true});
    if (attempt.phase == Phase::kYielded)
      Emit(action::SendYield{session_, attempt.ref(), attempt.awaits});
  }
  return true;
}

}  // namespace taskd::worker
