#include "worker/store/packed.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "common/io/zstd_frame.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kSampled = 3;          // chunks
constexpr uint64_t kSampledPercent = 80;  // that they may take
constexpr size_t kFramePercent = 95;      // that a frame may take of its chunk

// The frame of `chunk`, in `buffer`; or the chunk.
std::string_view FrameOf(std::string_view chunk, char* buffer) {
  const size_t size = io::CompressInto(chunk, buffer, chunk.size() * kFramePercent / 100);
  return size == 0 ? chunk : std::string_view(buffer, size);
}

}  // namespace

absl::StatusOr<bool> Shrinks(const ObjectReader& reader) {
  const std::unique_ptr<char[]> plain(new char[limits::kChunkBytes]);
  const std::unique_ptr<char[]> frame(new char[limits::kChunkBytes]);
  const uint64_t chunks = reader.meta().size_bytes / limits::kChunkBytes + 1;
  uint64_t before = 0, after = 0;
  for (uint64_t i = 0; i < kSampled; ++i) {
    const uint64_t offset = chunks * i / kSampled * limits::kChunkBytes;
    const size_t n = std::min<uint64_t>(limits::kChunkBytes, reader.meta().size_bytes - offset);
    if (absl::Status s = reader.Read(offset, plain.get(), n); !s.ok()) return s;
    before += n;
    after += FrameOf({plain.get(), n}, frame.get()).size();
  }
  return after * 100 <= before * kSampledPercent;
}

absl::StatusOr<std::shared_ptr<const ObjectEntry>> WritePacked(Places& places,
                                                               const ObjectReader& reader) {
  auto entry = std::make_shared<ObjectEntry>();
  entry->meta = reader.meta();
  auto file = std::make_shared<StoreFile>(places.NewPath(true), true, Share(places.disk), nullptr);
  const std::unique_ptr<char[]> buffer(new char[limits::kChunkBytes]);
  absl::Status made = file->Make([&](int fd) {
    uint64_t end = 0;
    return reader.Stream({0, entry->meta.size_bytes, 0, 0}, [&](std::string_view chunk) {
      const std::string_view frame = FrameOf(chunk, buffer.get());
      end += frame.size();
      entry->frame_ends.push_back(end);
      if (!file->share.GrowTo(end)) return places.DiskIsFull();
      return io::WriteAll(fd, frame, file->path);
    });
  });
  if (!made.ok()) return made;
  entry->file = std::move(file);
  return std::shared_ptr<const ObjectEntry>(std::move(entry));
}

}  // namespace taskd::worker
