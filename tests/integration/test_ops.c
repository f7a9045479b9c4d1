/* Functions that behave well and badly, for tests of native tasks. */
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "worker/runner/taskd_op.h"

TASKD_OP_LIBRARY

static int put(taskd_op* op, uint32_t output, const char* text) {
  char* to = (char*)op->alloc(op, output, strlen(text));
  if (to == NULL) return 1;
  memcpy(to, text, strlen(text));
  return 0;
}

TASKD_OP_FUNCTION int noop(taskd_op* op) {
  for (uint32_t i = 0; i < op->output_count; ++i)
    if (op->alloc(op, i, 0) == NULL) return 1;
  return 0;
}

/* Every input, its views and their parts, every argument. */
TASKD_OP_FUNCTION int describe(taskd_op* op) {
  char* to = (char*)op->alloc(op, 0, 1 << 16);
  if (to == NULL) return 1;
  size_t at = 0;
  at += (size_t)sprintf(to + at, "%s cpus=%u OMP=%s\n", op->key, op->cpus, getenv("OMP_NUM_THREADS"));
  for (uint32_t i = 0; i < op->input_count; ++i) {
    const taskd_input* in = &op->inputs[i];
    at += (size_t)sprintf(to + at, "%s%s", in->name, in->collection ? "[]" : "");
    for (uint32_t k = 0; k < in->count; ++k) {
      at += (size_t)sprintf(to + at, " %.*s", (int)in->views[k].size, (const char*)in->views[k].data);
      for (uint32_t p = 0; p < in->views[k].part_count; ++p)
        at += (size_t)sprintf(to + at, "|%d", (int)in->views[k].part_ends[p]);
    }
    at += (size_t)sprintf(to + at, "\n");
  }
  for (uint32_t i = 0; i < op->arg_count; ++i)
    at += (size_t)sprintf(to + at, "%s=%s\n", op->args[i].name, op->args[i].value);
  return op->shrink(op, 0, at);
}

/* `bytes` bytes, each the low bits of its number. */
TASKD_OP_FUNCTION int fill(taskd_op* op) {
  const uint64_t size = strtoull(taskd_find_arg(op, "bytes"), NULL, 10);
  unsigned char* to = (unsigned char*)op->alloc(op, 0, size);
  if (to == NULL) return 1;
  for (uint64_t i = 0; i < size; ++i) to[i] = (unsigned char)(i * 31);
  return 0;
}

/* Output 0 is `bytes` bytes in its parts: each half as long as the rest. With `wrong` it says too much, or nothing. */
TASKD_OP_FUNCTION int halves(taskd_op* op) {
  if (op->struct_size < offsetof(taskd_op, set_part_ends) + sizeof op->set_part_ends) return 1;
  const char* wrong = taskd_find_arg(op, "wrong");
  const uint32_t parts = op->output_parts[0];
  uint64_t size = strtoull(taskd_find_arg(op, "bytes"), NULL, 10), at = 0;
  uint64_t ends[64];
  unsigned char* to = (unsigned char*)op->alloc(op, 0, size);
  if (to == NULL || parts > 64) return 1;
  for (uint32_t k = 0; k < parts; ++k) {
    const uint64_t end = k + 1 == parts ? size : at + (size - at) / 2;
    memset(to + at, 'a' + (int)k % 26, end - at);
    ends[k] = at = end;
  }
  if (strcmp(wrong, "silent") == 0) return 0;
  if (strcmp(wrong, "late") == 0 && op->shrink(op, 0, size - 1) != 0) return 1;
  if (strcmp(wrong, "falling") == 0) ends[0] = size + 1;
  return op->set_part_ends(op, 0, ends, strcmp(wrong, "fewer") == 0 ? parts - 1 : parts);
}

/* Size and sum of the bytes of `x`, and what the kernel says is mapped where they are. */
TASKD_OP_FUNCTION int sum(taskd_op* op) {
  const taskd_view* x = &taskd_find_input(op, "x")->views[0];
  uint64_t total = 0;
  for (uint64_t i = 0; i < x->size; ++i) total += ((const unsigned char*)x->data)[i];
  char line[512], found[512] = "";
  FILE* maps = fopen("/proc/self/maps", "r");
  while (maps != NULL && fgets(line, sizeof line, maps) != NULL) {
    unsigned long begin, end;
    if (sscanf(line, "%lx-%lx", &begin, &end) == 2 && (uintptr_t)x->data >= begin && (uintptr_t)x->data < end)
      strcpy(found, line);
  }
  if (maps != NULL) fclose(maps);
  char text[1024];
  snprintf(text, sizeof text, "%llu %llu %s", (unsigned long long)x->size, (unsigned long long)total, found);
  return put(op, 0, text);
}

TASKD_OP_FUNCTION int pid(taskd_op* op) {
  char text[32];
  snprintf(text, sizeof text, "%d", (int)getpid());
  return put(op, 0, text);
}

TASKD_OP_FUNCTION int chat(taskd_op* op) {
  printf("said by %s\n", op->key);
  fprintf(stderr, "complained by %s\n", op->key);
  FILE* f = fopen("left-over", "w"); /* the folder is its own */
  if (f == NULL) return 1;
  fclose(f);
  return noop(op);
}

