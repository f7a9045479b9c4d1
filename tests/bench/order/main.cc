// What ordering a whole graph costs, as one JSON document.
//
//     taskd_bench_order [--large] [--pattern NAME --tasks N]     --large: 10 M tasks too

#include <sys/resource.h>
#include <time.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/order/order.h"

namespace taskd::bench {
namespace {

using order::Graph;

constexpr uint32_t kRow = 1000;  // tasks a row of a stencil

void Add(Graph& graph, std::initializer_list<uint32_t> inputs) {
  graph.output_count.push_back(1);
  graph.input_count.push_back(static_cast<uint16_t>(inputs.size()));
  graph.input.insert(graph.input.end(), inputs);
}

Graph Make(std::string_view pattern, uint32_t tasks) {
  Graph g;
  g.output_count.reserve(tasks);
  g.input_count.reserve(tasks);
  if (pattern == "independent") {
    for (uint32_t t = 0; t < tasks; ++t) Add(g, {});
  } else if (pattern == "stencil") {
    g.input.reserve(uint64_t{3} * tasks);
    for (uint32_t t = 0; t < tasks; ++t) {
      uint32_t column = t % kRow, up = t - kRow;
      if (t < kRow) {
        Add(g, {});
      } else {
        Add(g, {column == 0 ? up : up - 1, up, column + 1 == kRow ? up : up + 1});
      }
    }
  } else if (pattern == "tree") {
    const uint32_t leaves = tasks / 2 + 1;
    for (uint32_t t = 0; t < leaves; ++t) Add(g, {});
    for (uint32_t t = leaves; t < 2 * leaves - 1; ++t)
      Add(g, {2 * (t - leaves), 2 * (t - leaves) + 1});
  } else if (pattern == "all_to_all") {  // ten rounds, each reads the whole round before
    const uint32_t width = tasks / 10;
    for (uint32_t t = 0; t < width; ++t) Add(g, {});
    for (uint32_t round = 1; round < 10; ++round) {
      g.collections.push_back({(round - 1) * width, width, 1});
      for (uint32_t t = 0; t < width; ++t) Add(g, {(round - 1) | order::kCollectionBit});
    }
  } else {
    std::fprintf(stderr,
                 "taskd_bench_order: patterns are independent, stencil, tree, all_to_all\n");
    std::exit(2);
  }
  return g;
}

uint64_t CpuNs() {
  timespec now;
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000'000 + static_cast<uint64_t>(now.tv_nsec);
}

// Of the process, in bytes.
uint64_t ResidentPeak() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

// In a child process, so that its peak is its own.
void RunOne(std::string_view pattern, uint32_t tasks) {
  Graph graph = Make(pattern, tasks);
  const uint64_t before_bytes = ResidentPeak(), start = CpuNs();
  order::Ranks ranks = order::Order(graph);
  const uint64_t ns = CpuNs() - start, bytes = ResidentPeak() - before_bytes;
  const uint64_t columns = graph.task_count() * 4 + graph.input.size() * 4;
  order::Peak peak = order::PeakOf(graph, ranks.rank);
  std::printf(
      "  {\"pattern\": \"%s\", \"tasks\": %u, \"inputs\": %zu, \"ns_per_task\": %llu, "
      "\"bytes_per_task\": %llu, \"graph_bytes_per_task\": %llu, \"peak_live\": %llu}",
      std::string(pattern).c_str(), graph.task_count(), graph.input.size(),
      static_cast<unsigned long long>(ns / tasks), static_cast<unsigned long long>(bytes / tasks),
      static_cast<unsigned long long>(columns / tasks),
      static_cast<unsigned long long>(peak.weight));
}

int Main(int argc, char** argv) {
  std::string pattern;
  uint32_t tasks = 1'000'000;
  bool large = false;
  for (int i = 1; i < argc; ++i) {
    std::string_view arg = argv[i];
    if (arg == "--large") large = true;
    if (arg == "--pattern" && i + 1 < argc) pattern = argv[++i];
    if (arg == "--tasks" && i + 1 < argc) tasks = static_cast<uint32_t>(std::atol(argv[++i]));
  }
  if (!pattern.empty()) {
    RunOne(pattern, tasks);
    std::printf("\n");
    return 0;
  }
  std::printf("[\n");
  bool first = true;
  for (const char* name : {"independent", "stencil", "tree", "all_to_all"}) {
    for (uint32_t size : {10'000u, 100'000u, 1'000'000u, 10'000'000u}) {
      if (size > 1'000'000 && !large) continue;
      std::printf("%s", first ? "" : ",\n");
      std::fflush(stdout);
      first = false;
      std::string command =
          std::string(argv[0]) + " --pattern " + name + " --tasks " + std::to_string(size);
      std::FILE* child = popen(command.c_str(), "r");
      char line[512];
      while (child != nullptr && std::fgets(line, sizeof(line), child) != nullptr) {
        std::string text = line;
        if (!text.empty() && text.back() == '\n') text.pop_back();
        std::printf("%s", text.c_str());
      }
      if (child == nullptr || pclose(child) != 0) return 1;
    }
  }
  std::printf("\n]\n");
  return 0;
}

}  // namespace
}  // namespace taskd::bench

int main(int argc, char** argv) { return taskd::bench::Main(argc, argv); }
