#include "tests/quality/shares.h"

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/quality/cluster.h"

namespace taskd::quality {

namespace {

constexpr uint64_t kMs = 1'000'000, kSec = 1'000 * kMs;
constexpr double kTolerance = 0.05;

struct Player {
  uint64_t task_ms = 0;
  uint32_t cpus = 1;
  uint64_t submit_s = 0;
  uint32_t owner = 0, weight = 100;
  double due = 0;  // of the cluster
};

struct Mix {
  std::string name;
  bool hints;
  std::vector<Player> players;
};

// Work for many minutes of the whole cluster.
Graph Independent(const Player& player) {
  Graph graph{"independent", {}};
  graph.tasks.resize(32 * 200'000 / player.task_ms,
                     {.duration_ns = player.task_ms * kMs, .cpus = player.cpus});
  return graph;
}

bool RunMix(const Mix& mix, std::ostream& out) {
  std::vector<Graph> graphs;
  for (const Player& player : mix.players) graphs.push_back(Independent(player));
  std::vector<JobSpec> jobs;
  for (size_t i = 0; i < mix.players.size(); ++i) {
    const Player& p = mix.players[i];
    jobs.push_back({.graph = &graphs[i],
                    .hints = mix.hints,
                    .submit_ns = p.submit_s * kSec,
                    .owner = p.owner,
                    .weight = p.weight});
  }
  const Setting setting{8, 4, 1024};
  Cluster cluster(setting, jobs);
  cluster.Measure(20 * kSec, 80 * kSec);
  const Result result = cluster.Run();
  out << mix.name << (mix.hints ? " (exact hints)" : " (no hints)") << "\n";
  bool fair = result.error.empty();
  if (!fair) out << "  " << result.error << "\n";
  uint64_t all = 0;
  for (uint64_t used : result.used_cpu_ns) all += used;
  for (size_t i = 0; i < mix.players.size(); ++i) {
    const double got = static_cast<double>(result.used_cpu_ns[i]) / static_cast<double>(all);
    const double due = mix.players[i].due;
    const bool off = std::abs(got - due) > kTolerance * due;
    fair &= !off;
    char line[128];
    std::snprintf(line, sizeof line, "  job %zu: %.2f %% of what was used, due %.2f %%%s\n", i + 1,
                  100 * got, 100 * due, off ? "  <- off" : "");
    out << line;
  }
  return fair;
}

}  // namespace

bool CheckShares(std::ostream& out) {
  bool fair = true;
  for (bool hints : {true, false}) {
    const Mix mixes[] = {
        {"a later job against a huge earlier one",
         hints,
         {{.task_ms = 1000, .owner = 1, .due = 0.5},
          {.task_ms = 1000, .submit_s = 10, .owner = 2, .due = 0.5}}},
        {"long tasks against short ones",
         hints,
         {{.task_ms = 2000, .due = 0.5}, {.task_ms = 200, .submit_s = 5, .due = 0.5}}},
        {"weights 1 : 2 : 5 of one owner",
         hints,
         {{.task_ms = 500, .weight = 100, .due = 0.125},
          {.task_ms = 500, .weight = 200, .due = 0.25},
          {.task_ms = 500, .weight = 500, .due = 0.625}}},
        {"an owner with three jobs against one with one",
         hints,
         {{.task_ms = 500, .owner = 1, .due = 1 / 6.0},
          {.task_ms = 500, .owner = 1, .due = 1 / 6.0},
          {.task_ms = 500, .owner = 1, .due = 1 / 6.0},
          {.task_ms = 700, .submit_s = 8, .owner = 2, .due = 0.5}}},
        {"two cpus a task against one",
         hints,
         {{.task_ms = 800, .cpus = 1, .due = 0.5}, {.task_ms = 800, .cpus = 2, .due = 0.5}}},
    };
    for (const Mix& mix : mixes) fair &= RunMix(mix, out);
  }
  return fair;
}

}  // namespace taskd::quality
