// Timers by the time at which they are due: a hierarchical wheel (Varghese and Lauck, SOSP 1987).
// A timer costs O(1) to set and at most a move a level until it is due, however many there are; what
// is due comes in the exact order of the timers all the same.
//
// T is trivially copyable, has `at_ns`, and `<` is a total order that looks at that first. Nothing is
// taken back: a timer that has lost its reason comes too, and its owner sees that.
#ifndef TASKD_COMMON_BASE_TIMER_WHEEL_H_
#define TASKD_COMMON_BASE_TIMER_WHEEL_H_

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include "common/base/heap.h"
#include "common/base/segments.h"

namespace taskd {

template <typename T>
class TimerWheel {
 public:
  enum class Next : uint8_t {
    kNothing,  // is due
    kMore,     // timers have been moved: ask again
    kDue,      // there is one to be taken
  };

  uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  void Insert(const T& timer) {
    ++size_;
    Place(timer);
  }

  // When the first of all is due, in ns; of an empty wheel UINT64_MAX.
  uint64_t EarliestNs() const {
    const uint64_t near =
        std::min(moving_.earliest_ns, due_.empty() ? UINT64_MAX : due_.front().at_ns);
    if (!moving_.timers.empty() || !due_.empty()) return near;
    const Where first = First();
    return first.level == kLevels ? UINT64_MAX : slots_[first.level][first.slot].earliest_ns;
  }

  // Brings what is due at `now_ns` to hand, by a bounded number of moves.
  Next Advance(uint64_t now_ns) {
    if (moving_.timers.empty()) {
      if (!due_.empty()) return due_.front().at_ns <= now_ns ? Next::kDue : Next::kNothing;
      const Where first = First();
      if (first.level == kLevels) return Next::kNothing;
      Slot& slot = slots_[first.level][first.slot];
      if (slot.earliest_ns > now_ns) return Next::kNothing;
      std::swap(slot, moving_);
      occupied_[first.level] &= ~(uint64_t{1} << first.slot);
      const uint32_t shift = kBits * first.level;
      tick_ = (tick_ >> (shift + kBits) << (shift + kBits)) | uint64_t{first.slot} << shift;
    }
    for (uint32_t moves = kMovesAtOnce; moves > 0 && !moving_.timers.empty(); --moves) {
      const T timer = moving_.timers[moving_.timers.size() - 1];
      moving_.timers.RemoveLast();
      Place(timer);
    }
    if (moving_.timers.empty()) moving_ = Slot();
    return Next::kMore;
  }

  // Takes the first timer, after kDue.
  T Take() {
    TASKD_CHECK(moving_.timers.empty() && !due_.empty());
    std::pop_heap(due_.begin(), due_.end(), std::greater<>());
    const T timer = due_.back();
    due_.pop_back();
    if (due_.empty()) ClearAndRelease(due_);
    --size_;
    return timer;
  }

 private:
  static constexpr uint32_t kTickBits = 16;  // 65.5 us
  static constexpr uint32_t kBits = 6;       // of slots in a level
  static constexpr uint32_t kLevels = (64 - kTickBits) / kBits;
  static constexpr uint32_t kMovesAtOnce = 32;
  static_assert(kTickBits + kLevels * kBits == 64, "every time has a place");

  struct Slot {
    Segments<T, 4096, 8> timers;
    uint64_t earliest_ns = UINT64_MAX;
  };
  struct Where {
    uint32_t level = 0, slot = 0;
  };

  // The slot whose timers come before those of all others; level kLevels: there is none.
  // A level's timers share the parts of their time above it with `tick_`, and are later in its own.
  Where First() const {
    uint32_t level = 0;
    while (level < kLevels && occupied_[level] == 0) ++level;
    if (level == kLevels) return {kLevels, 0};
    return {level, static_cast<uint32_t>(std::countr_zero(occupied_[level]))};
  }

  void Place(const T& timer) {
    const uint64_t tick = timer.at_ns >> kTickBits;
    if (tick <= tick_) {
      due_.push_back(timer);
      std::push_heap(due_.begin(), due_.end(), std::greater<>());
      return;
    }
    const uint32_t level = (63 - static_cast<uint32_t>(std::countl_zero(tick ^ tick_))) / kBits;
    const uint32_t slot = static_cast<uint32_t>(tick >> (kBits * level)) & ((1u << kBits) - 1);
    occupied_[level] |= uint64_t{1} << slot;
    Slot& to = slots_[level][slot];
    to.timers.Append(timer);
    to.earliest_ns = std::min(to.earliest_ns, timer.at_ns);
  }

  uint64_t size_ = 0;
  uint64_t tick_ = 0;                         // timers of this time and earlier are in due_
  std::vector<T> due_;                        // a heap, the first in front
  Slot moving_;                               // of a time that has begun
  std::array<uint64_t, kLevels> occupied_{};  // a bit a slot
  std::array<std::array<Slot, 1u << kBits>, kLevels> slots_;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_TIMER_WHEEL_H_
