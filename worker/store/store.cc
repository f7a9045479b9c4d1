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

// Every byte of `fd` in order, in pieces of limits::kChunkBytes at most; there are about `size_bytes`.
absl::Status ReadAll(int fd, const std::string& path, uint64_t size_bytes,
                     absl::FunctionRef<absl::Status(std::string_view)> sink) {
  // A byte more than there is: the end is seen, and most outputs are small.
  std::string buffer(std::min<uint64_t>(size_bytes + 1, limits::kChunkBytes), '\0');
  for (off_t offset = 0;;) {
    const ssize_t n = pread(fd, buffer.data(), buffer.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return io::ErrnoStatus("read", path, errno);
    if (n == 0) return absl::OkStatus();
    if (absl::Status s = sink({buffer.data(), static_cast<size_t>(n)}); !s.ok()) return s;
    offset += n;
  }
}

absl::Status CheckPartEnds(const std::vector<uint64_t>& part_ends, uint64_t size_bytes) {
  if (part_ends.empty() ||
      (part_ends.back() == size_bytes && std::is_sorted(part_ends.begin(), part_ends.end())))
    return absl::OkStatus();
  return absl::OutOfRangeError(
      StrCat("its parts do not end at its ", size_bytes, " bytes, or not one after the other"));
}

// Of an object that comes in pieces.
class PartChecksums {
 public:
  explicit PartChecksums(const std::vector<uint64_t>& ends) : ends_(ends) {}
  void Append(std::string_view bytes) {
    while (crcs_.size() < ends_.size()) {
      const size_t n = std::min<uint64_t>(bytes.size(), ends_[crcs_.size()] - position_);
      crc_ = ExtendCrc32c(crc_, bytes.data(), n);
      position_ += n;
      bytes.remove_prefix(n);
      if (position_ < ends_[crcs_.size()]) return;
      crcs_.push_back(std::exchange(crc_, 0));
    }
  }
  std::vector<uint32_t> Take() { return std::move(crcs_); }

 private:
  const std::vector<uint64_t>& ends_;
  std::vector<uint32_t> crcs_;
  uint64_t position_ = 0;
  uint32_t crc_ = 0;
};

StoredOutput InfoOf(const ObjectEntry& entry) {
  return {{entry.meta.size_bytes, entry.meta.crc32c}, entry.on_disk()};
}

}  // namespace

Store::Store(StoreOptions options, LostCallback on_lost)
    : places_(std::make_shared<Places>(std::move(options))),
      on_lost_(std::move(on_lost)),
      empty_(std::make_shared<ObjectEntry>()) {}

Store::~Store() { DropAll(); }

absl::StatusOr<StoredOutput> Store::Put(const LocalKey& key, std::string bytes,
                                        const std::vector<uint64_t>& part_ends) {
  if (bytes.empty() && part_ends.empty()) {
    Insert(key, empty_);
    return StoredOutput{};
  }
  if (absl::Status s = CheckPartEnds(part_ends, bytes.size()); !s.ok()) return s;
  std::unique_ptr<ObjectWriter> writer = NewWriter(bytes.size());
  if (absl::Status s = writer->AppendInParts(bytes, part_ends); !s.ok()) return s;
  return Commit(key, std::move(writer));
}

std::unique_ptr<ObjectWriter> Store::NewWriter(uint64_t expected_bytes) {
  return std::unique_ptr<ObjectWriter>(new ObjectWriter(places_, expected_bytes, false));
}

absl::StatusOr<StoredOutput> Store::Commit(const LocalKey& key,
                                           std::unique_ptr<ObjectWriter> writer) {
  absl::StatusOr<Entry> entry = writer->Finish();
  if (!entry.ok()) return entry.status();
  const StoredOutput info = InfoOf(**entry);
  Insert(key, *std::move(entry));
  return info;
}

