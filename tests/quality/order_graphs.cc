#include "tests/quality/order_graphs.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <tuple>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace taskd::quality {
namespace {

absl::StatusOr<DaskGraph> ReadOne(const std::filesystem::path& path) {
  std::ifstream file(path);
  uint64_t number = 0;
  std::string line;
  auto next = [&] { return ++number, static_cast<bool>(std::getline(file, line)); };
  auto bad = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path.string(), ":", number, ": ", std::string(what)));
  };
  if (!next() || line != "taskd-order-graph 1") return bad("not a graph of version 1");
  DaskGraph g;
  uint32_t tasks = 0;
  if (!next()) return bad("no head");
  std::vector<std::string> head = absl::StrSplit(line, ' ');
  if (head.size() != 5 || head[0] != "graph" || head[3] != "tasks" ||
      !absl::SimpleAtoi(head[4], &tasks))
    return bad("expected: graph NAME SIZE tasks N");
  g.name = head[1];
  g.size = head[2];
  std::vector<bool> seen(tasks, false);
  for (uint32_t t = 0; t < tasks; ++t) {
    if (!next()) return bad("the file ends too early");
    std::vector<uint32_t> numbers;
    for (const char *at = line.data(), *end = at + line.size(); at < end; ++at) {
      auto [after, error] = std::from_chars(at, end, numbers.emplace_back());
      if (error != std::errc()) return bad("expected numbers");
      at = after;
    }
    if (numbers.empty() || numbers[0] >= tasks || seen[numbers[0]])
      return bad("the rank is not a new one");
    seen[numbers[0]] = true;
    g.dask_rank.push_back(numbers[0]);
    for (size_t i = 1; i < numbers.size(); ++i) {
      if (numbers[i] >= t) return bad("an input is not an earlier task");
    }
    g.graph.output_count.push_back(1);
    g.graph.input_count.push_back(static_cast<uint16_t>(numbers.size() - 1));
    g.graph.input.insert(g.graph.input.end(), numbers.begin() + 1, numbers.end());
  }
  return g;
}

}  // namespace

absl::StatusOr<std::vector<DaskGraph>> ReadDaskGraphs(const std::string& folder) {
  std::vector<DaskGraph> graphs;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (entry.path().extension() != ".graph") continue;
    absl::StatusOr<DaskGraph> graph = ReadOne(entry.path());
    if (!graph.ok()) return graph.status();
    graphs.push_back(std::move(*graph));
  }
  if (error) return absl::NotFoundError(absl::StrCat(folder, ": ", error.message()));
  std::sort(graphs.begin(), graphs.end(), [](const DaskGraph& a, const DaskGraph& b) {
    return std::tuple(a.name, a.dask_rank.size(), a.size) <
           std::tuple(b.name, b.dask_rank.size(), b.size);
  });
  return graphs;
}

}  // namespace taskd::quality
