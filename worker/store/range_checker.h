// Follows the bytes of a range through the checksums that cover it: of the whole object, or of each
// part.
#ifndef TASKD_WORKER_STORE_RANGE_CHECKER_H_
#define TASKD_WORKER_STORE_RANGE_CHECKER_H_

#include <algorithm>
#include <cstdint>
#include <string_view>

#include "common/base/crc32c.h"
#include "worker/store/object.h"

namespace taskd::worker {

class RangeChecker {
 public:
  // Both outlive it.
  RangeChecker(const ObjectMeta& meta, const ByteRange& range) : meta_(meta), range_(range) {
    by_part_ = range.part_hi > range.part_lo;
    whole_ = !by_part_ && range.offset == 0 && range.length == meta.size_bytes;
    part_ = range.part_lo;
    position_ = range.offset;
  }

  // False: a checksum is wrong.
  bool Feed(std::string_view bytes) {
    if (whole_) crc_ = ExtendCrc32c(crc_, bytes.data(), bytes.size());
    while (by_part_ && part_ < range_.part_hi) {
      const size_t n = std::min<uint64_t>(bytes.size(), meta_.part_ends[part_] - position_);
      crc_ = ExtendCrc32c(crc_, bytes.data(), n);
      position_ += n;
      bytes.remove_prefix(n);
      if (position_ < meta_.part_ends[part_]) break;
      if (crc_ != meta_.part_crcs[part_]) return false;
      crc_ = 0;
      ++part_;
    }
    return true;
  }

  bool Finish() { return Feed({}) && (!whole_ || crc_ == meta_.crc32c); }

 private:
  const ObjectMeta& meta_;
  const ByteRange& range_;
  bool by_part_ = false, whole_ = false;
  uint32_t part_ = 0, crc_ = 0;
  uint64_t position_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_STORE_RANGE_CHECKER_H_
