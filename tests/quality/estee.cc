#include "tests/quality/estee.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>

#include "common/base/text.h"

namespace taskd::quality {

namespace {

constexpr double kMiB = 1 << 20;

GraphTask ReadTask(const YAML::Node& node) {
  GraphTask task;
  task.duration_ns = static_cast<uint64_t>(std::llround(node["d"].as<double>() * 1e9));
  task.cpus = node["cpus"].as<uint32_t>();
  for (const YAML::Node& output : node["outputs"]) {
    task.output_bytes.push_back(
        static_cast<uint64_t>(std::llround(output["s"].as<double>() * kMiB)));
  }
  for (const YAML::Node& input : node["inputs"])
    task.inputs.emplace_back(input[0].as<uint32_t>(), input[1].as<uint32_t>());
  return task;
}

// Kahn's algorithm; among the tasks that may come next the one that stands first in the file.
Graph Sorted(const std::string& name, std::vector<GraphTask> tasks) {
  std::vector<std::vector<uint32_t>> consumers(tasks.size());
  std::vector<size_t> missing(tasks.size());
  for (uint32_t t = 0; t < tasks.size(); ++t) {
    missing[t] = tasks[t].inputs.size();
    for (auto [source, output] : tasks[t].inputs) {
      if (source >= tasks.size() || output >= tasks[source].output_bytes.size())
        throw std::runtime_error(StrCat(name, ": task ", t, " has an input that does not exist"));
      consumers[source].push_back(t);
    }
  }
  std::set<uint32_t> next;
  for (uint32_t t = 0; t < tasks.size(); ++t) {
    if (missing[t] == 0) next.insert(t);
  }
  std::vector<uint32_t> place(tasks.size());
  Graph graph{name, {}};
  while (!next.empty()) {
    uint32_t t = *next.begin();
    next.erase(next.begin());
    place[t] = static_cast<uint32_t>(graph.tasks.size());
    for (auto& [source, output] : tasks[t].inputs) source = place[source];
    graph.tasks.push_back(std::move(tasks[t]));
    for (uint32_t c : consumers[t]) {
      if (--missing[c] == 0) next.insert(c);
    }
  }
  if (graph.tasks.size() != tasks.size()) throw std::runtime_error(StrCat(name, ": has a cycle"));
  return graph;
}

}  // namespace

Graph ReadGraph(const std::string& name, const std::string& path) {
  std::vector<GraphTask> tasks;
  for (const YAML::Node& node : YAML::LoadFile(path)) tasks.push_back(ReadTask(node));
  return Sorted(name, std::move(tasks));
}

std::vector<uint64_t> Graph::TailsNs() const {
  std::vector<uint64_t> tails(tasks.size());
  for (size_t t = tasks.size(); t-- > 0;) {
    tails[t] += tasks[t].duration_ns;
    for (auto [source, output] : tasks[t].inputs) tails[source] = std::max(tails[source], tails[t]);
  }
  return tails;
}

uint64_t Graph::LowerBoundNs(uint32_t cpus) const {
  uint64_t bound = 0, work = 0;
  for (uint64_t tail : TailsNs()) bound = std::max(bound, tail);
  for (const GraphTask& task : tasks) work += task.duration_ns * task.cpus;
  return std::max(bound, work / cpus);
}

std::string Setting::Name() const { return StrCat(workers, "x", cpus, " at ", mib_per_s); }

double Reference::Of(const std::string& graph, const Setting& setting,
                     const std::string& scheduler) const {
  auto it = makespans.find({graph, setting});
  if (it == makespans.end()) return 0;
  auto found = it->second.find(scheduler);
  return found == it->second.end() ? 0 : found->second;
}

double Reference::Best(const std::string& graph, const Setting& setting) const {
  double best = 0;
  auto it = makespans.find({graph, setting});
  if (it == makespans.end()) return 0;
  for (const auto& [scheduler, seconds] : it->second) {
    if (best == 0 || seconds < best) best = seconds;
  }
  return best;
}

std::vector<std::string> Reference::Graphs() const {
  std::set<std::string> names;
  for (const auto& [key, unused] : makespans) names.insert(key.first);
  return {names.begin(), names.end()};
}

Reference ReadReference(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(StrCat("cannot read ", path));
  Reference out;
  std::string line;
  std::getline(file, line);  // the heading
  while (std::getline(file, line)) {
    std::vector<std::string> fields;
    std::stringstream in(line);
    for (std::string field; std::getline(in, field, ',');) fields.push_back(field);
    if (fields.size() < 7) throw std::runtime_error(StrCat(path, ": a short line: ", line));
    const size_t x = fields[2].find('x');
    Setting setting{static_cast<uint32_t>(std::stoul(fields[2].substr(0, x))),
                    static_cast<uint32_t>(std::stoul(fields[2].substr(x + 1))),
                    static_cast<uint32_t>(std::stoul(fields[3]))};
    out.makespans[{fields[1], setting}][fields[4]] = std::stod(fields[6]);
  }
  return out;
}

}  // namespace taskd::quality
