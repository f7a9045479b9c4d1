// The scheduler's metrics, `taskd_scheduler_*`: read from the core when a scrape comes.
#ifndef TASKD_SCHEDULER_SHELL_EXPORTER_H_
#define TASKD_SCHEDULER_SHELL_EXPORTER_H_

#include <cstdint>
#include <vector>

#include "common/io/metrics.h"
#include "scheduler/core/views.h"
#include "scheduler/shell/core_loop.h"
#include "scheduler/shell/value_cache.h"

namespace taskd::scheduler {

// Figures of the shell itself.
struct ShellFigures {
  CoreLoop::Stats loop;
  uint64_t clients = 0;
  uint64_t job_records = 0;
  uint64_t malformed_messages = 0;
  uint64_t outbox_overflows = 0;
  ValueCache::Totals values;
};

void ExportMetrics(const Counters& counters, const std::vector<WorkerView>& workers,
                   const ShellFigures& shell, io::MetricsPage& page);

// The busiest worker's assigned attempts per cpu over the mean of all that are up: 1 is even, and
// so is nothing to do.
double Imbalance(const std::vector<WorkerView>& workers);

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_EXPORTER_H_
