// Chunks of a peer that errs or lies.
#include "worker/data/item_receiver.h"

#include <gtest/gtest.h>

#include "common/base/crc32c.h"
#include "taskd/v1/data.pb.h"
#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

const LocalKey kWhole{{{1, 1}, 7}, {}};
const LocalKey kParts{{{1, 1}, 7}, {2, 4}};

v1::FetchChunk Chunk(const std::string& data, uint64_t size, bool last,
                     std::vector<uint64_t> ends = {}) {
  v1::FetchChunk chunk;
  chunk.set_version(7);
  chunk.set_size_bytes(size);
  chunk.set_data(data);
  chunk.set_last(last);
  if (last) chunk.set_crc32c(Crc32c(data));
  for (uint64_t end : ends) chunk.add_part_ends(end);
  return chunk;
}

struct Case {
  const char* name;
  LocalKey key;
  v1::FetchChunk chunk;
  FetchStatus expected;
};

TEST(ItemReceiverTest, OneChunk) {
  v1::FetchChunk wrong_version = Chunk("abc", 3, true), wrong_crc = Chunk("abc", 3, true),
                 busy = Chunk("", 0, true);
  wrong_version.set_version(8);
  wrong_crc.set_crc32c(1);
  busy.set_status(v1::FETCH_BUSY);
  const Case cases[] = {
      {"right", kWhole, Chunk("abc", 3, true), FetchStatus::kOk},
      {"empty", kWhole, Chunk("", 0, true), FetchStatus::kOk},
      {"parts", kParts, Chunk("abc", 3, true, {1, 3}), FetchStatus::kOk},
      {"all parts empty", kParts, Chunk("", 0, true, {0, 0}), FetchStatus::kOk},
      {"other version", kWhole, wrong_version, FetchStatus::kMissing},
      {"damaged", kWhole, wrong_crc, FetchStatus::kIoError},
      {"busy", kWhole, busy, FetchStatus::kBusy},
      {"too short", kWhole, Chunk("abc", 4, true), FetchStatus::kIoError},
      {"too long", kWhole, Chunk("abc", 2, true), FetchStatus::kIoError},
      {"too few parts", kParts, Chunk("abc", 3, true, {3}), FetchStatus::kIoError},
      {"no parts", kParts, Chunk("abc", 3, true), FetchStatus::kIoError},
      {"ends go back", kWhole, Chunk("abc", 3, true, {2, 1, 3}), FetchStatus::kIoError},
      {"ends short of the size", kParts, Chunk("abc", 3, true, {1, 2}), FetchStatus::kIoError},
      {"end beyond the size", kParts, Chunk("abc", 3, true, {1, 4}), FetchStatus::kIoError},
  };
  for (const Case& c : cases) {
    TempDir dir;
    Store store({dir.path()}, [](ObjectVersion) {});
    ItemReceiver receiver(store, c.key);
    EXPECT_EQ(receiver.Take(c.chunk).ok(), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.result().status, c.expected) << c.name;
    EXPECT_EQ(store.Contains(c.key), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.complete(), c.expected == FetchStatus::kOk) << c.name;
  }
}

TEST(ItemReceiverTest, NothingIsStoredBeforeTheEnd) {
  TempDir dir;
  Store store({dir.path()}, [](ObjectVersion) {});
  const std::string half(limits::kHeapObjectBytes, 'x');
  {
    ItemReceiver receiver(store, kWhole);
    ASSERT_TRUE(receiver.Take(Chunk(half, 2 * half.size(), false)).ok());
    EXPECT_EQ(receiver.result().status, FetchStatus::kUnreachable);
    v1::FetchChunk end = Chunk(half, 0, true);
    end.set_crc32c(Crc32c(half + half));
    ASSERT_TRUE(receiver.Take(end).ok());
    EXPECT_TRUE(store.Contains(kWhole));
  }
  store.DropAll();
  {
    ItemReceiver receiver(store, kWhole);
    ASSERT_TRUE(receiver.Take(Chunk(half + half, 3 * half.size(), false)).ok());
    EXPECT_EQ(CountFiles(dir.path()), 1u);
  }
  EXPECT_EQ(CountFiles(dir.path()), 0u);
}

}  // namespace
}  // namespace taskd::worker
