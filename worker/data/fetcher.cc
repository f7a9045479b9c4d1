#include "worker/data/fetcher.h"

#include <grpcpp/client_context.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/thread_pool.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "taskd/v1/data.grpc.pb.h"
#include "worker/data/item_receiver.h"

namespace taskd::worker {

struct Fetcher::Impl {
  struct Request {
    FetchId id = 0;
    std::string address;
    std::vector<LocalKey> items;
    grpc::ClientContext context;
    std::atomic<bool> cancelled{false};
    std::atomic<uint64_t> progress_ns{0};  // 0: not started

    void Cancel() {
      cancelled = true;
      context.TryCancel();
    }
  };

  Impl(Store& s, Options o)
      : store(s), options(std::move(o)), pool(options.threads), watchdog([this] { Watch(); }) {}

  ~Impl() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      for (auto& [id, request] : requests) request->Cancel();
    }
    wake.notify_all();
    watchdog.join();
  }

  void Run(const std::shared_ptr<Request>& request) {
    event::FetchDone done;
    done.fetch = request->id;
    done.items.assign(request->items.size(), {FetchStatus::kUnreachable, 0, 0});
    request->progress_ns = io::NowNs();
    if (!request->cancelled && !request->address.empty()) Receive(*request, done.items);
    {
      std::lock_guard lock(mutex);
      requests.erase(request->id);
    }
    options.done(std::move(done));
  }

  void Receive(Request& request, std::vector<event::FetchDone::Item>& results) {
    std::shared_ptr<v1::Data::Stub> stub = StubFor(request.address);
    rpc::AddKey(request.context, options.key);
    auto stream = stub->Fetch(&request.context, ToWire(request.items));
    v1::FetchChunk chunk;
    size_t index = 0;
    bool open = true;
    auto receiver = std::make_unique<ItemReceiver>(store, request.items[0]);
    while (index < request.items.size() && (open = stream->Read(&chunk))) {
      request.progress_ns = io::NowNs();
      fetched_bytes += chunk.data().size();
      if (chunk.item() != index) {
        io::LogWarning(
            StrCat("fetch from ", request.address, ": item ", chunk.item(), " instead of ", index));
        break;
      }
      // A failed item is over only with its last chunk.
      const bool failed_before = receiver->result().status != FetchStatus::kUnreachable;
      if (!failed_before) {
        if (absl::Status s = receiver->Take(chunk); !s.ok()) {
          io::LogDebug(StrCat("fetch from ", request.address, ": ", ToStd(s.message())));
        }
        results[index] = receiver->result();
      }
      if (!chunk.last()) continue;
      if (++index < request.items.size())
        receiver = std::make_unique<ItemReceiver>(store, request.items[index]);
    }
    if (open && index < request.items.size()) request.context.TryCancel();
    const absl::Status status =
        rpc::FromGrpc(stream->Finish(), StrCat("the worker at ", request.address));
    if (index < request.items.size() && !request.cancelled) {
      io::LogInfo(StrCat("fetch of ", request.items.size(), " objects stopped after ", index, ": ",
                         ToStd(status.message())));
    }
  }

  static v1::FetchRequest ToWire(const std::vector<LocalKey>& items) {
    v1::FetchRequest request;
    for (const LocalKey& key : items) {
      v1::FetchItem* item = request.add_items();
      item->set_job(key.id.object.job);
      item->set_object(key.id.object.ordinal);
      item->set_version(key.id.version);
      item->set_part_lo(key.parts.lo);
      item->set_part_hi(key.parts.hi);
    }
    return request;
  }

  std::shared_ptr<v1::Data::Stub> StubFor(const std::string& address) {
    std::lock_guard lock(mutex);
    std::shared_ptr<v1::Data::Stub>& stub = stubs[address];
    if (stub == nullptr)
      stub = v1::Data::NewStub(rpc::MakeChannel(address, rpc::ChannelClass::kData));
    return stub;
  }

  // A stopped process keeps its connections open; only the lack of progress shows it.
  void Watch() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      wake.wait_for(lock, std::chrono::nanoseconds(options.stall_ns / 4));
      const uint64_t now = io::NowNs();
      for (auto& [id, request] : requests) {
        const uint64_t progress = request->progress_ns;
        if (progress != 0 && now > progress + options.stall_ns) request->context.TryCancel();
      }
    }
  }

  Store& store;
  const Options options;
  std::atomic<uint64_t> fetched_bytes{0};
  std::mutex mutex;
  std::condition_variable wake;
  absl::flat_hash_map<FetchId, std::shared_ptr<Request>> requests;
  absl::flat_hash_map<std::string, std::shared_ptr<v1::Data::Stub>> stubs;
  bool stopping = false;
  io::ThreadPool pool;
  std::thread watchdog;
};

Fetcher::Fetcher(Store& store, Options options)
    : impl_(std::make_unique<Impl>(store, std::move(options))) {}
Fetcher::~Fetcher() = default;

void Fetcher::Start(FetchId fetch, std::string address, std::vector<LocalKey> items) {
  auto request = std::make_shared<Impl::Request>();
  request->id = fetch;
  request->address = std::move(address);
  request->items = std::move(items);
  {
    std::lock_guard lock(impl_->mutex);
    impl_->requests[fetch] = request;
  }
  impl_->pool.Post([impl = impl_.get(), request] { impl->Run(request); });
}

void Fetcher::Cancel(FetchId fetch) {
  std::lock_guard lock(impl_->mutex);
  auto it = impl_->requests.find(fetch);
  if (it != impl_->requests.end()) it->second->Cancel();
}

uint64_t Fetcher::fetched_bytes() const { return impl_->fetched_bytes; }

}  // namespace taskd::worker
