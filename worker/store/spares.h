// Files in memory of objects that are gone, kept for their pages: the kernel has to find and clear fresh
// ones, which takes longer than to write the bytes.
//
// A file is kept only when nobody else can reach its bytes any more. It has been renamed, so no peer that was told
// its name can link it; it has no other link; and the kernel grants a write lease on it, which it does only
// while no other open file, descriptor or mapping of it exists in any process. In doubt it is not kept.
#ifndef TASKD_WORKER_STORE_SPARES_H_
#define TASKD_WORKER_STORE_SPARES_H_

#include <atomic>
#include <cstdint>
#include <list>
#include <mutex>
#include <string>
#include <utility>

#include "worker/store/space.h"

namespace taskd::worker {

// A file that nobody else has; removed at the end unless its descriptor is taken out.
struct Spare {
  Spare() = default;
  Spare(std::string p, int f, uint64_t b, Share s)
      : path(std::move(p)), fd(f), bytes(b), share(std::move(s)) {}
  Spare(Spare&& other) noexcept
      : path(std::move(other.path)),
        fd(std::exchange(other.fd, -1)),
        bytes(other.bytes),
        share(std::move(other.share)),
        since_ns(other.since_ns) {}
  Spare& operator=(Spare&&) = delete;
  ~Spare();

  std::string path;
  int fd = -1;         // open for reading and writing, at the start; -1: none
  uint64_t bytes = 0;  // its size, of which every page is there
  Share share;         // counted as memory in use
  uint64_t since_ns = 0;
};

// Thread safe.
class Spares {
 public:
  // `limit_bytes`: kept at most; 0: none.
  Spares(std::string folder, uint64_t limit_bytes);

  bool keeps_any() const { return limit_bytes_ != 0; }
  // For a file that leaves the store while somebody may still read it.
  std::string NewPath();

  // The file `path`, which is the caller's alone by name. False: it is not kept, and still the caller's.
  bool Offer(const std::string& path, Share& share);

  // One for an object of so many bytes: of about that size, and at most as long. `fd` is -1: there is none.
  Spare Take(uint64_t bytes);

  // Removes files, the oldest first, until so many bytes are free. False: there was none.
  bool MakeRoom(uint64_t bytes);

  // Removes those that nobody has asked for since limits::kSpareNs before `now_ns`.
  void Expire(uint64_t now_ns);

  uint64_t bytes() const;

 private:
  const std::string folder_;
  const uint64_t limit_bytes_;
  std::atomic<uint64_t> next_{0};
  mutable std::mutex mutex_;
  std::list<Spare> files_;  // oldest first
  uint64_t bytes_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_SPARES_H_
