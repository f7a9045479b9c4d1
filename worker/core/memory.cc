// What of the store is in memory, and what goes to disk. Memory of objects has a budget with two marks:
// above the upper one pieces that nobody here needs go to disk, those whose next reader comes last first,
// until the lower one is reached. What an attempt pins stays where it is: it is about to be read. The store
// itself puts what would exceed the budget on disk at once, so nothing ever waits for memory.
#include <algorithm>
#include <utility>

#include "worker/core/impl.h"

namespace taskd::worker {
namespace {

uint64_t Percent(uint64_t bytes, uint32_t percent) { return bytes / 100 * percent; }

}  // namespace

void WorkerCore::Impl::TakePlace(uint32_t index, bool on_disk) {
  Piece& piece = pieces_[index];
  piece.place = on_disk ? Place::kDisk : Place::kMemory;
  (on_disk ? counters_.disk_bytes : counters_.memory_bytes) += piece.size_bytes;
  if (piece.users == 0) BecomeIdle(index);
}

void WorkerCore::Impl::LeavePlace(uint32_t index) {
  NotIdle(index);
  Piece& piece = pieces_[index];
  if (piece.place == Place::kSpilling) spilling_bytes_ -= piece.size_bytes;
  (piece.place == Place::kDisk ? counters_.disk_bytes : counters_.memory_bytes) -= piece.size_bytes;
  piece.place = Place::kMemory;
  piece.spill = 0;
}

void WorkerCore::Impl::BecomeIdle(uint32_t index) {
  Piece& piece = pieces_[index];
  if (config_.store_bytes == 0 || piece.size_bytes == 0 || piece.place != Place::kMemory) return;
  piece.idle_since = ++last_idle_;
  idle_.insert({~piece.next_use, piece.idle_since, index});
}

void WorkerCore::Impl::NotIdle(uint32_t index) {
  Piece& piece = pieces_[index];
  if (piece.idle_since == 0) return;
  idle_.erase({~piece.next_use, piece.idle_since, index});
  piece.idle_since = 0;
}

void WorkerCore::Impl::SpillWhatMust() {
  if (config_.store_bytes == 0) return;
  const uint64_t staying = StayingBytes();
  if (staying > Percent(config_.store_bytes, limits::kSpillAbovePercent)) relieving_ = true;
  const uint64_t enough = Percent(config_.store_bytes, limits::kSpillDownToPercent);
  if (staying <= enough) relieving_ = false;
  while (budget_ > 0 && relieving_ && !idle_.empty() && spills_.size() < limits::kSpillsAtOnce &&
         now_ns_ >= no_spill_before_ns_) {
    StartSpill();
    relieving_ = StayingBytes() > enough;
  }
}

void WorkerCore::Impl::StartSpill() {
  const uint64_t enough = Percent(config_.store_bytes, limits::kSpillDownToPercent);
  action::Spill spill = {++last_spill_, {}};
  std::vector<uint32_t>& pieces = spills_[spill.spill];
  uint64_t bytes = 0;
  while (!idle_.empty() && pieces.size() < limits::kSpillItems && bytes < limits::kSpillBytes &&
         StayingBytes() > enough) {
    const uint32_t index = idle_.begin()->piece;
    NotIdle(index);
    Piece& piece = pieces_[index];
    piece.place = Place::kSpilling;
    piece.spill = spill.spill;
    spilling_bytes_ += piece.size_bytes;
    bytes += piece.size_bytes;
    pieces.push_back(index);
    spill.items.push_back(piece.key);
  }
  Spend(pieces.size());
  Emit(std::move(spill));
}

void WorkerCore::Impl::OnSpilled(const event::Spilled& event) {
  auto found = spills_.find(event.spill);
  if (found == spills_.end()) return;
  const std::vector<uint32_t> pieces = std::move(found->second);
  spills_.erase(found);
  Spend(pieces.size());
  for (uint32_t i = 0; i < pieces.size(); ++i) {
    Piece& piece = pieces_[pieces[i]];
    if (piece.spill != event.spill) continue;  // it left the store meanwhile
    using Result = event::Spilled::Result;
    const Result result = i < event.results.size() ? event.results[i] : Result::kFailed;
    LeavePlace(pieces[i]);
    TakePlace(pieces[i], result == Result::kOnDisk);
    if (result == Result::kOnDisk) {
      ++counters_.spilled;
      counters_.spilled_bytes += piece.size_bytes;
    } else if (result == Result::kFailed) {
      ++counters_.spills_failed;
      no_spill_before_ns_ = now_ns_ + limits::kSpillRetryNs;
    }
  }
}

}  // namespace taskd::worker
