// Edge lists, as tests/bench/patterns.py writes them, become .tgraph files.
#ifndef TASKD_TESTS_BENCH_CLIENT_EDGES_H_
#define TASKD_TESTS_BENCH_CLIENT_EDGES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"

namespace taskd::bench {

struct EdgeGraph {
  std::string body = "noop";  // a built-in with one output, "command", or "native"
  std::string library;        // native: bench_ops.so
  uint64_t duration_us = 0;
  std::vector<std::string> workers;  // empty: anywhere
};

// Line i of `file` names the tasks, all of them earlier, whose outputs task t[i] reads. The results of
// tasks that nobody reads are kept. With the body checksum, tasks that read nothing make 16 bytes of
// noise, which are kept too. Ranks are given as taskctl gives them.
absl::Status CompileEdges(const std::string& file, const EdgeGraph& graph, const std::string& out);

}  // namespace taskd::bench

#endif  // TASKD_TESTS_BENCH_CLIENT_EDGES_H_
