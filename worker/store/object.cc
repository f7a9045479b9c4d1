#include "worker/store/object.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/zstd_frame.h"
#include "worker/store/range_checker.h"

namespace taskd::worker {
absl::StatusOr<ObjectReader> ObjectReader::Open(std::shared_ptr<const ObjectEntry> entry) {
  ObjectReader reader(std::move(entry));
  if (!reader.in_file()) return reader;
  const ObjectEntry& e = *reader.entry_;
  const StoreFile& file = *e.file;
  reader.fd_ = open(file.path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
  if (reader.fd_ < 0) {
    const int error = errno;
    std::string message =
        StrCat("cannot open the store file ", file.path, ": ", std::strerror(error));
    // Out of descriptors says nothing about the file.
    if (error == EMFILE || error == ENFILE || error == ENOMEM)
      return absl::ResourceExhaustedError(message);
    return absl::DataLossError(message);
  }
  struct stat s;
  if (fstat(reader.fd_, &s) != 0 || FileIdentity::Of(s) != file.identity) {
    return absl::DataLossError(StrCat("the store file ", file.path, " was changed from outside"));
  }
  return reader;
}

ObjectReader::ObjectReader(ObjectReader&& other) noexcept
    : entry_(std::move(other.entry_)), fd_(std::exchange(other.fd_, -1)) {}

ObjectReader& ObjectReader::operator=(ObjectReader&& other) noexcept {
  std::swap(entry_, other.entry_);
  std::swap(fd_, other.fd_);
  return *this;
}

ObjectReader::~ObjectReader() {
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<ByteRange> ObjectReader::Locate(PartRange parts) const {
  const ObjectMeta& m = meta();
  const uint32_t count = static_cast<uint32_t>(m.part_ends.size());
  if (parts.whole()) return ByteRange{0, m.size_bytes, 0, count};
  if (parts.lo >= parts.hi || parts.hi > count) {
    return absl::OutOfRangeError(
        StrCat("the object has ", count, " parts, not parts ", parts.lo, "..", parts.hi));
  }
  const uint64_t begin = parts.lo == 0 ? 0 : m.part_ends[parts.lo - 1];
  return ByteRange{begin, m.part_ends[parts.hi - 1] - begin, parts.lo, parts.hi};
}

absl::Status ObjectReader::Read(uint64_t offset, char* out, size_t n) const {
  if (offset > meta().size_bytes || n > meta().size_bytes - offset) {
    return absl::OutOfRangeError(
        StrCat("bytes ", offset, "+", n, " of an object of ", meta().size_bytes));
  }
  if (!in_file()) {
    std::memcpy(out, entry_->bytes.data() + offset, n);
    return absl::OkStatus();
  }
  if (!entry_->packed()) return ReadFile(entry_->offset + offset, out, n);
  std::unique_ptr<char[]> buffer;
  for (size_t taken; n > 0; out += taken, offset += taken, n -= taken) {
    const size_t frame = offset / limits::kChunkBytes, inside = offset % limits::kChunkBytes;
    const size_t size =
        std::min<uint64_t>(limits::kChunkBytes, meta().size_bytes - (offset - inside));
    taken = std::min(n, size - inside);
    if (taken < size && buffer == nullptr) buffer.reset(new char[limits::kChunkBytes]);
    if (absl::Status s = ReadFrame(frame, taken < size ? buffer.get() : out, size); !s.ok())
      return s;
    if (taken < size) std::memcpy(out, buffer.get() + inside, taken);
  }
  return absl::OkStatus();
}

// Of a packed object: chunk number `frame`, of `n` bytes.
absl::Status ObjectReader::ReadFrame(size_t frame, char* out, size_t n) const {
  const uint64_t begin = frame == 0 ? 0 : entry_->frame_ends[frame - 1];
  const size_t size = entry_->frame_ends[frame] - begin;
  if (size == n) return ReadFile(begin, out, n);
  thread_local const std::unique_ptr<char[]> packed(new char[limits::kChunkBytes]);
  if (absl::Status s = ReadFile(begin, packed.get(), size); !s.ok()) return s;
  if (io::DecompressInto({packed.get(), size}, out, n)) return absl::OkStatus();
  return absl::DataLossError(
      StrCat("the store file ", entry_->file->path, " is damaged (a zstd frame is broken)"));
}

absl::Status ObjectReader::ReadFile(uint64_t offset, char* out, size_t n) const {
  while (n > 0) {
    const ssize_t got = pread(fd_, out, n, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) {
      return absl::DataLossError(StrCat("cannot read the store file ", entry_->file->path, " at ",
                                        offset, ": ",
                                        got == 0 ? "it is too short" : std::strerror(errno)));
    }
    out += got;
    offset += static_cast<uint64_t>(got);
    n -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

absl::Status ObjectReader::Stream(const ByteRange& range, Sink sink) const {
  TASKD_CHECK(range.offset + range.length <= meta().size_bytes);
  RangeChecker checker(meta(), range);
  std::unique_ptr<char[]> buffer;
  if (in_file()) buffer.reset(new char[std::min<uint64_t>(range.length, limits::kChunkBytes) + 1]);
  bool sound = true;
  for (uint64_t done = 0; done < range.length;) {
    const size_t n = std::min<uint64_t>(range.length - done, limits::kChunkBytes);
    std::string_view piece;
    if (in_file()) {
      if (absl::Status s = Read(range.offset + done, buffer.get(), n); !s.ok()) return s;
      piece = {buffer.get(), n};
    } else {
      piece = std::string_view(entry_->bytes).substr(range.offset + done, n);
    }
    sound = sound && checker.Feed(piece);
    if (absl::Status s = sink(piece); !s.ok()) return s;
    done += n;
  }
  if (!sound || !checker.Finish()) {
    return absl::DataLossError(
        StrCat(in_file() ? "the store file " + entry_->file->path : "an object",
               " is damaged (its checksum is wrong)"));
  }
  return absl::OkStatus();
}

absl::Status ObjectReader::Verify() const {
  if (!entry_->on_disk() || entry_->file->verified) return absl::OkStatus();
  absl::Status read = Stream({0, meta().size_bytes, 0, 0}, [](auto) { return absl::OkStatus(); });
  if (read.ok() && entry_->has_own_file()) entry_->file->verified = true;
  return read;
}

}  // namespace taskd::worker
