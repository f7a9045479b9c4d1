#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <future>
#include <string>
#include <vector>

#include "common/base/crc32c.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/store/store.h"

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using Result = event::Spilled::Result;

constexpr uint64_t kBigBytes = 100'000;

LocalKey KeyOf(uint32_t ordinal) { return {{{1, ordinal}, 7}, {}}; }
std::string Big(char c) { return std::string(kBigBytes, c); }

class SpillTest : public testing::Test {
 protected:
  void Make(uint64_t memory_bytes, uint64_t disk_bytes = 0) {
    store_ = std::make_unique<Store>(
        StoreOptions{disk_.path(), memory_.path(), memory_bytes, disk_bytes},
        [this](ObjectVersion id) { lost_.push_back(id); });
  }

  std::vector<Result> Spill(std::vector<LocalKey> keys) {
    std::promise<std::vector<Result>> results;
    store_->Spill(std::move(keys), [&](std::vector<Result> r) { results.set_value(std::move(r)); });
    return results.get_future().get();
  }

  std::string Text(uint32_t ordinal) {
    absl::StatusOr<ObjectReader> reader = store_->Get(KeyOf(ordinal));
    return reader.ok() ? TextOf(*reader) : reader.status().ToString();
  }

  static std::string TextOf(const ObjectReader& reader) {
    std::string out;
    absl::Status s =
        reader.Stream({0, reader.meta().size_bytes, 0, 0}, [&](std::string_view bytes) {
          out.append(bytes);
          return absl::OkStatus();
        });
    return s.ok() ? out : s.ToString();
  }

  // Keeps size and time.
  static void Damage(const std::string& file) {
    struct stat s;
    ASSERT_EQ(stat(file.c_str(), &s), 0);
    const int fd = open(file.c_str(), O_WRONLY | O_CLOEXEC);
    ASSERT_EQ(pwrite(fd, "X", 1, 50), 1);
    const timespec times[2] = {s.st_atim, s.st_mtim};
    ASSERT_EQ(futimens(fd, times), 0);
    close(fd);
  }

  static std::string OnlyFile(const TempDir& dir) {
    return std::filesystem::directory_iterator(dir.path())->path();
  }

  TempDir disk_, memory_{"/dev/shm"};
  std::vector<ObjectVersion> lost_;
  std::unique_ptr<Store> store_;
};

TEST_F(SpillTest, LargeObjectsMoveFromMemoryToDisk) {
  Make(0);
  EXPECT_FALSE(store_->Put(KeyOf(1), Big('a'))->on_disk);
  EXPECT_EQ(CountFiles(memory_.path()), 1u);
  EXPECT_EQ(store_->totals().shared_bytes, kBigBytes);
  EXPECT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kOnDisk));
  EXPECT_EQ(CountFiles(memory_.path()), 0u);
  EXPECT_EQ(CountFiles(disk_.path()), 1u);
  EXPECT_EQ(store_->totals().shared_bytes, 0u);
  EXPECT_EQ(store_->totals().disk_bytes, kBigBytes);
  EXPECT_EQ(Text(1), Big('a'));
  store_->Drop(KeyOf(1));
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
}

TEST_F(SpillTest, SmallOnesOfARequestShareAFileThatGoesWithTheLast) {
  Make(0);
  for (uint32_t i = 1; i <= 3; ++i)
    ASSERT_TRUE(store_->Put(KeyOf(i), std::string(i * 10, 'x')).ok());
  EXPECT_THAT(Spill({KeyOf(1), KeyOf(2), KeyOf(3)}),
              ElementsAre(Result::kOnDisk, Result::kOnDisk, Result::kOnDisk));
  EXPECT_EQ(CountFiles(disk_.path()), 1u);
  EXPECT_EQ(store_->totals().heap_bytes, 0u);
  EXPECT_EQ(store_->totals().disk_bytes, 60u);
  EXPECT_EQ(Text(2), std::string(20, 'x'));
  store_->Drop(KeyOf(1));
  store_->Drop(KeyOf(2));
  EXPECT_EQ(Text(3), std::string(30, 'x'));
  store_->Drop(KeyOf(3));
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
}

TEST_F(SpillTest, PartsStayParts) {
  Make(0);
  auto writer = store_->NewWriter();
  for (char c : {'a', 'b'}) {
    ASSERT_TRUE(writer->Append(Big(c)).ok());
    writer->EndPart();
  }
  ASSERT_TRUE(store_->Commit(KeyOf(1), std::move(writer)).ok());
  ASSERT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kOnDisk));
  ByteRange range;
  absl::StatusOr<ObjectReader> reader = store_->GetCovering({KeyOf(1).id, {1, 2}}, range);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(range.offset, kBigBytes);
  EXPECT_TRUE(reader
                  ->Stream(range,
                           [](std::string_view bytes) {
                             return bytes[0] == 'b' ? absl::OkStatus()
                                                    : absl::InternalError("wrong");
                           })
                  .ok());
}

TEST_F(SpillTest, AReaderGoesOnReadingWhatItHasOpen) {
  Make(0);
  ASSERT_TRUE(store_->Put(KeyOf(1), Big('a')).ok());
  absl::StatusOr<ObjectReader> reader = store_->Get(KeyOf(1));
  ASSERT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kOnDisk));
  EXPECT_EQ(TextOf(*reader), Big('a'));
}

