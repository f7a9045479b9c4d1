// The allocator of the programs (taskd_malloc in common/cmake), where its defaults do not fit.
#ifndef TASKD_COMMON_IO_ALLOCATOR_H_
#define TASKD_COMMON_IO_ALLOCATOR_H_

#ifdef TASKD_MIMALLOC
#include <mimalloc.h>
#endif

namespace taskd::io {

// For a program that moves large buffers: freed memory goes back to the kernel after a second, not after 25 ms.
// A buffer that was away costs a page fault every 4 KiB, which is more than a transfer's other work.
// First thing in main; MIMALLOC_DECOMMIT_DELAY in the environment has precedence.
inline void KeepFreedMemory() {
#ifdef TASKD_MIMALLOC
  constexpr long kMilliseconds = 1000;
  mi_option_set_default(mi_option_decommit_delay, kMilliseconds);
#endif
}

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_ALLOCATOR_H_
