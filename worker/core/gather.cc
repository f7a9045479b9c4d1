// Objects that the scheduler wants here for their own sake: a second copy, or what a worker that
// leaves is the last to hold. A gather is a user of its piece, of the lowest rank, so that every
// attempt's inputs go first. It ends when the piece is here, when every holder has failed, or when
// the object is freed; the scheduler thinks of it again when a stream breaks.
#include "worker/core/impl.h"

namespace taskd::worker {

void WorkerCore::Impl::OnGather(const event::Gather& event) {
  const InputObject& object = event.object;
  const uint32_t index = PieceFor(object, {});
  AddHolders(pieces_[index], object);
  Piece& piece = pieces_[index];
  piece.doomed = false;
  if (piece.state == PieceState::kLocal) {
    Emit(action::SendReplicaAdded{session_, {piece.key.id, piece.size_bytes, piece.crc32c}});
    return;
  }
  if (piece.gathered) return;
  piece.gathered = true;
  ++piece.users;
  if (piece.state == PieceState::kInFlight && piece.users == 1) ++fetches_.at(piece.fetch).in_use;
  if (piece.state != PieceState::kUnused && piece.state != PieceState::kGone) return;
  piece.rank = kAfterAll;
  if (event.values != nullptr) return TakeValues({index}, event.values);
  Route(index);
}

void WorkerCore::Impl::EndGather(uint32_t index) {
  pieces_[index].gathered = false;
  Unpin(index);
}

// Those that were tried, by names that still are what they were. None named: the scheduler believed
// that it is here.
std::vector<BadHolder> WorkerCore::Impl::BadHolders(const Piece& piece) const {
  std::vector<BadHolder> bad;
  bool of_old = false;
  for (const Candidate& c : piece.candidates) {
    of_old |= c.session != session_;
    if (c.bad && c.session == session_) bad.push_back({piece.key.id, c.worker, c.missing});
  }
  if (bad.empty() && !of_old) bad.push_back({piece.key.id, self_, true});
  return bad;
}

}  // namespace taskd::worker
