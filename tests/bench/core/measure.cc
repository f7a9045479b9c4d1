#include "tests/bench/core/measure.h"

#ifdef TASKD_MIMALLOC
#include <mimalloc.h>
#endif
#include <sys/resource.h>

#include <utility>

#include "common/base/check.h"
#include "common/base/limits.h"

namespace taskd::bench {

namespace {

// Bytes of the blocks that this thread's heap has handed out, the allocator's overhead included. 0: not known.
int64_t HeapBytes() {
  int64_t bytes = 0;
#ifdef TASKD_MIMALLOC
  auto add = [](const mi_heap_t*, const mi_heap_area_t* area, void*, size_t, void* to) {
    *static_cast<int64_t*>(to) += static_cast<int64_t>(area->used * area->full_block_size);
    return true;
  };
  mi_heap_visit_blocks(mi_heap_get_default(), false, add, &bytes);
#endif
  return bytes;
}

uint64_t PeakRssBytes() {
  rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

JobId Submit(Cluster& cluster, GraphSource graph, bool seal) {
  JobId job = cluster.OpenJob();
  uint32_t number = 0;
  while (!graph.done()) cluster.AddBatch(job, number++, graph.Next());
  if (seal) cluster.Seal(job, number);
  return job;
}

}  // namespace

RunFigures Run(Pattern pattern, uint32_t tasks, const ClusterOptions& options) {
  Cluster cluster(options);
  RunFigures out;
  uint64_t start = cluster.core_ns();
  uint64_t start_steps = cluster.steps();
  int64_t heap = HeapBytes();
  JobId job = Submit(cluster, GraphSource(pattern, tasks), true);
  out.submit_ns = cluster.core_ns() - start;
  out.submitted_heap_bytes = static_cast<uint64_t>(HeapBytes() - heap);
  cluster.RunUntilIdle();
  out.run_ns = cluster.core_ns() - start - out.submit_ns;
  out.inputs = cluster.input_objects();
  out.steps = cluster.steps() - start_steps;
  out.peak_rss_bytes = PeakRssBytes();
  TASKD_CHECK(cluster.core().GetJob(job)->state == JobState::kDone);
  TASKD_CHECK(cluster.assigned() >= tasks && cluster.freed() >= tasks);
  return out;
}

LossFigures LoseWorker(uint32_t workers, uint32_t objects_per_worker) {
  Cluster cluster({.workers = workers});
  // The job stays open: every object is wanted. The second job keeps every slot and look-ahead busy.
  Submit(cluster, GraphSource(Pattern::kIndependent, workers * objects_per_worker), false);
  cluster.RunUntilIdle();
  cluster.Hold(true);
  Submit(cluster, GraphSource(Pattern::kIndependent, workers * 100), false);
  cluster.RunUntilIdle();
  scheduler::WorkerView view = cluster.core().ListWorkers().front();
  LossFigures out{.objects = view.objects, .attempts = view.assigned};
  auto timed = [&cluster](uint64_t ns) {
    uint64_t before = cluster.core_ns();
    cluster.RunFor(ns);
    return cluster.core_ns() - before;
  };
  uint64_t idle_ns = timed(100'000'000);  // heartbeats alone
  auto stage = [&](uint64_t ns) {
    uint64_t took = timed(ns), heartbeats = idle_ns * (ns / 100'000'000);
    return took > heartbeats ? took - heartbeats : 0;
  };
  cluster.Close(0);
  out.closed_ns = stage(400'000'000);
  out.rerun_ns = stage(200'000'000);
  cluster.RunFor(limits::kForgetAfterNs - 700'000'000);
  out.forget_ns = stage(200'000'000);
  TASKD_CHECK(cluster.core().counters().workers_lost[0] == 1);
  return out;
}

RetractFigures Retract(uint32_t loaded, uint32_t joining) {
  Cluster cluster({.workers = loaded, .cpus = 1});
  cluster.Hold(true);
  JobId job = cluster.OpenJob();
  // Expected so short that a worker takes the largest look-ahead.
  scheduler::Batch batch = GraphSource(Pattern::kIndependent, loaded * 4000).Next();
  batch.options[0].expect_ns = limits::kLookaheadNs / 4000;
  cluster.AddBatch(job, 0, std::move(batch));
  cluster.Seal(job, 1);
  cluster.RunUntilIdle();
  uint64_t before = cluster.core_ns();
  cluster.Join(joining, 1);
  cluster.RunUntilIdle();
  return {cluster.core().counters().retracts_sent, cluster.core_ns() - before};
}

ListFigures ListReady(uint32_t workers, uint64_t store_bytes) {
  constexpr uint32_t kPage = limits::kQueryRecords;
  Cluster cluster({.workers = workers, .cpus = 1, .store_bytes = store_bytes});
  cluster.Hold(true);
  JobId job = Submit(cluster, GraphSource(Pattern::kIndependent, workers * 10 + kPage), true);
  cluster.RunUntilIdle();
  Ordinal next = 0;
  const uint64_t start = Cluster::CpuNs();
  auto tasks = cluster.core().ListTasks(job, 1u << static_cast<uint32_t>(TaskState::kReady),
                                        workers * 10, kPage, &next);
  return {tasks.size(), Cluster::CpuNs() - start};
}

namespace {

// Bytes for tasks that wait for inputs which nobody makes (there is no worker).
int64_t WaitingBytes(uint32_t tasks, uint32_t inputs, uint16_t outputs) {
  constexpr uint32_t kRoots = 1024;
  Cluster cluster({.workers = 0});
  JobId job = cluster.OpenJob();
  cluster.AddBatch(job, 0, GraphSource(Pattern::kIndependent, kRoots).Next());
  cluster.Shrink();
  int64_t before = HeapBytes();
  uint32_t number = 1;
  for (uint32_t made = 0; made < tasks;) {
    scheduler::Batch batch;
    for (; made < tasks && batch.tasks.size() < limits::kTasksPerBatch; ++made) {
      batch.tasks.push_back({.rank = made, .output_count = outputs, .edge_count = inputs});
      for (uint32_t i = 0; i < inputs; ++i)
        batch.edges.push_back({.source = (made + i) % kRoots, .slot = i});
    }
    cluster.AddBatch(job, number++, std::move(batch));
  }
  cluster.Shrink();
  return HeapBytes() - before;
}

struct ReplicaBytes {
  int64_t ready = 0;   // `tasks` ready tasks with one output
  int64_t done = 0;    // likewise done, with one replica of each output
  int64_t second = 0;  // likewise, and a second replica
};

ReplicaBytes MeasureReplicas(uint32_t tasks) {
  ReplicaBytes out;
  Cluster cluster({.workers = 0});
  int64_t before = HeapBytes();
  JobId job = Submit(cluster, GraphSource(Pattern::kIndependent, tasks), false);
  cluster.Shrink();
  out.ready = HeapBytes() - before;
  cluster.Join(2, 4);
  cluster.RunUntilIdle();
  cluster.Shrink();
  out.done = HeapBytes() - before;
  for (Ordinal o = 0; o < tasks; ++o) {
    auto view = cluster.core().GetObject({job, o});
    uint32_t other = view->holders.front().slot == 0 ? 1 : 0;
    cluster.AddReplica(other, {{{job, o}, view->version}, view->size_bytes, view->crc32c});
  }
  cluster.RunUntilIdle();
  cluster.Shrink();
  out.second = HeapBytes() - before;
  return out;
}

}  // namespace

std::vector<SizeFigure> MeasureSizes(uint32_t tasks) {
  auto milli = [tasks](int64_t bytes) { return bytes * 1000 / tasks; };
  int64_t plain = WaitingBytes(tasks, 1, 0);
  int64_t edge = (WaitingBytes(tasks, 4, 0) - plain) / 3;
  int64_t task = plain - edge;
  int64_t object = (WaitingBytes(tasks, 1, 3) - plain) / 3;
  ReplicaBytes replicas = MeasureReplicas(tasks);
  return {
      {"task_waiting", milli(task), 96},
      {"task_ready", milli(replicas.ready - object), std::nullopt},
      {"edge", milli(edge), 12},
      {"object_not_made", milli(object), std::nullopt},
      {"object_with_first_replica", milli(replicas.done - replicas.ready + object), 64},
      {"further_replica", milli(replicas.second - replicas.done), 20},
  };
}

}  // namespace taskd::bench
