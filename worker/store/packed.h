// Objects that lie compressed on disk: a zstd frame for each limits::kChunkBytes of them, so that any range can be
// read. A chunk that does not shrink lies as it is.
#ifndef TASKD_WORKER_STORE_PACKED_H_
#define TASKD_WORKER_STORE_PACKED_H_

#include <memory>

#include "absl/status/statusor.h"
#include "worker/store/object.h"
#include "worker/store/places.h"

namespace taskd::worker {

// A few chunks of it take less room as frames, by so much that it is worth the work. DataLoss: it cannot be read.
absl::StatusOr<bool> Shrinks(const ObjectReader& reader);

// The same object, compressed, in a file on disk. ResourceExhausted: that is full, or the store may use no more of it;
// DataLoss: the checksum of what was read does not fit.
absl::StatusOr<std::shared_ptr<const ObjectEntry>> WritePacked(Places& places,
                                                               const ObjectReader& reader);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_PACKED_H_
