// A growable array in fixed segments: elements never move, and growth never copies, so that one more
// element costs the same however many there are.
#ifndef TASKD_COMMON_BASE_SEGMENTS_H_
#define TASKD_COMMON_BASE_SEGMENTS_H_

#include <array>
#include <cstdint>
#include <memory>
#include <type_traits>
#include <vector>

#include "common/base/check.h"

namespace taskd {

template <typename T, uint32_t kPerSegment = 4096>
class Segments {
  static_assert((kPerSegment & (kPerSegment - 1)) == 0, "a power of two");

 public:
  uint32_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  T& operator[](uint32_t i) {
    TASKD_CHECK(i < size_);
    return segments_[i / kPerSegment]->items[i % kPerSegment];
  }
  const T& operator[](uint32_t i) const {
    TASKD_CHECK(i < size_);
    return segments_[i / kPerSegment]->items[i % kPerSegment];
  }

  T& Append(T value = T()) {
    if (size_ / kPerSegment == segments_.size())
      // Not zeroed before T's own constructor.
      segments_.push_back(std::make_unique_for_overwrite<Segment>());
    TASKD_CHECK(size_ != 0xFFFFFFFFu);
    T& slot = segments_[size_ / kPerSegment]->items[size_ % kPerSegment];
    slot = std::move(value);
    ++size_;
    return slot;
  }

  // Where the next element will be, roughly: to be asked of memory before it comes.
  const void* Directory() const { return segments_.data() + size_ / kPerSegment; }
  const void* End() const {
    const uint32_t segment = size_ / kPerSegment;
    return segment < segments_.size() ? &segments_[segment]->items[size_ % kPerSegment] : nullptr;
  }

  // Frees whole segments, but keeps an empty one: an array at the border of two does not allocate at
  // each change.
  void RemoveLast() requires std::is_trivially_destructible_v<T> {
    TASKD_CHECK(size_ > 0);
    --size_;
    if (segments_.size() > size_ / kPerSegment + 2) segments_.pop_back();
  }

  // Frees the newest segment that has elements, however full it is.
  void DropLastSegment() {
    TASKD_CHECK(size_ > 0);
    const uint32_t kept = (size_ - 1) / kPerSegment;
    segments_.resize(kept);
    size_ = kept * kPerSegment;
  }

 private:
  // Elements lie in as few of the processor's lines as they can.
  struct alignas(64) Segment {
    std::array<T, kPerSegment> items;
  };
  std::vector<std::unique_ptr<Segment>> segments_;
  uint32_t size_ = 0;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_SEGMENTS_H_
