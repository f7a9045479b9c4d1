// Frames over a socket between processes of one host, with descriptors where a frame has some.
#ifndef TASKD_WORKER_RUNNER_CHANNEL_H_
#define TASKD_WORKER_RUNNER_CHANNEL_H_

#include <string>
#include <vector>

#include "worker/runner/frames.h"

namespace taskd::runner {

// One frame on its way out.
class OutgoingFrame {
 public:
  // `fds` stay the caller's, and open until the frame is sent.
  OutgoingFrame(FrameType type, std::string payload, std::vector<int> fds = {});

  enum class Result { kSent, kFull, kBroken };
  // As much as the socket takes, or with `wait` all of it. kFull: call again, or with `wait` that nothing was
  // taken for as long as the socket's SO_SNDTIMEO says. kBroken: errno says why.
  Result Send(int socket, bool wait);

 private:
  std::string bytes_;
  std::vector<int> fds_;
  size_t sent_ = 0;
};

// Waits for the next frame. False: the other side is gone, or `error` says what is wrong. Descriptors
// are the caller's, also then.
bool ReceiveFrame(int socket, FrameStream::Frame& frame, std::vector<int>& fds, std::string& error);

}  // namespace taskd::runner

#endif  // TASKD_WORKER_RUNNER_CHANNEL_H_
