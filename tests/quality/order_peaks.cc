// Our order and dask.order's on the same graphs: most live results with one slot, tasks in rank order;
// most live results and makespan on a cluster that runs the production scheduler core. A result that
// nobody reads stays live to the end ("peak"); "transient" leaves those out.
//
//     taskd_order_peaks FOLDER [--json FILE] [--cluster WORKERSxSLOTS] [--store SHARE]
//                       [--graphs a,b] [--jobs N]
//
// FOLDER: what dask_graphs.py wrote. --store: also with stores of so much of what each worker held.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "scheduler/order/order.h"
#include "tests/quality/order_cluster.h"
#include "tests/quality/order_graphs.h"
#include "tests/quality/order_memory.h"

namespace taskd::quality {
namespace {

constexpr uint32_t kMibPerS = 1024;

struct Options {
  std::string folder, json;
  Setting cluster{4, 4, kMibPerS};
  double store = 0;                 // share of what each worker held; 0: not measured
  std::vector<std::string> graphs;  // empty: all
  uint32_t jobs = std::max(1u, std::thread::hardware_concurrency());
};

struct Row {
  std::string name, size;
  uint64_t tasks = 0;
  order::Peak ours, dask;
  uint64_t ns_per_task = 0;
  Result our_run, dask_run;
  std::vector<MemoryRow> memory;

  double ratio() const { return Ratio(ours.weight, dask.weight); }
  double transient_ratio() const { return Ratio(ours.transient, dask.transient); }
  double cluster_ratio() const { return Ratio(our_run.peak.results, dask_run.peak.results); }
  double our_seconds() const { return static_cast<double>(our_run.makespan_ns[0]) / 1e9; }
  double dask_seconds() const { return static_cast<double>(dask_run.makespan_ns[0]) / 1e9; }
  double makespan_ratio() const { return our_seconds() / dask_seconds(); }
  std::string error() const {
    for (const MemoryRow& m : memory) {
      for (const Result* run : {&m.untold, &m.told})
        if (!run->error.empty()) return run->error;
    }
    return our_run.error.empty() ? dask_run.error : our_run.error;
  }

