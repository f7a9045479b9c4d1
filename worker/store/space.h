// A limited amount of bytes, and who uses how many of them.
#ifndef TASKD_WORKER_STORE_SPACE_H_
#define TASKD_WORKER_STORE_SPACE_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

namespace taskd::worker {

// Bytes in use of a limited amount. Thread safe.
class Space {
 public:
  explicit Space(uint64_t limit_bytes) : limit_(limit_bytes) {}  // 0: without limit

  bool TryTake(uint64_t bytes) {
    uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (limit_ != 0 && (used > limit_ || bytes > limit_ - used)) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    return true;
  }
  // What else can give memory back, asked when there is not enough. False: it has none.
  void OnShortage(std::function<bool(uint64_t bytes)> make_room) {
    make_room_ = std::move(make_room);
  }
  bool MakeRoom(uint64_t bytes) const { return make_room_ && make_room_(bytes); }
  void GiveBack(uint64_t bytes) { used_.fetch_sub(bytes, std::memory_order_relaxed); }
  uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  uint64_t limit() const { return limit_; }

 private:
  const uint64_t limit_;
  std::function<bool(uint64_t)> make_room_;
  std::atomic<uint64_t> used_{0};
};

// Bytes of a space, given back at the end.
class Share {
 public:
  Share() = default;
  explicit Share(std::shared_ptr<Space> space) : space_(std::move(space)) {}
  Share(Share&& other) noexcept
      : space_(std::move(other.space_)), bytes_(std::exchange(other.bytes_, 0)) {}
  Share& operator=(Share&& other) noexcept {
    std::swap(space_, other.space_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~Share() {
    if (bytes_ != 0) space_->GiveBack(bytes_);
  }

  // False: that much is not left, and the share is as it was.
  bool GrowTo(uint64_t bytes) {
    if (bytes <= bytes_) return true;
    while (!space_->TryTake(bytes - bytes_)) {
      if (!space_->MakeRoom(bytes - bytes_)) return false;
    }
    bytes_ = bytes;
    return true;
  }
  void ShrinkTo(uint64_t bytes) {
    if (bytes < bytes_) space_->GiveBack(bytes_ - bytes);
    bytes_ = std::min(bytes_, bytes);
  }
  const Space* space() const { return space_.get(); }

 private:
  std::shared_ptr<Space> space_;
  uint64_t bytes_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_SPACE_H_
