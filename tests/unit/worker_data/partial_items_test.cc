#include "worker/data/partial_items.h"

#include <gtest/gtest.h>

#include <string>

#include "common/base/limits.h"
#include "common/rpc/chunk_codec.h"
#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

class PartialItemsTest : public testing::Test {
 protected:
  static LocalKey KeyOf(uint32_t ordinal) { return {{{1, ordinal}, 7}, {}}; }

  std::unique_ptr<ItemReceiver> Begun(uint32_t ordinal, uint64_t bytes) {
    auto item = std::make_unique<ItemReceiver>(store_, KeyOf(ordinal));
    item->Expect(nullptr, "");
    const std::string data(bytes, 'x');
    rpc::ReceivedChunk chunk;
    chunk.header.set_version(7);
    chunk.header.set_size_bytes(bytes + 1);
    chunk.data = {data};
    EXPECT_TRUE(item->Take(chunk).ok());
    return item;
  }

  TempDir dir_;
  Store store_{{dir_.path()}, [](ObjectVersion) {}};
};

TEST_F(PartialItemsTest, AreGivenBackOnce) {
  PartialItems items(10 * limits::kChunkBytes);
  items.Put(Begun(1, limits::kChunkBytes), 0);
  EXPECT_EQ(items.bytes(), limits::kChunkBytes);
  EXPECT_EQ(items.Take(KeyOf(2)), nullptr);
  auto item = items.Take(KeyOf(1));
  ASSERT_NE(item, nullptr);
  EXPECT_EQ(item->kept_bytes(), limits::kChunkBytes);
  EXPECT_EQ(items.Take(KeyOf(1)), nullptr);
  EXPECT_EQ(items.bytes(), 0u);
}

TEST_F(PartialItemsTest, LittleIsNotWorthIt) {
  PartialItems items(10 * limits::kChunkBytes);
  items.Put(Begun(1, limits::kChunkBytes - 1), 0);
  items.Put(std::make_unique<ItemReceiver>(store_, KeyOf(2)), 0);
  EXPECT_EQ(items.Take(KeyOf(1)), nullptr);
  EXPECT_EQ(items.Take(KeyOf(2)), nullptr);
}

TEST_F(PartialItemsTest, TheOldestGoFirstAndAfterAWhile) {
  PartialItems items(2 * limits::kChunkBytes);
  for (uint32_t i = 1; i <= 3; ++i) items.Put(Begun(i, limits::kChunkBytes), i);
  EXPECT_EQ(items.Take(KeyOf(1)), nullptr);
  EXPECT_EQ(CountFiles(dir_.path()), 2u);
  items.Expire(limits::kPartialNs + 2);
  EXPECT_EQ(items.bytes(), 2 * limits::kChunkBytes);
  items.Expire(limits::kPartialNs + 3);
  EXPECT_EQ(items.Take(KeyOf(2)), nullptr);
  EXPECT_NE(items.Take(KeyOf(3)), nullptr);
  EXPECT_EQ(CountFiles(dir_.path()), 0u);
}

}  // namespace
}  // namespace taskd::worker
