// A priority queue for what mostly comes in order: an ascending run, and a heap for the rest. Of what
// comes in order each operation costs O(1) and touches nothing else; any other costs O(log n).
//
// Same traits and use as IndexedHeap; T{} is no element. Positions in the run have the top bit.
#ifndef TASKD_COMMON_BASE_RUN_HEAP_H_
#define TASKD_COMMON_BASE_RUN_HEAP_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "common/base/check.h"
#include "common/base/heap.h"

namespace taskd {

template <typename T, typename Context, typename Traits>
class RunHeap {
 public:
  bool empty() const { return size() == 0; }
  uint32_t size() const { return live_ + heap_.size(); }
  const T& top() const { return run_first_ ? run_[head_] : heap_.top(); }
  // Only of a position that an element has.
  const T& at(uint32_t position) const {
    return position & kRunBit ? run_[head_ + Offset(position)] : heap_.at(position);
  }
  bool Has(uint32_t position) const {
    if (position & kRunBit) return live_ > 0 && Offset(position) < run_.size() - head_;
    return position < heap_.size();
  }

  void Push(Context& context, T value) {
    uint64_t next = uint64_t{first_} + (run_.size() - head_);
    if (next < kRunEnd && (live_ == 0 || Traits::Less(context, run_.back(), value))) {
      run_.push_back(value);
      ++live_;
      Traits::SetPosition(context, value, static_cast<uint32_t>(next) | kRunBit);
    } else {
      heap_.Push(context, value);
    }
    ChooseFirst(context);
  }

  void Remove(Context& context, uint32_t position) {
    if (position & kRunBit) {
      RemoveFromRun(context, Offset(position));
    } else {
      heap_.Remove(context, position);
    }
    ChooseFirst(context);
  }

  // The element that comes so many after the head, if all that does is of the run; null: not known.
  const T* Following(uint32_t places) const {
    return run_first_ && places < run_.size() - head_ ? &run_[head_ + places] : nullptr;
  }

  // Every element once, in no order.
  template <typename F>
  void ForEach(F&& f) const {
    for (uint64_t i = head_; i < run_.size(); ++i) {
      if (run_[i] != T{}) f(run_[i]);
    }
    for (uint32_t i = 0; i < heap_.size(); ++i) f(heap_.at(i));
  }

  // Of elements and of removed ones that still take a place.
  uint64_t places() const { return run_.size() - head_ + heap_.size(); }

  // At most `most` elements, spread over all places.
  template <typename F>
  void VisitSome(uint32_t most, F&& f) const {
    const uint64_t in_run = run_.size() - head_;
    const uint64_t looked = std::min<uint64_t>(most, places());
    for (uint64_t i = 0; i < looked; ++i) {
      const uint64_t at = places() * i / looked;
      if (at >= in_run) {
        f(heap_.at(static_cast<uint32_t>(at - in_run)));
      } else if (run_[head_ + at] != T{}) {
        f(run_[head_ + at]);
      }
    }
  }

 private:
  static constexpr uint32_t kRunBit = 0x80000000u;
  // Of numbers in a run. A longer one would meet kNotInHeap: the rest goes to the heap until it ends.
  static constexpr uint32_t kRunEnd = 0x7FFFFFFFu;
  static constexpr uint64_t kKept =
      64;  // places of removed elements, before half of all are given up

  uint32_t Offset(uint32_t position) const { return (position & ~kRunBit) - first_; }

  void ChooseFirst(Context& context) {
    run_first_ = live_ > 0 && (heap_.empty() || Traits::Less(context, run_[head_], heap_.top()));
  }

  // Neither end of the run is ever the place of a removed element.
  void RemoveFromRun(Context& context, uint32_t offset) {
    T& value = run_[head_ + offset];
    TASKD_CHECK(value != T{});
    Traits::SetPosition(context, value, kNotInHeap);
    value = T{};
    if (--live_ == 0) {
      ClearAndRelease(run_);
      head_ = first_ = 0;
      return;
    }
    while (run_[head_] == T{}) ++head_, ++first_;
    while (run_.back() == T{}) run_.pop_back();
    if (head_ < kKept || head_ < run_.size() / 2) return;
    run_.erase(run_.begin(), run_.begin() + head_);
    head_ = 0;
  }

  IndexedHeap<T, Context, Traits> heap_;
  std::vector<T> run_;  // from head_ on; T{}: removed
  uint32_t head_ = 0;
  uint32_t first_ = 0;  // the number of run_[head_]
  uint32_t live_ = 0;   // elements in the run
  bool run_first_ = false;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_RUN_HEAP_H_
