#include "worker/store/store.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>
#include <vector>

#include "common/base/crc32c.h"
#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

LocalKey Key(uint32_t ordinal, PartRange parts = {}) { return {{{1, ordinal}, 7}, parts}; }
const std::string kBig(limits::kHeapObjectBytes + 1, 'b');

class StoreTest : public testing::Test {
 protected:
  std::string Text(const LocalKey& key, PartRange parts = {}) {
    absl::StatusOr<ObjectReader> reader = store_.Get(key);
    if (!reader.ok()) return reader.status().ToString();
    absl::StatusOr<ByteRange> range = reader->Locate(parts);
    if (!range.ok()) return range.status().ToString();
    std::string out;
    absl::Status s = reader->Stream(*range, [&](std::string_view bytes) {
      out.append(bytes);
      return absl::OkStatus();
    });
    return s.ok() ? out : s.ToString();
  }

  absl::StatusOr<StoredOutput> PutParts(const LocalKey& key,
                                        const std::vector<std::string>& parts) {
    std::unique_ptr<ObjectWriter> writer = store_.NewWriter();
    for (const std::string& part : parts) {
      EXPECT_TRUE(writer->Append(part).ok());
      writer->EndPart();
    }
    return store_.Commit(key, std::move(writer));
  }

  absl::StatusOr<StoredOutput> Adopt(const LocalKey& key, const std::string& path,
                                     const std::vector<uint64_t>& part_ends = {}) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    absl::StatusOr<StoredOutput> info = store_.Adopt(key, fd, path, part_ends);
    close(fd);
    return info;
  }

  TempDir dir_;
  std::vector<ObjectVersion> lost_;
  Store store_{{dir_.path()}, [this](ObjectVersion id) { lost_.push_back(id); }};
};

TEST_F(StoreTest, SmallObjectsLiveOnTheHeapAndLargeOnesInPrivateFiles) {
  EXPECT_EQ(store_.Put(Key(1), "abc")->crc32c, Crc32c("abc"));
  EXPECT_EQ(CountFiles(dir_.path()), 0u);
  EXPECT_EQ(store_.Put(Key(2), kBig)->size_bytes, kBig.size());
  EXPECT_EQ(CountFiles(dir_.path()), 1u);
  EXPECT_EQ(Text(Key(1)), "abc");
  EXPECT_EQ(Text(Key(2)), kBig);
  const StoreTotals t = store_.totals();
  EXPECT_EQ(t.objects, 2u);
  EXPECT_EQ(t.heap_bytes, 3u);
  EXPECT_EQ(t.disk_bytes, kBig.size());
  struct stat s;
  ASSERT_EQ(stat((dir_ / "0").c_str(), &s), 0);
  EXPECT_EQ(s.st_mode & 0777, 0600u);
}

