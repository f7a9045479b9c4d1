#include "worker/store/store.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "common/base/crc32c.h"
#include "common/base/text.h"
#include "common/io/files.h"

namespace taskd::worker {
namespace {

// Every byte of `fd` in order, in pieces of limits::kChunkBytes.
absl::Status ReadAll(int fd, const std::string& path,
                     absl::FunctionRef<absl::Status(std::string_view)> sink) {
  std::string buffer(limits::kChunkBytes, '\0');
  for (off_t offset = 0;;) {
    const ssize_t n = pread(fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io::ErrnoStatus("read", path, errno);
    if (n == 0) return absl::OkStatus();
    if (absl::Status s = sink({buffer.data(), static_cast<size_t>(n)}); !s.ok()) return s;
    offset += n;
  }
}

OutputInfo InfoOf(const ObjectEntry& entry) { return {entry.meta.size_bytes, entry.meta.crc32c}; }

}  // namespace

Store::Store(std::string folder, LostCallback on_lost)
    : folder_(std::move(folder)),
      on_lost_(std::move(on_lost)),
      empty_(std::make_shared<ObjectEntry>()) {}

Store::~Store() { DropAll(); }

std::string Store::NewPath() {
  return StrCat(folder_, "/", absl::Hex(next_file_.fetch_add(1, std::memory_order_relaxed)));
}

absl::StatusOr<OutputInfo> Store::Put(const LocalKey& key, std::string bytes) {
  if (bytes.empty()) {
    Insert(key, empty_);
    return OutputInfo{};
  }
  std::unique_ptr<ObjectWriter> writer = NewWriter();
  if (absl::Status s = writer->Append(bytes); !s.ok()) return s;
  return Commit(key, std::move(writer));
}

std::unique_ptr<ObjectWriter> Store::NewWriter() {
  return std::unique_ptr<ObjectWriter>(new ObjectWriter(NewPath()));
}

absl::StatusOr<OutputInfo> Store::Commit(const LocalKey& key,
                                         std::unique_ptr<ObjectWriter> writer) {
  absl::StatusOr<Entry> entry = writer->Finish();
  if (!entry.ok()) return entry.status();
  const OutputInfo info = InfoOf(**entry);
  Insert(key, *std::move(entry));
  return info;
}

absl::StatusOr<OutputInfo> Store::Adopt(const LocalKey& key, int fd, const std::string& path) {
  struct stat s;
  if (fstat(fd, &s) != 0) return io::ErrnoStatus("stat", path, errno);
  if (static_cast<uint64_t>(s.st_size) <= limits::kHeapObjectBytes || s.st_nlink != 1) {
    std::unique_ptr<ObjectWriter> writer = NewWriter();
    absl::Status copied =
        ReadAll(fd, path, [&](std::string_view bytes) { return writer->Append(bytes); });
    if (!copied.ok()) return copied;
    return Commit(key, std::move(writer));
  }
  auto entry = std::make_shared<ObjectEntry>();
  absl::Status read = ReadAll(fd, path, [&](std::string_view bytes) {
    entry->meta.size_bytes += bytes.size();
    entry->meta.crc32c = ExtendCrc32c(entry->meta.crc32c, bytes.data(), bytes.size());
    return absl::OkStatus();
  });
  if (!read.ok()) return read;
  entry->path = NewPath();
  entry->identity = FileIdentity::Of(s);
  if (entry->meta.size_bytes != entry->identity.size_bytes) {
    return absl::DataLossError(StrCat(path, " changed while it was taken into the store"));
  }
  if ((s.st_mode & 07777) != 0600) fchmod(fd, 0600);
  if (rename(path.c_str(), entry->path.c_str()) != 0) {
    return io::ErrnoStatus("move into the store", path, errno);
  }
  const OutputInfo info = InfoOf(*entry);
  Insert(key, std::move(entry));
  return info;
}

absl::StatusOr<OutputInfo> Store::Link(const LocalKey& key, const std::string& path,
                                       ObjectMeta meta, const FileIdentity& identity) {
  auto entry = std::make_shared<ObjectEntry>();
  entry->meta = std::move(meta);
  entry->path = NewPath();
  entry->identity = identity;
  // Symbolic links are not followed. What was linked is looked at under our own name, where nobody
  // puts another file meanwhile.
  if (link(path.c_str(), entry->path.c_str()) != 0) {
    return absl::FailedPreconditionError(
        StrCat("cannot link the store file ", path, ": ", std::strerror(errno)));
  }
  struct stat s;
  const bool same = lstat(entry->path.c_str(), &s) == 0 && S_ISREG(s.st_mode) &&
                    s.st_uid == geteuid() && (s.st_mode & 07777) == 0600 &&
                    FileIdentity::Of(s) == identity &&
                    identity.size_bytes == entry->meta.size_bytes;
  if (!same) {
    unlink(entry->path.c_str());
    return absl::FailedPreconditionError(StrCat(path, " is not the store file that was announced"));
  }
  const OutputInfo info = InfoOf(*entry);
  Insert(key, std::move(entry));
  return info;
}

void Store::Insert(const LocalKey& key, Entry entry) {
  const uint64_t size = entry->meta.size_bytes;
  (entry->path.empty() ? heap_bytes_ : file_bytes_) += size;
  objects_ += 1;
  {
    std::lock_guard lock(mutex_);
    std::swap(entries_[key], entry);
  }
  if (entry != nullptr) Forget(entry);
}

void Store::Forget(const Entry& entry) {
  (entry->path.empty() ? heap_bytes_ : file_bytes_) -= entry->meta.size_bytes;
  objects_ -= 1;
  if (!entry->path.empty()) unlink(entry->path.c_str());
}

bool Store::Contains(const LocalKey& key) const {
  std::lock_guard lock(mutex_);
  return entries_.contains(key);
}

absl::StatusOr<ObjectReader> Store::Get(const LocalKey& key) {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    auto it = entries_.find(key);
    if (it != entries_.end()) entry = it->second;
  }
  absl::Status missing = absl::NotFoundError(StrCat("object ", ToString(key.id.object), " version ",
                                                    key.id.version, " is not on this worker"));
  if (entry == nullptr) return missing;
  absl::StatusOr<ObjectReader> reader = ObjectReader::Open(entry);
  if (reader.ok() || reader.status().code() != absl::StatusCode::kDataLoss) return reader;
  // A drop between the look-up and the open is no loss.
  {
    std::lock_guard lock(mutex_);
    auto it = entries_.find(key);
    if (it == entries_.end() || it->second != entry) return missing;
  }
  ReportLost(key.id);
  return reader;
}

absl::StatusOr<ObjectReader> Store::GetCovering(LocalKey key, ByteRange& range) {
  const bool own = key.parts.whole() || Contains(key);
  const PartRange parts = own ? PartRange{} : key.parts;
  if (!own) key.parts = {};
  absl::StatusOr<ObjectReader> reader = Get(key);
  if (!reader.ok()) return reader;
  absl::StatusOr<ByteRange> located = reader->Locate(parts);
  if (!located.ok()) return located.status();
  range = *located;
  return reader;
}

AttemptId Store::AnyVersion(const ObjectId& object) const {
  std::lock_guard lock(mutex_);
  AttemptId newest = 0;
  for (const auto& [key, entry] : entries_) {
    if (key.id.object == object && key.parts.whole()) newest = std::max(newest, key.id.version);
  }
  return newest;
}

void Store::Drop(const LocalKey& key) {
  Entry entry;
  {
    std::lock_guard lock(mutex_);
    auto it = entries_.find(key);
    if (it == entries_.end()) return;
    entry = std::move(it->second);
    entries_.erase(it);
  }
  Forget(entry);
}

void Store::DropAll() {
  absl::flat_hash_map<LocalKey, Entry> dropped;
  {
    std::lock_guard lock(mutex_);
    dropped.swap(entries_);
  }
  for (const auto& [key, entry] : dropped) Forget(entry);
}

void Store::ReportLost(const ObjectVersion& id) {
  std::vector<Entry> dropped;
  {
    std::lock_guard lock(mutex_);
    // Rare: a scan is cheaper than an index by version that every put would have to keep.
    absl::erase_if(entries_, [&](const auto& item) {
      if (item.first.id != id) return false;
      dropped.push_back(item.second);
      return true;
    });
  }
  if (dropped.empty()) return;  // another reader has said so already
  for (const Entry& entry : dropped) Forget(entry);
  lost_ += 1;
  on_lost_(id);
}

StoreTotals Store::totals() const { return {objects_, heap_bytes_, file_bytes_, lost_}; }

}  // namespace taskd::worker
