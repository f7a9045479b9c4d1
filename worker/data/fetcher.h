// Brings objects from other workers into the store: what action::StartFetch asks for.
//
// One request is one stream from one peer; its items arrive in order and each is in the store, or
// not at all, when its last chunk has been checked against the size, version, parts and checksum
// that were sent with it.
#ifndef TASKD_WORKER_DATA_FETCHER_H_
#define TASKD_WORKER_DATA_FETCHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "worker/core/events.h"
#include "worker/store/store.h"

namespace taskd::worker {

class Fetcher {
 public:
  struct Options {
    std::string key;                             // the worker key
    std::function<void(event::FetchDone)> done;  // any thread; once a request
    uint32_t threads = limits::kFetchesTotal;    // requests at once; more wait
    uint64_t stall_ns = limits::kFetchStallNs;   // nothing for so long: the peer is unreachable
  };

  Fetcher(Store& store, Options options);
  ~Fetcher();  // cancels what is under way; `done` is called for it
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // `address`: HOST:PORT of the peer's data service; empty: not known, every item is unreachable.
  void Start(FetchId fetch, std::string address, std::vector<LocalKey> items);

  // Its `done` comes soon; items that have arrived until then are in the store and are reported so.
  void Cancel(FetchId fetch);

  uint64_t fetched_bytes() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_FETCHER_H_
