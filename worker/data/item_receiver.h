// Puts together the chunks of one fetched item and checks them. Everything in a chunk comes from
// another process and is believed only as far as it fits.
//
// An item may take several answers: one that broke off is continued by the same or another holder of
// the same bytes, and a file name that is of no use is followed by the bytes.
#ifndef TASKD_WORKER_DATA_ITEM_RECEIVER_H_
#define TASKD_WORKER_DATA_ITEM_RECEIVER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/core/events.h"
#include "worker/store/store.h"

namespace taskd::rpc {
struct ReceivedChunk;
}
namespace taskd::v1 {
class FetchChunk;
class StoreFile;
}  // namespace taskd::v1

namespace taskd::worker {

class HostProof;

class ItemReceiver {
 public:
  ItemReceiver(Store& store, const LocalKey& key) : store_(store), key_(key) {}

  // Before each answer. `host`, `nonce`: what names of files must fit; null: none was asked for.
  void Expect(const HostProof* host, std::string_view nonce);

  // Takes the answer's next chunk. An error: it is of no use, and what comes of this answer is
  // skipped; `over()` and `result()` tell what that means.
  absl::Status Take(const rpc::ReceivedChunk& chunk);

  // The item has succeeded, or this holder has failed. Else another answer is to be asked for.
  bool over() const { return over_; }
  bool complete() const { return over_ && result_.status == FetchStatus::kOk; }  // in the store
  event::FetchDone::Item result() const { return result_; }
  bool linked() const { return linked_; }

  // What the next answer need not send again.
  uint64_t kept_bytes() const { return writer_ == nullptr ? 0 : writer_->size_bytes(); }
  const LocalKey& key() const { return key_; }

  // The holder is busy, and has named others.
  bool names_others() const { return !others_.empty(); }
  // The next of these to ask; empty: there is none.
  std::string TakeOther();

  // Another holder will be asked.
  void Reopen();

 private:
  void NoteOthers(const v1::FetchChunk& header);
  absl::Status Begin(const v1::FetchChunk& header);
  absl::Status Continue(const v1::FetchChunk& header);
  absl::Status Link(const v1::FetchChunk& header);
  absl::Status TakeBytes(const rpc::ReceivedChunk& chunk);
  absl::Status AppendInParts(std::string_view bytes);
  absl::Status Finish(const v1::FetchChunk& header);
  absl::Status Skip(std::string message);
  absl::Status Fail(FetchStatus status, std::string message);
  absl::Status Error(std::string message) const;

  Store& store_;
  const LocalKey key_;
  const HostProof* host_ = nullptr;
  std::string nonce_;
  std::unique_ptr<ObjectWriter> writer_;  // from the first chunk on
  uint64_t size_bytes_ = 0;
  std::vector<uint64_t> part_ends_;
  size_t part_ = 0;
  bool first_ = true;       // the next chunk is the first of its answer
  bool skipping_ = false;   // the rest of the answer is of no use
  bool continued_ = false;  // bytes of several answers
  bool over_ = false, linked_ = false;
  std::vector<std::string> others_;  // the next one last
  event::FetchDone::Item result_{FetchStatus::kUnreachable, 0, 0};
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_ITEM_RECEIVER_H_
