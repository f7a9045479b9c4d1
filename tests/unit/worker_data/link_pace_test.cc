// Links of which the time is told, and the one that compresses where that is faster.
#include "worker/data/link_pace.h"

#include <gtest/gtest.h>

#include <cstdint>

#include "worker/data/chunk_packer.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kMiB = 1 << 20;

// Sends over a link of so many bytes a second; compressing makes `shrinks_to` percent of them and takes so long.
struct Link {
  uint64_t bytes_per_s;
  uint64_t shrinks_to = 40;
  uint64_t packed_bytes_per_s = 400 * kMiB;

  // How many of `bytes` went compressed.
  uint64_t Send(LinkPace& pace, uint64_t bytes) {
    uint64_t packed = 0;
    for (uint64_t sent = 0; sent < bytes; sent += kMiB) {
      const bool packs = pace.packs();
      if (packs) now_ns += kMiB * 1'000'000'000 / packed_bytes_per_s;
      const bool shrank = packs && shrinks_to < 90;
      pace.Begin(now_ns);
      now_ns += (shrank ? kMiB * shrinks_to / 100 : kMiB) * 1'000'000'000 / bytes_per_s;
      pace.End(now_ns, kMiB, shrank ? kMiB : 0);
      packed += shrank ? kMiB : 0;
    }
    return packed;
  }

  uint64_t now_ns = 1'000'000'000;
};

TEST(LinkPaceTest, ASlowLinkCompresses) {
  Link link{.bytes_per_s = 50 * kMiB};
  LinkPace pace;
  EXPECT_EQ(link.Send(pace, 8 * kMiB), 0u);  // nothing is known yet
  EXPECT_GE(link.Send(pace, 1000 * kMiB), 900 * kMiB);
}

TEST(LinkPaceTest, AFastLinkThatIsHeldUpNowAndThenDoesNot) {
  Link link{.bytes_per_s = 1000 * kMiB, .shrinks_to = 1, .packed_bytes_per_s = 2000 * kMiB};
  LinkPace pace;
  for (int i = 0; i < 20; ++i) {
    link.bytes_per_s = 100 * kMiB;
    EXPECT_EQ(link.Send(pace, 12 * kMiB), 0u);
    link.bytes_per_s = 1000 * kMiB;
    EXPECT_EQ(link.Send(pace, 100 * kMiB), 0u);
  }
}

TEST(LinkPaceTest, AFastLinkDoesNot) {
  Link link{.bytes_per_s = 1000 * kMiB};
  LinkPace pace;
  EXPECT_EQ(link.Send(pace, 4000 * kMiB), 0u);
}

TEST(LinkPaceTest, NeitherDoesOneWithoutACoreToSpare) {
  Link link{.bytes_per_s = 100 * kMiB, .packed_bytes_per_s = 100 * kMiB};
  LinkPace pace;
  EXPECT_LE(link.Send(pace, 4000 * kMiB), 400 * kMiB);  // now and then it is tried
}

TEST(LinkPaceTest, ItStopsWhenTheLinkBecomesFast) {
  Link link{.bytes_per_s = 50 * kMiB};
  LinkPace pace;
  link.Send(pace, 1000 * kMiB);
  link.bytes_per_s = 2000 * kMiB;
  link.Send(pace, 2000 * kMiB);  // until it is measured again
  EXPECT_EQ(link.Send(pace, 4000 * kMiB), 0u);
}

TEST(LinkPaceTest, ATrialThatWasLuckyEndsSoon) {
  Link link{.bytes_per_s = 100 * kMiB, .shrinks_to = 1, .packed_bytes_per_s = 1000 * kMiB};
  LinkPace pace;
  link.Send(pace, 30 * kMiB);
  ASSERT_TRUE(pace.packs());
  link.bytes_per_s = 2000 * kMiB;
  EXPECT_LE(link.Send(pace, 10'000 * kMiB), 600 * kMiB);
}

TEST(LinkPaceTest, BytesThatDoNotShrinkSayNothing) {
  Link link{.bytes_per_s = 50 * kMiB, .shrinks_to = 100, .packed_bytes_per_s = 10'000 * kMiB};
  LinkPace pace;
  link.Send(pace, 100 * kMiB);
  EXPECT_TRUE(pace.packs());
  link.shrinks_to = 40;
  EXPECT_GE(link.Send(pace, 100 * kMiB), 90 * kMiB);
}

TEST(LinkPaceTest, BuffersThatFillAreNoFastLink) {
  Link link{.bytes_per_s = 20 * kMiB};
  LinkPace pace;
  uint64_t packed = 0;
  for (int i = 0; i < 10; ++i) {
    link.now_ns += 1'000'000'000;
    const uint64_t real = link.bytes_per_s;
    link.bytes_per_s = 5000 * kMiB;
    packed += link.Send(pace, 4 * kMiB);
    link.bytes_per_s = real;
    packed += link.Send(pace, 8 * kMiB);
  }
  EXPECT_GE(packed, 60 * kMiB);
}

// A pace that compresses.
void MakeSlow(LinkPace& pace) {
  Link link{.bytes_per_s = 10 * kMiB};
  link.Send(pace, 20 * kMiB);
  ASSERT_TRUE(pace.packs());
}

TEST(ChunkPackerTest, WhatDoesNotShrinkIsLeftAlone) {
  auto buffers = std::make_shared<ChunkBuffers>();
  LinkPace pace;
  ChunkPacker packer(*buffers, pace);
  std::string random(10'000, '\0');
  uint64_t state = 1;
  for (char& c : random) c = static_cast<char>((state = state * 6364136223846793005u + 1) >> 56);
  const auto packs = [&](const std::string& text) {
    v1::FetchChunk header;
    grpc::Slice data(text);
    const bool packed = packer.Pack(header, data);
    EXPECT_EQ(header.raw_bytes(), packed ? text.size() : 0u);
    EXPECT_EQ(data.size() < text.size(), packed);
    return packed;
  };
  const std::string text(10'000, 'x');
  EXPECT_FALSE(packs(text));  // the link is not known to be slow
  MakeSlow(pace);
  EXPECT_TRUE(packs(text));
  EXPECT_FALSE(packs(std::string(100, 'x')));  // too small
  EXPECT_FALSE(packs(random));
  EXPECT_FALSE(packs(text));  // of an item that did not shrink
  packer.NextItem();
  EXPECT_TRUE(packs(text));
  EXPECT_FALSE(packs(random));
  for (int chunk = 0; chunk < 63; ++chunk) EXPECT_FALSE(packs(text));
  EXPECT_TRUE(packs(text));  // its later bytes may be others
}

}  // namespace
}  // namespace taskd::worker
