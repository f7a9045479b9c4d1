/* The interface between taskd and libraries whose functions are bodies of tasks: `native: {library: PATH,
 * function: NAME}` in a graph. Plain C (C99), also for C++; needs nothing else of taskd.
 *
 * A library says once, in one of its files, for which version of this header it was made:
 *
 *     #include <taskd_op.h>
 *     TASKD_OP_LIBRARY
 *
 *     TASKD_OP_FUNCTION int twice(taskd_op* op) {
 *       const taskd_input* x = taskd_find_input(op, "x");
 *       if (x == NULL) { op->set_error(op, "no input x"); return 1; }
 *       double* out = (double*)op->alloc(op, 0, x->views[0].size);
 *       if (out == NULL) return 1;
 *       ...
 *       return 0;
 *     }
 *
 * A function runs in a process of its own beside the worker (taskd-runner), one task at a time, always on the same
 * thread. The process stays for further tasks of the library: what a function keeps in static variables is still there,
 * and nobody promises that it is. A crash, an exit() or memory beyond the task's `mem` costs this attempt and nothing
 * else. stdout and stderr go to the task's log; the working directory is empty, the task's own, and removed afterwards.
 *
 * Versions: members are only ever added at the end of taskd_op, with the same TASKD_OP_ABI; whoever uses one that was
 * added later compares taskd_op.struct_size first. Anything else changes TASKD_OP_ABI, and older libraries are refused.
 */
#ifndef TASKD_OP_H_
#define TASKD_OP_H_

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define TASKD_OP_ABI 1u

#ifdef __cplusplus
#define TASKD_OP_FUNCTION extern "C" __attribute__((visibility("default")))
#else
#define TASKD_OP_FUNCTION __attribute__((visibility("default")))
#endif
#define TASKD_OP_LIBRARY                                 \
  TASKD_OP_FUNCTION uint32_t taskd_op_abi_version(void); \
  TASKD_OP_FUNCTION uint32_t taskd_op_abi_version(void) { return TASKD_OP_ABI; }

#ifdef __cplusplus
extern "C" {
#endif

/* The bytes of one object, or of the parts of it that the task reads: read-only, aligned to 64 bytes where they are
 * not in the middle of an object, valid until the function returns. Objects in files are mapped, not read. */
typedef struct taskd_view {
  const void* data;
  uint64_t size;
  const uint64_t*
      part_ends; /* an object in parts: where each part ends, counted from `data`; else NULL */
  uint32_t part_count;
} taskd_view;

typedef struct taskd_input {
  const char* name;
  const taskd_view* views;
  uint32_t count;      /* of views: 1, or the size of the collection */
  uint32_t collection; /* not 0: a collection, which may have 0, 1 or more objects */
} taskd_input;

/* An axis value or variable of the graph, or the path of a {path: ...} input, under its name. Any bytes, and a zero
 * byte behind them that does not count. */
typedef struct taskd_arg {
  const char* name;
  const char* value;
  uint64_t size;
} taskd_arg;

/* An object by its numbers: those of a graph count from 0, in the order of its tasks and their outputs. */
typedef struct taskd_object {
  uint32_t job, object;
} taskd_object;

typedef struct taskd_op taskd_op;
struct taskd_op {
  uint32_t abi;         /* TASKD_OP_ABI of the runner */
  uint32_t struct_size; /* of this struct in the runner */
  const char* key;      /* of the task */
  uint32_t job, attempt;
  uint32_t cpus; /* that the task may use; OMP_NUM_THREADS says the same */

  uint32_t input_count, arg_count, output_count;
  const taskd_input* inputs;
  const taskd_arg* args;
  const char* const* output_names;

  /* Memory for the whole of output number `output`, aligned to 64 bytes, of which the last call counts. It need not be
   * filled with zeros. NULL: no room, or no such output; the error text is set. Every output needs one call, also
   * an empty one. */
  void* (*alloc)(taskd_op* op, uint32_t output, uint64_t size);
  /* The output is only the first `size` bytes of what was allocated. 0: done. */
  int (*shrink)(taskd_op* op, uint32_t output, uint64_t size);
  /* Why the function will return something else than 0. The text is copied; the last call counts. */
  void (*set_error)(taskd_op* op, const char* text);
  /* Not 0: the task was cancelled, or its time is over: return soon. A function that has never asked is killed at once,
   * one that has asked gets the worker's --grace first. */
  int (*cancelled)(taskd_op* op);
  /* How much of the work is done, from 0 to 1. Cheap enough for inner loops of a microsecond. */
  void (*progress)(taskd_op* op, double done);

  void* runner; /* the runner's own */

  /* What follows came later: not there when struct_size is smaller. Each returns 0 for success; else the error text
   * is set. While a function waits in them, other tasks have its cpus. */

  /* Submits a graph, the content of a .tgraph file (`taskctl graph compile`). early = 0: it starts when this task has
   * succeeded; one graph an attempt. Else it starts now, *job is the number of its job, which several graphs share, and
   * it is cancelled unless this attempt succeeds. */
  int (*submit)(taskd_op* op, const void* graph, uint64_t size, int early, uint32_t* job);
  /* Until each of the objects is there or never will be. */
  int (*await)(taskd_op* op, const taskd_object* objects, uint32_t count);
  /* The bytes of an object, once it is there; NULL: it never will be. They stay until the function returns. */
  const taskd_view* (*get)(taskd_op* op, taskd_object object);
  /* Output number `output` is not made here: it is this object of the graph that was submitted last, counted from 0. */
  int (*delegate)(taskd_op* op, uint32_t output, uint32_t object);

  /* Of each output: in how many parts it is to be; 0: it has none. */
  const uint32_t* output_parts;
  /* Where each of the parts of an output ends, counted from its first byte and not falling; the last one at its end. After
   * alloc, which forgets it. Every output in parts needs one call; parts may be empty. 0: done; else the error text is
   * set. */
  int (*set_part_ends)(taskd_op* op, uint32_t output, const uint64_t* ends, uint32_t count);

  /* Of the graph that was submitted early last: the number of its first object in the job. Its object n is
   * {job, first_object + n}. 0 unless the attempt has submitted or put something before. */
  uint32_t first_object;
  /* Keeps a copy of the bytes as an object, which graphs that the attempt submits later may read. It is there while the
   * task runs and whatever reads it; lost with its last copy, it is not made again. Who puts submits early. */
  int (*put)(taskd_op* op, const void* data, uint64_t size, taskd_object* object);
};

/* What `function` of the graph names: 0 for success. Any other value fails the task, which shows it as exit code. */
typedef int (*taskd_op_function)(taskd_op* op);
/* What TASKD_OP_LIBRARY defines, under the name taskd_op_abi_version. */
typedef uint32_t (*taskd_op_abi_version_function)(void);

/* NULL: there is none of that name. */
static inline const taskd_input* taskd_find_input(const taskd_op* op, const char* name) {
  for (uint32_t i = 0; i < op->input_count; ++i)
    if (strcmp(op->inputs[i].name, name) == 0) return &op->inputs[i];
  return NULL;
}
static inline const char* taskd_find_arg(const taskd_op* op, const char* name) {
  for (uint32_t i = 0; i < op->arg_count; ++i)
    if (strcmp(op->args[i].name, name) == 0) return op->args[i].value;
  return NULL;
}

#ifdef __cplusplus
}
#endif

#endif /* TASKD_OP_H_ */
