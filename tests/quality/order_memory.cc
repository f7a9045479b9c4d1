#include "tests/quality/order_memory.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/str_format.h"

namespace taskd::quality {

namespace {

const char* Name(RanksOf ranks) { return ranks == RanksOf::kOurs ? "ours" : "levels"; }

uint64_t Results(uint64_t bytes) { return bytes / kResultBytes; }
double Seconds(const Result& result) { return static_cast<double>(result.makespan_ns[0]) / 1e9; }

struct Ratios {
  double live = 0, store = 0, over = 0, makespan = 0;  // told / untold
};

// Of what came in over the budget one result is added to both: it may be none.
Ratios RatiosOf(const MemoryRow& r) {
  auto ratio = [](uint64_t a, uint64_t b) {
    return static_cast<double>(a) / static_cast<double>(b);
  };
  return {ratio(r.told.peak.bytes, r.untold.peak.bytes),
          ratio(r.told.store_peak_bytes, r.untold.store_peak_bytes),
          ratio(r.told.over_budget_bytes + kResultBytes, r.untold.over_budget_bytes + kResultBytes),
          Seconds(r.told) / Seconds(r.untold)};
}

void PrintMeans(const std::vector<MemoryRow>& rows, RanksOf ranks, std::ostream& out) {
  Ratios sum;
  double count = 0;
  for (const MemoryRow& row : rows) {
    if (row.ranks != ranks) continue;
    const Ratios r = RatiosOf(row);
    sum.live += std::log(r.live);
    sum.store += std::log(r.store);
    sum.over += std::log(r.over);
    sum.makespan += std::log(r.makespan);
    ++count;
  }
  out << absl::StrFormat(
      "%-6s ranks, told / untold, geometric means: live %.3f, most in a store %.3f, over budgets "
      "%.3f, makespan %.3f\n",
      Name(ranks), std::exp(sum.live / count), std::exp(sum.store / count),
      std::exp(sum.over / count), std::exp(sum.makespan / count));
}

}  // namespace

std::vector<MemoryRow> CompareMemory(const DaskGraph& graph, const Setting& setting, double share) {
  const Result free = RunOnCluster(graph, setting, RanksOf::kOurs);
  const auto budget = std::max(
      static_cast<uint64_t>(share * static_cast<double>(free.store_peak_bytes)), kResultBytes);
  std::vector<MemoryRow> rows;
  for (RanksOf ranks : {RanksOf::kOurs, RanksOf::kLevels}) {
    rows.push_back({graph.name, graph.size, ranks, share, budget,
                    RunOnCluster(graph, setting, ranks, {.bytes = budget, .told = false}),
                    RunOnCluster(graph, setting, ranks, {.bytes = budget})});
  }
  return rows;
}

void PrintMemory(const std::vector<MemoryRow>& rows, std::ostream& out) {
  out << absl::StrFormat("\n%-24s %-8s %-6s %7s | %7s %7s %8s %9s | %7s %7s %8s %9s\n", "graph",
                         "size", "ranks", "budget", "live", "store", "over", "seconds",
                         "told: live", "store", "over", "seconds");
  for (const MemoryRow& r : rows) {
    out << absl::StrFormat("%-24s %-8s %-6s %7d | %7d %7d %8d %9.2f | %10d %7d %8d %9.2f\n",
                           r.graph, r.size, Name(r.ranks), Results(r.budget_bytes),
                           Results(r.untold.peak.bytes), Results(r.untold.store_peak_bytes),
                           Results(r.untold.over_budget_bytes), Seconds(r.untold),
                           Results(r.told.peak.bytes), Results(r.told.store_peak_bytes),
                           Results(r.told.over_budget_bytes), Seconds(r.told));
  }
  out << "\n";
  for (RanksOf ranks : {RanksOf::kOurs, RanksOf::kLevels}) PrintMeans(rows, ranks, out);
}

void WriteMemoryJson(const std::vector<MemoryRow>& rows, std::ostream& out) {
  out << "[";
  const char* comma = "";
  for (const MemoryRow& r : rows) {
    out << comma
        << absl::StrFormat(
               "\n  {\"graph\": \"%s\", \"size\": \"%s\", \"ranks\": \"%s\", "
               "\"share\": %.3f, \"budget_bytes\": %d",
               r.graph, r.size, Name(r.ranks), r.share, r.budget_bytes);
    for (auto [name, result] : {std::pair("untold", &r.untold), std::pair("told", &r.told)}) {
      out << absl::StrFormat(
          ", \"%s\": {\"live_bytes\": %d, \"store_bytes\": %d, \"over_bytes\": %d, "
          "\"seconds\": %.3f}",
          name, result->peak.bytes, result->store_peak_bytes, result->over_budget_bytes,
          Seconds(*result));
    }
    out << "}";
    comma = ",";
  }
  out << "\n]";
}

}  // namespace taskd::quality
