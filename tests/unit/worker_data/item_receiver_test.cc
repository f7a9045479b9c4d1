// Chunks of a peer that errs or lies.
#include "worker/data/item_receiver.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/io/zstd_frame.h"
#include "common/rpc/chunk_codec.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/data/host_proof.h"

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

// As it comes out of a message; the bytes stay in `chunk`.
rpc::ReceivedChunk Received(const v1::FetchChunk& chunk) {
  rpc::ReceivedChunk received{chunk, {chunk.data()}};
  received.header.clear_data();
  return received;
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
    EXPECT_EQ(receiver.Take(Received(c.chunk)).ok(), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.result().status, c.expected) << c.name;
    EXPECT_EQ(store.Contains(c.key), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.complete(), c.expected == FetchStatus::kOk) << c.name;
  }
}

v1::FetchChunk Packed(const std::string& text, uint32_t raw_bytes) {
  v1::FetchChunk chunk = Chunk(text, text.size(), true, {text.size() / 3, text.size()});
  chunk.set_data(io::Compress(text));
  chunk.set_raw_bytes(raw_bytes);
  return chunk;
}

TEST(ItemReceiverTest, CompressedChunksAreTakenApart) {
  const std::string text(10'000, 'x'), huge(limits::kChunkBytes + 1, 'x');
  v1::FetchChunk cut = Packed(text, 10'000);
  cut.mutable_data()->pop_back();
  v1::FetchChunk no_frame = Packed(text, 10'000);
  no_frame.set_data(text);
  v1::FetchChunk longer_than_said = Packed(text, 10'000);
  longer_than_said.set_size_bytes(9'999);
  longer_than_said.clear_part_ends();
  const Case cases[] = {
      {"right", kParts, Packed(text, 10'000), FetchStatus::kOk},
      {"another size", kParts, Packed(text, 9'999), FetchStatus::kIoError},
      {"longer than the object", kWhole, longer_than_said, FetchStatus::kIoError},
      {"cut", kParts, cut, FetchStatus::kIoError},
      {"no frame", kParts, no_frame, FetchStatus::kIoError},
      {"huge", kParts, Packed(huge, limits::kChunkBytes + 1), FetchStatus::kIoError},
  };
  for (const Case& c : cases) {
    TempDir dir;
    Store store({dir.path()}, [](ObjectVersion) {});
    ItemReceiver receiver(store, c.key);
    rpc::ReceivedChunk received = Received(c.chunk);
    const std::string_view data = received.data[0];
    received.data = {data.substr(0, 5), data.substr(5)};  // as it may lie in a message
    EXPECT_EQ(receiver.Take(received).ok(), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.result().status, c.expected) << c.name;
    EXPECT_EQ(store.Contains(c.key), c.expected == FetchStatus::kOk) << c.name;
  }
}

TEST(ItemReceiverTest, NothingIsStoredBeforeTheEnd) {
  TempDir dir;
  Store store({dir.path()}, [](ObjectVersion) {});
  const std::string half(limits::kHeapObjectBytes, 'x');
  {
    ItemReceiver receiver(store, kWhole);
    const v1::FetchChunk begin = Chunk(half, 2 * half.size(), false);
    ASSERT_TRUE(receiver.Take(Received(begin)).ok());
    EXPECT_EQ(receiver.result().status, FetchStatus::kUnreachable);
    v1::FetchChunk end = Chunk(half, 0, true);
    end.set_crc32c(Crc32c(half + half));
    ASSERT_TRUE(receiver.Take(Received(end)).ok());
    EXPECT_TRUE(store.Contains(kWhole));
  }
  store.DropAll();
  {
    ItemReceiver receiver(store, kWhole);
    const v1::FetchChunk begin = Chunk(half + half, 3 * half.size(), false);
    ASSERT_TRUE(receiver.Take(Received(begin)).ok());
    EXPECT_EQ(CountFiles(dir.path()), 1u);
  }
  EXPECT_EQ(CountFiles(dir.path()), 0u);
}

// The first half of 40 bytes from one holder; then what the next one answers to "go on".
struct Continuation {
  const char* name;
  v1::FetchChunk chunk;
  FetchStatus expected;  // kUnreachable: all of it is to be asked for again
  uint64_t kept;
};

TEST(ItemReceiverTest, GoesOnWhereAnAnswerBrokeOff) {
  const std::string first(20, 'a'), second(20, 'b');
  v1::FetchChunk right = Chunk(second, 40, true), wrong_version = right, wrong_size = right,
                 with_parts = right, wrong_crc = right, too_long = right, missing, damaged;
  right.set_crc32c(Crc32c(first + second));
  wrong_version.set_version(8);
  wrong_size.set_size_bytes(41);
  with_parts.add_part_ends(40);
  wrong_crc.set_crc32c(1);
  too_long.set_data(first + second);
  missing.set_status(v1::FETCH_MISSING);
  damaged.set_status(v1::FETCH_IO_ERROR);
  const Continuation cases[] = {
      {"right", right, FetchStatus::kOk, 0},
      {"another version", wrong_version, FetchStatus::kUnreachable, 0},
      {"another size", wrong_size, FetchStatus::kUnreachable, 0},
      {"other parts", with_parts, FetchStatus::kUnreachable, 0},
      {"does not fit together", wrong_crc, FetchStatus::kUnreachable, 0},
      {"sends all again", too_long, FetchStatus::kIoError, 0},
      {"does not have it", missing, FetchStatus::kMissing, 20},
      {"cannot read it", damaged, FetchStatus::kIoError, 0},
  };
  for (const Continuation& c : cases) {
    TempDir dir;
    Store store({dir.path()}, [](ObjectVersion) {});
    ItemReceiver receiver(store, kWhole);
    receiver.Expect(nullptr, "");
    const v1::FetchChunk begin = Chunk(first, 40, false);
    ASSERT_TRUE(receiver.Take(Received(begin)).ok()) << c.name;
    EXPECT_EQ(receiver.kept_bytes(), 20u) << c.name;
    receiver.Expect(nullptr, "");
    EXPECT_EQ(receiver.Take(Received(c.chunk)).ok(), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.result().status, c.expected) << c.name;
    EXPECT_EQ(receiver.over(), c.expected != FetchStatus::kUnreachable) << c.name;
    EXPECT_EQ(receiver.kept_bytes(), c.kept) << c.name;
    EXPECT_EQ(store.Contains(kWhole), c.expected == FetchStatus::kOk) << c.name;
    if (receiver.over()) continue;
    // What is left of that answer changes nothing; a whole one does.
    EXPECT_TRUE(receiver.Take(Received(right)).ok()) << c.name;
    EXPECT_FALSE(receiver.over()) << c.name;
    receiver.Expect(nullptr, "");
    const v1::FetchChunk whole = Chunk(first + second, 40, true);
    EXPECT_TRUE(receiver.Take(Received(whole)).ok()) << c.name;
    EXPECT_TRUE(receiver.complete()) << c.name;
  }
}

TEST(ItemReceiverTest, GoesOnInTheMiddleOfAPart) {
  TempDir dir;
  Store store({dir.path()}, [](ObjectVersion) {});
  ItemReceiver receiver(store, kParts);
  receiver.Expect(nullptr, "");
  const v1::FetchChunk begin = Chunk("abc", 6, false, {2, 6});
  ASSERT_TRUE(receiver.Take(Received(begin)).ok());
  receiver.Expect(nullptr, "");
  v1::FetchChunk end = Chunk("def", 6, true, {2, 6});
  end.set_crc32c(Crc32c("abcdef"));
  ASSERT_TRUE(receiver.Take(Received(end)).ok());
  auto reader = store.Get(kParts);
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->entry().bytes, "abcdef");
  EXPECT_EQ(reader->meta().crc32c, Crc32c("abcdef"));
  EXPECT_EQ(reader->meta().part_ends, (std::vector<uint64_t>{2, 6}));
  EXPECT_EQ(reader->meta().part_crcs, (std::vector<uint32_t>{Crc32c("ab"), Crc32c("cdef")}));
}

// A file that stands in another store, and what a peer says about it.
TEST(ItemReceiverTest, LinksOnlyWhatIsShownToBeHere) {
  TempDir there;
  const std::string path = there / "7", bytes(100, 'x');
  WriteFile(path, bytes);
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  struct stat s;
  ASSERT_EQ(stat(path.c_str(), &s), 0);
  const FileIdentity identity = FileIdentity::Of(s);
  const HostProof host("the boot id"), elsewhere("another one");
  const std::string nonce = "0123456789abcdef";
  const auto answer = [&](const HostProof& who, const std::string& name, uint64_t size) {
    v1::FetchChunk chunk = Chunk("", size, true);
    chunk.set_crc32c(Crc32c(bytes));
    v1::StoreFile& file = *chunk.mutable_file();
    file.set_path(name);
    file.set_device(identity.device);
    file.set_inode(identity.inode);
    file.set_mtime_ns(identity.mtime_ns);
    file.set_proof(who.Answer(nonce, file));
    return chunk;
  };
  v1::FetchChunk other_inode = answer(host, path, 100), changed_name = answer(host, "/etc/x", 100);
  other_inode.mutable_file()->set_inode(identity.inode + 1);
  other_inode.mutable_file()->set_proof(host.Answer(nonce, other_inode.file()));
  changed_name.mutable_file()->set_path(path);
  const std::string symbolic = there / "symbolic";
  ASSERT_EQ(symlink(path.c_str(), symbolic.c_str()), 0);
  struct LinkCase {
    const char* name;
    const HostProof* asked;
    v1::FetchChunk chunk;
    FetchStatus expected;  // kUnreachable: the bytes are to be asked for
  };
  const LinkCase cases[] = {
      {"right", &host, answer(host, path, 100), FetchStatus::kOk},
      {"not asked for", nullptr, answer(host, path, 100), FetchStatus::kIoError},
      {"a peer elsewhere", &host, answer(elsewhere, path, 100), FetchStatus::kIoError},
      {"changed on its way", &host, changed_name, FetchStatus::kIoError},
      {"gone", &host, answer(host, there / "8", 100), FetchStatus::kUnreachable},
      {"another size", &host, answer(host, path, 99), FetchStatus::kUnreachable},
      {"another file", &host, other_inode, FetchStatus::kUnreachable},
      {"a symbolic link", &host, answer(host, symbolic, 100), FetchStatus::kUnreachable},
      {"a folder", &host, answer(host, there.path(), 100), FetchStatus::kUnreachable},
      {"a device", &host, answer(host, "/dev/null", 100), FetchStatus::kUnreachable},
  };
  for (const LinkCase& c : cases) {
    TempDir dir;
    Store store({dir.path()}, [](ObjectVersion) {});
    ItemReceiver receiver(store, kWhole);
    receiver.Expect(c.asked, nonce);
    EXPECT_EQ(receiver.Take(Received(c.chunk)).ok(), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(receiver.result().status, c.expected) << c.name;
    EXPECT_EQ(receiver.linked(), c.expected == FetchStatus::kOk) << c.name;
    EXPECT_EQ(CountFiles(dir.path()), c.expected == FetchStatus::kOk ? 1u : 0u) << c.name;
    EXPECT_EQ(store.Contains(kWhole), c.expected == FetchStatus::kOk) << c.name;
  }
  // Of this user, but not private: no store file.
  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  TempDir dir;
  Store store({dir.path()}, [](ObjectVersion) {});
  ItemReceiver receiver(store, kWhole);
  receiver.Expect(&host, nonce);
  const v1::FetchChunk chunk = answer(host, path, 100);
  EXPECT_FALSE(receiver.Take(Received(chunk)).ok());
  EXPECT_EQ(CountFiles(dir.path()), 0u);
}

}  // namespace
}  // namespace taskd::worker
