// Objects that are spilled compressed.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>
#include <thread>
#include <vector>

#include "common/base/limits.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/store/store.h"

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;
using Result = event::Spilled::Result;

constexpr uint64_t kBytes = 3 * uint64_t{limits::kChunkBytes} + 12'345;
const LocalKey kKey{{{1, 1}, 7}, {}};

std::string Digits(uint64_t bytes) {
  std::string text;
  for (uint64_t i = 1; text.size() < bytes; ++i) text += std::to_string(i * i * 2654435761u);
  text.resize(bytes);
  return text;
}

std::string Noise(uint64_t bytes) {
  std::string text(bytes, '\0');
  uint64_t state = 1;
  for (char& c : text) c = static_cast<char>((state = state * 6364136223846793005u + 1) >> 56);
  return text;
}

class PackedTest : public testing::Test {
 protected:
  void Make(uint64_t disk_bytes = 0) {
    store_ =
        std::make_unique<Store>(StoreOptions{disk_.path(), memory_.path(), 0, disk_bytes, 0, true},
                                [this](ObjectVersion id) { lost_.push_back(id); });
  }

  Result Spill(const std::string& text, std::vector<uint64_t> part_ends = {}) {
    EXPECT_TRUE(store_->Put(kKey, text, part_ends).ok());
    std::promise<std::vector<Result>> results;
    store_->Spill({kKey}, [&](std::vector<Result> r) { results.set_value(std::move(r)); });
    return results.get_future().get().at(0);
  }

  ObjectReader Reader() {
    absl::StatusOr<ObjectReader> reader = store_->Get(kKey);
    TASKD_CHECK(reader.ok());
    return *std::move(reader);
  }

  static std::string TextOf(const ObjectReader& reader, ByteRange range) {
    std::string out;
    absl::Status s = reader.Stream(range, [&](std::string_view bytes) {
      out.append(bytes);
      return absl::OkStatus();
    });
    return s.ok() ? out : s.ToString();
  }
  static std::string TextOf(const ObjectReader& reader) {
    return TextOf(reader, {0, reader.meta().size_bytes, 0, 0});
  }

  static std::string FileOf(const ObjectReader& reader) {
    std::string text(reader.meta().size_bytes + 1, '\0');
    const ssize_t n = pread(reader.fd(), text.data(), text.size(), 0);
    text.resize(n < 0 ? 0 : static_cast<size_t>(n));
    return text;
  }

  std::string OnlyFile() { return std::filesystem::directory_iterator(disk_.path())->path(); }

  TempDir disk_, memory_{"/dev/shm"};
  std::vector<ObjectVersion> lost_;
  std::unique_ptr<Store> store_;
};

TEST_F(PackedTest, WhatShrinksTakesLessDisk) {
  Make();
  const std::string text = Digits(kBytes);
  ASSERT_EQ(Spill(text), Result::kOnDisk);
  const uint64_t size = std::filesystem::file_size(OnlyFile());
  EXPECT_LT(size, kBytes * 6 / 10);
  EXPECT_EQ(store_->totals().disk_bytes, size);
  const ObjectReader reader = Reader();
  EXPECT_EQ(TextOf(reader), text);
  EXPECT_FALSE(reader.entry().has_own_file());
  constexpr uint64_t kChunk = limits::kChunkBytes;
  for (const uint64_t offset : {uint64_t{0}, uint64_t{7}, kChunk - 1, kChunk, 2 * kChunk + 5}) {
    for (const uint64_t length : {uint64_t{0}, uint64_t{1}, kChunk, kBytes - offset}) {
      const uint64_t n = std::min(length, kBytes - offset);
      EXPECT_EQ(TextOf(reader, {offset, n, 0, 0}), text.substr(offset, n));
    }
  }
  store_->Drop(kKey);
  EXPECT_EQ(store_->totals().disk_bytes, 0u);
}

TEST_F(PackedTest, WhatDoesNotLiesAsItIs) {
  Make();
  ASSERT_EQ(Spill(Noise(kBytes)), Result::kOnDisk);
  EXPECT_TRUE(Reader().entry().has_own_file());
  EXPECT_EQ(store_->totals().disk_bytes, kBytes);
}