absl::StatusOr<StoredOutput> Store::Adopt(const LocalKey& key, int fd, const std::string& path,
                                          const std::vector<uint64_t>& part_ends) {
  struct stat s;
  if (fstat(fd, &s) != 0) return io::ErrnoStatus("stat", path, errno);
  const uint64_t size = static_cast<uint64_t>(s.st_size);
  if (absl::Status fit = CheckPartEnds(part_ends, size); !fit.ok()) return fit;
  const bool on_disk = s.st_dev != places_->memory_device;
  if (size > limits::kHeapObjectBytes && s.st_nlink == 1) {
    absl::StatusOr<Entry> entry = AdoptFile(fd, path, s, part_ends, on_disk);
    if (!entry.ok()) return entry.status();
    if (*entry != nullptr) {
      const StoredOutput info = InfoOf(**entry);
      Insert(key, *std::move(entry));
      return info;
    }
  }
  std::unique_ptr<ObjectWriter> writer = NewWriter(size);
  absl::Status copied = ReadAll(fd, path, size, [&](std::string_view bytes) {
    return writer->AppendInParts(bytes, part_ends);
  });
  if (copied.ok()) copied = writer->AppendInParts({}, part_ends);  // of an empty file
  if (!copied.ok()) return copied;
  return Commit(key, std::move(writer));
}

// Null: it lies in memory, which has no room for it.
absl::StatusOr<Store::Entry> Store::AdoptFile(int fd, const std::string& path, const struct stat& s,
                                              const std::vector<uint64_t>& part_ends,
                                              bool on_disk) {
  Share share(on_disk ? places_->disk : places_->memory);
  auto entry = std::make_shared<ObjectEntry>();
  if (!share.GrowTo(static_cast<uint64_t>(s.st_size))) {
    if (on_disk) return places_->DiskIsFull();
    return Entry();
  }
  PartChecksums parts(part_ends);
  absl::Status read =
      ReadAll(fd, path, static_cast<uint64_t>(s.st_size), [&](std::string_view bytes) {
        parts.Append(bytes);
        entry->meta.size_bytes += bytes.size();
        entry->meta.crc32c = ExtendCrc32c(entry->meta.crc32c, bytes.data(), bytes.size());
        return absl::OkStatus();
      });
  if (!read.ok()) return read;
  if (entry->meta.size_bytes != static_cast<uint64_t>(s.st_size)) {
    return absl::DataLossError(StrCat(path, " changed while it was taken into the store"));
  }
  entry->meta.part_ends = part_ends;
  entry->meta.part_crcs = parts.Take();
  if ((s.st_mode & 07777) != 0600) fchmod(fd, 0600);
  const std::string to = places_->NewPath(on_disk);
  if (rename(path.c_str(), to.c_str()) != 0)
    return io::ErrnoStatus("move into the store", path, errno);
  auto file =
      std::make_shared<StoreFile>(to, on_disk, std::move(share), places_->SparesFor(on_disk));
  file->identity = FileIdentity::Of(s);
  entry->file = std::move(file);
  return Entry(std::move(entry));
}

absl::StatusOr<StoredOutput> Store::Link(const LocalKey& key, const std::string& path,
                                         ObjectMeta meta, const FileIdentity& identity) {
  const bool on_disk = identity.device != places_->memory_device;
  Share share(on_disk ? places_->disk : places_->memory);
  // Who made it may let go of it: then it is ours alone.
  if (!share.GrowTo(identity.size_bytes))
    return absl::FailedPreconditionError(StrCat("no room is left for a link to ", path));
  const std::string own = places_->NewPath(on_disk);
  // Symbolic links are not followed. What was linked is looked at under our own name, where nobody
  // puts another file meanwhile.
  if (link(path.c_str(), own.c_str()) != 0) {
    return absl::FailedPreconditionError(
        StrCat("cannot link the store file ", path, ": ", std::strerror(errno)));
  }
  auto file =
      std::make_shared<StoreFile>(own, on_disk, std::move(share), places_->SparesFor(on_disk));
  struct stat s;
  const bool same = lstat(own.c_str(), &s) == 0 && S_ISREG(s.st_mode) && s.st_uid == geteuid() &&
                    (s.st_mode & 07777) == 0600 && FileIdentity::Of(s) == identity &&
                    identity.size_bytes == meta.size_bytes;
  if (!same)
    return absl::FailedPreconditionError(StrCat(path, " is not the store file that was announced"));
  file->identity = identity;
  auto entry = std::make_shared<ObjectEntry>();
  entry->meta = std::move(meta);
  entry->file = std::move(file);
  const StoredOutput info = InfoOf(*entry);
  Insert(key, std::move(entry));
  return info;
}