TASKD_OP_FUNCTION int fail(taskd_op* op) {
  op->set_error(op, "the matrix is singular");
  return 42;
}

TASKD_OP_FUNCTION int fail_in_bytes(taskd_op* op) {
  fprintf(stderr, "and \xfe there");
  op->set_error(op, "bad \xff byte");
  return 1;
}

TASKD_OP_FUNCTION int crash(taskd_op* op) {
  fprintf(stderr, "about to crash\n");
  raise(SIGSEGV);
  return noop(op);
}

TASKD_OP_FUNCTION int leave(taskd_op* op) {
  (void)op;
  exit(3);
}

TASKD_OP_FUNCTION int forget(taskd_op* op) {
  (void)op;
  return 0;
}

TASKD_OP_FUNCTION int disturb(taskd_op* op) {
  if (write(3, "this is no frame at all", 23) < 0) return 1;
  return noop(op);
}

TASKD_OP_FUNCTION int grow(taskd_op* op) {
  for (;;) {
    char* more = (char*)malloc(1 << 20);
    if (more == NULL) return 1;
    memset(more, 1, 1 << 20);
    if (op->cancelled(op)) return 1;
  }
}

/* Writes its pid to the file $mark, and waits for its end. */
static int wait_marked(taskd_op* op, int asks) {
  const char* mark = taskd_find_arg(op, "mark");
  char path[4096];
  snprintf(path, sizeof path, "%s.new", mark);
  FILE* f = fopen(path, "w");
  if (f == NULL) return 1;
  fprintf(f, "%d", (int)getpid());
  fclose(f);
  op->progress(op, 0.4);
  if (asks) op->cancelled(op);
  if (rename(path, mark) != 0) return 1;
  for (;;) {
    if (asks && op->cancelled(op)) {
      fprintf(stderr, "stopped in good order\n");
      return 1;
    }
    usleep(1000);
  }
}
TASKD_OP_FUNCTION int hang(taskd_op* op) { return wait_marked(op, 0); }
TASKD_OP_FUNCTION int hang_politely(taskd_op* op) { return wait_marked(op, 1); }

TASKD_OP_FUNCTION int leave_child(taskd_op* op) {
  const pid_t child = fork();
  if (child == 0) {
    for (;;) pause();
  }
  char text[32];
  snprintf(text, sizeof text, "%d", (int)child);
  return put(op, 0, text);
}

/* Both come back from here. */
TASKD_OP_FUNCTION int come_back_twice(taskd_op* op) {
  if (fork() < 0) return 1;
  return noop(op);
}

/* The graph that $graph names has four objects of one byte, and one of them all. */
static char* read_graph(taskd_op* op, uint64_t* size) {
  FILE* file = fopen(taskd_find_arg(op, "graph"), "rb");
  char* bytes = malloc(1 << 20);
  *size = file == NULL ? 0 : fread(bytes, 1, 1 << 20, file);
  if (file != NULL) fclose(file);
  if (taskd_find_arg(op, "bad") != NULL) bytes[0] = 'x';
  return bytes;
}

TASKD_OP_FUNCTION int ask(taskd_op* op) {
  uint64_t size;
  char* graph = read_graph(op, &size);
  uint32_t job = 0;
  int failed = op->submit(op, graph, size, 1, &job);
  free(graph);
  if (failed) return 1;
  taskd_object first[2] = {{job, 0}, {job, 3}}, all = {job, 4}, none = {job, 99};
  if (op->await(op, first, 2) != 0) return 2;
  const taskd_view* one = op->get(op, first[1]);
  if (one == NULL || one->size != 1 || *(const char*)one->data != '4') return 3;
  const taskd_view* view = op->get(op, all);
  if (view == NULL || op->get(op, none) != NULL) return 4;
  void* out = op->alloc(op, 0, view->size);
  if (out == NULL) return 5;
  memcpy(out, view->data, view->size);
  return 0;
}

TASKD_OP_FUNCTION int hand_on(taskd_op* op) {
  uint64_t size;
  char* graph = read_graph(op, &size);
  int failed = op->submit(op, graph, size, 0, NULL);
  free(graph);
  if (failed || op->delegate(op, 7, 4) == 0) return 1;
  return op->delegate(op, 0, 4);
}

/* Puts before and after the graph, whose objects therefore do not count from 0. */
TASKD_OP_FUNCTION int put_around(taskd_op* op) {
  static char large[300000];
  uint64_t size;
  uint32_t job = 0;
  taskd_object first, last;
  memset(large, 'p', sizeof large);
  if (op->put(op, "small", 5, &first) != 0) return 1;
  char* graph = read_graph(op, &size);
  int failed = op->submit(op, graph, size, 1, &job);
  free(graph);
  if (failed || op->first_object != 1 || first.job != job) return 2;
  if (op->put(op, large, sizeof large, &last) != 0) return 3;
  const taskd_view* small = op->get(op, first);
  const taskd_view* view = op->get(op, last);
  if (small == NULL || small->size != 5 || memcmp(small->data, "small", 5) != 0) return 4;
  if (view == NULL || view->size != sizeof large || memcmp(view->data, large, sizeof large) != 0) return 5;
  return op->delegate(op, 0, 4);
}
