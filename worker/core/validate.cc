// Recounts everything that the tables say twice. Holds between any two steps, also with work left
// over, except in the middle of a reset.
#include <algorithm>

#include "common/base/text.h"
#include "worker/core/impl.h"

namespace taskd::worker {

std::string WorkerCore::Impl::Validate() const {
  if (!work_.empty() && work_.front().kind == Work::Kind::kReset && work_.front().cursor > 0)
    return "";
  std::string error = ValidateAttempts();
  if (error.empty()) error = ValidatePieces();
  if (error.empty()) error = ValidatePeers();
  if (error.empty()) error = ValidateTotals();
  if (error.empty()) error = ValidateMemory();
  return error;
}

std::string WorkerCore::Impl::ValidateAttempts() const {
  std::vector<uint32_t> waits(attempts_.size(), 0), users(pieces_.size(), 0);
  for (const Piece& piece : pieces_) {
    for (uint32_t i = piece.waiters_done; i < piece.waiters.size(); ++i) {
      if (Alive(piece.waiters[i])) ++waits[piece.waiters[i].attempt];
    }
  }
  const bool idle = work_.empty();
  for (uint32_t slot = 0; slot < attempts_.size(); ++slot) {
    const Attempt& attempt = attempts_[slot];
    if (attempt.phase == Phase::kUnused) continue;
    const std::string name = StrCat("attempt ", ToString(attempt.ref()));
    if (FindAttempt(attempt.ref()) != slot) return StrCat(name, " is not in the index");
    if (attempt.missing != waits[slot])
      return StrCat(name, " misses ", attempt.missing, ", waits for ", waits[slot]);
    const bool fetching = attempt.phase == Phase::kFetching;
    if (idle && fetching != (attempt.missing > 0)) return StrCat(name, " has the wrong phase");
    if (!std::is_sorted(attempt.pieces.begin(), attempt.pieces.end()))
      return StrCat(name, " has unsorted pieces");
    if (attempt.successor != nullptr && !attempt.disowned)
      return StrCat(name, " has a successor but is owned");
    if (attempt.disowned && !attempt.pieces.empty()) return StrCat(name, " is disowned but pins");
    for (uint32_t index : attempt.pieces) {
      ++users[index];
      const Piece& piece = pieces_[index];
      if (attempt.phase == Phase::kQueued && idle && piece.state != PieceState::kLocal) {
        return StrCat(name, " is queued without its input ", ToString(piece.key.id.object));
      }
    }
    auto queue = queues_.find(attempt.need);
    const bool queued = queue != queues_.end() && queue->second.contains({attempt.rank, slot});
    if (queued != (attempt.phase == Phase::kQueued))
      return StrCat(name, " is wrongly queued or not");
  }
  for (uint32_t index = 0; index < pieces_.size(); ++index) {
    if (users[index] + pieces_[index].gathered != pieces_[index].users) {
      return StrCat("piece of ", ToString(pieces_[index].key.id.object), " counts ",
                    pieces_[index].users, " users, has ", users[index]);
    }
  }
  return "";
}

std::string WorkerCore::Impl::ValidatePieces() const {
  uint32_t used = 0;
  for (uint32_t index = 0; index < pieces_.size(); ++index) {
    const Piece& piece = pieces_[index];
    if (piece.state == PieceState::kUnused) continue;
    ++used;
    const std::string name = StrCat("piece of ", ToString(piece.key.id.object));
    if (FindPiece(piece.key) != index) return StrCat(name, " is not in the index");
    const bool kept = piece.state == PieceState::kLocal && piece.key.parts.whole() && !piece.doomed;
    if (piece.users == 0 && !kept && piece.state != PieceState::kInFlight && work_.empty()) {
      return StrCat(name, " is of no use");
    }
    if (piece.gathered && (piece.state == PieceState::kLocal || piece.state == PieceState::kGone))
      return StrCat(name, " is gathered for ever");
    if (piece.state == PieceState::kExhausted && work_.empty())
      return StrCat(name, " is exhausted");
    if (piece.state == PieceState::kLocal && work_.empty() && !piece.waiters.empty()) {
      return StrCat(name, " is here, yet waited for");
    }
    if (piece.state == PieceState::kWanted) {
      auto peer = peers_.find(piece.peer);
      if (peer == peers_.end() || !peer->second.queue.contains({piece.rank, index})) {
        return StrCat(name, " is in no queue");
      }
    }
    if (piece.state == PieceState::kInFlight) {
      auto fetch = fetches_.find(piece.fetch);
      if (fetch == fetches_.end()) return StrCat(name, " is in no request");
    }
  }
  if (used != piece_index_.size() || used + pieces_unused_.size() != pieces_.size()) {
    return "piece slots do not add up";
  }
  return "";
}

std::string WorkerCore::Impl::ValidatePeers() const {
  uint32_t requests = 0;
  for (const auto& [id, fetch] : fetches_) {
    requests += fetch.peer ? 1 : 0;
    uint32_t in_use = 0;
    for (uint32_t index : fetch.pieces) {
      const bool still =
          pieces_[index].state == PieceState::kInFlight && pieces_[index].fetch == id;
      if (!still && work_.empty())
        return StrCat("request ", id, " has an item that is not under way");
      if (still && pieces_[index].users > 0) ++in_use;
    }
    if (work_.empty() && in_use != fetch.in_use)
      return StrCat("request ", id, " miscounts its items in use");
    if (work_.empty() && in_use == 0 && !fetch.cancelled)
      return StrCat("request ", id, " is for nobody");
  }
  if (requests != requests_ || requests > config_.fetches_total)
    return "requests are miscounted or too many";
  uint32_t active = 0, ready = 0, timers = 0;
  for (const auto& [worker, peer] : peers_) {
    const std::string name = StrCat("peer ", ToString(worker));
    active += peer.active;
    if (peer.active > config_.fetches_per_peer) return StrCat(name, " has too many requests");
    for (const PieceOrder& entry : peer.queue) {
      const Piece& piece = pieces_[entry.piece];
      if (piece.state != PieceState::kWanted || piece.peer != worker || piece.rank != entry.rank) {
        return StrCat(name, " has a strange piece in its queue");
      }
    }
    if (peer.ready && (peer.queue.empty() || *peer.ready != *peer.queue.begin() ||
                       !ready_.contains({*peer.ready, worker}))) {
      return StrCat(name, " is wrongly ready");
    }
    if (!peer.queue.empty() && !peer.ready && peer.timer == 0 &&
        peer.active < config_.fetches_per_peer) {
      return StrCat(name, " is forgotten");
    }
    ready += peer.ready.has_value();
    timers += peer.timer != 0;
  }
  if (active != requests_ || ready != ready_.size() || timers != timers_.size())
    return "peers do not add up";
  return "";
}

std::string WorkerCore::Impl::ValidateTotals() const {
  uint32_t phases[kPhases] = {};
  Resources in_use;
  Units units(config_.capacity);
  for (const Attempt& attempt : attempts_) {
    ++phases[static_cast<uint8_t>(attempt.phase)];
    if (attempt.phase != Phase::kRunning) continue;
    in_use += attempt.need;
    if (!units.AreFree(attempt.units)) return "two attempts have the same unit of a pool";
    units.Take(attempt.units);
  }
  if (units.used_milli() != units_.used_milli()) return "units in use are miscounted";
  if (in_use != in_use_ || !in_use_.Fits(config_.capacity))
    return "resources in use are miscounted or too much";
  if (phases[1] != counters_.fetching || phases[2] != counters_.queued ||
      phases[3] + phases[4] + phases[5] != counters_.running) {
    return "phases are miscounted";
  }
  if (phases[0] != attempts_unused_.size()) return "attempt slots do not add up";
  uint64_t replicas = 0, bytes = 0;
  for (const Piece& piece : pieces_) {
    if (piece.state != PieceState::kLocal || !piece.key.parts.whole()) continue;
    ++replicas;
    bytes += piece.size_bytes;
  }
  if (replicas != counters_.replicas || bytes != counters_.replica_bytes)
    return "replicas are miscounted";
  if (ended_.size() != outcomes_.size()) return "outcomes and ended attempts differ";
  for (uint64_t i = 1; i < outcomes_.size(); ++i) {
    if (outcomes_[i].outcome.sequence != outcomes_[i - 1].outcome.sequence + 1)
      return "outcomes are out of sequence";
  }
  return "";
}

std::string WorkerCore::Impl::ValidateMemory() const {
  uint64_t memory = 0, disk = 0, spilling = 0, idle = 0;
  for (uint32_t index = 0; index < pieces_.size(); ++index) {
    const Piece& piece = pieces_[index];
    const std::string name = StrCat("piece of ", ToString(piece.key.id.object));
    const bool local = piece.state == PieceState::kLocal;
    if (!local && (piece.idle_since != 0 || piece.spill != 0))
      return StrCat(name, " is not here, yet its memory is counted");
    if (!local) continue;
    (piece.place == Place::kDisk ? disk : memory) += piece.size_bytes;
    if (piece.place == Place::kSpilling) {
      spilling += piece.size_bytes;
      auto spill = spills_.find(piece.spill);
      if (spill == spills_.end() ||
          std::count(spill->second.begin(), spill->second.end(), index) != 1)
        return StrCat(name, " is on its way to disk, yet in no request");
    }
    const bool may_go = config_.store_bytes != 0 && piece.users == 0 && piece.size_bytes > 0 &&
                        piece.place == Place::kMemory;
    if (work_.empty() && may_go != (piece.idle_since != 0))
      return StrCat(name, " is wrongly idle or not");
    if (piece.idle_since == 0) continue;
    ++idle;
    if (!idle_.contains({~piece.next_use, piece.idle_since, index}))
      return StrCat(name, " is idle, yet not listed");
  }
  if (memory != counters_.memory_bytes || disk != counters_.disk_bytes ||
      spilling != spilling_bytes_ || idle != idle_.size() ||
      spills_.size() > limits::kSpillsAtOnce) {
    return "memory of the store is miscounted";
  }
  return "";
}

}  // namespace taskd::worker
