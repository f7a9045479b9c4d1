// What benchmarks need of a client beyond taskctl: graphs of any shape, and a session that stays open
// while it runs the same graph many times. Prints one JSON object.
//
//   taskd_bench_client compile EDGES -O FILE.tgraph [--body busy --duration-us 50] [--pin w1,w2]
//   taskd_bench_client run FILE.tgraph --times 1000 [--gap-ms 1000] [--dir FOLDER]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/bench/client/edges.h"
#include "tests/bench/client/timed_jobs.h"

namespace {

void ExitWith(const absl::Status& status) {
  std::fprintf(stderr, "taskd_bench_client: %s\n", std::string(status.message()).c_str());
  std::exit(1);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Graphs and timed jobs for benchmarks");
  app.require_subcommand(1);

  taskd::bench::EdgeGraph graph;
  std::string edges, out;
  CLI::App* compile = app.add_subcommand("compile", "An edge list becomes a .tgraph file");
  compile->add_option("EDGES", edges, "One line a task: the numbers of earlier tasks that it reads")
      ->required();
  compile->add_option("-O,--output", out, "The .tgraph file")->required();
  compile->add_option(
      "--body", graph.body,
      "A built-in with one output, 'command' (/bin/true) or 'native' (bench_ops.c)");
  compile->add_option("--library", graph.library, "Of native: the path of bench_ops.so");
  compile->add_option("--duration-us", graph.duration_us, "How long a 'busy' or 'sleep' takes");
  compile->add_option("--pin", graph.workers, "Task i only on worker i modulo their number")
      ->delimiter(',');

  taskd::bench::TimedJobs jobs;
  CLI::App* run = app.add_subcommand("run", "Runs a graph again and again, in one session");
  run->add_option("FILE", jobs.file, "A graph file")->required();
  run->add_option("--times", jobs.times, "Jobs that are timed, one after the other");
  run->add_option("--warm", jobs.warm, "Jobs before them that are not");
  run->add_option("--gap-ms", jobs.gap_ms, "Pause before each");
  run->add_option("--dir", jobs.dir, "The cluster's folder; default $TASKD_DIR");
  CLI11_PARSE(app, argc, argv);

  if (*compile) {
    if (absl::Status status = taskd::bench::CompileEdges(edges, graph, out); !status.ok())
      ExitWith(status);
    return 0;
  }
  absl::StatusOr<std::vector<taskd::bench::TimedJob>> timed = taskd::bench::RunJobs(jobs);
  if (!timed.ok()) ExitWith(timed.status());
  std::printf("{\"jobs\": [");
  for (size_t i = 0; i < timed->size(); ++i) {
    const taskd::bench::TimedJob& job = (*timed)[i];
    std::printf("%s{\"job\": %u, \"seconds\": %.7f, \"accepted_seconds\": %.7f, \"done\": %llu}",
                i == 0 ? "" : ", ", job.job, job.seconds, job.accepted_seconds,
                static_cast<unsigned long long>(job.done));
  }
  std::printf("]}\n");
  return 0;
}
