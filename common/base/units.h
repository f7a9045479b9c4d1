// Text of quantities, both ways. Parsing names what is wrong and shows a right example.
#ifndef TASKD_COMMON_BASE_UNITS_H_
#define TASKD_COMMON_BASE_UNITS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/statusor.h"

namespace taskd {

// "512", "64k", "8GiB", "1.5 MB": bytes. Suffixes k/K, M, G, T with optional "B" are powers of
// 1000, with "i" powers of 1024.
absl::StatusOr<uint64_t> ParseBytes(std::string_view text);

// "250ms", "10s", "5m", "2h", "1.5s", "1h30m"; a bare number is seconds. Nanoseconds.
absl::StatusOr<uint64_t> ParseDuration(std::string_view text);

// "gpus=2", "pool.licence=0.5": a name and thousandths, more than 0.
absl::StatusOr<std::pair<std::string, uint32_t>> ParsePool(std::string_view text);

// "4", "0.5": thousandths of a cpu.
absl::StatusOr<uint32_t> ParseCpus(std::string_view text);

std::string FormatBytes(uint64_t bytes);      // "1.5 GiB", three figures at most
std::string FormatDuration(uint64_t ns);      // "1.25 s", "3 m 20 s"
std::string FormatCpus(uint32_t cpus_milli);  // "4", "0.5"
std::string FormatCount(uint64_t count);      // "12 345 678"

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_UNITS_H_
