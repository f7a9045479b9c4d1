// One request of the core's, from one peer: as many answers as it takes.
// Others are asked when the peer is busy and names them: workers that were or are being sent the same.
//
// A stream that breaks is opened once more where it broke off. Names of files that cannot be linked
// are followed by a request for their bytes.
#ifndef TASKD_WORKER_DATA_FETCH_RUN_H_
#define TASKD_WORKER_DATA_FETCH_RUN_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "worker/core/events.h"
#include "worker/data/host_proof.h"
#include "worker/data/item_receiver.h"
#include "worker/data/partial_items.h"
#include "worker/store/store.h"

namespace taskd::v1 {
class FetchRequest;
}

namespace taskd::worker {

// A worker that was asked before.
struct FetchPeer {
  std::string address;
  std::shared_ptr<grpc::Channel> channel;
  std::atomic<uint32_t> links_failed{0};  // since one was made
};

struct FetchTotals {
  std::atomic<uint64_t> fetched_bytes{0};  // that came over the wire
  std::atomic<uint64_t> linked_bytes{0};   // that did not have to
  std::atomic<uint64_t> resumed_bytes{0};  // that were not sent again after a broken stream
  std::atomic<uint64_t> relayed_items{0};  // that came from a worker that the one asked had named
};

class FetchRun {
 public:
  struct Context {
    Store& store;
    PartialItems& partials;
    FetchTotals& totals;
    const HostProof& host;
    const std::string& key;  // the worker key
    const bool take_files, take_compressed;
    const uint64_t stall_ns;
    const std::string& address;  // of this worker's data service; empty: none
    const std::function<std::shared_ptr<FetchPeer>(const std::string&)> peer_at;
  };

  // `peer` may be null: its address is not known. `context` outlives the run.
  FetchRun(const Context& context, FetchId id, std::vector<LocalKey> items);

  // Blocks. How each item ended.
  std::vector<event::FetchDone::Item> Run(const std::shared_ptr<FetchPeer>& peer);

  // Any thread.
  void Cancel();
  void BreakIfStalled(uint64_t now_ns);
  FetchId id() const { return id_; }
  const std::vector<LocalKey>& keys() const { return keys_; }

 private:
  using Open = std::vector<size_t>;  // items that are not over

  Open OpenItems() const;
  // False: the stream broke before every item was answered. `relays`: others may be named.
  bool Ask(FetchPeer& peer, const Open& open, bool take_files, bool relays);
  // Items that are busy at `peer`, which named others: from these, and at last from itself.
  void AskOthers(FetchPeer& peer);
  void AskAgain(FetchPeer& peer, const Open& open, bool relays);
  v1::FetchRequest Request(const Open& open, bool take_files, bool relays);
  bool Receive(FetchPeer& peer, const Open& open, grpc::ClientContext& call,
               const v1::FetchRequest& request);
  void Take(FetchPeer& peer, ItemReceiver& item, const rpc::ReceivedChunk& chunk);
  // False: cancelled before.
  bool SetCall(grpc::ClientContext* call);
  bool cancelled();

  const Context& context_;
  const FetchId id_;
  const std::vector<LocalKey> keys_;
  std::vector<std::unique_ptr<ItemReceiver>> items_;
  uint64_t received_bytes_ = 0;
  std::atomic<uint64_t> progress_ns_{0};  // 0: no stream is open

  std::mutex mutex_;
  grpc::ClientContext* call_ = nullptr;  // of the stream that is open
  bool cancelled_ = false, stalled_ = false;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_FETCH_RUN_H_
