#include "worker/runner/channel.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "common/base/limits.h"

namespace taskd::runner {
namespace {

constexpr size_t kControlBytes = CMSG_SPACE(sizeof(int) * limits::kRunnerFilesPerFrame);

// Takes `n` bytes, and what descriptors come with them.
bool ReceiveAll(int socket, char* to, size_t n, std::vector<int>& fds, std::string& error) {
  while (n > 0) {
    alignas(cmsghdr) char control[kControlBytes];
    iovec piece = {to, n};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = std::string("cannot receive: ") + std::strerror(errno);
    if (got <= 0) return false;
    for (cmsghdr* c = CMSG_FIRSTHDR(&message); c != nullptr; c = CMSG_NXTHDR(&message, c)) {
      if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
      const size_t old = fds.size();
      fds.resize(old + (c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
      std::memcpy(fds.data() + old, CMSG_DATA(c), (fds.size() - old) * sizeof(int));
    }
    to += got;
    n -= static_cast<size_t>(got);
  }
  return true;
}

}  // namespace

OutgoingFrame::OutgoingFrame(FrameType type, std::string payload, std::vector<int> fds)
    : bytes_(EncodeHeader(
          {static_cast<uint32_t>(payload.size()), type, static_cast<uint16_t>(fds.size())})),
      fds_(std::move(fds)) {
  bytes_ += payload;
}

OutgoingFrame::Result OutgoingFrame::Send(int socket, bool wait) {
  while (sent_ < bytes_.size()) {
    iovec piece = {bytes_.data() + sent_, bytes_.size() - sent_};
    msghdr message = {};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    alignas(cmsghdr) char control[kControlBytes] = {};
    if (sent_ == 0 && !fds_.empty()) {
      message.msg_control = control;
      message.msg_controllen = CMSG_SPACE(sizeof(int) * fds_.size());
      cmsghdr* c = CMSG_FIRSTHDR(&message);
      c->cmsg_level = SOL_SOCKET;
      c->cmsg_type = SCM_RIGHTS;
      c->cmsg_len = CMSG_LEN(sizeof(int) * fds_.size());
      std::memcpy(CMSG_DATA(c), fds_.data(), sizeof(int) * fds_.size());
    }
    const ssize_t n = sendmsg(socket, &message, MSG_NOSIGNAL | (wait ? 0 : MSG_DONTWAIT));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return Result::kFull;
    if (n < 0) return Result::kBroken;
    sent_ += static_cast<size_t>(n);
  }
  return Result::kSent;
}

bool ReceiveFrame(int socket, FrameStream::Frame& frame, std::vector<int>& fds,
                  std::string& error) {
  char header[kHeaderBytes];
  if (!ReceiveAll(socket, header, sizeof header, fds, error)) return false;
  if (!DecodeHeader({header, sizeof header}, frame.header, error)) return false;
  frame.payload.resize(frame.header.payload_bytes);
  if (!ReceiveAll(socket, frame.payload.data(), frame.payload.size(), fds, error)) return false;
  if (fds.size() == frame.header.files) return true;
  error = "a frame came with " + std::to_string(fds.size()) + " descriptors, not " +
          std::to_string(frame.header.files);
  return false;
}

}  // namespace taskd::runner
