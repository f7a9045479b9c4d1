#include "worker/data/link_pace.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace taskd::worker {
namespace {

// Without a message for so long the transport's buffers have emptied, and take some MiB in no time.
constexpr uint64_t kIdleNs = 10'000'000;
constexpr uint64_t kWarmBytes = 8u << 20;
constexpr uint64_t kWarmNs = 50'000'000;
// A window is long enough for the scheduler of the operating system, and for a share of those buffers.
constexpr uint64_t kWindowBytes = 2u << 20;
constexpr uint64_t kWindowNs = 50'000'000;
constexpr uint32_t kBadWindows = 2;     // in a row end a trial
constexpr uint64_t kGainPercent = 110;  // less is noise, and not worth the core

}  // namespace

void LinkPace::Begin(uint64_t now_ns) {
  std::lock_guard lock(mutex_);
  if (active_++ > 0 || now_ns <= since_ns_ + kIdleNs) return;
  since_ns_ = now_ns;
  warm_ = false;
  bytes_ = packed_bytes_ = ns_ = 0;
}

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
    plain_[plain_windows_++ % kPlainWindows] = bytes_per_s;
    if (plain_windows_ < kPlainWindows || windows_ > 0) return;
    // The best of late: a process that waits for a core or a page makes any link slow for a while.
    if (*std::max_element(plain_.begin(), plain_.end()) < kSlowBytesPerS) {
      packs_ = true;
      windows_ = hold_;
      bad_windows_ = 0;
    } else {
      hold_ = pause_ = kFewWindows;
    }
    return;
  }
  // The transport takes messages in bursts: one window is half or twice what it should be.
  const uint64_t plain = std::accumulate(plain_.begin(), plain_.end(), uint64_t{0}) / kPlainWindows;
  bad_windows_ = packed && bytes_per_s * 100 < plain * kGainPercent ? bad_windows_ + 1 : 0;
  if (bad_windows_ == kBadWindows) {
    packs_ = false;
    windows_ = pause_;
    pause_ = std::min(2 * pause_, kManyWindows);
    hold_ = kFewWindows;
  } else if (windows_ == 0) {
    packs_ = false;  // for one window
    hold_ = std::min(2 * hold_, kManyWindows);
    pause_ = kFewWindows;
  }
}

}  // namespace taskd::worker
