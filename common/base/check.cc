#include "common/base/check.h"

#include <cstdio>
#include <cstdlib>

namespace taskd {
namespace {
CheckHook g_hook = nullptr;
}  // namespace

void SetCheckHook(CheckHook hook) { g_hook = hook; }

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "%s:%d: CHECK failed: %s\n", file, line, condition);
  if (g_hook != nullptr) g_hook(file, line, condition);
  std::abort();
}

}  // namespace taskd
