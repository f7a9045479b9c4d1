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

namespace taskd::v1 {
class FetchChunk;
class FetchRequest;
}  // namespace taskd::v1

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

// Fetches one object into `sink`, and finishes it. A stream that breaks goes on where it was, once
// from the same holder, then from the next one. Where that cannot be (of a range of bytes, another
// version or size, a checksum that does not fit) a sink that can start anew does; for any other the
// bytes that it has are compared with what the next holder sends. Every byte is covered by a crc32c.
class ObjectFetch {
 public:
  // Bytes that are there, and how many there will be.
  using Progress = std::function<void(uint64_t bytes, uint64_t total)>;

  // All outlive it. `progress` may be empty.
  ObjectFetch(std::string_view key, Sink& sink, const std::atomic<bool>& interrupted,
              Progress progress = {});

  // Tries the holders in order. kUnavailable: none could give it; call again with those that there
  // are later, and what has come is not lost. kOutOfRange: no such part or range.
  absl::StatusOr<FetchResult> From(const FetchSpec& spec);

 private:
  struct Pass;

  absl::Status Ask(const std::string& address);
  v1::FetchRequest Request(bool goes_on) const;
  absl::Status Take(const v1::FetchChunk& chunk, const std::string& peer, Pass& pass);
  absl::Status Begin(const v1::FetchChunk& chunk, const std::string& peer, const Pass& pass);
  absl::Status Compare(std::string_view& data, const std::string& peer, const Pass& pass);
  absl::Status Finish(const v1::FetchChunk& chunk, const std::string& peer, Pass& pass);
  bool StartAnew();
  std::string BadRange() const;
  absl::Status Fatal(absl::Status status);

  const std::string_view key_;
  Sink& sink_;
  const std::atomic<bool>& interrupted_;
  const Progress progress_;
  FetchSpec spec_;
  uint64_t delivered_ = 0;  // bytes that the sink has
  uint32_t delivered_crc_ = 0;
  uint32_t repeated_crc_ = 0;  // over those of them that the present holder has sent again
  uint64_t size_bytes_ = 0;    // of all that will come
  AttemptId version_ = 0;
  bool doubtful_ = false;  // what the sink has may be damaged: nothing goes on from it
  bool broke_ = false;     // the last stream, before its end
  bool fatal_ = false;     // another holder cannot help
};

// Sends what `read` gives, until that is nothing, to the worker at `address`. The token that it keeps it under: good for
// a task with the built-in put on that worker.
absl::StatusOr<std::string> PutBytes(
    const std::string& address, std::string_view key,
    const std::function<absl::StatusOr<std::string>(size_t most)>& read);

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
