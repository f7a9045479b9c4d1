// The two clocks. The monotonic one drives the cores and every timer; wall time is only ever shown.
#ifndef TASKD_COMMON_IO_CLOCK_H_
#define TASKD_COMMON_IO_CLOCK_H_

#include <cstdint>

namespace taskd::io {

uint64_t NowNs();   // CLOCK_MONOTONIC: never decreases, counts from boot
uint64_t WallMs();  // milliseconds since the epoch; may jump

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_CLOCK_H_
