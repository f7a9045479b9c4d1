#include "worker/data/fetch_run.h"

#include <algorithm>
#include <map>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/io/log.h"
#include "common/io/random.h"
#include "common/rpc/auth.h"
#include "common/rpc/chunk_codec.h"
#include "common/rpc/chunk_stream.h"
#include "common/rpc/errors.h"

namespace taskd::worker {
namespace {

constexpr uint32_t kNonceLength = 16;
constexpr uint32_t kLinksFailed = 3;  // then this peer's files are on another file system, say
// Names, bytes for those that could not be linked, once more after a broken stream, and again if that was on
// the connection that had broken, once more whole for what did not go on.
constexpr uint32_t kAnswers = 5;

}  // namespace

FetchRun::FetchRun(const Context& context, FetchId id, std::vector<LocalKey> items)
    : context_(context), id_(id), keys_(std::move(items)) {
  for (const LocalKey& key : keys_) {
    std::unique_ptr<ItemReceiver> item = context_.partials.Take(key);
    if (item == nullptr) item = std::make_unique<ItemReceiver>(context_.store, key);
    items_.push_back(std::move(item));
  }
}

std::vector<event::FetchDone::Item> FetchRun::Run(const std::shared_ptr<FetchPeer>& peer) {
  bool take_files = context_.take_files && context_.host.usable();
  uint32_t broken = 0;  // streams
  for (uint32_t answer = 0; peer != nullptr && answer < kAnswers; ++answer) {
    const Open open = OpenItems();
    if (open.empty()) break;
    const uint64_t before = received_bytes_;
    if (Ask(*peer, open, take_files && peer->links_failed < kLinksFailed, true)) {
      take_files = false;
      continue;
    }
    const bool came = received_bytes_ != before;
    // The call after a broken stream may be put on the same connection, before its end is known.
    const bool goes_on = broken == 0 ? came : broken == 1 && !came;
    ++broken;
    std::lock_guard lock(mutex_);
    if (cancelled_ || stalled_ || !goes_on) break;
  }
  if (peer != nullptr) AskOthers(*peer);
  std::vector<event::FetchDone::Item> results;
  const uint64_t now_ns = io::NowNs();
  std::lock_guard lock(mutex_);
  for (std::unique_ptr<ItemReceiver>& item : items_) {
    results.push_back(item->result());
    if (!cancelled_) context_.partials.Put(std::move(item), now_ns);
  }
  items_.clear();
  return results;
}

FetchRun::Open FetchRun::OpenItems() const {
  Open open;
  for (size_t i = 0; i < items_.size(); ++i) {
    if (!items_[i]->over()) open.push_back(i);
  }
  return open;
}

void FetchRun::AskOthers(FetchPeer& peer) {
  std::map<std::string, Open> by_address;  // of the next one to ask
  Open left;
  const auto look_at = [&](size_t i) {
    if (std::string next = items_[i]->TakeOther(); !next.empty()) {
      by_address[next].push_back(i);
    } else if (!items_[i]->complete()) {
      left.push_back(i);
    }
  };
  for (size_t i = 0; i < items_.size(); ++i) {
    if (items_[i]->names_others()) look_at(i);
  }
  for (uint32_t asked = 0; asked < limits::kRelaysAsked && !by_address.empty(); ++asked) {
    for (const auto& [address, open] : std::exchange(by_address, {})) {
      AskAgain(*context_.peer_at(address), open, true);
      if (cancelled()) return;
      for (size_t i : open) {
        if (items_[i]->complete()) ++context_.totals.relayed_items;
        look_at(i);
      }
    }
  }
  for (const auto& [address, open] : by_address) left.insert(left.end(), open.begin(), open.end());
  std::sort(left.begin(), left.end());
  if (!left.empty()) AskAgain(peer, left, false);
}

void FetchRun::AskAgain(FetchPeer& peer, const Open& open, bool relays) {
  {
    std::lock_guard lock(mutex_);
    stalled_ = false;  // that was another peer
  }
  for (size_t i : open) items_[i]->Reopen();
  const bool take_files = context_.take_files && context_.host.usable();
  if (!Ask(peer, open, take_files && peer.links_failed < kLinksFailed, relays)) return;
  Open bytes;  // of what was named and cannot be linked
  for (size_t i : open) {
    if (!items_[i]->over()) bytes.push_back(i);
  }
  if (!bytes.empty()) Ask(peer, bytes, false, relays);
}

v1::FetchRequest FetchRun::Request(const Open& open, bool take_files, bool relays) {
  v1::FetchRequest request;
  request.set_packed(true);
  request.set_zstd(context_.take_compressed);
  if (relays) request.set_address(context_.address);
  if (take_files) {
    request.set_nonce(io::RandomBytes(kNonceLength));
    request.set_host(context_.host.Ask(request.nonce()));
  }
  for (size_t i : open) {
    ItemReceiver& receiver = *items_[i];
    receiver.Expect(take_files ? &context_.host : nullptr, request.nonce());
    const LocalKey& key = receiver.key();
    v1::FetchItem* item = request.add_items();
    item->set_job(key.id.object.job);
    item->set_object(key.id.object.ordinal);
    item->set_version(key.id.version);
    item->set_part_lo(key.parts.lo);
    item->set_part_hi(key.parts.hi);
    if (const uint64_t kept = receiver.kept_bytes(); kept > 0) {
      item->set_resume(true);
      item->set_offset(kept);
      context_.totals.resumed_bytes += kept;
    }
  }
  return request;
}

bool FetchRun::Ask(FetchPeer& peer, const Open& open, bool take_files, bool relays) {
  const v1::FetchRequest request = Request(open, take_files, relays);
  grpc::ClientContext call;
  rpc::AddKey(call, context_.key);
  absl::Cleanup unset = [this] { SetCall(nullptr); };
  if (!SetCall(&call)) return false;
  return Receive(peer, open, call, request);
}

bool FetchRun::Receive(FetchPeer& peer, const Open& open, grpc::ClientContext& call,
                       const v1::FetchRequest& request) {
  rpc::ChunkStream stream(peer.channel, call, request);
  size_t at = 0;
  std::string wrong;
  for (grpc::ByteBuffer message; wrong.empty() && at < open.size() && stream.Read(message);) {
    progress_ns_ = io::NowNs();
    absl::StatusOr<rpc::ReceivedChunks> received = rpc::ReceivedChunks::Parse(message);
    if (!received.ok()) wrong = ToStd(received.status().message());
    for (size_t i = 0; wrong.empty() && i < received->chunks().size(); ++i) {
      const rpc::ReceivedChunk& chunk = received->chunks()[i];
      if (at == open.size() || chunk.header.item() != at) {
        wrong = StrCat("item ", chunk.header.item(), " came instead of ", at);
        break;
      }
      Take(peer, *items_[open[at]], chunk);
      if (chunk.header.last()) ++at;
    }
  }
  const bool whole = wrong.empty() && at == open.size();
  if (!wrong.empty()) call.TryCancel();
  const absl::Status ended = rpc::FromGrpc(stream.Finish(), StrCat("the worker at ", peer.address));
  if (!whole && !cancelled()) {
    io::LogInfo(StrCat("fetch of ", open.size(), " objects from ", peer.address, " stopped after ",
                       at, ": ", wrong.empty() ? ToStd(ended.message()) : wrong));
  }
  return whole;
}

void FetchRun::Take(FetchPeer& peer, ItemReceiver& item, const rpc::ReceivedChunk& chunk) {
  received_bytes_ += chunk.data_bytes();
  context_.totals.fetched_bytes += chunk.data_bytes();
  const bool was_over = item.over();
  if (absl::Status s = item.Take(chunk); !s.ok())
    io::LogDebug(StrCat("fetch from ", peer.address, ": ", ToStd(s.message())));
  if (!chunk.header.has_file() || was_over) return;
  if (item.linked()) {
    peer.links_failed = 0;
    context_.totals.linked_bytes += item.result().size_bytes;
  } else {
    ++peer.links_failed;
  }
}

bool FetchRun::SetCall(grpc::ClientContext* call) {
  std::lock_guard lock(mutex_);
  call_ = call;
  progress_ns_ = call == nullptr ? 0 : io::NowNs();
  return !cancelled_;
}

bool FetchRun::cancelled() {
  std::lock_guard lock(mutex_);
  return cancelled_;
}

void FetchRun::Cancel() {
  std::lock_guard lock(mutex_);
  cancelled_ = true;
  if (call_ != nullptr) call_->TryCancel();
}

// A stopped process keeps its connections open; only the lack of progress shows it.
void FetchRun::BreakIfStalled(uint64_t now_ns) {
  std::lock_guard lock(mutex_);
  const uint64_t progress = progress_ns_;
  if (call_ == nullptr || now_ns <= progress + context_.stall_ns) return;
  stalled_ = true;
  call_->TryCancel();
}

}  // namespace taskd::worker
