// A 4-ary min-heap of values whose position their owner keeps, so that any element can be removed
// or moved.
//
// Traits supply:  static bool Less(const Context&, T a, T b)         a strict total order
//                 static void SetPosition(Context&, T, uint32_t pos)  kNotInHeap when removed
// The heap stores plain T (an index, a pointer-free handle). Not thread safe.
#ifndef TASKD_COMMON_BASE_HEAP_H_
#define TASKD_COMMON_BASE_HEAP_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "common/base/check.h"

namespace taskd {

inline constexpr uint32_t kNotInHeap = 0xFFFFFFFFu;

// Empties a vector. The memory of a large one goes back: it may not become so large again for long.
template <typename T>
void ClearAndRelease(std::vector<T>& items) {
  constexpr size_t kKept = 1024;
  if (items.capacity() > kKept) {
    std::vector<T>().swap(items);
  } else {
    items.clear();
  }
}

template <typename T, typename Context, typename Traits>
class IndexedHeap {
 public:
  bool empty() const { return items_.empty(); }
  uint32_t size() const { return static_cast<uint32_t>(items_.size()); }
  const T& top() const { return items_[0]; }
  const T& at(uint32_t position) const { return items_[position]; }

  void Push(Context& context, T value) {
    items_.push_back(value);
    Up(context, size() - 1);
  }

  T Pop(Context& context) {
    T value = items_[0];
    Remove(context, 0);
    return value;
  }

  void Remove(Context& context, uint32_t position) {
    TASKD_CHECK(position < size());
    Traits::SetPosition(context, items_[position], kNotInHeap);
    T last = items_.back();
    items_.pop_back();
    if (items_.empty()) ClearAndRelease(items_);
    if (position == size()) return;
    items_[position] = last;
    if (!Up(context, position)) Down(context, position);
  }

  // Restores order after the key of the element at `position` changed.
  void Update(Context& context, uint32_t position) {
    if (!Up(context, position)) Down(context, position);
  }

 private:
  bool Up(Context& context, uint32_t position) {
    T value = items_[position];
    bool moved = false;
    while (position > 0) {
      uint32_t parent = (position - 1) / 4;
      if (!Traits::Less(context, value, items_[parent])) break;
      Place(context, position, items_[parent]);
      position = parent;
      moved = true;
    }
    Place(context, position, value);
    return moved;
  }

  void Down(Context& context, uint32_t position) {
    T value = items_[position];
    for (;;) {
      uint64_t first = uint64_t{position} * 4 + 1;
      if (first >= size()) break;
      uint32_t best = static_cast<uint32_t>(first);
      for (uint32_t c = best + 1; c < size() && c < first + 4; ++c) {
        if (Traits::Less(context, items_[c], items_[best])) best = c;
      }
      if (!Traits::Less(context, items_[best], value)) break;
      Place(context, position, items_[best]);
      position = best;
    }
    Place(context, position, value);
  }

  void Place(Context& context, uint32_t position, T value) {
    items_[position] = value;
    Traits::SetPosition(context, value, position);
  }

  std::vector<T> items_;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_HEAP_H_
