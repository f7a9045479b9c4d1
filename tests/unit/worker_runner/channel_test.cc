#include "worker/runner/channel.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <thread>

#include "common/base/limits.h"

namespace taskd::runner {
namespace {

class ChannelTest : public testing::Test {
 protected:
  ChannelTest() { EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends_), 0); }
  ~ChannelTest() override {
    Close(0);
    Close(1);
  }
  void Close(int end) {
    if (ends_[end] >= 0) close(ends_[end]);
    ends_[end] = -1;
  }
  int ends_[2];
};

TEST_F(ChannelTest, DescriptorsComeWithTheirFrame) {
  std::vector<int> sent;
  for (int i = 0; i < limits::kRunnerFilesPerFrame; ++i) {
    sent.push_back(memfd_create("input", MFD_CLOEXEC));
    ASSERT_EQ(write(sent.back(), &i, sizeof i), ssize_t{sizeof i});
  }
  OutgoingFrame files(FrameType::kFiles, EncodeFiles(std::vector<FileRange>(sent.size(), {0, 4})),
                      sent);
  ASSERT_EQ(files.Send(ends_[0], true), OutgoingFrame::Result::kSent);
  ASSERT_EQ(OutgoingFrame(FrameType::kProgress, EncodeProgress(3)).Send(ends_[0], true),
            OutgoingFrame::Result::kSent);
  for (int fd : sent) close(fd);

  FrameStream::Frame frame;
  std::vector<int> got;
  std::string error;
  ASSERT_TRUE(ReceiveFrame(ends_[1], frame, got, error)) << error;
  ASSERT_EQ(got.size(), sent.size());
  for (int i = 0; i < static_cast<int>(got.size()); ++i) {
    int value = -1;
    EXPECT_EQ(pread(got[static_cast<size_t>(i)], &value, sizeof value, 0), ssize_t{sizeof value});
    EXPECT_EQ(value, i);
    close(got[static_cast<size_t>(i)]);
  }
  got.clear();
  ASSERT_TRUE(ReceiveFrame(ends_[1], frame, got, error)) << error;
  EXPECT_EQ(frame.header.type, FrameType::kProgress);
  EXPECT_TRUE(got.empty());
}

TEST_F(ChannelTest, LargeFrameWaitsForItsReader) {
  const std::string value(8 << 20, 'x');
  OutgoingFrame frame(FrameType::kDone, EncodeDone({{{false, value}}, {}}));
  ASSERT_EQ(frame.Send(ends_[0], false), OutgoingFrame::Result::kFull);
  std::thread rest([&] { EXPECT_EQ(frame.Send(ends_[0], true), OutgoingFrame::Result::kSent); });
  FrameStream::Frame got;
  std::vector<int> fds;
  std::string error;
  ASSERT_TRUE(ReceiveFrame(ends_[1], got, fds, error)) << error;
  rest.join();
  DoneMessage done;
  ASSERT_TRUE(DecodeDone(got.payload, done, error)) << error;
  EXPECT_EQ(done.outputs[0].bytes, value);
}

TEST_F(ChannelTest, ReaderThatIsGone) {
  Close(1);
  EXPECT_EQ(OutgoingFrame(FrameType::kHello, "").Send(ends_[0], true),
            OutgoingFrame::Result::kBroken);
}

TEST_F(ChannelTest, WriterThatIsGone) {
  const std::string header = EncodeHeader({100, FrameType::kDone, 0});
  ASSERT_EQ(write(ends_[0], header.data(), header.size()), ssize_t(header.size()));
  Close(0);
  FrameStream::Frame frame;
  std::vector<int> fds;
  std::string error;
  EXPECT_FALSE(ReceiveFrame(ends_[1], frame, fds, error));
  EXPECT_EQ(error, "");
}

TEST_F(ChannelTest, FewerDescriptorsThanAreSaid) {
  const std::string header = EncodeHeader({0, FrameType::kFiles, 2});
  ASSERT_EQ(write(ends_[0], header.data(), header.size()), ssize_t(header.size()));
  FrameStream::Frame frame;
  std::vector<int> fds;
  std::string error;
  EXPECT_FALSE(ReceiveFrame(ends_[1], frame, fds, error));
  EXPECT_EQ(error, "a frame came with 0 descriptors, not 2");
}

}  // namespace
}  // namespace taskd::runner
