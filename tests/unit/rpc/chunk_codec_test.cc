// What goes out is what protobuf reads, and what comes in is believed within its bounds only.
#include "common/rpc/chunk_codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "common/base/limits.h"
#include "common/base/prng.h"

namespace taskd::rpc {
namespace {

using ::testing::SizeIs;

grpc::Slice Bytes(const std::string& text) { return grpc::Slice(text.data(), text.size()); }

std::string Flat(const grpc::ByteBuffer& message) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(message.Dump(&slices).ok());
  std::string flat;
  for (const grpc::Slice& slice : slices)
    flat.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return flat;
}

// In slices of `each` bytes.
grpc::ByteBuffer Cut(const std::string& flat, size_t each) {
  std::vector<grpc::Slice> slices;
  for (size_t i = 0; i < flat.size(); i += each) slices.push_back(Bytes(flat.substr(i, each)));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<ReceivedChunks> Parse(const std::string& flat) {
  return ReceivedChunks::Parse(Cut(flat, flat.size() + 1));
}

std::string Joined(const ReceivedChunk& chunk) {
  std::string joined;
  for (std::string_view piece : chunk.data) joined += piece;
  EXPECT_EQ(joined.size(), chunk.data_bytes());
  return joined;
}

v1::FetchChunk Header(uint32_t item) {
  v1::FetchChunk header;
  header.set_item(item);
  header.set_size_bytes(1234567);
  header.set_version(9);
  header.set_last(true);
  header.add_part_ends(5);
  header.add_part_ends(1234567);
  header.mutable_file()->set_path("/a/b");
  return header;
}

const std::string kSmall = "small payload", kLarge(5000, 'L');

std::string TwoChunks() {
  ChunkWriter writer;
  writer.Add(Header(0), Bytes(kLarge));
  writer.Add(Header(1), Bytes(kSmall));
  writer.Add(Header(2), grpc::Slice());
  EXPECT_EQ(writer.chunks(), 3u);
  const uint64_t bytes = writer.bytes();
  const std::string flat = Flat(writer.Finish());
  EXPECT_NEAR(static_cast<double>(bytes), static_cast<double>(flat.size()), 16);
  EXPECT_EQ(writer.chunks(), 0u);
  return flat;
}

TEST(ChunkCodecTest, ProtobufReadsWhatIsWritten) {
  v1::FetchChunk chunk;
  ASSERT_TRUE(chunk.ParseFromString(TwoChunks()));
  EXPECT_EQ(chunk.data(), kLarge);
  ASSERT_EQ(chunk.more_size(), 2);
  EXPECT_EQ(chunk.more(0).data(), kSmall);
  EXPECT_EQ(chunk.more(1).data(), "");
  for (uint32_t i = 0; i < 3; ++i) {
    v1::FetchChunk one = i == 0 ? chunk : chunk.more(static_cast<int>(i) - 1);
    one.clear_data();
    one.clear_more();
    EXPECT_EQ(one.SerializeAsString(), Header(i).SerializeAsString());
  }
}

TEST(ChunkCodecTest, ReadsWhatProtobufWrites) {
  v1::FetchChunk chunk = Header(3);
  chunk.set_data(kLarge);
  *chunk.add_more() = Header(4);
  auto received = Parse(chunk.SerializeAsString());
  ASSERT_TRUE(received.ok()) << received.status();
  ASSERT_THAT(received->chunks(), SizeIs(2));
  EXPECT_EQ(Joined(received->chunks()[0]), kLarge);
  EXPECT_EQ(received->chunks()[0].header.SerializeAsString(), Header(3).SerializeAsString());
  EXPECT_EQ(received->chunks()[1].header.SerializeAsString(), Header(4).SerializeAsString());
}

TEST(ChunkCodecTest, HoweverTheBytesAreCut) {
  const std::string flat = TwoChunks();
  for (size_t each : {1, 2, 3, 7, 24, 100, 4096}) {
    auto received = ReceivedChunks::Parse(Cut(flat, each));
    ASSERT_TRUE(received.ok()) << each;
    ASSERT_THAT(received->chunks(), SizeIs(3)) << each;
    EXPECT_EQ(Joined(received->chunks()[0]), kLarge) << each;
    EXPECT_EQ(Joined(received->chunks()[1]), kSmall) << each;
    EXPECT_EQ(received->chunks()[2].header.item(), 2u) << each;
  }
}

TEST(ChunkCodecTest, AnEmptyMessageIsAChunkOfDefaults) {
  auto received = ReceivedChunks::Parse(grpc::ByteBuffer());
  ASSERT_TRUE(received.ok());
  ASSERT_THAT(received->chunks(), SizeIs(1));
  EXPECT_EQ(received->chunks()[0].data_bytes(), 0u);
}

std::string Varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

TEST(ChunkCodecTest, LyingLengthsAreRefused) {
  const std::string data_tag = Varint(15 << 3 | 2), more_tag = Varint(16 << 3 | 2);
  for (uint64_t length : {uint64_t{4}, uint64_t{1} << 31, uint64_t{1} << 32, uint64_t{1} << 63,
                          std::numeric_limits<uint64_t>::max()}) {
    for (const std::string& tag :
         {data_tag, more_tag, Varint(4 << 3 | 2), Varint(8 << 3 | 2), Varint(99 << 3 | 2)}) {
      EXPECT_FALSE(Parse(tag + Varint(length) + "abc").ok()) << length;
    }
  }
  const struct {
    const char* name;
    std::string bytes;
  } cases[] = {
      {"data twice", data_tag + Varint(1) + "a" + data_tag + Varint(1) + "b"},
      {"a chunk two levels deep", more_tag + Varint(4) + more_tag + Varint(1) + "x"},
      {"a tag that does not end", std::string(11, '\xFF')},
      {"a length that does not end", data_tag + std::string(11, '\xFF')},
      {"a group", Varint(3 << 3 | 3)},
      {"no such wire type", Varint(3 << 3 | 7)},
      {"field number 0", Varint(0 << 3 | 2) + Varint(0)},
      {"half a number", Varint(1 << 3 | 5) + "ab"},
      {"a header that is none", Varint(8 << 3 | 2) + Varint(2) + "\xFF\xFF"},
  };
  for (const auto& c : cases) EXPECT_FALSE(Parse(c.bytes).ok()) << c.name;
}

TEST(ChunkCodecTest, AtMostSoManyChunks) {
  std::string bytes;
  for (uint32_t i = 0; i < limits::kFetchItems; ++i) bytes += Varint(16 << 3 | 2) + Varint(0);
  EXPECT_TRUE(Parse(bytes).ok());
  EXPECT_FALSE(Parse(bytes + Varint(16 << 3 | 2) + Varint(0)).ok());
}

TEST(ChunkCodecTest, CutAndGarbledMessagesAreBounded) {
  const std::string flat = TwoChunks();
  Prng prng(11);
  uint32_t refused = 0;
  for (size_t length = 0; length < flat.size(); length += 1 + length / 64)
    refused += Parse(flat.substr(0, length)).ok() ? 0 : 1;
  for (int i = 0; i < 3000; ++i) {
    std::string garbled = flat.substr(0, prng.Below(flat.size()) + 1);
    for (uint64_t n = prng.Below(8) + 1; n > 0; --n)
      garbled[prng.Below(std::min<uint64_t>(garbled.size(), 120))] =
          static_cast<char>(prng.Below(256));
    auto received = ReceivedChunks::Parse(Cut(garbled, prng.Below(300) + 1));
    if (!received.ok()) {
      ++refused;
      continue;
    }
    uint64_t bytes = 0;
    for (const ReceivedChunk& chunk : received->chunks()) bytes += chunk.data_bytes();
    EXPECT_LE(bytes, garbled.size());
  }
  EXPECT_GT(refused, 1000u);
}

}  // namespace
}  // namespace taskd::rpc
