// A growable array in fixed segments: elements never move, growth never copies, and all of it is
// freed at once.
#ifndef TASKD_COMMON_BASE_SEGMENTS_H_
#define TASKD_COMMON_BASE_SEGMENTS_H_

#include <array>
#include <cstdint>
#include <memory>
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
    return (*segments_[i / kPerSegment])[i % kPerSegment];
  }
  const T& operator[](uint32_t i) const {
    TASKD_CHECK(i < size_);
    return (*segments_[i / kPerSegment])[i % kPerSegment];
  }

  T& Append(T value = {}) {
    if (size_ % kPerSegment == 0)
      segments_.push_back(std::make_unique<std::array<T, kPerSegment>>());
    TASKD_CHECK(size_ != 0xFFFFFFFFu);
    T& slot = (*segments_[size_ / kPerSegment])[size_ % kPerSegment];
    slot = std::move(value);
    ++size_;
    return slot;
  }

 private:
  std::vector<std::unique_ptr<std::array<T, kPerSegment>>> segments_;
  uint32_t size_ = 0;
};

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_SEGMENTS_H_
