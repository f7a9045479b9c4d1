// The fetch planner. A wanted piece stands in the queue of one holder, best attempt first. A peer
// that may be asked (below its limit, not busy) stands in `ready_` under its best piece; while
// requests are left the best peer gets one with the head of its queue. A holder that fails is
// struck out and the piece goes to the next; a busy one is asked again a little later, unless
// another holder is free. Bytes that came with a message are a request to nobody: should the store not take
// them, their pieces go to a holder.
#include <algorithm>
#include <utility>

#include "worker/core/impl.h"

namespace taskd::worker {

// Takes the first holder in the order of the assignment: the scheduler names near ones first and
// spreads the rest.
void WorkerCore::Impl::Route(uint32_t index) {
  Piece& piece = pieces_[index];
  if (piece.size_bytes == 0 && piece.key.parts.whole()) return MakeEmpty(index);
  WorkerId best;
  uint64_t best_busy = 0;
  for (const Candidate& candidate : piece.candidates) {
    if (candidate.bad || candidate.worker == self_) continue;
    auto peer = peers_.find(candidate.worker);
    const uint64_t busy =
        peer != peers_.end() && peer->second.busy_until > now_ns_ ? peer->second.busy_until : 0;
    if (best && busy >= best_busy) continue;
    best = candidate.worker;
    best_busy = busy;
  }
  if (best) {
    QueueAt(index, best);
    return;
  }
  piece.state = PieceState::kExhausted;
  work_.push_back({Work::Kind::kExhausted, index, 0, {}});
}

void WorkerCore::Impl::QueueAt(uint32_t index, WorkerId peer) {
  Piece& piece = pieces_[index];
  piece.state = PieceState::kWanted;
  piece.peer = peer;
  peers_[peer].queue.insert({piece.rank, index});
  Refresh(peer);
}

void WorkerCore::Impl::Unqueue(uint32_t index) {
  Piece& piece = pieces_[index];
  TASKD_CHECK(peers_.at(piece.peer).queue.erase({piece.rank, index}) == 1);
  Refresh(piece.peer);
}

// Brings ready_ and timers_ in line with the peer's state. A busy peer without a queue is
// remembered until it is next looked at; there are at most as many as workers.
void WorkerCore::Impl::Refresh(WorkerId worker) {
  Peer& peer = peers_.at(worker);
  const bool waits = !peer.queue.empty();
  const bool busy = peer.busy_until > now_ns_;
  std::optional<PieceOrder> ready;
  if (waits && !busy && peer.active < config_.fetches_per_peer) ready = *peer.queue.begin();
  if (ready != peer.ready) {
    if (peer.ready) ready_.erase({*peer.ready, worker});
    if (ready) ready_.insert({*ready, worker});
    peer.ready = ready;
  }
  const uint64_t timer = waits && busy ? peer.busy_until : 0;
  if (timer != peer.timer) {
    if (peer.timer != 0) timers_.erase({peer.timer, worker});
    if (timer != 0) timers_.insert({timer, worker});
    peer.timer = timer;
  }
  if (!waits && !busy && peer.active == 0) peers_.erase(worker);
}

void WorkerCore::Impl::WakePeers() {
  while (!timers_.empty() && timers_.begin()->first <= now_ns_) Refresh(timers_.begin()->second);
}

void WorkerCore::Impl::PlanFetches() {
  while (budget_ > 0 && requests_ < config_.fetches_total && !ready_.empty())
    StartFetch(ready_.begin()->second);
}

void WorkerCore::Impl::StartFetch(WorkerId worker) {
  Peer& peer = peers_.at(worker);
  const FetchId id = ++last_fetch_;
  Fetch& fetch = fetches_[id];
  fetch.peer = worker;
  fetch.session = session_;
  action::StartFetch start = {id, worker, {}};
  uint64_t bytes = 0;
  while (!peer.queue.empty() && fetch.pieces.size() < limits::kFetchItems &&
         bytes < limits::kFetchBytes) {
    const uint32_t index = peer.queue.begin()->piece;
    Piece& piece = pieces_[index];
    // What an attempt waits for is not held up by a copy for its own sake in the same request.
    if (piece.rank == kAfterAll && !fetch.pieces.empty() &&
        pieces_[fetch.pieces[0]].rank != kAfterAll)
      break;
    peer.queue.erase(peer.queue.begin());
    piece.state = PieceState::kInFlight;
    piece.fetch = id;
    if (piece.key.parts.whole()) bytes += piece.size_bytes;  // the size of parts is not known here
    fetch.pieces.push_back(index);
    start.items.push_back(piece.key);
  }
  fetch.in_use = static_cast<uint32_t>(fetch.pieces.size());
  Spend(fetch.in_use);
  ++peer.active;
  ++requests_;
  Refresh(worker);
  Emit(std::move(start));
}

// They take no peer's place and are never called back: the store answers at once.
void WorkerCore::Impl::TakeValues(std::vector<uint32_t> pieces, const ValuesRef& values) {
  const FetchId id = ++last_fetch_;
  Fetch& fetch = fetches_[id];
  fetch.session = session_;
  fetch.cancelled = true;
  fetch.in_use = static_cast<uint32_t>(pieces.size());
  action::PutValues put = {id, values, {}};
  for (uint32_t index : pieces) {
    pieces_[index].state = PieceState::kInFlight;
    pieces_[index].fetch = id;
    put.items.push_back(pieces_[index].key);
  }
  fetch.pieces = std::move(pieces);
  Emit(std::move(put));
}

void WorkerCore::Impl::OnFetchDone(event::FetchDone& event) {
  if (!fetches_.contains(event.fetch)) return;
  work_.push_back({Work::Kind::kFetchItems, 0, 0, std::move(event)});
}

bool WorkerCore::Impl::ContinueFetchItems(Work& work) {
  auto it = fetches_.find(work.fetch_done.fetch);
  Fetch& fetch = it->second;
  const WorkerId worker = fetch.peer;
  for (; work.cursor < fetch.pieces.size(); ++work.cursor) {
    if (budget_ <= 0) return false;
    Spend(1);
    event::FetchDone::Item item = {FetchStatus::kIoError, 0, 0};  // an answer that is too short
    if (work.cursor < work.fetch_done.items.size()) item = work.fetch_done.items[work.cursor];
    if (item.status == FetchStatus::kBusy && !fetch.cancelled)
      peers_.at(worker).busy_until = now_ns_ + kBusyRetryNs;
    OnFetchItem(fetch, fetch.pieces[work.cursor], item);
  }
  fetches_.erase(it);
  if (!worker) return true;
  --peers_.at(worker).active;
  --requests_;
  Refresh(worker);
  return true;
}

void WorkerCore::Impl::OnFetchItem(const Fetch& fetch, uint32_t index,
                                   const event::FetchDone::Item& item) {
  Piece& piece = pieces_[index];
  const bool arrived = item.status == FetchStatus::kOk;
  CountItem(fetch, piece, item);
  if (arrived && piece.users > 0 && !fetch.abandoned) {
    BecomeLocal(index, item.size_bytes, item.crc32c, item.on_disk);
    if (piece.key.parts.whole() && !piece.doomed && connected_) {
      Emit(action::SendReplicaAdded{session_, {piece.key.id, item.size_bytes, item.crc32c}});
    }
    if (piece.gathered) EndGather(index);
    return;
  }
  if (arrived) Emit(action::Drop{piece.key});
  if (piece.users == 0) {
    FreePiece(index);
    return;
  }
  if (!fetch.cancelled &&
      item.status != FetchStatus::kBusy) {  // a cancelled request says nothing of its holder
    for (Candidate& c : piece.candidates) {
      if (c.worker != fetch.peer || c.session > fetch.session) continue;
      c.bad = true;
      c.missing = item.status == FetchStatus::kMissing;
    }
  }
  Route(index);
}

// What is fetched is paid by the first that waits for it; what came along, by nobody.
void WorkerCore::Impl::CountItem(const Fetch& fetch, const Piece& piece,
                                 const event::FetchDone::Item& item) {
  const bool arrived = item.status == FetchStatus::kOk;
  if (!fetch.peer) {
    ++(arrived ? counters_.values_taken : counters_.values_failed);
    return;
  }
  ++counters_.fetch_items[static_cast<uint8_t>(item.status)];
  if (!arrived) return;
  counters_.fetched_bytes += item.size_bytes;
  if (piece.users == 0 || fetch.abandoned) return;
  auto payer = std::find_if(piece.waiters.begin(), piece.waiters.end(),
                            [&](const Waiter& w) { return Alive(w); });
  if (payer != piece.waiters.end()) attempts_[payer->attempt].fetched_bytes += item.size_bytes;
}

void WorkerCore::Impl::NoLongerUsed(FetchId id) {
  Fetch& fetch = fetches_.at(id);
  if (--fetch.in_use > 0 || fetch.cancelled) return;
  fetch.cancelled = true;
  Emit(action::CancelFetch{id});
}

}  // namespace taskd::worker
