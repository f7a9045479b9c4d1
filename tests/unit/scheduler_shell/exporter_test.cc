#include "scheduler/shell/exporter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace taskd::scheduler {
namespace {

WorkerView Worker(uint32_t cpus, uint32_t assigned, WorkerState state = WorkerState::kUp) {
  WorkerView view;
  view.state = state;
  view.capacity.cpus_milli = cpus * 1000;
  view.assigned = assigned;
  return view;
}

TEST(Imbalance, IsOneWhenEvenOrIdle) {
  EXPECT_EQ(Imbalance({}), 1);
  EXPECT_EQ(Imbalance({Worker(2, 0), Worker(4, 0)}), 1);
  EXPECT_EQ(Imbalance({Worker(2, 4), Worker(4, 8)}), 1);
}

TEST(Imbalance, IsTheMaximumOverTheMean) {
  EXPECT_EQ(Imbalance({Worker(1, 4), Worker(1, 0)}), 2);
  EXPECT_EQ(Imbalance({Worker(1, 4), Worker(1, 4), Worker(1, 0, WorkerState::kLost)}), 1);
}

TEST(ExportMetrics, EveryFigureThatMattersFirstIsThere) {
  Counters counters;
  counters.tasks[static_cast<size_t>(TaskState::kDone)] = 7;
  counters.ready_to_assigned.Add(3'000);
  io::MetricsPage page;
  ExportMetrics(counters, {Worker(1, 1)}, {}, page);
  std::string text = page.Text();
  for (const char* line : {"taskd_scheduler_tasks{state=\"done\"} 7\n",
                           "taskd_scheduler_attempts_ended_total{end=\"finished\"} 0\n",
                           "taskd_scheduler_attempts_failed_total{class=\"exit\"}",
                           "taskd_scheduler_workers{state=\"up\"}",
                           "taskd_scheduler_assignments_total{reason=\"home\"}",
                           "taskd_scheduler_assignments_total{reason=\"moved\"}",
                           "taskd_scheduler_worker_imbalance_ratio 1\n",
                           "taskd_scheduler_retracts_total",
                           "taskd_scheduler_input_moved_bytes_total",
                           "taskd_scheduler_input_saved_bytes_total",
                           "taskd_scheduler_workers_lost_total{cause=\"silent\"}",
                           "taskd_scheduler_objects_lost_total",
                           "taskd_scheduler_tasks_recomputed_total",
                           "taskd_scheduler_recovery_duration_seconds_count 0\n",
                           "taskd_scheduler_scheduling_latency_seconds_bucket{le=\"4e-06\"} 1\n",
                           "taskd_scheduler_scheduling_latency_seconds_bucket{le=\"2e-06\"} 0\n",
                           "taskd_scheduler_stale_messages_total",
                           "taskd_scheduler_jobs_open",
                           "taskd_scheduler_jobs_forgotten_total",
                           "taskd_scheduler_job_records",
                           "taskd_scheduler_client_wants",
                           "taskd_scheduler_steps_total",
                           "taskd_scheduler_event_queue_items",
                           "taskd_scheduler_build_info{version="}) {
    EXPECT_THAT(text, testing::HasSubstr(line));
  }
}

}  // namespace
}  // namespace taskd::scheduler
