// Makespans of the production scheduler core on the graphs of the Estee simulator, by its rules.
//
//   taskd_quality [--data DIR] [--graphs a,b] [--clusters 8x4] [--bandwidths 128] [--hints exact|none]
//                 [--json FILE] [--jobs N] [--check]
//
//   taskd_quality --shares
//
// --shares: what jobs get of the cluster against each other; fails when one is off by a twentieth.
// --check: two small graphs and the bounds that every schedule obeys. Exits with 77 when there is no
// data.
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "common/base/text.h"
#include "tests/quality/cluster.h"
#include "tests/quality/estee.h"
#include "tests/quality/report.h"
#include "tests/quality/shares.h"

namespace taskd::quality {
namespace {

struct Options {
  std::string data = "../shared/data";
  std::string json;
  std::vector<std::string> graphs, clusters = {"8x4", "32x4"}, bandwidths = {"128", "2048"},
                                   hints = {"exact", "none"};
  uint32_t jobs = std::max(1u, std::thread::hardware_concurrency());
  bool check = false;
};

std::vector<std::string> Split(const std::string& text) {
  std::vector<std::string> out;
  std::stringstream in(text);
  for (std::string part; std::getline(in, part, ',');) out.push_back(part);
  return out;
}

bool Parse(int argc, char** argv, Options& options) {
  if (const char* data = std::getenv("TASKD_DATA")) options.data = data;
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    if (flag == "--check") {
      options.check = true;
      continue;
    }
    if (i + 1 == argc) return false;
    std::string value = argv[++i];
    if (flag == "--data") {
      if (std::getenv("TASKD_DATA") == nullptr) options.data = value;
    } else if (flag == "--json") {
      options.json = value;
    } else if (flag == "--graphs") {
      options.graphs = Split(value);
    } else if (flag == "--clusters") {
      options.clusters = Split(value);
    } else if (flag == "--bandwidths") {
      options.bandwidths = Split(value);
    } else if (flag == "--hints") {
      options.hints = Split(value);
    } else if (flag == "--jobs") {
      options.jobs = static_cast<uint32_t>(std::stoul(value));
    } else {
      return false;
    }
  }
  return true;
}

Setting ReadSetting(const std::string& cluster, const std::string& bandwidth) {
  size_t x = cluster.find('x');
  return {static_cast<uint32_t>(std::stoul(cluster.substr(0, x))),
          static_cast<uint32_t>(std::stoul(cluster.substr(x + 1))),
          static_cast<uint32_t>(std::stoul(bandwidth))};
}

Row RunOne(const Graph& graph, const Setting& setting, bool hints, const Reference& reference) {
  Row row{graph.name, setting, hints};
  Cluster cluster(setting, {{.graph = &graph, .hints = hints}});
  Result result = cluster.Run();
  row.seconds = static_cast<double>(result.makespan_ns[0]) / 1e9;
  row.blevel_gt = reference.Of(graph.name, setting, "blevel-gt");
  row.best = reference.Best(graph.name, setting);
  row.bound = static_cast<double>(graph.LowerBoundNs(setting.workers * setting.cpus)) / 1e9;
  row.moved_gib = static_cast<double>(result.moved_bytes) / (1 << 30);
  row.retracted = result.retracted;
  row.error = result.error;
  if (row.error.empty() && row.seconds < row.bound * 0.999999)
    row.error = StrCat(row.seconds, " s is below the bound of ", row.bound);
  return row;
}

int Run(const Options& options) {
  const std::string folder = options.data + "/estee/";
  if (!std::filesystem::exists(folder + "reference.csv")) {
    std::cout << "skipped: no " << folder
              << "reference.csv; --data or TASKD_DATA names its folder\n";
    return 77;
  }
  Reference reference = ReadReference(folder + "reference.csv");
  std::vector<std::string> names = options.graphs.empty() ? reference.Graphs() : options.graphs;
  if (options.check) names = {"merge_triplets", "plain1cpus"};
  std::vector<Graph> graphs;
  for (const std::string& name : names) graphs.push_back(ReadGraph(name, folder + name + ".json"));
  std::vector<Row> rows;
  for (const std::string& cluster : options.clusters) {
    for (const std::string& bandwidth : options.bandwidths) {
      for (const std::string& hints : options.hints) {
        for (const Graph& graph : graphs)
          rows.push_back({graph.name, ReadSetting(cluster, bandwidth), hints == "exact"});
      }
    }
  }
  std::atomic<size_t> next = 0;
  std::vector<std::thread> threads;
  for (uint32_t j = 0; j < options.jobs; ++j) {
    threads.emplace_back([&] {
      for (size_t i = next++; i < rows.size(); i = next++)
        rows[i] = RunOne(graphs[i % graphs.size()], rows[i].setting, rows[i].hints, reference);
    });
  }
  for (std::thread& thread : threads) thread.join();
  PrintText(rows, std::cout);
  if (!options.json.empty()) {
    std::ofstream out(options.json);
    PrintJson(rows, out);
  }
  return std::all_of(rows.begin(), rows.end(), [](const Row& row) { return row.error.empty(); })
             ? 0
             : 1;
}

}  // namespace
}  // namespace taskd::quality

int main(int argc, char** argv) {
  taskd::quality::Options options;
  if (argc == 2 && std::string(argv[1]) == "--shares")
    return taskd::quality::CheckShares(std::cout) ? 0 : 1;
  if (!taskd::quality::Parse(argc, argv, options)) {
    std::cerr << "usage: taskd_quality [--data DIR] [--graphs a,b] [--clusters 8x4,32x4]\n"
                 "         [--bandwidths 128,2048] [--hints exact,none] [--json FILE] [--jobs N] "
                 "[--check]\n";
    return 2;
  }
  try {
    return taskd::quality::Run(options);
  } catch (const std::exception& e) {
    std::cerr << e.what() << "\n";
    return 1;
  }
}
