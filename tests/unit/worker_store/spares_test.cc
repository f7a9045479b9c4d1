#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <optional>
#include <string>

#include "common/base/limits.h"
#include "common/io/clock.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/store/store.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kBigBytes = 200'000, kSpareBytes = 1'000'000;

LocalKey KeyOf(uint32_t ordinal) { return {{{1, ordinal}, 7}, {}}; }

class SparesTest : public testing::Test {
 protected:
  void Make(uint64_t memory_bytes = 0, uint64_t spare_bytes = kSpareBytes) {
    store_ = std::make_unique<Store>(
        StoreOptions{disk_.path(), memory_.path(), memory_bytes, 0, spare_bytes},
        [](ObjectVersion) { FAIL(); });
  }

  // The file that it lies in.
  std::string Put(uint32_t ordinal, uint64_t bytes, char c = 'a') {
    EXPECT_TRUE(store_->Put(KeyOf(ordinal), std::string(bytes, c)).ok());
    absl::StatusOr<ObjectReader> reader = store_->Get(KeyOf(ordinal));
    EXPECT_TRUE(reader.ok());
    return reader->in_file() ? reader->entry().file->path : "";
  }

  std::string Text(uint32_t ordinal) {
    std::string out;
    absl::StatusOr<ObjectReader> reader = store_->Get(KeyOf(ordinal));
    if (!reader.ok()) return reader.status().ToString();
    absl::Status s = reader->Stream({0, reader->meta().size_bytes, 0, 0}, [&](auto bytes) {
      out.append(bytes);
      return absl::OkStatus();
    });
    return s.ok() ? out : s.ToString();
  }

  static uint64_t InodeOf(const std::string& path) {
    struct stat s = {};
    EXPECT_EQ(stat(path.c_str(), &s), 0) << path;
    return s.st_ino;
  }

  uint64_t spare_bytes() const { return store_->totals().spare_bytes; }

  TempDir disk_, memory_{"/dev/shm"};
  std::unique_ptr<Store> store_;
};

TEST_F(SparesTest, TheNextObjectOfThatSizeGetsTheFileUnderANewName) {
  Make();
  const std::string first = Put(1, kBigBytes, 'a');
  const uint64_t inode = InodeOf(first);
  store_->Drop(KeyOf(1));
  EXPECT_EQ(spare_bytes(), kBigBytes);
  EXPECT_NE(access(first.c_str(), F_OK), 0);  // what a peer was told leads nowhere
  const std::string second = Put(2, kBigBytes, 'b');
  EXPECT_EQ(InodeOf(second), inode);
  EXPECT_NE(second, first);
  EXPECT_EQ(spare_bytes(), 0u);
  EXPECT_EQ(Text(2), std::string(kBigBytes, 'b'));
}

TEST_F(SparesTest, NothingOfTheOldObjectIsLeft) {
  Make();
  Put(1, kBigBytes, 'a');
  store_->Drop(KeyOf(1));
  const std::string shorter = Put(2, kBigBytes * 2 / 3, 'b');
  EXPECT_EQ(std::filesystem::file_size(shorter), kBigBytes * 2 / 3);
  store_->Drop(KeyOf(2));
  Put(3, kBigBytes, 'c');  // goes on behind the pages that are there
  EXPECT_EQ(Text(3), std::string(kBigBytes, 'c'));
  store_->Drop(KeyOf(3));
  auto writer = store_->NewWriter(kBigBytes);  // more was announced than comes
  ASSERT_TRUE(writer->Append("short").ok());
  ASSERT_TRUE(store_->Commit(KeyOf(4), std::move(writer)).ok());
  EXPECT_EQ(Text(4), "short");
}

