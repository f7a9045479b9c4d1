// The one clock of a simulated cluster: callbacks in order of time, ties in order of posting.
#ifndef TASKD_TESTS_SIM_LOOP_H_
#define TASKD_TESTS_SIM_LOOP_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

namespace taskd::sim {

inline constexpr uint64_t kUs = 1'000;
inline constexpr uint64_t kMs = 1'000'000;
inline constexpr uint64_t kSec = 1'000'000'000;

class Loop {
 public:
  uint64_t now() const { return now_; }
  bool empty() const { return heap_.empty(); }
  uint64_t next_time() const { return heap_.front().time; }

  // A time in the past means now.
  void At(uint64_t time, std::function<void()> call) {
    heap_.push_back({std::max(time, now_), next_sequence_++, std::move(call)});
    std::push_heap(heap_.begin(), heap_.end());
  }
  void After(uint64_t delay, std::function<void()> call) { At(now_ + delay, std::move(call)); }

  // Requires !empty().
  void RunOne() {
    std::pop_heap(heap_.begin(), heap_.end());
    Item item = std::move(heap_.back());
    heap_.pop_back();
    now_ = item.time;
    item.call();
  }

 private:
  struct Item {
    uint64_t time;
    uint64_t sequence;
    std::function<void()> call;
    bool operator<(const Item& other) const {  // the standard heap keeps the largest first
      return time != other.time ? time > other.time : sequence > other.sequence;
    }
  };
  uint64_t now_ = 1 * kSec;
  uint64_t next_sequence_ = 0;
  std::vector<Item> heap_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_LOOP_H_