TEST_F(SpillTest, WhatIsNotThereIsGone) {
  Make(0);
  ASSERT_TRUE(store_->Put(KeyOf(1), Big('a')).ok());
  store_->Drop(KeyOf(1));
  EXPECT_THAT(Spill({KeyOf(1), KeyOf(2)}), ElementsAre(Result::kGone, Result::kGone));
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(SpillTest, WhatExceedsTheBudgetGoesToDiskAtOnce) {
  Make(kBigBytes + 1000);
  EXPECT_FALSE(store_->Put(KeyOf(1), Big('a'))->on_disk);
  EXPECT_TRUE(store_->Put(KeyOf(2), Big('b'))->on_disk);
  EXPECT_FALSE(store_->Put(KeyOf(3), std::string(900, 'c'))->on_disk);
  EXPECT_TRUE(store_->Put(KeyOf(4), std::string(900, 'd'))->on_disk);  // small ones, too
  EXPECT_EQ(Text(2), Big('b'));
  EXPECT_EQ(Text(4), std::string(900, 'd'));
  store_->Drop(KeyOf(1));
  EXPECT_FALSE(store_->Put(KeyOf(5), Big('e'))->on_disk);
}

TEST_F(SpillTest, AnObjectThatOutgrowsTheBudgetWhileItIsWrittenMoves) {
  Make(3 * kBigBytes);
  auto writer = store_->NewWriter();
  std::string all;
  for (char c : {'a', 'b', 'c', 'd', 'e'}) {
    ASSERT_TRUE(writer->Append(Big(c)).ok());
    all += Big(c);
  }
  EXPECT_EQ(CountFiles(memory_.path()), 0u);
  absl::StatusOr<StoredOutput> stored = store_->Commit(KeyOf(1), std::move(writer));
  ASSERT_TRUE(stored.ok());
  EXPECT_TRUE(stored->on_disk);
  EXPECT_EQ(stored->crc32c, Crc32c(all));
  EXPECT_EQ(Text(1), all);
  EXPECT_FALSE(store_->Put(KeyOf(2), Big('z'))->on_disk);  // it has given its memory back
}

TEST_F(SpillTest, TheDiskHasALimit) {
  Make(kBigBytes, 2 * kBigBytes);
  ASSERT_TRUE(store_->Put(KeyOf(1), Big('a')).ok());
  ASSERT_TRUE(store_->Put(KeyOf(2), Big('b')).ok());
  ASSERT_TRUE(store_->Put(KeyOf(3), Big('c')).ok());
  absl::StatusOr<StoredOutput> full = store_->Put(KeyOf(4), Big('d'));
  EXPECT_EQ(full.status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(full.status().message()), HasSubstr("--disk"));
  EXPECT_EQ(CountFiles(disk_.path()), 2u);
  EXPECT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kFailed));
  EXPECT_EQ(Text(1), Big('a'));
  store_->Drop(KeyOf(2));
  EXPECT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kOnDisk));
}

TEST_F(SpillTest, ADiskThatCannotBeWrittenLosesNothing) {
  Make(0);
  ASSERT_TRUE(store_->Put(KeyOf(1), Big('a')).ok());
  ASSERT_TRUE(store_->Put(KeyOf(2), "small").ok());
  std::filesystem::remove_all(disk_.path());
  EXPECT_THAT(Spill({KeyOf(1), KeyOf(2)}), ElementsAre(Result::kFailed, Result::kFailed));
  EXPECT_EQ(Text(1), Big('a'));
  EXPECT_EQ(Text(2), "small");
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(SpillTest, AFlippedBitInASpilledFileIsFound) {
  Make(0);
  ASSERT_TRUE(store_->Put(KeyOf(1), Big('a')).ok());
  ASSERT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kOnDisk));
  Damage(OnlyFile(disk_));
  EXPECT_THAT(Text(1), HasSubstr("checksum"));
  absl::StatusOr<ObjectReader> reader = store_->Get(KeyOf(1));
  EXPECT_EQ(reader->Verify().code(), absl::StatusCode::kDataLoss);
}

TEST_F(SpillTest, WhatIsDamagedInMemoryIsLostAndNotSpilled) {
  Make(0);
  ASSERT_TRUE(store_->Put(KeyOf(1), Big('a')).ok());
  Damage(OnlyFile(memory_));
  EXPECT_THAT(Spill({KeyOf(1)}), ElementsAre(Result::kGone));
  EXPECT_THAT(lost_, ElementsAre(KeyOf(1).id));
  EXPECT_EQ(CountFiles(disk_.path()), 0u);
}

TEST_F(SpillTest, AdoptLeavesAFileWhereItIsUnlessMemoryIsFull) {
  Make(kBigBytes + 1);
  TempDir out, out_memory{"/dev/shm"};
  const auto adopt = [&](uint32_t ordinal, const std::string& path) {
    WriteFile(path, Big('o'));
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    absl::StatusOr<StoredOutput> stored = store_->Adopt(KeyOf(ordinal), fd, path);
    close(fd);
    EXPECT_EQ(Text(ordinal), Big('o'));
    return stored->on_disk;
  };
  EXPECT_TRUE(adopt(1, out / "a"));
  EXPECT_FALSE(adopt(2, out_memory / "a"));
  EXPECT_EQ(CountFiles(out_memory.path()), 0u);  // moved
  EXPECT_TRUE(adopt(3, out_memory / "b"));       // copied
}

}  // namespace
}  // namespace taskd::worker
