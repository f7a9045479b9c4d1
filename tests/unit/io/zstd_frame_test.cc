#include "common/io/zstd_frame.h"

#include <gtest/gtest.h>

#include <string>

namespace taskd::io {
namespace {

TEST(ZstdFrameTest, ThereAndBack) {
  for (const std::string& text : {std::string(), std::string("x"), std::string(1 << 20, 'y')}) {
    const std::string frame = Compress(text);
    EXPECT_TRUE(text.size() < 2 || frame.size() < text.size());
    std::string back(text.size(), '\0');
    EXPECT_TRUE(DecompressInto(frame, back.data(), back.size()));
    EXPECT_EQ(back, text);
  }
}

TEST(ZstdFrameTest, WhatDoesNotFitIsNotMade) {
  std::string out(100, '\0');
  EXPECT_EQ(CompressInto("no room", out.data(), 3), 0u);
  EXPECT_GT(CompressInto("no room", out.data(), out.size()), 0u);
}

TEST(ZstdFrameTest, OnlyOneWholeFrameOfThatSizeIsRead) {
  const std::string text(1000, 'z'), frame = Compress(text);
  std::string out(2000, '\0');
  const auto reads = [&](const std::string& bytes, size_t size) {
    return DecompressInto(bytes, out.data(), size);
  };
  EXPECT_TRUE(reads(frame, 1000));
  EXPECT_FALSE(reads(frame, 999));
  EXPECT_FALSE(reads(frame, 1001));
  EXPECT_FALSE(reads(frame.substr(0, frame.size() - 1), 1000));
  EXPECT_FALSE(reads(frame + "x", 1000));
  EXPECT_FALSE(reads(frame + frame, 2000));
  EXPECT_FALSE(reads("", 0));
  EXPECT_FALSE(reads("what is this", 12));
}

}  // namespace
}  // namespace taskd::io
