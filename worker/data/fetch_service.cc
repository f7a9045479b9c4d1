#include "worker/data/fetch_service.h"

#include <grpcpp/alarm.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/server_context.h>

#include <chrono>
#include <optional>
#include <utility>

#include "common/base/limits.h"
#include "common/io/clock.h"
#include "common/rpc/auth.h"
#include "common/rpc/chunk_codec.h"
#include "worker/data/chunk_packer.h"
#include "worker/data/item_source.h"

namespace taskd::worker {
namespace {

constexpr std::chrono::milliseconds kLookAgain{10};          // for what a reader waits for
constexpr uint64_t kMessageBytes = 4 * limits::kChunkBytes;  // as they are without compression

}  // namespace

// One call; deletes itself after its last event. Each event starts exactly one operation.
class FetchService::Call {
 public:
  explicit Call(FetchService& service) : service_(service), writer_(&context_) {
    {
      std::lock_guard lock(service_.mutex_);
      ++service_.calls_;
    }
    service_.expect_(&context_, &request_bytes_, &writer_, service_.queue_.get(), this);
  }

  // `ok`: the operation that was started succeeded.
  void OnEvent(bool ok) {
    switch (step_) {
      case Step::kExpected:
        if (!ok) return End();  // the server stops
        new Call(service_);
        return Begin();
      case Step::kHolding:
        return service_.draining_ ? Finish(grpc::Status::CANCELLED) : Continue();
      case Step::kWriting:
        pace_->End(io::NowNs(), raw_bytes_, packed_bytes_);
        return ok ? Continue() : Finish(grpc::Status::CANCELLED);  // the reader is gone
      case Step::kFinishing:
        return End();
    }
  }

 private:
  enum class Step : uint8_t { kExpected, kHolding, kWriting, kFinishing };

  ~Call() = default;

  void Begin() {
    const Options& options = service_.options_;
    if (grpc::Status s = rpc::CheckKey(context_, {options.worker_key, options.client_key}); !s.ok())
      return Finish(s);
    const grpc::Status parsed =
        grpc::SerializationTraits<v1::FetchRequest>::Deserialize(&request_bytes_, &request_);
    if (!parsed.ok()) return Finish({grpc::StatusCode::INVALID_ARGUMENT, "no FetchRequest"});
    // Workers send their key to whom they are told of, so what a client names is not told.
    relays_ = !request_.address().empty() && request_.address().size() <= limits::kAddressBytes &&
              rpc::CheckKey(context_, {options.worker_key}).ok();
    here_ = options.name_files && service_.host_.AskIsRight(request_.nonce(), request_.host());
    peer_ = context_.peer();
    admitted_ = service_.Admit(peer_, pace_);
    if (options.compress && request_.zstd() && !here_) packer_.emplace(*service_.buffers_, *pace_);
    Continue();
  }

  void Continue() {
    rpc::ChunkWriter message;
    v1::FetchChunk header;
    raw_bytes_ = packed_bytes_ = 0;
    pace_->Begin(io::NowNs());
    while (message.chunks() < limits::kFetchItems && message.bytes() < limits::kChunkBytes &&
           raw_bytes_ < kMessageBytes) {
      if (source_ == nullptr && next_item_ == static_cast<uint32_t>(request_.items_size())) break;
      grpc::Slice data;
      if (source_ != nullptr) {
        NextChunk(header, data);
      } else if (!admitted_) {
        SayBusy(header, OthersForNext());
      } else if (std::vector<std::string> others; !MayTake(others)) {
        SayBusy(header, others);
        ++service_.sent_elsewhere_;
      } else if (Comes()) {
        if (message.chunks() > 0) break;  // this first
        if (!Hold(header)) return;
      } else {
        NextChunk(header, data);
      }
      service_.served_bytes_ += data.size();
      if (header.has_file()) service_.named_bytes_ += header.size_bytes();
      message.Add(header, std::move(data));
      if (!request_.packed()) break;
    }
    if (message.chunks() == 0) {
      pace_->End(io::NowNs(), 0, 0);
      return Finish(grpc::Status::OK);
    }
    step_ = Step::kWriting;
    writer_.Write(message.Finish(), this);
  }

  LocalKey NextKey() const {
    const v1::FetchItem& item = request_.items(static_cast<int>(next_item_));
    return {{{item.job(), item.object()}, item.version()}, {item.part_lo(), item.part_hi()}};
  }

  std::vector<std::string> OthersForNext() {
    return relays_ ? service_.receivers_.Others(NextKey(), request_.address())
                   : std::vector<std::string>();
  }

  // False: there are enough who get the next item from here, and `others` have it or will.
  bool MayTake(std::vector<std::string>& others) {
    if (!relays_ || sending_) return true;
    const LocalKey key = NextKey();
    const std::optional<uint64_t> size = service_.store_.SizeOf(key);
    const bool passes = here_ || request_.items(static_cast<int>(next_item_)).resume();
    const bool spread = size ? *size >= limits::kRelayedBytes && !passes : Comes();
    if (!spread) return true;
    if (!service_.receivers_.Admit(key, request_.address(), others)) return false;
    sending_ = key;
    return true;
  }

  // The next item is not here, and on its way.
  bool Comes() const {
    const InFlight* in_flight = service_.options_.in_flight;
    if (!relays_ || in_flight == nullptr) return false;
    // In this order: what has arrived is in the store before it is no longer under way.
    const LocalKey key = NextKey();
    return in_flight->Contains(key) && !service_.store_.Contains(key);
  }

