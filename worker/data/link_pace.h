// How fast one connection takes what it is sent, and whether it takes more when that is compressed.
//
// Compression pays on a link that is slower than a core compresses, with bytes that shrink, on a machine
// that has the core to spare. None of it is known beforehand: a slow link is tried, and compresses as long as
// readers get their bytes faster than without. Both are measured again now and then.
#ifndef TASKD_WORKER_DATA_LINK_PACE_H_
#define TASKD_WORKER_DATA_LINK_PACE_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>

namespace taskd::worker {

// Thread safe: the streams of a connection share one.
class LinkPace {
 public:
  // A core compresses 300 to 500 million bytes a second: faster links would wait for it.
  static constexpr uint64_t kSlowBytesPerS = 250'000'000;

  // A message is begun, and has been taken by the transport: of `bytes` as their reader will have them, of which
  // so many are compressed.
  void Begin(uint64_t now_ns);
  void End(uint64_t now_ns, uint64_t bytes, uint64_t packed_bytes);

  bool packs() const { return packs_.load(std::memory_order_relaxed); }

 private:
  // What was measured holds for so many windows; more each time that it is confirmed, since the other way costs time.
  static constexpr uint32_t kFewWindows = 8, kManyWindows = 64;

  static constexpr uint32_t kPlainWindows = 3;  // before a trial

  void Judge(uint64_t bytes_per_s, bool packed);

  std::mutex mutex_;
  uint32_t active_ = 0;  // messages
  uint64_t since_ns_ = 0;
  bool warm_ = false;                               // the buffers of the transport are full
  uint64_t bytes_ = 0, packed_bytes_ = 0, ns_ = 0;  // of this window
  std::array<uint64_t, kPlainWindows>
      plain_{};                   // bytes per s of the last windows without compression
  uint32_t plain_windows_ = 0;    // so far
  uint32_t bad_windows_ = 0;      // with compression, in a row
  uint32_t windows_ = 0;          // until the other way is measured again; 0: any time
  uint32_t hold_ = kFewWindows;   // after the next trial that is worth it
  uint32_t pause_ = kFewWindows;  // or is not
  std::atomic<bool> packs_{false};
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_LINK_PACE_H_
