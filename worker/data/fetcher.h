// Brings objects from other workers into the store: what action::StartFetch asks for.
//
// One request goes to one peer (fetch_run.h); its items arrive in order and each is in the store, or
// not at all, when it has been checked against the size, version, parts and checksum that were sent
// with it.
#ifndef TASKD_WORKER_DATA_FETCHER_H_
#define TASKD_WORKER_DATA_FETCHER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "common/base/limits.h"
#include "worker/core/events.h"
#include "worker/data/in_flight.h"
#include "worker/store/store.h"

namespace taskd::worker {

class Fetcher {
 public:
  struct Options {
    std::string key;                             // the worker key
    std::function<void(event::FetchDone)> done;  // any thread; once a request
    uint32_t threads = limits::kFetchesTotal;    // requests at once; more wait
    uint64_t stall_ns = limits::kFetchStallNs;   // nothing for so long: the peer is unreachable
    bool take_files = true;                      // links to files of workers on this host
    bool take_compressed = true;
    uint64_t partial_bytes = limits::kPartialBytes;  // kept of broken streams
    // Of this worker's own data service, for others that need the same; empty: it has none, and is sent to
    // nobody else.
    std::string address;
    InFlight* in_flight = nullptr;  // told what is fetched; outlives the fetcher. Null: nobody asks
  };
  struct Totals {
    uint64_t fetched_bytes = 0;  // over the wire
    uint64_t linked_bytes = 0;   // by links to files of workers on this host
    uint64_t resumed_bytes = 0;  // that broken streams had brought and that were not sent again
    uint64_t partial_bytes = 0;  // of broken streams, kept at present
    uint64_t relayed_items = 0;  // that came from a worker that the one asked had named
  };

  Fetcher(Store& store, Options options);
  ~Fetcher();  // cancels what is under way; `done` is called for it
  Fetcher(const Fetcher&) = delete;
  Fetcher& operator=(const Fetcher&) = delete;

  // `address`: HOST:PORT of the peer's data service; empty: not known, every item is unreachable.
  void Start(FetchId fetch, std::string address, std::vector<LocalKey> items);

  // Its `done` comes soon; items that have arrived until then are in the store and are reported so.
  void Cancel(FetchId fetch);

  Totals totals() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_FETCHER_H_