void Store::Insert(const LocalKey& key, Entry entry) {
  Count(*entry, 1);
  {
    std::lock_guard lock(mutex_);
    std::swap(entries_[key], entry);
  }
  if (entry != nullptr) Forget(*entry);
}

void Store::Count(const ObjectEntry& entry, int sign) {
  std::atomic<uint64_t>& bytes = entry.file == nullptr ? heap_bytes_
                                 : entry.on_disk()     ? disk_bytes_
                                                       : shared_bytes_;
  bytes += entry.stored_bytes() * static_cast<uint64_t>(sign);
  objects_ += static_cast<uint64_t>(sign);
}

void Store::Forget(const ObjectEntry& entry) {
  Count(entry, -1);
  if (entry.has_own_file()) entry.file->Unlink();
}

Store::Entry Store::Find(const LocalKey& key) const {
  std::lock_guard lock(mutex_);
  auto it = entries_.find(key);
  return it == entries_.end() ? nullptr : it->second;
}

std::string Store::SmallValue(const LocalKey& key) const {
  const Entry entry = Find(key);
  if (entry == nullptr || entry->file != nullptr || !entry->meta.part_ends.empty()) return "";
  return entry->bytes;
}

bool Store::Contains(const LocalKey& key) const {
  std::lock_guard lock(mutex_);
  return entries_.contains(key);
}

std::optional<uint64_t> Store::SizeOf(const LocalKey& key) const {
  const Entry entry = Find(key);
  return entry == nullptr ? std::nullopt : std::optional<uint64_t>(entry->meta.size_bytes);
}

absl::StatusOr<ObjectReader> Store::Get(const LocalKey& key) {
  for (;;) {
    const Entry entry = Find(key);
    if (entry == nullptr) {
      return absl::NotFoundError(StrCat("object ", ToString(key.id.object), " version ",
                                        key.id.version, " is not on this worker"));
    }
    absl::StatusOr<ObjectReader> reader = ObjectReader::Open(entry);
    if (reader.ok() || reader.status().code() != absl::StatusCode::kDataLoss) return reader;
    // Dropped or spilled between the look-up and the open, it is not lost.
    if (Find(key) != entry) continue;
    ReportLost(key.id);
    return reader;
  }
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

absl::StatusOr<StoredOutput> Store::Rename(const LocalKey& from, const LocalKey& to) {
  StoredOutput info;
  Entry before;
  {
    std::lock_guard lock(mutex_);
    auto it = entries_.find(from);
    if (it == entries_.end())
      return absl::NotFoundError(StrCat("object ", ToString(from.id.object), " is not here"));
    Entry entry = std::move(it->second);
    entries_.erase(it);
    info = InfoOf(*entry);
    before = std::exchange(entries_[to], std::move(entry));
  }
  if (before != nullptr) Forget(*before);
  return info;
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
  Forget(*entry);
}

void Store::DropAll() {
  absl::flat_hash_map<LocalKey, Entry> dropped;
  {
    std::lock_guard lock(mutex_);
    dropped.swap(entries_);
  }
  for (const auto& [key, entry] : dropped) Forget(*entry);
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
  for (const Entry& entry : dropped) Forget(*entry);
  lost_ += 1;
  on_lost_(id);
}

StoreTotals Store::totals() const {
  return {objects_, heap_bytes_, shared_bytes_, disk_bytes_, lost_, places_->spares->bytes()};
}

}  // namespace taskd::worker
