#include "worker/data/link_pace.h"

#include <algorithm>
#include <utility>

namespace taskd::worker {
namespace {

// Without a message for so long the transport's buffers have emptied, and take some MiB in no time.
constexpr uint64_t kIdleNs = 10'000'000;
constexpr uint64_t kWarmBytes = 4u << 20;
constexpr uint64_t kWarmNs = 50'000'000;
// A window is long enough for the scheduler of the operating system, and for a share of those buffers.
constexpr uint64_t kWindowBytes = 4u << 20;
constexpr uint64_t kWindowNs = 50'000'000;
constexpr uint64_t kGainPercent = 110;  // less is noise, and not worth the core

}  // namespace

void LinkPace::Begin(uint64_t now_ns) {
  std::lock_guard lock(mutex_);
  if (active_++ > 0 || now_ns <= since_ns_ + kIdleNs) return;
  since_ns_ = now_ns;
  warm_ = false;
  bytes_ = packed_bytes_ = ns_ = 0;
}

// Time between two messages is what it took to make the second one, and counts.
void LinkPace::End(uint64_t now_ns, uint64_t bytes, uint64_t packed_bytes) {
  std::lock_guard lock(mutex_);
  --active_;
  const uint64_t took_ns = now_ns - since_ns_;
  since_ns_ = now_ns;
  bytes_ += bytes;
  packed_bytes_ += packed_bytes;
  ns_ += took_ns;
  if (bytes_ < (warm_ ? kWindowBytes : kWarmBytes) || ns_ < (warm_ ? kWindowNs : kWarmNs)) return;
  if (std::exchange(warm_, true)) {
    Judge(static_cast<uint64_t>(static_cast<double>(bytes_) * 1e9 / static_cast<double>(ns_)),
          packed_bytes_ * 2 > bytes_);
  }
  bytes_ = packed_bytes_ = ns_ = 0;
}

void LinkPace::Judge(uint64_t bytes_per_s, bool packed) {
  if (windows_ > 0) --windows_;
  if (!packs_) {
    plain_bytes_per_s_ = bytes_per_s;
    if (windows_ > 0 || bytes_per_s >= kSlowBytesPerS) return;
    packs_ = true;
    windows_ = kWindows;
  } else if (packed && bytes_per_s * 100 < plain_bytes_per_s_ * kGainPercent) {
    packs_ = false;
    windows_ = pause_;
    pause_ = std::min(2 * pause_, kWindows);
  } else if (windows_ == 0) {
    packs_ = false;  // for one window
    pause_ = kFirstPause;
  }
}

}  // namespace taskd::worker
