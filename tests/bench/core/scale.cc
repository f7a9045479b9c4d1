// One JSON document with what the bare scheduler core costs, the budget beside each figure.
//
//   taskd_bench_core_scale            sizes, losses, retracts, and every pattern up to 1 M tasks
//   taskd_bench_core_scale --large    10 M tasks too, with up to 10,000 workers (takes 12 GB)
//   taskd_bench_core_scale --tiny     whether all of it works
//   taskd_bench_core_scale --run stencil --tasks 1000000 --workers 100 --bytes 1048576
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "tests/bench/core/measure.h"

namespace taskd::bench {
namespace {

struct Setting {
  Pattern pattern;
  uint32_t tasks;
  uint32_t workers;
  uint64_t output_bytes;
  uint64_t store_bytes = 0;
};

// Budgets of DESIGN.md section 10, in ns a task; they hold for up to 10,000 workers.
std::optional<uint64_t> BudgetNs(const Setting& s) {
  if (s.pattern == Pattern::kIndependent) return s.tasks > 1'000'000 ? 1500 : 1000;
  if (s.pattern == Pattern::kStencil && s.tasks <= 1'000'000) return 3000;
  return std::nullopt;
}

std::string Or(std::optional<uint64_t> value) { return value ? std::to_string(*value) : "null"; }

uint64_t Median(std::vector<uint64_t> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

void PrintRun(const Setting& s, uint32_t repeat, bool last) {
  std::vector<uint64_t> total, submit, run;
  RunFigures figures;
  for (uint32_t i = 0; i < repeat; ++i) {
    figures =
        Run(s.pattern, s.tasks,
            {.workers = s.workers, .output_bytes = s.output_bytes, .store_bytes = s.store_bytes});
    total.push_back((figures.submit_ns + figures.run_ns) / s.tasks);
    submit.push_back(figures.submit_ns / s.tasks);
    run.push_back(figures.run_ns / s.tasks);
  }
  std::printf(
      "    {\"pattern\": \"%s\", \"tasks\": %u, \"workers\": %u, \"output_bytes\": %llu, "
      "\"store_bytes\": %llu, "
      "\"ns_per_task\": %llu, \"budget_ns\": %s, \"submit_ns\": %llu, \"run_ns\": %llu, "
      "\"inputs\": %llu, \"steps\": %llu, \"heap_bytes_per_task\": %llu, \"peak_rss_mb\": "
      "%llu}%s\n",
      std::string(Name(s.pattern)).c_str(), s.tasks, s.workers,
      static_cast<unsigned long long>(s.output_bytes),
      static_cast<unsigned long long>(s.store_bytes),
      static_cast<unsigned long long>(Median(total)), Or(BudgetNs(s)).c_str(),
      static_cast<unsigned long long>(Median(submit)), static_cast<unsigned long long>(Median(run)),
      static_cast<unsigned long long>(figures.inputs),
      static_cast<unsigned long long>(figures.steps),
      static_cast<unsigned long long>(figures.submitted_heap_bytes / s.tasks),
      static_cast<unsigned long long>(figures.peak_rss_bytes >> 20), last ? "" : ",");
  std::fflush(stdout);
}

void PrintRuns(const std::vector<Setting>& settings, uint32_t repeat) {
  std::printf("  \"runs\": [\n");
  for (const Setting& s : settings) PrintRun(s, repeat, &s == &settings.back());
  std::printf("  ]\n");
}

void PrintSizes(uint32_t tasks) {
  std::printf("  \"bytes\": {\n");
  std::vector<SizeFigure> sizes = MeasureSizes(tasks);
  for (const SizeFigure& s : sizes) {
    std::printf("    \"%s\": {\"measured\": %.1f, \"budget\": %s}%s\n", s.what.c_str(),
                static_cast<double>(s.milli_bytes) / 1000, Or(s.budget_bytes).c_str(),
                &s == &sizes.back() ? "" : ",");
  }
  std::printf("  },\n");
}

void PrintLosses(const std::vector<uint32_t>& workers, uint32_t objects) {
  std::printf("  \"worker_lost\": [\n");
  for (uint32_t w : workers) {
    LossFigures loss = LoseWorker(w, objects);
    uint64_t held = std::max<uint64_t>(loss.objects, 1);
    std::printf(
        "    {\"workers\": %u, \"objects\": %llu, \"attempts\": %llu, \"closed_ns_per_object\": "
        "%llu, \"rerun_ns_per_object_and_attempt\": %llu, \"forget_and_rebuild_ns_per_object\": "
        "%llu}%s\n",
        w, static_cast<unsigned long long>(loss.objects),
        static_cast<unsigned long long>(loss.attempts),
        static_cast<unsigned long long>(loss.closed_ns / held),
        static_cast<unsigned long long>(loss.rerun_ns / (held + loss.attempts)),
        static_cast<unsigned long long>(loss.forget_ns / held), w == workers.back() ? "" : ",");
  }
  std::printf("  ],\n");
}

void PrintRetracts(uint32_t loaded, uint32_t joining) {
  RetractFigures figures = Retract(loaded, joining);
  uint64_t per_second =
      figures.core_ns == 0 ? 0 : figures.retracts * 1'000'000'000 / figures.core_ns;
  std::printf("  \"retract\": {\"retracts\": %llu, \"per_second\": %llu},\n",
              static_cast<unsigned long long>(figures.retracts),
              static_cast<unsigned long long>(per_second));
}

std::vector<Setting> Settings(const std::vector<uint32_t>& sizes,
                              const std::vector<uint32_t>& workers) {
  std::vector<Setting> out;
  for (Pattern pattern : kPatterns) {
    for (uint32_t tasks : sizes) {
      for (uint32_t w : workers) {
        // Small outputs are placed by queues alone, large ones by their holders.
        out.push_back({pattern, tasks, w, 1 << 10});
        if (pattern == Pattern::kStencil) out.push_back({pattern, tasks, w, 1 << 20});
      }
    }
  }
  return out;
}

void PrintAll(bool tiny, bool large, uint32_t repeat) {
  PrintSizes(tiny ? 8192 : 1'000'000);
  PrintLosses(tiny ? std::vector<uint32_t>{4} : std::vector<uint32_t>{10, 100, 1000},
              tiny ? 100 : 1000);
  PrintRetracts(tiny ? 2 : 10, tiny ? 4 : 100);
  if (tiny) return PrintRuns(Settings({1000}, {1, 10}), 1);
  std::vector<Setting> settings =
      Settings({10'000, 100'000, 1'000'000}, {1, 10, 100, 1000, 10'000});
  if (large) {
    for (Pattern pattern : kPatterns) {
      for (uint32_t workers : {100u, 10'000u})
        settings.push_back({pattern, 10'000'000, workers, 1 << 10});
    }
  }
  PrintRuns(settings, repeat);
}

int Main(int argc, char** argv) {
  CLI::App app("What the bare scheduler core costs, as JSON");
  bool tiny = false, large = false;
  std::string run;
  Setting one{Pattern::kIndependent, 1'000'000, 100, 1 << 10};
  uint32_t repeat = 3;
  app.add_flag("--tiny", tiny, "smallest sizes: does it work?");
  app.add_flag("--large", large, "10 M tasks too");
  app.add_option("--run", run, "only this pattern: independent, tree, stencil, all_to_all");
  app.add_option("--tasks", one.tasks, "of --run");
  app.add_option("--workers", one.workers, "of --run");
  app.add_option("--bytes", one.output_bytes, "of each output of --run");
  app.add_option("--store", one.store_bytes, "of each worker of --run; 0: no limit");
  app.add_option("--repeat", repeat, "runs, of which the median counts")->check(CLI::Range(1, 99));
  CLI11_PARSE(app, argc, argv);
  std::optional<Pattern> pattern = FindPattern(run);
  if (!run.empty() && !pattern) {
    std::fprintf(stderr, "there is no pattern \"%s\"; see --help\n", run.c_str());
    return 2;
  }
  std::printf("{\n");
  if (pattern) {
    one.pattern = *pattern;
    PrintRuns({one}, repeat);
  } else {
    PrintAll(tiny, large, repeat);
  }
  std::printf("}\n");
  return 0;
}

}  // namespace
}  // namespace taskd::bench

int main(int argc, char** argv) { return taskd::bench::Main(argc, argv); }
