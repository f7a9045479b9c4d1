// Where fetched bytes go.
#ifndef TASKD_CLI_CLIENT_SINK_H_
#define TASKD_CLI_CLIENT_SINK_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::client {

class Sink {
 public:
  virtual ~Sink() = default;
  virtual absl::Status Write(std::string_view bytes) = 0;
  // Forgets what was written, if it can: false when the bytes are out already.
  virtual bool Restart() = 0;
  // All bytes were written and are right.
  virtual absl::Status Finish() = 0;
};

// A file that appears under its name, by rename, when it is complete; nothing is left otherwise.
absl::StatusOr<std::unique_ptr<Sink>> MakeFileSink(std::string_view path);

// An open descriptor (stdout), which the caller keeps open. A closed pipe is kOutOfRange: nobody
// reads on.
std::unique_ptr<Sink> MakeDescriptorSink(int fd);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_SINK_H_
