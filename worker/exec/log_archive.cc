#include "worker/exec/log_archive.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/files.h"

namespace taskd::worker {
namespace {
constexpr uint64_t kMostSegmentBytes = 1u << 30;  // offsets have 32 bits
}  // namespace

LogArchive::Segment::~Segment() {
  if (fd >= 0) close(fd);
}

LogArchive::LogArchive(std::string folder, uint64_t most_bytes)
    : folder_(std::move(folder)),
      most_bytes_(most_bytes),
      segment_bytes_(std::min(kMostSegmentBytes, most_bytes / limits::kLogSegments)) {}

LogArchive::~LogArchive() {
  while (!segments_.empty()) DropOldest();
  rmdir(folder_.c_str());
}

absl::Status LogArchive::Append(const std::vector<Record>& records) {
  std::string all;
  std::vector<Entry> entries;
  for (const Record& record : records) {
    entries.push_back({record.attempt, static_cast<uint32_t>(all.size()),
                       static_cast<uint32_t>(record.bytes.size()), Crc32c(record.bytes)});
    all += record.bytes;
  }
  if (absl::Status s = MakeRoom(all.size()); !s.ok()) return s;
  Segment& segment = *segments_.back();
  const uint64_t begin = segment.bytes;
  lseek(segment.fd, static_cast<off_t>(begin), SEEK_SET);  // over what a failed one left
  const absl::Status written = io::WriteAll(segment.fd, all, segment.path);
  std::lock_guard lock(mutex_);
  if (!written.ok()) {
    // A full disk stays so until something goes.
    if (written.code() == absl::StatusCode::kResourceExhausted) DropOldest();
    return written;
  }
  for (Entry& entry : entries) {
    entry.offset += static_cast<uint32_t>(begin);
    segment.index.push_back(entry);
  }
  segment.bytes += all.size();
  bytes_ += all.size();
  return absl::OkStatus();
}

// For so many bytes, in the last segment.
absl::Status LogArchive::MakeRoom(uint64_t bytes) {
  if (bytes > most_bytes_) {
    return absl::ResourceExhaustedError(
        StrCat(FormatBytes(bytes), " are more than all of ", FormatBytes(most_bytes_)));
  }
  std::lock_guard lock(mutex_);
  if (segments_.empty()) {
    if (absl::Status s = io::MakePrivateDir(folder_); !s.ok()) return s;
  }
  const auto last_is_full = [&] {
    return segments_.empty() || segments_.back()->bytes >= segment_bytes_ ||
           segments_.back()->index.size() >= limits::kLogSegmentLogs;
  };
  const auto fits = [&] {
    struct statvfs s;
    const uint64_t free_bytes =
        statvfs(folder_.c_str(), &s) == 0 ? uint64_t{s.f_bavail} * s.f_frsize : most_bytes_;
    return bytes_ + bytes <= std::min(most_bytes_, free_bytes) &&
           segments_.size() + last_is_full() <= limits::kLogSegments;
  };
  while (!segments_.empty() && !fits()) DropOldest();
  if (!fits()) {
    return absl::ResourceExhaustedError(
        StrCat("the disk of ", folder_, " has hardly any room left"));
  }
  return last_is_full() ? OpenSegment() : absl::OkStatus();
}

absl::Status LogArchive::OpenSegment() {
  auto segment = std::make_shared<Segment>();
  segment->path = StrCat(folder_, "/", next_name_++);
  segment->fd = open(segment->path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (segment->fd < 0) return io::ErrnoStatus("make", segment->path, errno);
  segments_.push_back(std::move(segment));
  return absl::OkStatus();
}

void LogArchive::DropOldest() {
  if (segments_.empty()) return;
  unlink(segments_.front()->path.c_str());
  bytes_ -= segments_.front()->bytes;
  dropped_ += segments_.front()->index.size();
  segments_.pop_front();
}

std::optional<std::string> LogArchive::Find(const AttemptRef& attempt) const {
  std::shared_ptr<const Segment> segment;
  Entry entry;
  {
    // Asked by people only, so that a pass over the index is good enough.
    std::lock_guard lock(mutex_);
    for (auto s = segments_.rbegin(); s != segments_.rend() && segment == nullptr; ++s) {
      const std::vector<Entry>& index = (*s)->index;
      auto at = std::find_if(index.rbegin(), index.rend(),
                             [&](const Entry& e) { return e.attempt == attempt; });
      if (at == index.rend()) continue;
      segment = *s;
      entry = *at;
    }
  }
  if (segment == nullptr) return std::nullopt;
  std::string bytes(entry.bytes, '\0');
  const ssize_t n = pread(segment->fd, bytes.data(), bytes.size(), entry.offset);
  if (n != static_cast<ssize_t>(bytes.size()) || Crc32c(bytes) != entry.crc32c) return std::nullopt;
  return bytes;
}

uint64_t LogArchive::bytes() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

uint64_t LogArchive::dropped() const {
  std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace taskd::worker