TEST_F(StoreTest, VersionsAndPartSelectionsAreDifferentObjects) {
  ASSERT_TRUE(store_.Put(Key(1), "whole").ok());
  ASSERT_TRUE(store_.Put(Key(1, {2, 3}), "part").ok());
  EXPECT_EQ(Text(Key(1)), "whole");
  EXPECT_EQ(Text(Key(1, {2, 3})), "part");
  EXPECT_EQ(store_.Get({{{1, 1}, 8}, {}}).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StoreTest, PutOfTheSameKeyReplacesAndCountsOnce) {
  ASSERT_TRUE(store_.Put(Key(1), kBig).ok());
  ASSERT_TRUE(store_.Put(Key(1), kBig).ok());
  ASSERT_TRUE(store_.Put(Key(2), "").ok());
  EXPECT_EQ(store_.totals().objects, 2u);
  EXPECT_EQ(store_.totals().disk_bytes, kBig.size());
  EXPECT_EQ(CountFiles(dir_.path()), 1u);
}

TEST_F(StoreTest, PartsAreFoundByTheirEnds) {
  ASSERT_TRUE(PutParts(Key(1), {"aa", "", "cccc", "d"}).ok());
  EXPECT_EQ(Text(Key(1)), "aaccccd");
  EXPECT_EQ(Text(Key(1), {0, 1}), "aa");
  EXPECT_EQ(Text(Key(1), {1, 2}), "");
  EXPECT_EQ(Text(Key(1), {1, 4}), "ccccd");
  EXPECT_EQ(Text(Key(1), {2, 2}).substr(0, 12), "OUT_OF_RANGE");
  EXPECT_EQ(Text(Key(1), {3, 5}).substr(0, 12), "OUT_OF_RANGE");
}

TEST_F(StoreTest, PartsFromAFileAreCheckedOneByOne) {
  ASSERT_TRUE(PutParts(Key(1), {kBig, "xyz", kBig}).ok());
  EXPECT_EQ(Text(Key(1), {1, 2}), "xyz");
  EXPECT_EQ(Text(Key(1), {0, 3}), kBig + "xyz" + kBig);
}

TEST_F(StoreTest, CoveringReadTakesTheSelectionElseTheWholeObject) {
  ByteRange range;
  ASSERT_TRUE(PutParts(Key(1), {"aa", "bbb"}).ok());
  ASSERT_TRUE(store_.GetCovering(Key(1, {1, 2}), range).ok());
  EXPECT_EQ(range.offset, 2u);
  EXPECT_EQ(range.length, 3u);
  ASSERT_TRUE(store_.Put(Key(2, {1, 2}), "selection").ok());
  ASSERT_TRUE(store_.GetCovering(Key(2, {1, 2}), range).ok());
  EXPECT_EQ(range.length, 9u);
  EXPECT_EQ(store_.GetCovering(Key(3, {1, 2}), range).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(StoreTest, BytesAfterTheLastPartAreRefused) {
  std::unique_ptr<ObjectWriter> writer = store_.NewWriter();
  ASSERT_TRUE(writer->Append("a").ok());
  writer->EndPart();
  ASSERT_TRUE(writer->Append("b").ok());
  EXPECT_EQ(store_.Commit(Key(1), std::move(writer)).status().code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_FALSE(store_.Contains(Key(1)));
}

TEST_F(StoreTest, AnAbandonedWriterLeavesNothing) {
  {
    std::unique_ptr<ObjectWriter> writer = store_.NewWriter();
    ASSERT_TRUE(writer->Append(kBig).ok());
    EXPECT_EQ(CountFiles(dir_.path()), 1u);
  }
  EXPECT_EQ(CountFiles(dir_.path()), 0u);
}

TEST_F(StoreTest, AdoptRenamesLargeFilesAndReadsSmallOnes) {
  TempDir out;
  WriteFile(out / "big", kBig);
  WriteFile(out / "small", "small");
  EXPECT_EQ(Adopt(Key(1), out / "big")->crc32c, Crc32c(kBig));
  EXPECT_EQ(Adopt(Key(2), out / "small")->size_bytes, 5u);
  EXPECT_EQ(Text(Key(1)), kBig);
  EXPECT_EQ(Text(Key(2)), "small");
  EXPECT_EQ(CountFiles(out.path()), 1u);  // big was moved
}

// Small ones, large ones that are renamed, and large ones that must be copied; parts that are empty or cross pieces.
TEST_F(StoreTest, WhatIsPutOrAdoptedInPartsIsReadByParts) {
  TempDir out;
  std::string big;
  for (uint32_t i = 0; big.size() < 3 * limits::kChunkBytes; ++i) big += std::to_string(i);
  const std::vector<uint64_t> ends = {
      0, 10, limits::kChunkBytes, limits::kChunkBytes + 5, big.size(), big.size()};
  WriteFile(out / "renamed", big);
  WriteFile(out / "copied", big);
  std::filesystem::create_hard_link(out / "copied", out / "other");
  ASSERT_TRUE(Adopt(Key(1), out / "renamed", ends).ok());
  ASSERT_TRUE(Adopt(Key(2), out / "copied", ends).ok());
  ASSERT_TRUE(store_.Put(Key(3), big, ends).ok());
  EXPECT_FALSE(std::filesystem::exists(out / "renamed"));
  for (uint32_t object : {1u, 2u, 3u}) {
    EXPECT_EQ(store_.Get(Key(object))->meta().crc32c, Crc32c(big));
    for (uint32_t part = 0, begin = 0; part < ends.size(); ++part) {
      const uint32_t end = static_cast<uint32_t>(ends[part]);
      EXPECT_EQ(Text(Key(object), {part, part + 1}), big.substr(begin, end - begin))
          << object << " " << part;
      begin = end;
    }
    EXPECT_EQ(Text(Key(object)), big);
  }
  ASSERT_TRUE(store_.Put(Key(4), "", {0, 0}).ok());
  EXPECT_EQ(store_.Get(Key(4))->meta().part_ends.size(), 2u);
  WriteFile(out / "small", "abc");
  ASSERT_TRUE(Adopt(Key(5), out / "small", {1, 3}).ok());
  EXPECT_EQ(Text(Key(5), {1, 2}), "bc");
  const std::vector<uint64_t> wrong[] = {{1, 2}, {2, 1, 3}, {4}};
  for (const std::vector<uint64_t>& w : wrong) {
    EXPECT_EQ(store_.Put(Key(6), "abc", w).status().code(), absl::StatusCode::kOutOfRange);
    EXPECT_EQ(Adopt(Key(6), out / "small", w).status().code(), absl::StatusCode::kOutOfRange);
  }
  EXPECT_FALSE(store_.Contains(Key(6)));
}

TEST_F(StoreTest, AdoptCopiesAFileThatHasAnotherName) {
  TempDir out;
  WriteFile(out / "a", kBig);
  ASSERT_EQ(link((out / "a").c_str(), (out / "b").c_str()), 0);
  ASSERT_TRUE(Adopt(Key(1), out / "b").ok());
  WriteFile(out / "a", "changed");
  EXPECT_EQ(Text(Key(1)), kBig);
}

TEST_F(StoreTest, AReaderOutlivesTheDrop) {
  ASSERT_TRUE(store_.Put(Key(1), kBig).ok());
  ASSERT_TRUE(store_.Put(Key(2), "abc").ok());
  absl::StatusOr<ObjectReader> big = store_.Get(Key(1)), small = store_.Get(Key(2));
  ASSERT_TRUE(big.ok() && small.ok());
  store_.Drop(Key(1));
  store_.DropAll();
  EXPECT_EQ(store_.totals().objects, 0u);
  EXPECT_EQ(CountFiles(dir_.path()), 0u);
  char c[3];
  EXPECT_TRUE(big->Read(kBig.size() - 3, c, 3).ok());
  EXPECT_EQ(std::string(c, 3), "bbb");
  EXPECT_TRUE(small->Read(0, c, 3).ok());
  EXPECT_EQ(std::string(c, 3), "abc");
  EXPECT_THAT(lost_, IsEmpty());
}

TEST_F(StoreTest, AVanishedFileIsLostOnce) {
  ASSERT_TRUE(store_.Put(Key(1), kBig).ok());
  ASSERT_EQ(unlink((dir_ / "0").c_str()), 0);
  EXPECT_EQ(store_.Get(Key(1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_EQ(store_.Get(Key(1)).status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(lost_, ElementsAre(Key(1).id));
  EXPECT_EQ(store_.totals().lost, 1u);
}

TEST_F(StoreTest, AChangedFileIsLost) {
  ASSERT_TRUE(store_.Put(Key(1), kBig).ok());
  std::ofstream(dir_ / "0", std::ios::app) << "more";
  EXPECT_EQ(store_.Get(Key(1)).status().code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(lost_, ElementsAre(Key(1).id));
}

TEST_F(StoreTest, DamageThatKeepsSizeAndTimeIsFoundByTheChecksum) {
  ASSERT_TRUE(store_.Put(Key(1), kBig).ok());
  const std::string file = dir_ / "0";
  struct stat s;
  ASSERT_EQ(stat(file.c_str(), &s), 0);
  {
    std::fstream damaged(file, std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(100);
    damaged.put('X');
  }
  const timespec times[2] = {s.st_atim, s.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  EXPECT_EQ(Text(Key(1)).substr(0, 9), "DATA_LOSS");
}

TEST_F(StoreTest, ReportLostDropsEverySelectionOfTheVersion) {
  ASSERT_TRUE(store_.Put(Key(1), "whole").ok());
  ASSERT_TRUE(store_.Put(Key(1, {0, 1}), "part").ok());
  ASSERT_TRUE(store_.Put(Key(2), "other").ok());
  store_.ReportLost(Key(1).id);
  store_.ReportLost(Key(1).id);
  EXPECT_THAT(lost_, ElementsAre(Key(1).id));
  EXPECT_EQ(store_.totals().objects, 1u);
}

TEST_F(StoreTest, AFolderThatIsGoneFailsTheWriteOnly) {
  std::filesystem::remove_all(dir_.path());
  EXPECT_FALSE(store_.Put(Key(1), kBig).ok());
  EXPECT_TRUE(store_.Put(Key(2), "small").ok());
  EXPECT_EQ(store_.totals().objects, 1u);
}

TEST_F(StoreTest, ManyThreads) {
  std::vector<std::thread> threads;
  for (uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (uint32_t i = 0; i < 200; ++i) {
        const LocalKey key = Key(i % 20);
        const std::string bytes(i % 2 == 0 ? 100 : limits::kHeapObjectBytes + 1, 'x');
        if (t % 2 == 0) {
          EXPECT_TRUE(store_.Put(key, bytes).ok());
        } else {
          (void)store_.Get(key);
          store_.Drop(key);
        }
      }
    });
  }
  for (std::thread& t : threads) t.join();
  store_.DropAll();
  EXPECT_EQ(store_.totals().heap_bytes, 0u);
  EXPECT_EQ(store_.totals().disk_bytes, 0u);
  EXPECT_EQ(CountFiles(dir_.path()), 0u);
}

}  // namespace
}  // namespace taskd::worker
