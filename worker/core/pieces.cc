// Pieces: what the store has, and what attempts still need. A piece stays while it is in the store
// as a whole replica, while an attempt pins it, or while a request for it is under way; parts go
// with their last user. A whole replica, here or under way, serves every part of it.
#include <algorithm>
#include <utility>

#include "common/base/mutant.h"
#include "common/base/text.h"
#include "worker/core/impl.h"

namespace taskd::worker {

void WorkerCore::Impl::PinInputs(uint32_t slot, const event::Assign& event) {
  const Assignment& assignment = event.assignment;
  std::vector<uint32_t> wanted, came, taken;
  auto valued = event.valued.begin();
  for (const InputEdge& edge : assignment.edges) {
    TASKD_CHECK(edge.first <= assignment.objects.size() &&
                edge.count <= assignment.objects.size() - edge.first);
    for (uint32_t i = edge.first; i < edge.first + edge.count; ++i) {
      const uint32_t index = PieceFor(assignment.objects[i], edge.parts);
      AddHolders(pieces_[index], assignment.objects[i]);
      wanted.push_back(index);
      if (valued == event.valued.end() || *valued != i) continue;
      ++valued;
      if (pieces_[index].key.parts.whole()) came.push_back(index);
    }
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  std::sort(came.begin(), came.end());
  Spend(wanted.size());
  attempts_[slot].pieces = wanted;
  for (uint32_t index : wanted) {
    Piece& piece = pieces_[index];
    TASKD_CHECK(piece.state != PieceState::kExhausted);
    const bool reported = !piece.doomed;
    piece.doomed = false;
    ++piece.users;
    if (!TASKD_MUTANT(kPinnedSpilled)) NotIdle(index);
    if (piece.state == PieceState::kLocal) {
      // The scheduler freed it and thinks it gone: it is a replica again.
      if (!reported)
        Emit(action::SendReplicaAdded{session_, {piece.key.id, piece.size_bytes, piece.crc32c}});
      continue;
    }
    if (piece.state == PieceState::kInFlight && piece.users == 1) ++fetches_.at(piece.fetch).in_use;
    AddWaiter(index, slot);
    if (piece.state != PieceState::kUnused && piece.state != PieceState::kGone) continue;
    if (std::binary_search(came.begin(), came.end(), index)) {
      taken.push_back(index);
    } else {
      Route(index);
    }
  }
  if (!taken.empty()) TakeValues(std::move(taken), event.values);
}

uint32_t WorkerCore::Impl::PieceFor(const InputObject& object, PartRange parts) {
  if (!parts.whole()) {
    const uint32_t whole = FindPiece({object.id, {}});
    if (whole != kNoSlot && pieces_[whole].state != PieceState::kGone) return whole;
  }
  const LocalKey key = {object.id, parts};
  const uint32_t known = FindPiece(key);
  if (known != kNoSlot) return known;
  const uint32_t index = NewPiece(key);
  pieces_[index].size_bytes = object.size_bytes;
  return index;
}

void WorkerCore::Impl::AddHolders(Piece& piece, const InputObject& object) {
  if (piece.state == PieceState::kGone) piece.candidates.clear();  // those of an older assignment
  for (WorkerId holder : object.holders) {
    if (!holder) break;
    const auto known = std::find_if(piece.candidates.begin(), piece.candidates.end(),
                                    [&](const Candidate& c) { return c.worker == holder; });
    if (known == piece.candidates.end()) {
      piece.candidates.push_back({holder, false, false, session_});
    } else if (known->session != session_) {
      *known = {holder, false, false, session_};
    }
  }
}

void WorkerCore::Impl::AddWaiter(uint32_t index, uint32_t slot) {
  Piece& piece = pieces_[index];
  Attempt& attempt = attempts_[slot];
  if (piece.waiters.size() >
      2 * uint64_t{piece.users} + 64) {  // mostly attempts that ended meanwhile
    std::erase_if(piece.waiters, [&](const Waiter& w) { return !Alive(w); });
  }
  const bool first = piece.waiters.empty();
  piece.waiters.push_back({slot, attempt.generation});
  ++attempt.missing;
  if (!first && !(attempt.rank < piece.rank)) return;
  if (piece.state != PieceState::kWanted) {
    piece.rank = attempt.rank;
    return;
  }
  const WorkerId peer = piece.peer;
  Unqueue(index);
  piece.rank = attempt.rank;
  QueueAt(index, peer);
}

void WorkerCore::Impl::Unpin(uint32_t index) {
  Piece& piece = pieces_[index];
  TASKD_CHECK(piece.users > 0);
  if (--piece.users > 0) return;
  switch (piece.state) {
    case PieceState::kLocal:
      if (piece.key.parts.whole() && !piece.doomed) {
        piece.next_use = kUnknownUse;
        if (!TASKD_MUTANT(kLastCopyEvicted)) return BecomeIdle(index);
        if (connected_) Emit(action::SendReplicaLost{session_, piece.key.id});
      }
      Emit(action::Drop{piece.key});
      LeaveStore(index);
      FreePiece(index);
      return;
    case PieceState::kWanted:
      Unqueue(index);
      FreePiece(index);
      return;
    case PieceState::kInFlight:
      NoLongerUsed(piece.fetch);
      return;
    case PieceState::kGone:
      FreePiece(index);
      return;
    case PieceState::kExhausted:
      return;  // ContinueExhausted is at it
    case PieceState::kUnused:
      TASKD_CHECK(false);
  }
}

void WorkerCore::Impl::BecomeLocal(uint32_t index, uint64_t size_bytes, uint32_t crc32c,
                                   bool on_disk) {
  Piece& piece = pieces_[index];
  piece.state = PieceState::kLocal;
  piece.size_bytes = size_bytes;
  piece.crc32c = crc32c;
  if (piece.key.parts.whole()) {
    ++counters_.replicas;
    counters_.replica_bytes += size_bytes;
  }
  TakePlace(index, on_disk);
  if (!piece.waiters.empty()) work_.push_back({Work::Kind::kArrived, index, 0, {}});
}

// An object without bytes is where it is needed: a request for it would cost a round trip.
void WorkerCore::Impl::MakeEmpty(uint32_t index) {
  Piece& piece = pieces_[index];
  Emit(action::PutValues{0, {}, {piece.key}});
  BecomeLocal(index, 0, 0, false);
  if (!piece.doomed && connected_) Emit(action::SendReplicaAdded{session_, {piece.key.id, 0, 0}});
  if (piece.gathered) EndGather(index);
}

void WorkerCore::Impl::LeaveStore(uint32_t index) {
  LeavePlace(index);
  const Piece& piece = pieces_[index];
  if (!piece.key.parts.whole()) return;
  --counters_.replicas;
  counters_.replica_bytes -= piece.size_bytes;
}

bool WorkerCore::Impl::ContinueArrived(Work& work) {
  Piece& piece = pieces_[work.piece];
  if (piece.state != PieceState::kLocal) return true;  // its last user ended as stuck meanwhile
  while (piece.waiters_done < piece.waiters.size()) {
    if (budget_ <= 0) return false;
    Spend(1);
    const Waiter waiter = piece.waiters[piece.waiters_done++];
    if (Alive(waiter) && --attempts_[waiter.attempt].missing == 0) Enqueue(waiter.attempt);
  }
  piece.waiters = {};
  piece.waiters_done = 0;
  return true;
}

bool WorkerCore::Impl::ContinueExhausted(Work& work) {
  Piece& piece = pieces_[work.piece];
  while (piece.waiters_done < piece.waiters.size()) {
    if (budget_ <= 0) return false;
    const Waiter waiter = piece.waiters[piece.waiters_done++];
    Spend(1);
    if (!Alive(waiter)) continue;
    Outcome outcome;
    outcome.end = AttemptEnd::kStuck;
    outcome.message =
        StrCat("input ", ToString(piece.key.id.object), " could not be had from any known holder");
    for (uint32_t index : attempts_[waiter.attempt].pieces) {
      const Piece& failed = pieces_[index];
      if (failed.state != PieceState::kExhausted) continue;
      for (const BadHolder& bad : BadHolders(failed)) outcome.bad_holders.push_back(bad);
    }
    End(waiter.attempt, std::move(outcome));
  }
  piece.waiters = {};
  piece.waiters_done = 0;
  piece.state = PieceState::kGone;
  if (piece.gathered && connected_ && !TASKD_MUTANT(kGatherUntold))
    Emit(action::SendGatherFailed{session_, {piece.key.id, BadHolders(piece)}});
  if (piece.gathered) return EndGather(work.piece), true;
  if (piece.users == 0) FreePiece(work.piece);
  return true;
}

void WorkerCore::Impl::OnFree(const ObjectVersion& object) {
  uint32_t index = FindPiece({object, {}});
  if (index != kNoSlot && pieces_[index].gathered) EndGather(index);
  index = FindPiece({object, {}});
  if (index == kNoSlot) return;
  Piece& piece = pieces_[index];
  if (piece.users > 0) {
    piece.doomed = true;
    return;
  }
  if (piece.state != PieceState::kLocal) return;  // under way for nobody: dropped when it arrives
  Emit(action::Drop{piece.key});
  LeaveStore(index);
  FreePiece(index);
}

void WorkerCore::Impl::OnReplicaLost(const ObjectVersion& object) {
  const uint32_t index = FindPiece({object, {}});
  if (index == kNoSlot || pieces_[index].state != PieceState::kLocal) return;
  Piece& piece = pieces_[index];
  LeaveStore(index);
  if (connected_ && !piece.doomed) Emit(action::SendReplicaLost{session_, object});
  if (piece.users == 0) {
    FreePiece(index);
    return;
  }
  piece.state = PieceState::kGone;
  for (Candidate& c : piece.candidates) c.bad = c.missing = false;
  work_.push_back({Work::Kind::kLost, index, 0, {}});
}

// Looks at every attempt for those that need the piece again: losing a replica is rare, and a list
// of users would make each end of an attempt pay for it.
bool WorkerCore::Impl::ContinueLost(Work& work) {
  for (; work.cursor < attempts_.size(); ++work.cursor) {
    if (budget_ <= 0) return false;
    Spend(1);
    Attempt& attempt = attempts_[work.cursor];
    if (attempt.phase != Phase::kFetching && attempt.phase != Phase::kQueued) continue;
    if (!std::binary_search(attempt.pieces.begin(), attempt.pieces.end(), work.piece)) continue;
    if (attempt.phase == Phase::kQueued) {
      Dequeue(work.cursor);
      attempt.phase = Phase::kFetching;
      ++counters_.fetching;
    }
    AddWaiter(work.piece, work.cursor);
  }
  if (!pieces_[work.piece].waiters.empty()) Route(work.piece);
  return true;
}

uint32_t WorkerCore::Impl::FindPiece(const LocalKey& key) const {
  auto it = piece_index_.find(key);
  return it == piece_index_.end() ? kNoSlot : it->second;
}

// The caller gives it a state before anything else looks at it.
uint32_t WorkerCore::Impl::NewPiece(const LocalKey& key) {
  uint32_t index = kNoSlot;
  if (pieces_unused_.empty()) {
    index = static_cast<uint32_t>(pieces_.size());
    pieces_.emplace_back();
  } else {
    index = pieces_unused_.back();
    pieces_unused_.pop_back();
  }
  pieces_[index].key = key;
  piece_index_.emplace(key, index);
  return index;
}

void WorkerCore::Impl::FreePiece(uint32_t index) {
  piece_index_.erase(pieces_[index].key);
  pieces_[index] = Piece{};
  pieces_unused_.push_back(index);
}

}  // namespace taskd::worker
