"""The checker finds planted violations, accepts what is allowed, and finds none in the tree."""

import os
import pathlib
import unittest

import layering

ROOT = pathlib.Path(os.environ.get("TASKD_SOURCE_DIR", pathlib.Path(__file__).resolve().parents[3]))

# path, text, part of the message (None: allowed)
CASES = [
    # include rules
    ("scheduler/core/a.cc", '#include "common/io/clock.h"', "may not include common/io"),
    ("scheduler/core/a.cc", '#include "worker/core/worker_core.h"', "may not include worker/core"),
    ("scheduler/core/a.cc", '#include "scheduler/shell/daemon.h"', "may not include scheduler/shell"),
    ("scheduler/order/a.cc", '#include "scheduler/core/state.h"', "may not include scheduler/core"),
    ("common/base/a.h", '#include "scheduler/core/state.h"', "may not include scheduler/core"),
    ("common/io/a.h", '#include "common/rpc/wire.h"', "may not include common/rpc"),
    ("worker/exec/a.cc", '#include "worker/data/server.h"', "may not include worker/data"),
    ("worker/store/a.cc", '#include "worker/exec/spawn.h"', "may not include worker/exec"),
    ("cli/client/a.cc", '#include "scheduler/core/events.h"', "may not include scheduler/core"),
    ("cli/client/a.cc", '#include "scheduler/order/order.h"', None),
    ("cli/taskctl/a.cc", '#include "scheduler/order/order.h"', "may not include scheduler/order"),
    ("cli/client/a.cc", '#include "cli/taskctl/table.h"', "may not include cli/taskctl"),
    ("cli/taskctl/a.cc", '#include "worker/store/store.h"', "may not include worker/store"),
    ("tests/sim/a.cc", '#include "common/rpc/wire.h"', "may not include common/rpc"),
    ("scheduler/shell/a.cc", '#include "worker/core/events.h"', "may not include worker/core"),
    ("scheduler/shell/a.cc", '#include "scheduler/core/state.h"\n#include "common/rpc/wire.h"', None),
    ("worker/data/a.cc", '#include "worker/store/store.h"\n#include <grpcpp/grpcpp.h>', None),
    ("tests/unit/common/a.cc", '#include "cli/taskctl/table.h"', None),
    ("scheduler/core/a.cc", '#include "common/base/mutant.h"', None),
    ("scheduler/core/a.h", '#include "common/base/mutant.h"', "no header may include common/base/mutant.h"),
    # the wire
    ("worker/core/a.h", '#include "taskd/v1/types.pb.h"', "no gRPC"),
    ("common/base/a.h", "#include <grpcpp/grpcpp.h>", "no gRPC"),
    ("common/io/a.h", "#include <google/protobuf/message.h>", "no gRPC"),
    ("tests/sim/a.cc", "#  include <grpc/grpc.h>", "no gRPC"),
    # law 1
    ("worker/core/a.h", "#include <thread>", "may not include thread"),
    ("worker/core/a.h", "#include <mutex>", "may not include mutex"),
    ("worker/core/a.h", "#include <atomic>", "may not include atomic"),
    ("worker/core/a.h", "#include <chrono>", "may not include chrono"),
    ("common/base/a.cc", "#include <fstream>", "may not include fstream"),
    ("common/base/a.cc", "#include <iostream>", "may not include iostream"),
    ("common/base/a.cc", "#include <cstdio>", "may not include cstdio"),
    ("common/base/a.cc", "#include <sys/stat.h>", "may not include sys/stat.h"),
    ("common/base/a.cc", '#include "absl/time/clock.h"', "may not include absl/time/clock.h"),
    ("common/base/check.cc", "#include <cstdio>", None),
    ("worker/store/a.cc", "#include <thread>\n#include <atomic>", None),
    ("scheduler/core/a.h", "std::unordered_map<int, int> x;", "without a fixed order"),
    ("scheduler/core/a.h", "std::uniform_int_distribution<int> d(1, 2);", "distributions"),
    ("scheduler/core/a.h", "std::mt19937 engine;", "prng.h"),
    ("scheduler/core/a.h", "auto t = std::chrono::steady_clock::now();", "clocks"),
    ("scheduler/core/a.h", "const char* home = getenv(name);", "environment"),
    ("scheduler/core/a.h", "std::mutex mutex_;", "threads"),
    ("scheduler/core/a.h", "thread_local int x;", "threads"),
    ("scheduler/core/a.h", "std::set<Task*> tasks;", "ordered by pointer"),
    ("scheduler/core/a.h", "absl::btree_map<const Task*, int> tasks;", "ordered by pointer"),
    ("scheduler/core/a.h", "absl::btree_map<TaskId, Task*> tasks;", None),
    ("scheduler/core/a.cc", "double cost = 0;", "floating point"),
    ("worker/core/a.cc", "x = static_cast<float>(y);", "floating point"),
    ("common/base/units.cc", "double value = 1;", None),
    ("scheduler/core/a.cc", "// a double check\nauto s = \"double\"; /* std::mutex */ int big = 1'000'000;", None),
    ("scheduler/core/a.cc", 'auto s = R"(std::mutex)";', None),
    # hash tables
    ("scheduler/core/a.h", "absl::flat_hash_map<int, std::vector<int>> jobs_;\nfor (auto& [k, v] : jobs_) { }",
     "iterates the hash table jobs_"),
    ("scheduler/core/a.h", "absl::flat_hash_set<int> seen;\nfor (int x : state.seen) Use(x);", "iterates the hash table seen"),
    ("scheduler/core/a.h", "using Index = absl::flat_hash_map<int, int>;\nIndex index_;\nfor (auto& e : s->index_) Use(e);",
     "iterates the hash table index_"),
    ("scheduler/core/a.h", "absl::flat_hash_map<int, int> m_;\nauto it = m_.begin();", "iterates the hash table m_"),
    ("scheduler/core/a.h", "absl::flat_hash_map<int, int> m_;\nauto it = m_.find(3);\nfor (int x : list_) Use(x);", None),
    ("scheduler/core/a.h", "absl::flat_hash_map<int, V> m_;\nstd::vector<int>& m_ = Of(3);\nauto it = m_.begin();", None),
    ("scheduler/core/a.h", "absl::flat_hash_map<int, V> m;\nstd::vector<int>& m = Of(3);\nfor (auto x : job.m) Use(x);",
     "iterates the hash table m"),
    # state
    ("scheduler/core/a.h", "struct Task {\n  uint32_t a = 0;\n  size_t count = 0;\n};", "size_t member"),
    ("worker/core/a.h", "class Core {\n public:\n  int F();\n private:\n  std::size_t count_;\n};", "size_t member"),
    ("scheduler/core/a.h", "struct Task {\n  size_t Count() const { size_t n = 0; return n; }\n};", None),
]


class PlantedTest(unittest.TestCase):
    def test_cases(self):
        for path, text, message in CASES:
            with self.subTest(path=path, text=text):
                found = [v[2] for v in layering.check_files({path: text})]
                if message is None:
                    self.assertEqual(found, [])
                else:
                    self.assertTrue(any(message in text for text in found), found)

    def test_iteration_in_another_file_of_the_folder(self):
        found = layering.check_files({
            "worker/core/impl.h": "struct Impl { absl::flat_hash_map<int, int> attempts; };",
            "worker/core/impl.cc": "\n\nfor (auto& [id, a] : impl.attempts) a = 1;"})
        self.assertEqual([v[:2] for v in found], [("worker/core/impl.cc", 3)])


class TreeTest(unittest.TestCase):
    def test_tree_keeps_the_rules(self):
        files = dict(layering.sources(ROOT))
        for folder in ("common/base/", "scheduler/core/", "worker/core/", "cli/taskctl/"):
            self.assertTrue(any(path.startswith(folder) for path in files), f"no sources of {folder} below {ROOT}")
        violations = layering.check_files(files)
        self.assertEqual(violations, [], "\n" + "\n".join(f"{p}:{n}: {t}" for p, n, t in violations))


if __name__ == "__main__":
    unittest.main()
