// Objects on their way from memory to disk. Large ones get a file each, small ones of one request share one.
// A reader that has an object open keeps what it has; the next one opens the copy on disk.
#include <utility>

#include "common/base/text.h"
#include "common/io/files.h"
#include "common/io/log.h"
#include "worker/store/packed.h"
#include "worker/store/store.h"

namespace taskd::worker {

using Result = event::Spilled::Result;

void Store::Spill(std::vector<LocalKey> keys, SpillCallback done) {
  std::vector<SpillItem> items;
  items.reserve(keys.size());
  for (const LocalKey& key : keys) items.push_back({key, Find(key)});
  spillers_.Post(
      [this, items = std::move(items), done = std::move(done)] { done(WriteToDisk(items)); });
}

std::vector<Result> Store::WriteToDisk(const std::vector<SpillItem>& items) {
  std::vector<Result> results(items.size(), Result::kGone);
  std::vector<SpillItem> small;
  std::vector<size_t> places;  // of these
  absl::Status failed;
  for (size_t i = 0; i < items.size(); ++i) {
    const Entry& entry = items[i].entry;
    if (entry == nullptr || Find(items[i].key) != entry) continue;
    if (entry->file == nullptr) {
      small.push_back(items[i]);
      places.push_back(i);
      continue;
    }
    absl::StatusOr<Entry> copy = CopyToDisk(entry);
    if (!copy.ok() && copy.status().code() != absl::StatusCode::kDataLoss) failed = copy.status();
    results[i] = Replace(items[i], copy);
  }
  std::vector<Entry> copies;
  absl::Status together = small.empty() ? absl::OkStatus() : WriteTogether(small, copies);
  if (!together.ok()) failed = together;
  for (size_t k = 0; k < small.size(); ++k) {
    results[places[k]] =
        Replace(small[k], together.ok() ? absl::StatusOr<Entry>(copies[k]) : together);
  }
  if (!failed.ok()) {
    io::LogWarning(StrCat("cannot move results from memory to disk: ", ToStd(failed.message()),
                          "; they stay in memory, and it is tried again"));
  }
  return results;
}

absl::StatusOr<Store::Entry> Store::CopyToDisk(const Entry& entry) {
  absl::StatusOr<ObjectReader> reader = ObjectReader::Open(entry);
  if (!reader.ok()) return reader.status();
  if (places_->pack_spilled) {
    absl::StatusOr<bool> shrinks = Shrinks(*reader);
    if (!shrinks.ok()) return shrinks.status();
    if (*shrinks) return WritePacked(*places_, *reader);
  }
  return CopyPlain(*reader);
}

absl::StatusOr<Store::Entry> Store::CopyPlain(const ObjectReader& reader) {
  ObjectWriter writer(places_, reader.meta().size_bytes, true);
  absl::Status copied = reader.Stream({0, reader.meta().size_bytes, 0, 0},
                                      [&](std::string_view bytes) { return writer.Append(bytes); });
  if (!copied.ok()) return copied;
  absl::StatusOr<Entry> made = writer.Finish();
  if (!made.ok()) return made;
  auto copy = std::make_shared<ObjectEntry>();
  copy->meta = reader.meta();
  copy->file = (*made)->file;
  return Entry(std::move(copy));
}

absl::Status Store::MakeMappable(LocalKey key, ObjectReader& reader) {
  if (!reader.entry().packed()) return reader.Verify();
  // Who waits here finds it unpacked.
  std::lock_guard lock(unpacking_);
  Entry now = Find(key);
  if (now == nullptr && !key.parts.whole()) {
    key.parts = {};  // some of its parts are wanted
    now = Find(key);
  }
  const bool same = now == reader.shared_entry();
  if (same || now == nullptr || now->packed()) {
    absl::StatusOr<Entry> plain = CopyPlain(reader);
    if (!plain.ok()) return plain.status();
    (*plain)->file->verified = true;
    now = *plain;
    if (same) Replace({key, reader.shared_entry()}, plain);
  }
  absl::StatusOr<ObjectReader> unpacked = ObjectReader::Open(now);
  if (unpacked.ok()) reader = *std::move(unpacked);
  return unpacked.status();
}

absl::Status Store::WriteTogether(const std::vector<SpillItem>& items,
                                  std::vector<Entry>& entries) {
  uint64_t size = 0;
  for (const SpillItem& item : items) size += item.entry->meta.size_bytes;
  Share share(places_->disk);
  if (!share.GrowTo(size)) return places_->DiskIsFull();
  auto file = std::make_shared<StoreFile>(places_->NewPath(true), true, std::move(share), nullptr);
  absl::Status made = file->Make([&](int fd) -> absl::Status {
    for (const SpillItem& item : items) {
      absl::Status written = io::WriteAll(fd, item.entry->bytes, file->path);
      if (!written.ok()) return written;
    }
    return absl::OkStatus();
  });
  if (!made.ok()) return made;
  uint64_t offset = 0;
  for (const SpillItem& item : items) {
    auto copy = std::make_shared<ObjectEntry>();
    copy->meta = item.entry->meta;
    copy->file = file;
    copy->offset = offset;
    offset += copy->meta.size_bytes;
    entries.push_back(std::move(copy));
  }
  return absl::OkStatus();
}

Result Store::Replace(const SpillItem& item, const absl::StatusOr<Entry>& on_disk) {
  if (on_disk.status().code() == absl::StatusCode::kDataLoss) {
    if (Find(item.key) == item.entry) ReportLost(item.key.id);
    return Result::kGone;
  }
  if (!on_disk.ok()) return Result::kFailed;
  {
    std::lock_guard lock(mutex_);
    auto it = entries_.find(item.key);
    if (it == entries_.end() || it->second != item.entry) return Result::kGone;
    it->second = *on_disk;
  }
  Forget(*item.entry);
  Count(**on_disk, 1);
  return Result::kOnDisk;
}

}  // namespace taskd::worker
