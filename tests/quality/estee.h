// The task graphs of the Estee scheduler simulator and the makespans that it simulates for them.
#ifndef TASKD_TESTS_QUALITY_ESTEE_H_
#define TASKD_TESTS_QUALITY_ESTEE_H_

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace taskd::quality {

struct GraphTask {
  uint64_t duration_ns = 0;
  uint32_t cpus = 1;
  std::vector<uint64_t> output_bytes;
  std::vector<std::pair<uint32_t, uint32_t>> inputs;  // (task, output of it)
};

struct Graph {
  std::string name;
  std::vector<GraphTask> tasks;  // in topological order

  // Along the longest path from a task's start to the end; transfers are not counted.
  std::vector<uint64_t> TailsNs() const;
  // What no schedule beats: the longest path, and all work spread over all cpus.
  uint64_t LowerBoundNs(uint32_t cpus) const;
};

// Reads `path`. Tasks come in topological order whatever their order in the file. Throws
// std::runtime_error when the file is not what it should be.
Graph ReadGraph(const std::string& name, const std::string& path);

struct Setting {
  uint32_t workers = 0, cpus = 0;  // cpus a worker
  uint32_t mib_per_s = 0;
  std::string Name() const;  // "8x4 at 128"
  auto operator<=>(const Setting&) const = default;
};

// reference.csv: seconds by (graph, setting) and scheduler.
struct Reference {
  std::map<std::pair<std::string, Setting>, std::map<std::string, double>> makespans;

  // 0: not known.
  double Of(const std::string& graph, const Setting& setting, const std::string& scheduler) const;
  double Best(const std::string& graph, const Setting& setting) const;
  std::vector<std::string> Graphs() const;
};

Reference ReadReference(const std::string& path);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_ESTEE_H_
