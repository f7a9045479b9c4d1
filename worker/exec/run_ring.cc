#include "worker/exec/run_ring.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "common/io/clock.h"
#include "common/io/files.h"

namespace taskd::worker {

absl::StatusOr<std::unique_ptr<RunRing>> RunRing::Open(const std::string& path) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return io::ErrnoStatus("open", path, errno);
  constexpr size_t kBytes = kSlots * sizeof(Record);
  // With its blocks: a store to a mapped hole of a full disk would be a SIGBUS.
  int error = posix_fallocate(fd, 0, kBytes);
  void* mapped = MAP_FAILED;
  if (error == 0) {
    mapped = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped == MAP_FAILED) error = errno;
  }
  close(fd);
  if (error != 0) return io::ErrnoStatus("make", path, error);
  return std::unique_ptr<RunRing>(new RunRing(static_cast<Record*>(mapped)));
}

RunRing::RunRing(Record* records) : records_(records) {
  for (uint32_t slot = kSlots; slot > 0; --slot) free_.push_back(slot - 1);
}

RunRing::~RunRing() { munmap(records_, kSlots * sizeof(Record)); }

std::vector<RunRing::Entry> RunRing::ReadLeft(const std::string& path) {
  std::vector<Entry> left;
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (fd < 0) return left;
  Record record;
  for (uint32_t slot = 0; slot < kSlots; ++slot) {
    if (pread(fd, &record, sizeof record, slot * sizeof record) != sizeof record) break;
    if (record.used != kUsed || record.key_bytes > sizeof record.key) continue;
    left.push_back({{{record.job, record.ordinal}, record.attempt},
                    std::string(record.key, record.key_bytes),
                    record.since_ms});
  }
  close(fd);
  return left;
}

uint32_t RunRing::Add(const AttemptRef& attempt, std::string_view key) {
  uint32_t slot;
  {
    std::lock_guard lock(mutex_);
    if (free_.empty()) return kNoSlot;
    slot = free_.back();
    free_.pop_back();
  }
  Record& record = records_[slot];
  record.since_ms = io::WallMs();
  record.job = attempt.task.job;
  record.ordinal = attempt.task.ordinal;
  record.attempt = attempt.attempt;
  record.key_bytes = static_cast<uint32_t>(std::min(key.size(), sizeof record.key));
  std::memcpy(record.key, key.data(), record.key_bytes);
  std::atomic_ref(record.used).store(kUsed, std::memory_order_release);
  return slot;
}

void RunRing::Remove(uint32_t slot) {
  if (slot == kNoSlot) return;
  std::atomic_ref(records_[slot].used).store(0, std::memory_order_release);
  std::lock_guard lock(mutex_);
  free_.push_back(slot);
}

}  // namespace taskd::worker
