// CRC-32C (Castagnoli), as in iSCSI (RFC 3720): the checksum of every object, frame and journal
// record.
#ifndef TASKD_COMMON_BASE_CRC32C_H_
#define TASKD_COMMON_BASE_CRC32C_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace taskd {

// Extends `crc` (0 at the start) with `size` bytes. Uses the SSE4.2 instruction where the cpu has
// it.
uint32_t ExtendCrc32c(uint32_t crc, const void* data, size_t size);

// The checksum of two byte strings, one after the other, from theirs. Costs as much as a few hundred
// bytes.
uint32_t CombineCrc32c(uint32_t first, uint32_t second, uint64_t second_size);

inline uint32_t Crc32c(std::string_view bytes) {
  return ExtendCrc32c(0, bytes.data(), bytes.size());
}

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_CRC32C_H_
