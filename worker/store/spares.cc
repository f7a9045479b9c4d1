#include "worker/store/spares.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/clock.h"

namespace taskd::worker {
namespace {

// "About that size" is from a half to twice as much: what is too long is cut, what is missing is fresh.
constexpr uint64_t kStretch = 2;

// Nobody else has it open or mapped, here or in another process. Who opens it in this moment gets it
// after the lease is back, and the signal that would tell us so is one that is ignored by default.
bool NobodyElseHas(int fd) {
  return fcntl(fd, F_SETSIG, SIGURG) == 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0 &&
         fcntl(fd, F_SETLEASE, F_UNLCK) == 0;
}

}  // namespace

Spare::~Spare() {
  if (fd < 0) return;
  close(fd);
  unlink(path.c_str());
}

Spares::Spares(std::string folder, uint64_t limit_bytes)
    : folder_(std::move(folder)), limit_bytes_(limit_bytes) {}

std::string Spares::NewPath() {
  return StrCat(folder_, "/spare-", absl::Hex(next_.fetch_add(1, std::memory_order_relaxed)));
}

bool Spares::Offer(const std::string& path, Share& share) {
  const int fd = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return false;
  struct stat s;
  const bool fits = fstat(fd, &s) == 0 && S_ISREG(s.st_mode) && s.st_nlink == 1 &&
                    s.st_size > limits::kHeapObjectBytes &&
                    static_cast<uint64_t>(s.st_size) <= limit_bytes_;
  if (!fits || !NobodyElseHas(fd)) {
    close(fd);
    return false;
  }
  const auto size = static_cast<uint64_t>(s.st_size);
  std::list<Spare> kept, gone;  // what goes is removed without the lock
  kept.emplace_back(path, fd, size, std::move(share)).since_ns = io::NowNs();
  std::lock_guard lock(mutex_);
  files_.splice(files_.end(), kept);
  bytes_ += size;
  while (bytes_ > limit_bytes_ || files_.size() > limits::kSpareFiles) {
    bytes_ -= files_.front().bytes;
    gone.splice(gone.end(), files_, files_.begin());
  }
  return true;
}

Spare Spares::Take(uint64_t bytes) {
  std::list<Spare> taken;
  {
    std::lock_guard lock(mutex_);
    auto best = files_.end();
    for (auto it = files_.begin(); it != files_.end(); ++it) {
      if (it->bytes / kStretch > bytes || it->bytes < bytes / kStretch) continue;
      // The shortest that is long enough, else the longest.
      const bool enough = it->bytes >= bytes;
      const bool better =
          best == files_.end() ||
          (best->bytes >= bytes ? enough && it->bytes < best->bytes : it->bytes > best->bytes);
      if (better) best = it;
    }
    if (best == files_.end()) return {};
    bytes_ -= best->bytes;
    taken.splice(taken.end(), files_, best);
  }
  Spare spare = std::move(taken.front());
  if (spare.bytes > bytes) {
    if (ftruncate(spare.fd, static_cast<off_t>(bytes)) != 0) return {};
    spare.bytes = bytes;
    spare.share.ShrinkTo(bytes);
  }
  return spare;
}

bool Spares::MakeRoom(uint64_t bytes) {
  std::list<Spare> gone;
  std::lock_guard lock(mutex_);
  for (uint64_t freed = 0; freed < bytes && !files_.empty();) {
    freed += files_.front().bytes;
    bytes_ -= files_.front().bytes;
    gone.splice(gone.end(), files_, files_.begin());
  }
  return !gone.empty();
}

void Spares::Expire(uint64_t now_ns) {
  std::list<Spare> gone;
  std::lock_guard lock(mutex_);
  while (!files_.empty() && now_ns > files_.front().since_ns + limits::kSpareNs) {
    bytes_ -= files_.front().bytes;
    gone.splice(gone.end(), files_, files_.begin());
  }
}

uint64_t Spares::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace taskd::worker