  // False: it is looked again in a moment. Else a chunk that says so.
  bool Hold(v1::FetchChunk& header) {
    const uint64_t now_ns = io::NowNs();
    if (held_since_ns_ == 0) held_since_ns_ = signed_ns_ = now_ns;
    if (now_ns > held_since_ns_ + limits::kHeldNs) {
      SayBusy(header, {});
      return true;
    }
    if (now_ns > signed_ns_ + limits::kHeldSignNs) {
      signed_ns_ = now_ns;
      header.Clear();
      header.set_item(next_item_);
      header.set_status(v1::FETCH_WAIT);
      return true;
    }
    pace_->End(now_ns, 0, 0);
    step_ = Step::kHolding;
    alarm_.Set(service_.queue_.get(), std::chrono::system_clock::now() + kLookAgain, this);
    return false;
  }

  // The item that was begun is over.
  void ItemOver() {
    held_since_ns_ = 0;
    if (sending_) service_.receivers_.Done(*sending_);
    sending_.reset();
  }

  void NextChunk(v1::FetchChunk& header, grpc::Slice& data) {
    if (source_ == nullptr) {
      source_ = std::make_unique<ItemSource>(service_.store_, *service_.buffers_, request_,
                                             next_item_++, here_ ? &service_.host_ : nullptr);
      if (packer_) packer_->NextItem();
    }
    source_->Next(header, data);
    const uint64_t bytes = data.size();
    raw_bytes_ += bytes;
    if (packer_ && packer_->Pack(header, data)) {
      packed_bytes_ += bytes;
      service_.packed_bytes_ += bytes;
      service_.saved_bytes_ += bytes - data.size();
    }
    if (!source_->done()) return;
    source_.reset();
    ItemOver();
  }

  void SayBusy(v1::FetchChunk& header, const std::vector<std::string>& others) {
    header.Clear();
    for (const std::string& address : others) header.add_holders(address);
    ItemOver();
    header.set_item(next_item_++);
    header.set_status(v1::FETCH_BUSY);
    header.set_last(true);
  }

  void Finish(const grpc::Status& status) {
    step_ = Step::kFinishing;
    source_.reset();
    ItemOver();
    writer_.Finish(status, this);
  }

  void End() {
    FetchService& service = service_;
    service.Leave(peer_, admitted_);
    delete this;  // before it is counted out: its parts belong to the queue
    std::lock_guard lock(service.mutex_);
    if (--service.calls_ == 0) service.idle_.notify_all();
  }

  FetchService& service_;
  Step step_ = Step::kExpected;
  grpc::ServerContext context_;
  grpc::ByteBuffer request_bytes_;
  grpc::ServerAsyncWriter<grpc::ByteBuffer> writer_;
  v1::FetchRequest request_;
  std::string peer_;
  bool admitted_ = false, here_ = false;
  bool relays_ = false;  // a worker that asks others, too, and may be named
  uint32_t next_item_ = 0;
  std::optional<LocalKey> sending_;  // counted by receivers_
  uint64_t held_since_ns_ = 0, signed_ns_ = 0;
  grpc::Alarm alarm_;
  std::unique_ptr<ItemSource> source_;
  std::shared_ptr<LinkPace> pace_;
  std::optional<ChunkPacker> packer_;
  uint64_t raw_bytes_ = 0, packed_bytes_ = 0;  // of the message that is written
};

FetchService::FetchService(Store& store, Options options)
    : store_(store), options_(std::move(options)), host_(HostProof::OfThisHost()) {}

FetchService::~FetchService() {
  if (threads_.empty()) return;  // not started
  queue_->Shutdown();
  for (std::thread& thread : threads_) thread.join();
}

void FetchService::AddQueue(grpc::ServerBuilder& builder) { queue_ = builder.AddCompletionQueue(); }

void FetchService::Start(Expect expect) {
  expect_ = std::move(expect);
  new Call(*this);
  for (uint32_t i = 0; i < limits::kServingThreads; ++i) threads_.emplace_back([this] { Poll(); });
}

void FetchService::Drain() {
  draining_ = true;
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return calls_ == 0; });
}

// One thread waits at a time. All threads of a process that wait for gRPC take turns in reading all of its
// sockets, the scheduler's too, and hand on what is not theirs: idle ones would cost each of its messages
// a thread more.
void FetchService::Poll() {
  for (;;) {
    void* tag = nullptr;
    bool ok = false;
    {
      std::lock_guard lock(waiting_);
      if (!queue_->Next(&tag, &ok)) return;
    }
    static_cast<Call*>(tag)->OnEvent(ok);
  }
}

bool FetchService::Admit(const std::string& peer, std::shared_ptr<LinkPace>& pace) {
  std::lock_guard lock(mutex_);
  if (peers_.size() >= limits::kLinksKept)
    absl::erase_if(peers_, [](const auto& known) { return known.second.streams == 0; });
  Peer& known = peers_[peer];
  pace = known.pace;
  if (streams_ >= options_.streams || known.streams >= options_.streams_per_peer) return false;
  ++streams_;
  ++known.streams;
  return true;
}

void FetchService::Leave(const std::string& peer, bool admitted) {
  if (!admitted) return;
  std::lock_guard lock(mutex_);
  --streams_;
  --peers_.find(peer)->second.streams;
}

}  // namespace taskd::worker
