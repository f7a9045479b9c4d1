// A growable array in fixed segments: elements never move, and growth never copies, so that one more
// element costs the same however many there are. With `kFirst` below `kPerSegment` the first segment
// starts that small and doubles, and until it is whole an element may move when another is appended:
// for arrays of which there are many, most of them short.
#ifndef TASKD_COMMON_BASE_SEGMENTS_H_
#define TASKD_COMMON_BASE_SEGMENTS_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "common/base/check.h"

namespace taskd {

template <typename T, uint32_t kPerSegment = 4096, uint32_t kFirst = kPerSegment>
class Segments {
  static_assert((kPerSegment & (kPerSegment - 1)) == 0, "a power of two");
  static_assert((kFirst & (kFirst - 1)) == 0 && kFirst <= kPerSegment && kFirst > 0);

 public:
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  T& operator[](uint32_t i) {
    TASKD_CHECK(i < size_);
    return segments_[i / kPerSegment][i % kPerSegment];
  }
  const T& operator[](uint32_t i) const {
    TASKD_CHECK(i < size_);
    return segments_[i / kPerSegment][i % kPerSegment];
  }

  // `value` is none of this array.
  T& Append(const T& value = T()) {
    if (size_ == capacity_) Grow();
    TASKD_CHECK(size_ != 0xFFFFFFFFu);
    T* slot = &segments_[size_ / kPerSegment][size_ % kPerSegment];
    if constexpr (kMadeOnAppend) {
      std::construct_at(slot, value);
    } else {
      *slot = value;
    }
    ++size_;
    return *slot;
  }

  // Where the next element will be, roughly: to be asked of memory before it comes.
  const void* Directory() const { return segments_.data() + size_ / kPerSegment; }
  const void* End() const {
    const uint32_t segment = size_ / kPerSegment;
    return segment < segments_.size() ? &segments_[segment][size_ % kPerSegment] : nullptr;
  }

  // Frees whole segments, but keeps an empty one: an array at the border of two does not allocate at
  // each change.
  void RemoveLast() requires std::is_trivially_destructible_v<T> {
    TASKD_CHECK(size_ > 0);
    --size_;
    if (segments_.size() > size_ / kPerSegment + 2) {
      segments_.pop_back();
      capacity_ -= kPerSegment;
    }
  }

  // Frees the newest segment that has elements, however full it is.
  void DropLastSegment() {
    TASKD_CHECK(size_ > 0);
    const uint32_t kept = (size_ - 1) / kPerSegment;
    segments_.resize(kept);
    size_ = kept * kPerSegment;
    capacity_ = size_;
  }

 private:
  // Of such records a segment is memory that nobody has written yet: each is written once, when it is
  // appended, and what is never appended takes no pages.
  static constexpr bool kMadeOnAppend =
      std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>;
  // Elements lie in as few of the processor's lines as they can.
  static constexpr std::align_val_t kAlign{std::max<size_t>(64, alignof(T))};
  struct Free {
    uint32_t count = 0;
    void operator()(T* items) const {
      std::destroy_n(items, count);
      ::operator delete(items, kAlign);
    }
  };
  using Segment = std::unique_ptr<T[], Free>;

  static Segment Make(uint32_t count) {
    T* items = static_cast<T*>(::operator new(count * sizeof(T), kAlign));
    if constexpr (!kMadeOnAppend) std::uninitialized_default_construct_n(items, count);
    return {items, Free{count}};
  }

  void Grow() {
    if (segments_.size() != 1 || capacity_ >= kPerSegment) {
      const uint32_t count = segments_.empty() ? kFirst : kPerSegment;
      segments_.push_back(Make(count));
      capacity_ += count;
      return;
    }
    Segment larger = Make(2 * capacity_);
    if constexpr (kMadeOnAppend) {
      std::uninitialized_copy_n(segments_[0].get(), size_, larger.get());
    } else {
      std::move(segments_[0].get(), segments_[0].get() + size_, larger.get());
    }
    segments_[0] = std::move(larger);
    capacity_ *= 2;
  }

  std::vector<Segment> segments_;
  uint32_t size_ = 0;
  uint32_t capacity_ = 0;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_SEGMENTS_H_
