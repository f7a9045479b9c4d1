#include "worker/store/object_writer.h"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/io/files.h"

namespace taskd::worker {

ObjectWriter::ObjectWriter(std::shared_ptr<Places> places, uint64_t expected_bytes, bool on_disk)
    : places_(std::move(places)), entry_(std::make_shared<ObjectEntry>()), share_(places_->memory) {
  const bool large = expected_bytes > limits::kHeapObjectBytes;
  if (large && !on_disk) TakeSpare(expected_bytes);
  on_disk_ =
      on_disk || (large && (!places_->has_memory_folder() || !share_.GrowTo(expected_bytes)));
  if (!on_disk_) return;
  if (fd_ >= 0) close(std::exchange(fd_, -1)), unlink(path_.c_str());
  share_ = Share(places_->disk);
}

// The rest of its share comes with the bytes that it has no pages for.
void ObjectWriter::TakeSpare(uint64_t bytes) {
  Spare spare = places_->spares->Take(bytes);
  if (spare.fd < 0) return;
  path_ = std::move(spare.path);
  fd_ = std::exchange(spare.fd, -1);
  share_ = std::move(spare.share);
}

ObjectWriter::~ObjectWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(path_.c_str());
}

absl::Status ObjectWriter::Append(std::string_view bytes) {
  ObjectMeta& meta = entry_->meta;
  const uint64_t size = meta.size_bytes + bytes.size();
  if (!on_disk_ && !share_.GrowTo(size)) {
    if (absl::Status s = MoveToDisk(); !s.ok()) return s;
  }
  if (fd_ < 0 && (on_disk_ || size > limits::kHeapObjectBytes)) {
    if (absl::Status s = OpenFile(on_disk_ || !places_->has_memory_folder()); !s.ok()) return s;
  }
  if (on_disk_ && !share_.GrowTo(size)) return places_->DiskIsFull();
  if (fd_ < 0) {
    entry_->bytes.append(bytes);
  } else if (absl::Status s = WriteFile(bytes); !s.ok()) {
    return s;
  }
  meta.size_bytes = size;
  part_crc_ = ExtendCrc32c(part_crc_, bytes.data(), bytes.size());
  return absl::OkStatus();
}

void ObjectWriter::EndPart() {
  entry_->meta.crc32c = crc32c();
  entry_->meta.part_ends.push_back(entry_->meta.size_bytes);
  entry_->meta.part_crcs.push_back(part_crc_);
  part_crc_ = 0;
}

absl::Status ObjectWriter::AppendInParts(std::string_view bytes,
                                         const std::vector<uint64_t>& part_ends) {
  for (size_t part; (part = entry_->meta.part_ends.size()) < part_ends.size();) {
    const uint64_t rest = part_ends[part] - size_bytes();
    if (rest > bytes.size()) break;
    if (absl::Status s = Append(bytes.substr(0, rest)); !s.ok()) return s;
    EndPart();
    bytes.remove_prefix(rest);
  }
  return Append(bytes);
}

// One pass over the bytes serves both checksums.
uint32_t ObjectWriter::crc32c() const {
  const ObjectMeta& meta = entry_->meta;
  const uint64_t part_bytes =
      meta.size_bytes - (meta.part_ends.empty() ? 0 : meta.part_ends.back());
  return part_bytes == 0 ? meta.crc32c : CombineCrc32c(meta.crc32c, part_crc_, part_bytes);
}

// With the bytes that are on the heap.
absl::Status ObjectWriter::OpenFile(bool on_disk) {
  if (on_disk && !on_disk_) {
    on_disk_ = true;
    share_ = Share(places_->disk);
  }
  if (!share_.GrowTo(entry_->meta.size_bytes)) return places_->DiskIsFull();
  path_ = places_->NewPath(on_disk);
  fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) return io::ErrnoStatus("make the store file", path_, errno);
  const std::string head = std::exchange(entry_->bytes, {});
  return WriteFile(head);
}

absl::Status ObjectWriter::MoveToDisk() {
  if (fd_ < 0) return OpenFile(true);
  const int from = std::exchange(fd_, -1);
  const std::string old_path = std::exchange(path_, {});
  absl::Status moved = OpenFile(true);
  // What lies behind is of an older object.
  if (moved.ok() && ftruncate(from, lseek(from, 0, SEEK_CUR)) != 0)
    moved = io::ErrnoStatus("shorten the store file", old_path, errno);
  for (off_t offset = 0; moved.ok();) {
    const ssize_t n = sendfile(fd_, from, &offset, limits::kSpillBytes);
    if (n == 0) break;
    if (n < 0 && errno != EINTR) moved = io::ErrnoStatus("write the store file", path_, errno);
  }
  close(from);
  unlink(old_path.c_str());
  return moved;
}

absl::Status ObjectWriter::WriteFile(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    // A tmpfs that others have filled: what was written of these bytes goes along.
    if (n < 0 && errno == ENOSPC && !on_disk_) {
      if (places_->spares->MakeRoom(bytes.size())) continue;
      if (absl::Status s = MoveToDisk(); !s.ok()) return s;
      continue;
    }
    if (n < 0) return io::ErrnoStatus("write the store file", path_, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::shared_ptr<const ObjectEntry>> ObjectWriter::Finish() {
  ObjectMeta& meta = entry_->meta;
  meta.crc32c = crc32c();
  if (!meta.part_ends.empty() && meta.part_ends.back() != meta.size_bytes) {
    return absl::InvalidArgumentError(
        StrCat(meta.size_bytes - meta.part_ends.back(), " bytes after the end of the last part"));
  }
  share_.ShrinkTo(meta.size_bytes);
  if (fd_ < 0) {
    entry_->bytes.shrink_to_fit();
    entry_->heap_share = std::move(share_);
    return std::shared_ptr<const ObjectEntry>(std::move(entry_));
  }
  struct stat s;
  if (fstat(fd_, &s) == 0 && static_cast<uint64_t>(s.st_size) > meta.size_bytes &&
      ftruncate(fd_, static_cast<off_t>(meta.size_bytes)) != 0) {
    return io::ErrnoStatus("shorten the store file", path_, errno);
  }
  if (fstat(fd_, &s) != 0) return io::ErrnoStatus("stat the store file", path_, errno);
  auto file =
      std::make_shared<StoreFile>(path_, on_disk_, std::move(share_), places_->SparesFor(on_disk_));
  const int fd = std::exchange(fd_, -1);
  // Quota and network file systems report a full disk here.
  if (close(fd) != 0) return io::ErrnoStatus("write the store file", path_, errno);
  file->identity = FileIdentity::Of(s);
  entry_->file = std::move(file);
  return std::shared_ptr<const ObjectEntry>(std::move(entry_));
}

}  // namespace taskd::worker
