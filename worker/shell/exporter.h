// The worker's figures as metrics. The core's are copied after its steps, the rest is read where it
// lives.
#ifndef TASKD_WORKER_SHELL_EXPORTER_H_
#define TASKD_WORKER_SHELL_EXPORTER_H_

#include <cstdint>
#include <mutex>

#include "common/io/metrics.h"
#include "worker/core/worker_core.h"
#include "worker/data/data_server.h"
#include "worker/data/fetcher.h"
#include "worker/exec/log_store.h"
#include "worker/store/store.h"

namespace taskd::worker {

struct WorkerFigures {
  Counters core;
  Resources capacity;
  bool session_up = false;
  bool memory_by_cgroups = false;
  uint32_t waiting_functions = 0;
  uint64_t steps = 0, events = 0;
  uint64_t step_ns = 0;  // time spent in steps and their actions
  uint64_t inbox_items = 0;
};

class Published {
 public:
  void Set(const WorkerFigures& figures) {
    std::lock_guard lock(mutex_);
    figures_ = figures;
  }
  WorkerFigures Get() const {
    std::lock_guard lock(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  WorkerFigures figures_;
};

struct TransferFigures {
  Fetcher::Totals fetched;
  DataServer::Totals served;
};

void FillPage(const WorkerFigures& figures, const StoreTotals& store, const LogTotals& logs,
              const TransferFigures& transfer, io::MetricsPage& page);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_EXPORTER_H_