TEST_F(PackedTest, ChunksThatDoNotShrinkLieAmongFrames) {
  Make();
  constexpr uint64_t kChunk = limits::kChunkBytes;
  const std::string text = Digits(kChunk) + Noise(kChunk) + Digits(6 * kChunk);
  ASSERT_EQ(Spill(text), Result::kOnDisk);
  EXPECT_LT(store_->totals().disk_bytes, text.size() * 7 / 10);
  EXPECT_EQ(TextOf(Reader()), text);
}

TEST_F(PackedTest, WhoMapsItGetsTheBytesAndTheNextOneTheSameFile) {
  Make();
  const std::string text = Digits(kBytes);
  ASSERT_EQ(Spill(text, {kBytes / 3, kBytes}), Result::kOnDisk);
  const ObjectReader before = Reader();
  std::vector<std::thread> threads;
  std::vector<uint64_t> inodes(4);
  for (uint64_t& inode : inodes) {
    threads.emplace_back([&] {
      ByteRange range;
      absl::StatusOr<ObjectReader> reader = store_->GetCovering({kKey.id, {1, 2}}, range);
      ASSERT_TRUE(reader.ok());
      ASSERT_TRUE(store_->MakeMappable({kKey.id, {1, 2}}, *reader).ok());
      EXPECT_EQ(FileOf(*reader), text);
      EXPECT_EQ(TextOf(*reader, range), text.substr(kBytes / 3));
      inode = reader->entry().file->identity.inode;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(std::count(inodes.begin(), inodes.end(), inodes[0]), 4);
  EXPECT_TRUE(Reader().entry().has_own_file());
  EXPECT_EQ(store_->totals().disk_bytes, kBytes);
  EXPECT_EQ(TextOf(before), text);  // who had it open
}

TEST_F(PackedTest, ADroppedOneIsUnpackedForItsReaderAlone) {
  Make();
  const std::string text = Digits(kBytes);
  ASSERT_EQ(Spill(text), Result::kOnDisk);
  {
    ObjectReader reader = Reader();
    store_->Drop(kKey);
    ASSERT_TRUE(store_->MakeMappable(kKey, reader).ok());
    EXPECT_EQ(FileOf(reader), text);
  }
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
  EXPECT_EQ(store_->totals().objects, 0u);
}

TEST_F(PackedTest, ALimitOfDiskCountsWhatLiesThere) {
  Make(kBytes * 7 / 10);
  const std::string text = Digits(kBytes);
  ASSERT_EQ(Spill(text), Result::kOnDisk);
  ObjectReader reader = Reader();
  EXPECT_TRUE(absl::IsResourceExhausted(store_->MakeMappable(kKey, reader)));
  EXPECT_EQ(TextOf(reader), text);
  EXPECT_EQ(CountFiles(disk_.path()), 1u);
}

TEST_F(PackedTest, ADiskWithoutRoomLeavesItInMemory) {
  Make(kBytes / 10);
  const std::string text = Digits(kBytes);
  EXPECT_EQ(Spill(text), Result::kFailed);
  EXPECT_EQ(TextOf(Reader()), text);
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
}

TEST_F(PackedTest, DamageIsFound) {
  for (const uint64_t at : {uint64_t{1000}, uint64_t{2}}) {
    Make();
    ASSERT_EQ(Spill(Digits(kBytes)), Result::kOnDisk);
    const std::string file = OnlyFile();
    struct stat s;
    ASSERT_EQ(stat(file.c_str(), &s), 0);
    const int fd = open(file.c_str(), O_RDWR | O_CLOEXEC);
    char byte = 0;
    ASSERT_EQ(pread(fd, &byte, 1, static_cast<off_t>(at)), 1);
    byte = static_cast<char>(byte ^ 16);
    ASSERT_EQ(pwrite(fd, &byte, 1, static_cast<off_t>(at)), 1);
    const timespec times[2] = {s.st_atim, s.st_mtim};
    ASSERT_EQ(futimens(fd, times), 0);
    close(fd);
    ObjectReader reader = Reader();
    absl::Status read = reader.Stream({0, kBytes, 0, 0}, [](auto) { return absl::OkStatus(); });
    EXPECT_TRUE(absl::IsDataLoss(read)) << read;
    EXPECT_TRUE(absl::IsDataLoss(store_->MakeMappable(kKey, reader)));
  }
}

}  // namespace
}  // namespace taskd::worker