 private:
  static double Ratio(uint64_t a, uint64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  }
};

Row Compare(const DaskGraph& g, const Options& options) {
  Row row{g.name, g.size, g.dask_rank.size()};
  auto start = std::chrono::steady_clock::now();
  order::Ranks ranks = order::Order(g.graph);
  std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
  row.ns_per_task = static_cast<uint64_t>(took.count()) / row.tasks;
  row.ours = order::PeakOf(g.graph, ranks.rank);
  row.dask = order::PeakOf(g.graph, g.dask_rank);
  row.our_run = RunOnCluster(g, options.cluster, RanksOf::kOurs);
  row.dask_run = RunOnCluster(g, options.cluster, RanksOf::kDask);
  if (options.store > 0) row.memory = CompareMemory(g, options.cluster, options.store);
  return row;
}

struct Means {
  double ratio = 0, cluster_ratio = 0, makespan_ratio = 0;
};

Means MeansOf(const std::vector<Means>& of) {
  Means out;
  for (const Means& m : of) {
    out.ratio += std::log(m.ratio);
    out.cluster_ratio += std::log(m.cluster_ratio);
    out.makespan_ratio += std::log(m.makespan_ratio);
  }
  for (double* mean : {&out.ratio, &out.cluster_ratio, &out.makespan_ratio})
    *mean = std::exp(*mean / static_cast<double>(of.size()));
  return out;
}

// Geometric, of the ratios of each graph's sizes.
std::map<std::string, Means> MeansByGraph(const std::vector<Row>& rows) {
  std::map<std::string, std::vector<Means>> sizes;
  for (const Row& r : rows)
    sizes[r.name].push_back({r.ratio(), r.cluster_ratio(), r.makespan_ratio()});
  std::map<std::string, Means> means;
  for (const auto& [name, of] : sizes) means[name] = MeansOf(of);
  return means;
}

// Of the means of the graphs.
Means MeansOf(const std::map<std::string, Means>& by_graph) {
  std::vector<Means> all;
  for (const auto& [name, means] : by_graph) all.push_back(means);
  return MeansOf(all);
}

void Print(const std::vector<Row>& rows, const Setting& cluster) {
  std::string many = absl::StrFormat("%dx%d", cluster.workers, cluster.cpus);
  absl::PrintF("%-24s %-8s %7s %7s | %7s %7s %7s %9s | %7s %7s %7s %9s %9s %7s\n", "graph", "size",
               "tasks", "ns/task", "1 slot", "dask", "ratio", "transient", many, "dask", "ratio",
               "seconds", "dask", "ratio");
  for (const Row& r : rows) {
    absl::PrintF("%-24s %-8s %7d %7d | %7d %7d %7.3f %9.3f | %7d %7d %7.3f %9.2f %9.2f %7.3f\n",
                 r.name, r.size, r.tasks, r.ns_per_task, r.ours.weight, r.dask.weight, r.ratio(),
                 r.transient_ratio(), r.our_run.peak.results, r.dask_run.peak.results,
                 r.cluster_ratio(), r.our_seconds(), r.dask_seconds(), r.makespan_ratio());
    if (!r.error().empty()) absl::PrintF("  %s\n", r.error());
  }
  absl::PrintF("\n%-24s %7s %7s %9s\n", "ours / dask's", "1 slot", many, "makespan");
  auto print = [](const std::string& name, const Means& m) {
    absl::PrintF("%-24s %7.3f %7.3f %9.3f\n", name, m.ratio, m.cluster_ratio, m.makespan_ratio);
  };
  auto by_graph = MeansByGraph(rows);
  for (const auto& [name, means] : by_graph) print(name, means);
  print("geometric mean", MeansOf(by_graph));
}

void WriteJson(const std::vector<Row>& rows, const std::vector<MemoryRow>& memory,
               const Setting& cluster, const std::string& path) {
  std::ofstream out(path);
  Means means = MeansOf(MeansByGraph(rows));
  out << absl::StrFormat(
      "{\"workers\": %d, \"slots\": %d, \"mib_per_s\": %d, \"result_bytes\": %d,\n"
      " \"geomean_ratio\": %.4f, \"geomean_cluster_ratio\": %.4f, "
      "\"geomean_makespan_ratio\": %.4f,\n \"graphs\": [",
      cluster.workers, cluster.cpus, cluster.mib_per_s, kResultBytes, means.ratio,
      means.cluster_ratio, means.makespan_ratio);
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    out << absl::StrFormat(
        "%s\n  {\"graph\": \"%s\", \"size\": \"%s\", \"tasks\": %d, \"ns_per_task\": %d, "
        "\"peak\": %d, \"dask_peak\": %d, \"ratio\": %.4f, \"transient\": %d, "
        "\"dask_transient\": %d, \"cluster_peak\": %d, \"dask_cluster_peak\": %d, "
        "\"cluster_peak_bytes\": %d, \"dask_cluster_peak_bytes\": %d, \"cluster_ratio\": %.4f, "
        "\"seconds\": %.3f, \"dask_seconds\": %.3f, \"makespan_ratio\": %.4f, \"ok\": %s}",
        i == 0 ? "" : ",", r.name, r.size, r.tasks, r.ns_per_task, r.ours.weight, r.dask.weight,
        r.ratio(), r.ours.transient, r.dask.transient, r.our_run.peak.results,
        r.dask_run.peak.results, r.our_run.peak.bytes, r.dask_run.peak.bytes, r.cluster_ratio(),
        r.our_seconds(), r.dask_seconds(), r.makespan_ratio(),
        r.error().empty() ? "true" : "false");
  }
  out << "\n]";
  if (!memory.empty()) {
    out << ",\n\"stores\": ";
    WriteMemoryJson(memory, out);
  }
  out << "}\n";
}

bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (!flag.starts_with("--")) {
      options.folder = flag;
      continue;
    }
    if (i + 1 == argc) return false;
    const std::string value = argv[++i];
    if (flag == "--json") {
      options.json = value;
    } else if (flag == "--graphs") {
      options.graphs = absl::StrSplit(value, ',');
    } else if (flag == "--store") {
      if (!absl::SimpleAtod(value, &options.store) || options.store <= 0) return false;
    } else if (flag == "--jobs") {
      if (!absl::SimpleAtoi(value, &options.jobs) || options.jobs == 0) return false;
    } else if (flag == "--cluster") {
      std::vector<std::string> sizes = absl::StrSplit(value, 'x');
      if (sizes.size() != 2 || !absl::SimpleAtoi(sizes[0], &options.cluster.workers) ||
          !absl::SimpleAtoi(sizes[1], &options.cluster.cpus) || options.cluster.workers == 0 ||
          options.cluster.cpus == 0) {
        return false;
      }
    } else {
      return false;
    }
  }
  return !options.folder.empty();
}

std::vector<Row> CompareAll(const std::vector<DaskGraph>& graphs, const Options& options) {
  std::vector<Row> rows(graphs.size());
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (uint32_t j = 0; j < options.jobs; ++j) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < rows.size(); i = next++) rows[i] = Compare(graphs[i], options);
    });
  }
  for (std::thread& thread : threads) thread.join();
  return rows;
}

int Main(int argc, char** argv) {
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fprintf(stderr,
                 "usage: taskd_order_peaks FOLDER [--json FILE] [--cluster WORKERSxSLOTS] "
                 "[--store SHARE] [--graphs a,b] [--jobs N]\n");
    return 2;
  }
  auto graphs = ReadDaskGraphs(options.folder);
  if (!graphs.ok()) {
    std::fprintf(stderr, "taskd_order_peaks: %s\n", graphs.status().ToString().c_str());
    return 2;
  }
  std::erase_if(*graphs, [&](const DaskGraph& g) {
    const auto& names = options.graphs;
    return !names.empty() && std::find(names.begin(), names.end(), g.name) == names.end();
  });
  if (graphs->empty()) {
    std::printf("skipped: no graphs in %s (dask_graphs.py writes them)\n", options.folder.c_str());
    return 77;
  }
  std::vector<Row> rows = CompareAll(*graphs, options);
  Print(rows, options.cluster);
  std::vector<MemoryRow> memory;
  for (const Row& r : rows) memory.insert(memory.end(), r.memory.begin(), r.memory.end());
  if (!memory.empty()) PrintMemory(memory, std::cout);
  if (!options.json.empty()) WriteJson(rows, memory, options.cluster, options.json);
  return std::all_of(rows.begin(), rows.end(), [](const Row& r) { return r.error().empty(); }) ? 0
                                                                                               : 1;
}

}  // namespace
}  // namespace taskd::quality

int main(int argc, char** argv) { return taskd::quality::Main(argc, argv); }
