// How many cpus this process may use.
#ifndef TASKD_COMMON_IO_CPU_COUNT_H_
#define TASKD_COMMON_IO_CPU_COUNT_H_

#include <sched.h>

#include <cerrno>
#include <cstdint>

namespace taskd::io {

// By its affinity; 0: the kernel does not say. It refuses a set that is smaller than its own, so ever larger
// ones are tried.
inline uint32_t UsableCpus() {
  for (int most = 1024; most <= 1 << 20; most *= 2) {
    cpu_set_t* const set = CPU_ALLOC(most);
    if (set == nullptr) return 0;
    const size_t bytes = CPU_ALLOC_SIZE(most);
    const bool told = sched_getaffinity(0, bytes, set) == 0;
    const bool too_small = !told && errno == EINVAL;
    const int count = told ? CPU_COUNT_S(bytes, set) : 0;
    CPU_FREE(set);
    if (!too_small) return static_cast<uint32_t>(count);
  }
  return 0;
}

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_CPU_COUNT_H_
