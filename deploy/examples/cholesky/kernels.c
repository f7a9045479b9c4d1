/* Functions of the tiled Cholesky factorization A = L L^T: tiles of `tile` x `tile` doubles, by columns, on OpenBLAS.
 * With taskd they are the bodies of native tasks; with -DALONE this is a program that does all of it by one dpotrf.
 *
 * A is made up: A(r,c) is noise that depends on (r,c) only, and n more on the diagonal, so that it is positive definite. */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "taskd_op.h"

void dpotrf_(const char* uplo, const int* n, double* a, const int* lda, int* info);

static double element(long n, long r, long c) {
  const long low = r < c ? r : c, high = r < c ? c : r;
  uint64_t x = (uint64_t)low * 0x9e3779b97f4a7c15u + (uint64_t)high * 0xc2b2ae3d27d4eb4fu + 1;
  x = (x ^ (x >> 31)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return (double)(x >> 40) / 16777216.0 - 0.5 + (r == c ? (double)n : 0);
}

static double now_s(void) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

#ifndef ALONE

TASKD_OP_LIBRARY

static long number(const taskd_op* op, const char* name) {
  const char* text = taskd_find_arg(op, name);
  return text == NULL ? 0 : atol(text);
}
static const double* tile_of(const taskd_op* op, const char* name) {
  return (const double*)taskd_find_input(op, name)->views[0].data;
}
static size_t tile_bytes(const taskd_op* op) {
  const size_t b = (size_t)number(op, "tile");
  return b * b * sizeof(double);
}

/* Tile (i, j) of A. */
static void fill(const taskd_op* op, long i, long j, double* to) {
  const long b = number(op, "tile"), n = number(op, "n");
  for (long c = 0; c < b; ++c)
    for (long r = 0; r < b; ++r) to[c * b + r] = element(n, i * b + r, j * b + c);
}

TASKD_OP_FUNCTION int generate(taskd_op* op) {
  double* a = (double*)op->alloc(op, 0, tile_bytes(op));
  if (a == NULL) return 1;
  fill(op, number(op, "i"), number(op, "j"), a);
  return 0;
}

/* A diagonal tile; the second output says when it began and ended. */
TASKD_OP_FUNCTION int potrf(taskd_op* op) {
  const double begin = now_s();
  const int b = (int)number(op, "tile");
  double* l = (double*)op->alloc(op, 0, tile_bytes(op));
  if (l == NULL) return 1;
  memcpy(l, tile_of(op, "a"), tile_bytes(op));
  int info = 0;
  dpotrf_("L", &b, l, &b, &info);
  if (info != 0) {
    op->set_error(op, "the matrix is not positive definite");
    return 1;
  }
  for (int c = 1; c < b; ++c) memset(l + (size_t)c * b, 0, (size_t)c * sizeof(double));
  char text[64];
  const int size = snprintf(text, sizeof text, "%.6f %.6f\n", begin, now_s());
  void* when = op->alloc(op, 1, (uint64_t)size);
  if (when == NULL) return 1;
  memcpy(when, text, (size_t)size);
  return 0;
}

/* L(i,k) = A(i,k) L(k,k)^-T. */
TASKD_OP_FUNCTION int trsm(taskd_op* op) {
  const int b = (int)number(op, "tile");
  double* x = (double*)op->alloc(op, 0, tile_bytes(op));
  if (x == NULL) return 1;
  memcpy(x, tile_of(op, "a"), tile_bytes(op));
  cblas_dtrsm(CblasColMajor, CblasRight, CblasLower, CblasTrans, CblasNonUnit, b, b, 1, tile_of(op, "l"), b, x, b);
  return 0;
}

/* A(j,j) -= L(j,k) L(j,k)^T, its lower half. */
TASKD_OP_FUNCTION int syrk(taskd_op* op) {
  const int b = (int)number(op, "tile");
  double* c = (double*)op->alloc(op, 0, tile_bytes(op));
  if (c == NULL) return 1;
  memcpy(c, tile_of(op, "c"), tile_bytes(op));
  cblas_dsyrk(CblasColMajor, CblasLower, CblasNoTrans, b, b, -1, tile_of(op, "x"), b, 1, c, b);
  return 0;
}

/* A(i,j) -= L(i,k) L(j,k)^T. */
TASKD_OP_FUNCTION int gemm(taskd_op* op) {
  const int b = (int)number(op, "tile");
  double* c = (double*)op->alloc(op, 0, tile_bytes(op));
  if (c == NULL) return 1;
  memcpy(c, tile_of(op, "c"), tile_bytes(op));
  cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, b, b, b, -1, tile_of(op, "x"), b, tile_of(op, "y"), b, 1, c, b);
  return 0;
}

/* The squares of A(i,j) - sum over k of L(i,k) L(j,k)^T and of A(i,j), summed up over the tile: two doubles. Inputs x0, x1 ...
 * and y0, y1 ... are rows i and j of L. */
TASKD_OP_FUNCTION int residual(taskd_op* op) {
  const int b = (int)number(op, "tile");
  const long i = number(op, "i"), j = number(op, "j");
  double* d = (double*)malloc(tile_bytes(op));
  double* sums = (double*)op->alloc(op, 0, 2 * sizeof(double));
  if (d == NULL || sums == NULL) return 1;
  fill(op, i, j, d);
  const double weight = i == j ? 1 : 2; /* the other half of A is the same */
  sums[0] = sums[1] = 0;
  for (size_t e = 0; e < (size_t)b * (size_t)b; ++e) sums[1] += weight * d[e] * d[e];
  for (long k = 0; k <= j; ++k) {
    char x[32], y[32];
    snprintf(x, sizeof x, "x%ld", k);
    snprintf(y, sizeof y, "y%ld", k);
    cblas_dgemm(CblasColMajor, CblasNoTrans, CblasTrans, b, b, b, -1, tile_of(op, x), b, tile_of(op, y), b, 1, d, b);
  }
  for (size_t e = 0; e < (size_t)b * (size_t)b; ++e) sums[0] += weight * d[e] * d[e];
  free(d);
  return 0;
}

/* The norm of A - L L^T over that of A, as text. */
TASKD_OP_FUNCTION int total(taskd_op* op) {
  double sums[2] = {0, 0};
  for (uint32_t k = 0; k < op->input_count; ++k) {
    const taskd_input* in = &op->inputs[k];
    for (uint32_t v = 0; v < in->count; ++v)
      for (int s = 0; s < 2; ++s) sums[s] += ((const double*)in->views[v].data)[s];
  }
  char text[32];
  const int size = snprintf(text, sizeof text, "%.3e\n", sqrt(sums[0] / sums[1]));
  void* to = op->alloc(op, 0, (uint64_t)size);
  if (to == NULL) return 1;
  memcpy(to, text, (size_t)size);
  return 0;
}

#else

/* ALONE n: the seconds that OpenBLAS takes for the same matrix. */
int main(int argc, char** argv) {
  const int n = argc > 1 ? atoi(argv[1]) : 1024;
  double* a = (double*)malloc((size_t)n * (size_t)n * sizeof(double));
  if (a == NULL) return 1;
  for (long c = 0; c < n; ++c)
    for (long r = 0; r < n; ++r) a[c * n + r] = element(n, r, c);
  int info = 0;
  const double begin = now_s();
  dpotrf_("L", &n, a, &n, &info);
  printf("%.6f\n", now_s() - begin);
  free(a);
  return info;
}

#endif
