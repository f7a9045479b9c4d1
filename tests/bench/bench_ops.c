/* A kernel for benchmarks of functions: `burn` keeps a cpu busy for $us microseconds by the clock, as the built-in `busy` and
 * the bare threads of limits.cc do, and makes an empty output. */
#include <stdlib.h>
#include <time.h>

#include "worker/runner/taskd_op.h"

TASKD_OP_LIBRARY

static long long now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ll + t.tv_nsec;
}

TASKD_OP_FUNCTION int burn(taskd_op* op) {
  const long long until = now_ns() + atoll(taskd_find_arg(op, "us")) * 1000;
  while (now_ns() < until) {
  }
  return op->alloc(op, 0, 0) == NULL;
}
