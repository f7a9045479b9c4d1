#include "worker/data/fetcher.h"

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "common/io/clock.h"
#include "common/io/thread_pool.h"
#include "common/rpc/channels.h"
#include "worker/data/fetch_run.h"

namespace taskd::worker {

struct Fetcher::Impl {
  Impl(Store& s, Options o)
      : store(s),
        options(std::move(o)),
        partials(options.partial_bytes),
        pool(options.threads),
        watchdog([this] { Watch(); }) {}

  ~Impl() {
    {
      std::lock_guard lock(mutex);
      stopping = true;
      for (auto& [id, run] : runs) run->Cancel();
    }
    wake.notify_all();
    watchdog.join();
  }

  void Run(const std::shared_ptr<FetchRun>& run, const std::string& address) {
    event::FetchDone done;
    done.fetch = run->id();
    done.items = run->Run(PeerAt(address));
    if (options.in_flight != nullptr) options.in_flight->Remove(run->keys());
    {
      std::lock_guard lock(mutex);
      runs.erase(run->id());
    }
    options.done(std::move(done));
  }

  std::shared_ptr<FetchPeer> PeerAt(const std::string& address) {
    if (address.empty()) return nullptr;
    std::lock_guard lock(mutex);
    std::shared_ptr<FetchPeer>& peer = peers[address];
    if (peer == nullptr) {
      peer = std::make_shared<FetchPeer>();
      peer->address = address;
      peer->channel = rpc::MakeChannel(address, rpc::ChannelClass::kData);
    }
    return peer;
  }

  void Watch() {
    std::unique_lock lock(mutex);
    while (!stopping) {
      wake.wait_for(lock, std::chrono::nanoseconds(options.stall_ns / 4));
      const uint64_t now_ns = io::NowNs();
      for (auto& [id, run] : runs) run->BreakIfStalled(now_ns);
      partials.Expire(now_ns);
      lock.unlock();
      store.DropOldSpares(now_ns);
      lock.lock();
    }
  }

  Store& store;
  const Options options;
  const HostProof host = HostProof::OfThisHost();
  FetchTotals totals;
  PartialItems partials;
  const FetchRun::Context context{store,
                                  partials,
                                  totals,
                                  host,
                                  options.key,
                                  options.take_files,
                                  options.take_compressed,
                                  options.stall_ns,
                                  options.address,
                                  [this](const std::string& address) { return PeerAt(address); }};
  std::mutex mutex;
  std::condition_variable wake;
  absl::flat_hash_map<FetchId, std::shared_ptr<FetchRun>> runs;
  absl::flat_hash_map<std::string, std::shared_ptr<FetchPeer>> peers;
  bool stopping = false;
  io::ThreadPool pool;
  std::thread watchdog;
};

Fetcher::Fetcher(Store& store, Options options)
    : impl_(std::make_unique<Impl>(store, std::move(options))) {}
Fetcher::~Fetcher() = default;

void Fetcher::Start(FetchId fetch, std::string address, std::vector<LocalKey> items) {
  if (impl_->options.in_flight != nullptr) impl_->options.in_flight->Add(items);
  auto run = std::make_shared<FetchRun>(impl_->context, fetch, std::move(items));
  {
    std::lock_guard lock(impl_->mutex);
    impl_->runs[fetch] = run;
  }
  impl_->pool.Post(
      [impl = impl_.get(), run, address = std::move(address)] { impl->Run(run, address); });
}

void Fetcher::Cancel(FetchId fetch) {
  std::lock_guard lock(impl_->mutex);
  auto it = impl_->runs.find(fetch);
  if (it != impl_->runs.end()) it->second->Cancel();
}

Fetcher::Totals Fetcher::totals() const {
  const FetchTotals& t = impl_->totals;
  return {t.fetched_bytes, t.linked_bytes, t.resumed_bytes, impl_->partials.bytes(),
          t.relayed_items};
}

}  // namespace taskd::worker
