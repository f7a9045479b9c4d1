#include "worker/store/puts.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "common/io/random.h"

namespace taskd::worker {

namespace {
constexpr size_t kTokenBytes = 16;
}

// Of no job: jobs count from 1.
LocalKey Puts::NewKey() {
  std::lock_guard lock(mutex_);
  return {{{0, next_++}, 1}, {}};
}

std::string Puts::Keep(const LocalKey& key, uint64_t now_ns) {
  std::string token = io::RandomHex(kTokenBytes);
  std::lock_guard lock(mutex_);
  keys_[token] = key;
  until_.emplace_back(now_ns + limits::kPutNs, token);
  return token;
}

absl::StatusOr<std::string> Puts::KeepFile(const std::string& path, uint64_t now_ns) {
  // A pipe would wait here for who writes to it.
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return io::ErrnoStatus("open", path, errno);
  absl::Cleanup close_it = [fd] { close(fd); };
  struct stat s;
  if (fstat(fd, &s) != 0) return io::ErrnoStatus("stat", path, errno);
  if (!S_ISREG(s.st_mode))
    return absl::InvalidArgumentError(StrCat(path, " is no regular file: only those can be put"));
  std::unique_ptr<ObjectWriter> writer = store_.NewWriter(static_cast<uint64_t>(s.st_size));
  std::string chunk;
  for (;;) {
    chunk.resize(limits::kChunkBytes);
    const ssize_t n = read(fd, chunk.data(), chunk.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io::ErrnoStatus("read", path, errno);
    if (n == 0) break;
    chunk.resize(static_cast<size_t>(n));
    if (absl::Status status = writer->Append(chunk); !status.ok()) return status;
  }
  const LocalKey key = NewKey();
  absl::StatusOr<StoredOutput> kept = store_.Commit(key, std::move(writer));
  if (!kept.ok()) return kept.status();
  return Keep(key, now_ns);
}

absl::StatusOr<StoredOutput> Puts::Claim(const std::string& token, const LocalKey& as) {
  LocalKey key;
  {
    std::lock_guard lock(mutex_);
    auto found = keys_.find(token);
    if (found == keys_.end())
      return absl::NotFoundError("what was put here is lost with its last copy: put it again");
    key = found->second;
    keys_.erase(found);
  }
  return store_.Rename(key, as);
}

void Puts::Expire(uint64_t now_ns) {
  std::vector<LocalKey> old;
  {
    std::lock_guard lock(mutex_);
    for (; !until_.empty() && until_.front().first <= now_ns; until_.pop_front()) {
      auto found = keys_.find(until_.front().second);
      if (found == keys_.end()) continue;
      old.push_back(found->second);
      keys_.erase(found);
    }
  }
  for (const LocalKey& key : old) store_.Drop(key);
}

}  // namespace taskd::worker
