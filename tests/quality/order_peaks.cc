// Most live results of our order and of dask.order's on the same graphs, one slot, tasks in rank
// order. A result that nobody reads stays live to the end ("peak"); "transient" leaves those out.
//
//     taskd_order_peaks FOLDER [--json FILE]      FOLDER: what dask_graphs.py wrote

#include <chrono>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "scheduler/order/order.h"
#include "tests/quality/order_graphs.h"

namespace taskd::quality {
namespace {

struct Row {
  std::string name, size;
  uint64_t tasks = 0;
  order::Peak ours, dask;
  uint64_t ns_per_task = 0;
  double ratio() const {
    return static_cast<double>(ours.weight) / static_cast<double>(dask.weight);
  }
  double transient_ratio() const {
    return static_cast<double>(ours.transient) / static_cast<double>(dask.transient);
  }
};

Row Compare(const DaskGraph& g) {
  Row row{g.name, g.size, g.dask_rank.size()};
  auto start = std::chrono::steady_clock::now();
  order::Ranks ranks = order::Order(g.graph);
  std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
  row.ns_per_task = static_cast<uint64_t>(took.count()) / row.tasks;
  row.ours = order::PeakOf(g.graph, ranks.rank);
  row.dask = order::PeakOf(g.graph, g.dask_rank);
  return row;
}

// Of the ratios of each graph's sizes, then of the graphs.
std::map<std::string, double> MeansByGraph(const std::vector<Row>& rows) {
  std::map<std::string, std::pair<double, int>> logs;
  for (const Row& r : rows) {
    logs[r.name].first += std::log(r.ratio());
    logs[r.name].second += 1;
  }
  std::map<std::string, double> means;
  for (const auto& [name, sum] : logs) means[name] = std::exp(sum.first / sum.second);
  return means;
}

void Print(const std::vector<Row>& rows) {
  std::printf("%-24s %-8s %8s %7s %7s %7s %10s %8s\n", "graph", "size", "tasks", "ours", "dask",
              "ratio", "transient", "ns/task");
  for (const Row& r : rows) {
    std::printf("%-24s %-8s %8llu %7llu %7llu %7.3f %10.3f %8llu\n", r.name.c_str(), r.size.c_str(),
                static_cast<unsigned long long>(r.tasks),
                static_cast<unsigned long long>(r.ours.weight),
                static_cast<unsigned long long>(r.dask.weight), r.ratio(), r.transient_ratio(),
                static_cast<unsigned long long>(r.ns_per_task));
  }
  std::printf("\n");
  double logs = 0;
  auto means = MeansByGraph(rows);
  for (const auto& [name, mean] : means) {
    std::printf("%-24s %.3f\n", name.c_str(), mean);
    logs += std::log(mean);
  }
  std::printf("%-24s %.3f\n", "geometric mean", std::exp(logs / static_cast<double>(means.size())));
}

void WriteJson(const std::vector<Row>& rows, const std::string& path) {
  std::ofstream out(path);
  out << "[";
  for (size_t i = 0; i < rows.size(); ++i) {
    const Row& r = rows[i];
    out << absl::StrFormat(
        "%s\n  {\"graph\": \"%s\", \"size\": \"%s\", \"tasks\": %d, \"peak\": %d, \"dask_peak\": "
        "%d, "
        "\"ratio\": %.4f, \"transient\": %d, \"dask_transient\": %d, \"ns_per_task\": %d}",
        i == 0 ? "" : ",", r.name, r.size, r.tasks, r.ours.weight, r.dask.weight, r.ratio(),
        r.ours.transient, r.dask.transient, r.ns_per_task);
  }
  out << "\n]\n";
}

int Main(int argc, char** argv) {
  std::string folder, json;
  for (int i = 1; i < argc; ++i) {
    if (std::string(argv[i]) == "--json" && i + 1 < argc) {
      json = argv[++i];
    } else {
      folder = argv[i];
    }
  }
  if (folder.empty()) {
    std::fprintf(stderr, "usage: taskd_order_peaks FOLDER [--json FILE]\n");
    return 2;
  }
  auto graphs = ReadDaskGraphs(folder);
  if (!graphs.ok()) {
    std::fprintf(stderr, "taskd_order_peaks: %s\n", graphs.status().ToString().c_str());
    return 2;
  }
  if (graphs->empty()) {
    std::printf("skipped: no graphs in %s (dask_graphs.py writes them)\n", folder.c_str());
    return 77;
  }
  std::vector<Row> rows;
  for (const DaskGraph& g : *graphs) rows.push_back(Compare(g));
  Print(rows);
  if (!json.empty()) WriteJson(rows, json);
  return 0;
}

}  // namespace
}  // namespace taskd::quality

int main(int argc, char** argv) { return taskd::quality::Main(argc, argv); }
