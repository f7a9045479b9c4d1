// The data service (proto/taskd/v1/data.proto): peers and clients read this worker's objects and
// logs from it.
//
// It has a gRPC server and threads of its own, so that bulk data never stands before control
// messages and reading a disk never holds up a session.
#ifndef TASKD_WORKER_DATA_DATA_SERVER_H_
#define TASKD_WORKER_DATA_DATA_SERVER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/base/limits.h"
#include "worker/data/in_flight.h"
#include "worker/store/puts.h"
#include "worker/store/store.h"

namespace taskd::worker {

// What is kept of an attempt's output.
struct LogText {
  std::string out, err;
  bool out_truncated = false, err_truncated = false;
};

// Reads an attempt's log from its beginning.
class LogReader {
 public:
  virtual ~LogReader() = default;
  // What came since the last call; waits so long for something. False: the attempt has ended, this is the last.
  virtual bool Next(LogText& news, uint64_t wait_ns) = 0;
};

class DataServer {
 public:
  struct Options {
    std::string listen = "127.0.0.1:0";
    std::string worker_key, client_key;  // either one opens the service
    std::function<std::unique_ptr<LogReader>(const AttemptRef&)>
        open_log;                               // any thread; null: none
    uint32_t followers = 64;                    // of logs, at once: each holds a thread
    uint32_t streams = limits::kServedFetches;  // served at once; above: FETCH_BUSY
    uint32_t streams_per_peer = limits::kServedPerPeer;
    bool name_files = true;  // to workers on this host, instead of sending the bytes
    bool compress = true;    // for whom takes it so, where that is faster
    Puts* puts = nullptr;    // takes what clients bring; outlives the server. Null: it is refused
    // What this worker's Fetcher brings, for workers that ask for it meanwhile; outlives the server. Null: none.
    const InFlight* in_flight = nullptr;
  };

  struct Totals {
    uint64_t served_bytes = 0;    // over the wire
    uint64_t named_bytes = 0;     // of files that workers on this host were told of instead
    uint64_t sent_elsewhere = 0;  // items of which other workers were named instead
    uint64_t packed_bytes = 0;    // that went compressed, as they are without
    uint64_t saved_bytes = 0;     // by it: that did not have to be sent
  };

  // `store` outlives the server.
  static absl::StatusOr<std::unique_ptr<DataServer>> Start(Store& store, Options options);
  ~DataServer();  // breaks what is under way

  const std::string& address() const { return address_; }  // HOST:PORT with the real port
  Totals totals() const;

 private:
  struct Impl;
  DataServer();
  std::unique_ptr<Impl> impl_;
  std::string address_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_DATA_SERVER_H_
