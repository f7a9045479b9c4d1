// The session with the scheduler, level-triggered: on every new stream the worker says what it
// holds and has, and repeats the outcomes that were not acknowledged; messages in between need not
// arrive.
#include <algorithm>
#include <utility>

#include "worker/core/impl.h"

namespace taskd::worker {

void WorkerCore::Impl::OnSessionUp(const event::SessionUp& event) {
  if (event.session <= session_) return;
  session_ = event.session;
  connected_ = true;
  self_ = event.worker;
  if (event.other_cluster) work_.push_back({Work::Kind::kReset, 0, 0, {}});
  work_.push_back({Work::Kind::kInventory, 0, 0, {}});
  work_.push_back({Work::Kind::kDialogs, 0, 0, {}});
  work_.push_back({Work::Kind::kOutcomes, 0, 0, {}});
}

// One chunk a call: pieces in slot order (work.piece counts), then attempts (work.cursor counts).
bool WorkerCore::Impl::ContinueInventory(Work& work) {
  Inventory chunk;
  uint32_t room = limits::kInventoryChunk;
  for (; work.piece < pieces_.size() && room > 0; ++work.piece) {
    const Piece& piece = pieces_[work.piece];
    if (piece.state != PieceState::kLocal || !piece.key.parts.whole() || piece.doomed) continue;
    chunk.replicas.push_back({piece.key.id, piece.size_bytes, piece.crc32c});
    --room;
  }
  for (; work.cursor < attempts_.size() && room > 0; ++work.cursor) {
    const Attempt& attempt = attempts_[work.cursor];
    if (attempt.phase == Phase::kUnused || (attempt.disowned && attempt.successor == nullptr))
      continue;
    const bool running = Begun(attempt.phase) && !attempt.disowned;
    (running ? chunk.running : chunk.assigned).push_back(attempt.ref());
    --room;
  }
  Spend(1 + (limits::kInventoryChunk - room) / 16);
  if (room < limits::kInventoryChunk) Emit(action::SendInventory{session_, std::move(chunk)});
  return room > 0;
}

bool WorkerCore::Impl::ContinueOutcomes(Work& work) {
  for (; work.cursor < outcomes_.size(); ++work.cursor) {
    if (budget_ <= 0) return false;
    Spend(1);
    Report(outcomes_[work.cursor]);
  }
  Emit(action::SendInventoryDone{session_});
  return true;
}

void WorkerCore::Impl::OnAckOutcomes(uint64_t sequence) {
  while (!outcomes_.empty() && outcomes_.front().outcome.sequence <= sequence) {
    Spend(1);
    const AttemptRef& attempt = outcomes_.front().outcome.attempt;
    if (outcomes_.front().held) Emit(action::ReleaseSubmission{attempt});
    ended_.erase(attempt);
    outcomes_.pop_front();
  }
}

// Another cluster: its ids mean other things, so nothing of ours may be taken for its own. Running
// bodies are killed and disowned; requests under way are called back, and what they still bring is
// dropped.
bool WorkerCore::Impl::ContinueReset(Work& work) {
  for (; work.cursor < attempts_.size(); ++work.cursor) {
    if (budget_ <= 0) return false;
    Spend(1);
    Attempt& attempt = attempts_[work.cursor];
    if (attempt.phase == Phase::kUnused) continue;
    attempt.pieces.clear();  // the pieces go below, without a Drop for each
    if (!Begun(attempt.phase)) {
      EndSilently(work.cursor);
      continue;
    }
    if (!attempt.kill_sent) Emit(action::KillExec{attempt.ref()});
    attempt.kill_sent = true;
    attempt.disowned = true;
    attempt.successor.reset();
  }
  for (; work.piece < pieces_.size(); ++work.piece) {
    if (budget_ <= 0) return false;
    Spend(1);
    Piece& piece = pieces_[work.piece];
    if (piece.state == PieceState::kUnused) continue;
    piece.users = 0;
    piece.doomed = piece.gathered = false;
    piece.waiters = {};
    piece.candidates.clear();
    if (piece.state == PieceState::kInFlight) continue;  // until its request is answered
    if (piece.state == PieceState::kWanted) Unqueue(work.piece);
    if (piece.state == PieceState::kLocal) LeaveStore(work.piece);
    FreePiece(work.piece);
  }
  for (auto& [id, fetch] : fetches_) {
    if (!fetch.cancelled) Emit(action::CancelFetch{id});
    fetch.cancelled = true;
    fetch.abandoned = true;
    fetch.in_use = 0;
  }
  Emit(action::DropAll{});
  for (const Unacked& unacked : outcomes_) {
    if (unacked.held) Emit(action::ReleaseSubmission{unacked.outcome.attempt});
  }
  outcomes_.clear();
  ended_.clear();
  return true;
}

void WorkerCore::Impl::OnShutdown() {
  if (stopping_) return;
  stopping_ = true;
  work_.push_back({Work::Kind::kStop, 0, 0, {}});
}

bool WorkerCore::Impl::ContinueStop(Work& work) {
  for (; work.cursor < attempts_.size(); ++work.cursor) {
    if (budget_ <= 0) return false;
    Spend(1);
    Attempt& attempt = attempts_[work.cursor];
    if (attempt.phase == Phase::kUnused) continue;
    if (!Begun(attempt.phase)) {
      EndSilently(work.cursor);
      continue;
    }
    if (!attempt.kill_sent) Emit(action::KillExec{attempt.ref()});
    attempt.kill_sent = true;
  }
  return true;
}

void WorkerCore::Impl::StopWhenIdle() {
  if (!stopping_ || stopped_ || counters_.running > 0) return;
  stopped_ = true;
  Emit(action::Stopped{});
}

}  // namespace taskd::worker
