// Data.Fetch on the serving side: calls as state machines on a completion queue and threads of
// their own, so that a reader that is slow, or has stopped, holds one message and no thread.
//
// The next message is made when the one before has been taken by the transport under its flow
// control; that bounds what a call holds to about 2 * limits::kChunkBytes.
#ifndef TASKD_WORKER_DATA_FETCH_SERVICE_H_
#define TASKD_WORKER_DATA_FETCH_SERVICE_H_

#include <grpcpp/completion_queue.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/support/async_stream.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/data/chunk_buffers.h"
#include "worker/data/host_proof.h"
#include "worker/data/in_flight.h"
#include "worker/data/link_pace.h"
#include "worker/data/receivers.h"
#include "worker/store/store.h"

namespace taskd::worker {

class FetchService {
 public:
  struct Options {
    std::string worker_key, client_key;   // either one opens the service
    uint32_t streams = 0;                 // served at once; above: FETCH_BUSY
    uint32_t streams_per_peer = 0;        // likewise, of one connection
    bool name_files = true;               // to workers on this host
    bool compress = true;                 // for whom reads it, where that is faster
    const InFlight* in_flight = nullptr;  // what comes to this worker; null: unknown
  };
  // Asks gRPC for the next call of the method.
  using Expect = std::function<void(grpc::ServerContext*, grpc::ByteBuffer* request,
                                    grpc::ServerAsyncWriter<grpc::ByteBuffer>*,
                                    grpc::ServerCompletionQueue*, void* tag)>;

  FetchService(Store& store, Options options);
  ~FetchService();  // after Drain

  void AddQueue(grpc::ServerBuilder& builder);
  void Start(Expect expect);  // the server runs
  // Waits for the last call. After the server has been shut down, before it is destroyed: calls that
  // are broken off are still to be finished, which is done through it.
  void Drain();

  uint64_t served_bytes() const { return served_bytes_; }
  uint64_t named_bytes() const { return named_bytes_; }
  uint64_t sent_elsewhere() const { return sent_elsewhere_; }
  uint64_t packed_bytes() const { return packed_bytes_; }
  uint64_t saved_bytes() const { return saved_bytes_; }

 private:
  class Call;
  void Poll();
  // By its address and port. Kept when it has no streams: the next one knows the link.
  struct Peer {
    uint32_t streams = 0;  // admitted
    std::shared_ptr<LinkPace> pace = std::make_shared<LinkPace>();
  };
  bool Admit(const std::string& peer, std::shared_ptr<LinkPace>& pace);  // let go by Leave
  void Leave(const std::string& peer, bool admitted);

  Store& store_;
  const Options options_;
  const HostProof host_;
  const std::shared_ptr<ChunkBuffers> buffers_ = std::make_shared<ChunkBuffers>();
  Expect expect_;
  std::unique_ptr<grpc::ServerCompletionQueue> queue_;
  std::vector<std::thread> threads_;
  std::mutex waiting_;  // held by the thread that waits for an event
  std::atomic<uint64_t> served_bytes_{0}, named_bytes_{0}, sent_elsewhere_{0}, packed_bytes_{0},
      saved_bytes_{0};
  std::atomic<bool> draining_{false};
  Receivers receivers_;
  std::mutex mutex_;
  std::condition_variable idle_;
  uint32_t calls_ = 0;                            // that exist
  uint32_t streams_ = 0;                          // admitted
  absl::flat_hash_map<std::string, Peer> peers_;  // by connection
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_FETCH_SERVICE_H_
