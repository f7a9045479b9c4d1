#include "worker/store/object_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/io/files.h"

namespace taskd::worker {

ObjectWriter::ObjectWriter(std::string path)
    : entry_(std::make_shared<ObjectEntry>()), path_(std::move(path)) {}

ObjectWriter::~ObjectWriter() {
  if (fd_ < 0) return;
  close(fd_);
  unlink(path_.c_str());
}

absl::Status ObjectWriter::Append(std::string_view bytes) {
  ObjectMeta& meta = entry_->meta;
  const uint64_t size = meta.size_bytes + bytes.size();
  if (fd_ < 0 && size > limits::kHeapObjectBytes) {
    if (absl::Status s = OpenFile(); !s.ok()) return s;
  }
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

// One pass over the bytes serves both checksums.
uint32_t ObjectWriter::crc32c() const {
  const ObjectMeta& meta = entry_->meta;
  const uint64_t part_bytes =
      meta.size_bytes - (meta.part_ends.empty() ? 0 : meta.part_ends.back());
  return part_bytes == 0 ? meta.crc32c : CombineCrc32c(meta.crc32c, part_crc_, part_bytes);
}

absl::Status ObjectWriter::OpenFile() {
  fd_ = open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd_ < 0) return io::ErrnoStatus("make the store file", path_, errno);
  const std::string head = std::exchange(entry_->bytes, {});
  return WriteFile(head);
}

absl::Status ObjectWriter::WriteFile(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd_, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
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
  if (fd_ >= 0) {
    struct stat s;
    if (fstat(fd_, &s) != 0) return io::ErrnoStatus("stat the store file", path_, errno);
    const int fd = std::exchange(fd_, -1);
    if (close(fd) != 0) {  // quota and network file systems report a full disk here
      const int error = errno;
      unlink(path_.c_str());
      return io::ErrnoStatus("write the store file", path_, error);
    }
    entry_->identity = FileIdentity::Of(s);
    entry_->path = path_;
  } else {
    entry_->bytes.shrink_to_fit();
  }
  return std::shared_ptr<const ObjectEntry>(std::move(entry_));
}

}  // namespace taskd::worker
