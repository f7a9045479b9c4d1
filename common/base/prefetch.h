// Asks for memory that is going to be needed, so that what is done meanwhile hides the wait for it.
// Without effect on anything but time, and harmless for any address.
#ifndef TASKD_COMMON_BASE_PREFETCH_H_
#define TASKD_COMMON_BASE_PREFETCH_H_

#include <cstddef>

namespace taskd {

inline constexpr size_t kCacheLine = 64;

inline void Prefetch(const void* address) { __builtin_prefetch(address); }

template <typename T>
void PrefetchRecord(const T& record) {
  const char* bytes = reinterpret_cast<const char*>(&record);
  for (size_t at = 0; at < sizeof(T); at += kCacheLine) __builtin_prefetch(bytes + at);
  __builtin_prefetch(bytes + sizeof(T) - 1);  // it may begin in the middle of a line
}

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_PREFETCH_H_
