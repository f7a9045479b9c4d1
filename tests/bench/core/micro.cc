// The core's costs under Google Benchmark: for work on one of them, with repetitions and filters.
#include <benchmark/benchmark.h>

#include "common/base/prng.h"
#include "common/base/timer_wheel.h"
#include "tests/bench/core/measure.h"

namespace taskd::bench {
namespace {

void Report(benchmark::State& state, uint64_t core_ns, uint64_t items) {
  state.SetIterationTime(static_cast<double>(core_ns) / 1e9);
  state.SetItemsProcessed(state.items_processed() + static_cast<int64_t>(items));
}

// Arguments: tasks, workers, bytes of an output. Time is the core's, from submit to freed.
template <Pattern pattern>
void BM_Run(benchmark::State& state) {
  auto tasks = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) {
    RunFigures run = Run(pattern, tasks,
                         {.workers = static_cast<uint32_t>(state.range(1)),
                          .output_bytes = static_cast<uint64_t>(state.range(2))});
    Report(state, run.submit_ns + run.run_ns, tasks);
  }
}

// Arguments: tasks. Only the batches: taken, linked, counted.
void BM_Submit(benchmark::State& state) {
  auto tasks = static_cast<uint32_t>(state.range(0));
  for (auto _ : state) Report(state, Run(Pattern::kStencil, tasks, {}).submit_ns, tasks);
}

// Arguments: workers, objects of each. Items are objects and attempts of the lost worker.
void BM_LoseWorker(benchmark::State& state) {
  for (auto _ : state) {
    LossFigures loss =
        LoseWorker(static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1)));
    Report(state, loss.closed_ns + loss.rerun_ns + loss.forget_ns, loss.objects + loss.attempts);
  }
}

// Arguments: loaded workers, idle workers that join. Items are retracts.
void BM_Retract(benchmark::State& state) {
  for (auto _ : state) {
    RetractFigures figures =
        Retract(static_cast<uint32_t>(state.range(0)), static_cast<uint32_t>(state.range(1)));
    Report(state, figures.core_ns, figures.retracts);
  }
}

// Arguments: workers. Items are tasks listed.
void BM_ListReady(benchmark::State& state) {
  for (auto _ : state) {
    ListFigures figures = ListReady(static_cast<uint32_t>(state.range(0)), 1 << 30);
    Report(state, figures.core_ns, figures.tasks);
  }
}

// Arguments: timers, due over a minute at random: all are set, and taken as time passes, a millisecond each.
void BM_Timers(benchmark::State& state) {
  struct Timer {
    uint64_t at_ns = 0, a = 0, b = 0;
    auto operator<=>(const Timer&) const = default;
  };
  using Wheel = TimerWheel<Timer>;
  constexpr uint64_t kSpanNs = 60'000'000'000, kStepNs = 1'000'000;
  const auto timers = static_cast<uint64_t>(state.range(0));
  for (auto _ : state) {
    Prng prng(1);
    Wheel wheel;
    for (uint64_t i = 0; i < timers; ++i) wheel.Insert({prng.Below(kSpanNs), i, 0});
    uint64_t taken = 0;
    for (uint64_t now_ns = 0; now_ns <= kSpanNs; now_ns += kStepNs) {
      for (Wheel::Next next; (next = wheel.Advance(now_ns)) != Wheel::Next::kNothing;) {
        if (next == Wheel::Next::kDue) taken += wheel.Take().a;
      }
    }
    benchmark::DoNotOptimize(taken);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(timers));
}

#define TASKD_BENCH_RUN(pattern)                                                          \
  BENCHMARK_TEMPLATE(BM_Run, pattern)                                                     \
      ->ArgNames({"tasks", "workers", "bytes"})                                           \
      ->ArgsProduct({{10'000, 100'000, 1'000'000}, {1, 100, 10'000}, {1 << 10, 1 << 20}}) \
      ->UseManualTime()                                                                   \
      ->Unit(benchmark::kMillisecond)
TASKD_BENCH_RUN(Pattern::kIndependent);
TASKD_BENCH_RUN(Pattern::kTree);
TASKD_BENCH_RUN(Pattern::kStencil);
TASKD_BENCH_RUN(Pattern::kAllToAll);
BENCHMARK(BM_Submit)->Arg(1'000'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_LoseWorker)
    ->ArgsProduct({{10, 1000}, {1000}})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_ListReady)->Arg(100)->Arg(10'000)->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Retract)->Args({10, 100})->UseManualTime()->Unit(benchmark::kMillisecond);
BENCHMARK(BM_Timers)->Arg(1'000)->Arg(1'000'000)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace taskd::bench

BENCHMARK_MAIN();
