// Puts together the chunks of one fetched item and checks them. Everything in a chunk comes from
// another process and is believed only as far as it fits.
#ifndef TASKD_WORKER_DATA_ITEM_RECEIVER_H_
#define TASKD_WORKER_DATA_ITEM_RECEIVER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "worker/core/events.h"
#include "worker/store/store.h"

namespace taskd::v1 {
class FetchChunk;
}

namespace taskd::worker {

class ItemReceiver {
 public:
  ItemReceiver(Store& store, const LocalKey& key) : store_(store), key_(key) {}

  // An error: the item has failed and is not in the store; `result()` says why in the words of the
  // core.
  absl::Status Take(const v1::FetchChunk& chunk);

  bool complete() const { return complete_; }  // in the store
  event::FetchDone::Item result() const { return result_; }

 private:
  absl::Status Begin(const v1::FetchChunk& chunk);
  absl::Status AppendInParts(std::string_view bytes);
  absl::Status Finish(const v1::FetchChunk& chunk);
  absl::Status Fail(FetchStatus status, std::string message);

  Store& store_;
  const LocalKey key_;
  std::unique_ptr<ObjectWriter> writer_;  // from the first chunk on
  uint64_t size_bytes_ = 0;
  std::vector<uint64_t> part_ends_;
  size_t part_ = 0;
  bool complete_ = false;
  event::FetchDone::Item result_{FetchStatus::kUnreachable, 0, 0};
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_ITEM_RECEIVER_H_
