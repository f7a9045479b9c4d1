// Reads from the data service of workers: the bytes of objects, and the logs of attempts.
#ifndef TASKD_CLI_CLIENT_WORKER_DATA_H_
#define TASKD_CLI_CLIENT_WORKER_DATA_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "cli/client/sink.h"
#include "common/base/ids.h"
#include "common/base/session.h"

namespace taskd::client {

struct FetchSpec {
  ObjectId object;
  AttemptId version = 0;               // 0: any
  std::vector<std::string> addresses;  // of holders
  PartRange parts;                     // whole, or these parts
  uint64_t offset = 0;                 // bytes to skip, after the choice of parts
  uint64_t length = 0;                 // 0: to the end
};

struct FetchResult {
  uint64_t size_bytes = 0;
  AttemptId version = 0;
  std::string address;  // of the holder that gave the last byte
};

// Fetches into `sink` and finishes it. A holder that fails is replaced by the next one: a sink that
// can start anew does, for any other the bytes that it has are compared with the new holder's.
// Every byte is covered by a crc32c. kUnavailable: no holder could give it; kOutOfRange: no such
// part or range.
absl::StatusOr<FetchResult> FetchObject(const FetchSpec& spec, std::string_view key, Sink& sink,
                                        const std::atomic<bool>& interrupted);

// One piece of a log. Returns false to stop.
using LogPiece = std::function<bool(bool is_stderr, std::string_view bytes, bool truncated)>;
struct LogSpec {
  std::string address;
  AttemptRef attempt;
  bool want_stdout = true, want_stderr = true;
  bool follow = false;  // until the attempt has ended
};
absl::Status ReadLog(const LogSpec& spec, std::string_view key, const LogPiece& piece);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_WORKER_DATA_H_
