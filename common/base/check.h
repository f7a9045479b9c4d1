// Invariants of our own. They stay on in production: a broken one stops the process at once.
#ifndef TASKD_COMMON_BASE_CHECK_H_
#define TASKD_COMMON_BASE_CHECK_H_

namespace taskd {

// Called with the failed condition before the process aborts, e.g. to dump a flight recorder. May
// be null.
using CheckHook = void (*)(const char* file, int line, const char* condition);
void SetCheckHook(CheckHook hook);

[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);

}  // namespace taskd

#define TASKD_CHECK(condition)                               \
  (__builtin_expect(!!(condition), 1) ? static_cast<void>(0) \
                                      : ::taskd::CheckFailed(__FILE__, __LINE__, #condition))

#endif  // TASKD_COMMON_BASE_CHECK_H_