TEST_F(SparesTest, OneOfAnotherSizeIsNotTaken) {
  Make();
  Put(1, kBigBytes);
  store_->Drop(KeyOf(1));
  Put(2, kBigBytes / 2 - 10'000);
  Put(3, kBigBytes * 2 + 10);
  EXPECT_EQ(spare_bytes(), kBigBytes);
}

TEST_F(SparesTest, TheShortestThatIsLongEnoughIsTaken) {
  Make();
  Put(1, 150'000);
  const uint64_t best = InodeOf(Put(2, 210'000));
  Put(3, 250'000);
  for (uint32_t i : {3, 1, 2}) store_->Drop(KeyOf(i));
  EXPECT_EQ(InodeOf(Put(4, kBigBytes)), best);
}

TEST_F(SparesTest, WhatIsStillReadHereIsNotTouched) {
  Make();
  Put(1, kBigBytes, 'a');
  std::optional<ObjectReader> reader = *store_->Get(KeyOf(1));
  store_->Drop(KeyOf(1));
  EXPECT_EQ(spare_bytes(), 0u);
  Put(2, kBigBytes, 'b');
  std::string head(3, '\0');
  ASSERT_TRUE(reader->Read(0, head.data(), head.size()).ok());
  EXPECT_EQ(head, "aaa");
  reader.reset();
  EXPECT_EQ(spare_bytes(), kBigBytes);  // now nobody has it
}

TEST_F(SparesTest, WhatSomebodyHasOpenMappedOrLinkedIsNotKept) {
  Make();
  const std::string opened = Put(1, kBigBytes, 'a');
  const int fd = open(opened.c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(fd, 0);
  store_->Drop(KeyOf(1));
  EXPECT_EQ(spare_bytes(), 0u);
  close(fd);

  const std::string mapped = Put(2, kBigBytes, 'b');
  const int other = open(mapped.c_str(), O_RDONLY | O_CLOEXEC);
  void* bytes = mmap(nullptr, kBigBytes, PROT_READ, MAP_SHARED, other, 0);
  ASSERT_NE(bytes, MAP_FAILED);
  close(other);
  store_->Drop(KeyOf(2));
  EXPECT_EQ(spare_bytes(), 0u);
  Put(3, kBigBytes, 'c');
  EXPECT_EQ(static_cast<const char*>(bytes)[kBigBytes - 1], 'b');
  munmap(bytes, kBigBytes);

  const std::string link = memory_ / "link";
  ASSERT_EQ(::link(Put(4, kBigBytes, 'd').c_str(), link.c_str()), 0);
  store_->Drop(KeyOf(4));
  EXPECT_EQ(spare_bytes(), 0u);
  Put(5, kBigBytes, 'e');
  EXPECT_EQ(ReadFile(link), std::string(kBigBytes, 'd'));
}

TEST_F(SparesTest, TheyAreBoundedAndTheOldestGoes) {
  Make(0, 2 * kBigBytes);
  for (uint32_t i = 1; i <= 3; ++i) Put(i, kBigBytes);
  for (uint32_t i = 1; i <= 3; ++i) store_->Drop(KeyOf(i));
  EXPECT_EQ(spare_bytes(), 2 * kBigBytes);
  EXPECT_EQ(CountFiles(memory_.path()), 2u);
  store_.reset();
  EXPECT_EQ(CountFiles(memory_.path()), 0u);
}

TEST_F(SparesTest, TheyMakeRoomForObjects) {
  Make(3 * kBigBytes);
  for (uint32_t i = 1; i <= 3; ++i) Put(i, kBigBytes);
  for (uint32_t i = 1; i <= 3; ++i) store_->Drop(KeyOf(i));
  EXPECT_EQ(spare_bytes(), 3 * kBigBytes);
  ASSERT_FALSE(store_->Put(KeyOf(4), std::string(kBigBytes * 5 / 2, 'x'))->on_disk);
  ASSERT_FALSE(store_->Put(KeyOf(5), std::string(50'000, 'y'))->on_disk);  // the heap's share, too
  EXPECT_EQ(spare_bytes(), 0u);
}

TEST_F(SparesTest, OldOnesGo) {
  Make();
  Put(1, kBigBytes);
  store_->Drop(KeyOf(1));
  const uint64_t now_ns = io::NowNs();
  store_->DropOldSpares(now_ns);
  EXPECT_EQ(spare_bytes(), kBigBytes);
  store_->DropOldSpares(now_ns + 2 * limits::kSpareNs);
  EXPECT_EQ(spare_bytes(), 0u);
  EXPECT_EQ(CountFiles(memory_.path()), 0u);
}

TEST_F(SparesTest, FilesOnDiskAreNotKept) {
  store_ = std::make_unique<Store>(StoreOptions{disk_.path(), "", 0, 0, kSpareBytes},
                                   [](ObjectVersion) { FAIL(); });
  Put(1, kBigBytes);
  store_->Drop(KeyOf(1));
  EXPECT_EQ(spare_bytes(), 0u);
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
}

// What comes after a spare has been taken and memory runs out: nothing old goes along to disk.
TEST_F(SparesTest, AWriterThatMovesToDiskTakesOnlyItsOwnBytes) {
  Make(kBigBytes + 1000);
  Put(1, kBigBytes, 'a');
  store_->Drop(KeyOf(1));
  auto writer = store_->NewWriter(kBigBytes);
  ASSERT_TRUE(writer->Append(std::string(70'000, 'b')).ok());
  ASSERT_TRUE(writer->Append(std::string(kBigBytes, 'c')).ok());
  absl::StatusOr<StoredOutput> info = store_->Commit(KeyOf(2), std::move(writer));
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_TRUE(info->on_disk);
  EXPECT_EQ(Text(2), std::string(70'000, 'b') + std::string(kBigBytes, 'c'));
}

}  // namespace
}  // namespace taskd::worker
