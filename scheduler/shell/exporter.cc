#include "scheduler/shell/exporter.h"

#include <algorithm>
#include <array>
#include <string>

#include "common/base/limits.h"
#include "common/base/names.h"
#include "common/base/text.h"
#include "scheduler/shell/cluster.h"

namespace taskd::scheduler {
namespace {

constexpr std::string_view kAssignReasons[] = {"home", "idle", "moved", "second", "alone"};
constexpr std::string_view kLossCauses[] = {"closed", "silent", "goodbye", "restarted"};

// One series for each value of an enum, from `first` on; the label's text is the value's name.
template <class Enum, size_t kSize>
void ByName(io::MetricsPage& page, bool counter, std::string_view name, std::string_view help,
            std::string_view label, const std::array<uint64_t, kSize>& values, size_t first) {
  for (size_t i = first; i < kSize; ++i) {
    io::Labels labels = {{std::string(label), std::string(Name(static_cast<Enum>(i)))}};
    if (counter) {
      page.Counter(name, help, static_cast<double>(values[i]), std::move(labels));
    } else {
      page.Gauge(name, help, static_cast<double>(values[i]), std::move(labels));
    }
  }
}

template <size_t kSize>
void ByText(io::MetricsPage& page, std::string_view name, std::string_view help,
            std::string_view label, const std::array<uint64_t, kSize>& values,
            const std::string_view (&texts)[kSize]) {
  for (size_t i = 0; i < kSize; ++i) {
    page.Counter(name, help, static_cast<double>(values[i]),
                 {{std::string(label), std::string(texts[i])}});
  }
}

// Bucket i of the core's histogram counts values below 2^i microseconds.
void Latency(io::MetricsPage& page, std::string_view name, std::string_view help,
             const LatencyHistogram& histogram) {
  std::vector<double> bounds;
  for (size_t i = 0; i + 1 < histogram.buckets.size(); ++i)
    bounds.push_back(1e-6 * static_cast<double>(uint64_t{1} << i));
  page.Histogram(name, help, bounds, histogram.buckets,
                 1e-9 * static_cast<double>(histogram.sum_ns));
}

void Core(const Counters& c, io::MetricsPage& page) {
  auto counter = [&](std::string_view name, std::string_view help, uint64_t value) {
    page.Counter(StrCat("taskd_scheduler_", name), help, static_cast<double>(value));
  };
  ByName<TaskState>(page, false, "taskd_scheduler_tasks", "Tasks of all jobs by state.", "state",
                    c.tasks, 1);
  page.Gauge("taskd_scheduler_attempts_running", "Attempts that have started and not ended.",
             static_cast<double>(c.running));
  ByName<AttemptEnd>(page, true, "taskd_scheduler_attempts_ended_total",
                     "Attempts that ended, by how.", "end", c.attempts_ended, 1);
  ByName<FailureClass>(page, true, "taskd_scheduler_attempts_failed_total",
                       "Attempts that failed, by class.", "class", c.attempts_failed, 1);
  ByText(page, "taskd_scheduler_assignments_total",
         "Attempts given to workers: at home with their inputs, to an idle worker, or moved there "
         "from another's queue.",
         "reason", c.assigned, kAssignReasons);
  ByName<WorkerState>(page, false, "taskd_scheduler_workers", "Workers by state.", "state",
                      c.workers, 1);
  ByText(page, "taskd_scheduler_workers_lost_total", "Workers lost, by cause.", "cause",
         c.workers_lost, kLossCauses);
  counter("retracts_total", "Assignments asked back before they started.", c.retracts_sent);
  counter("held_for_memory_total",
          "Times that a worker with room for a task left it in its queue for its store's sake.",
          c.held_for_memory);
  counter("input_moved_bytes_total", "Input bytes that had to move to where the task was placed.",
          c.bytes_moved);
  counter("input_saved_bytes_total", "Input bytes that were there already, by locality.",
          c.bytes_saved);
  counter("objects_lost_total", "Wanted objects whose last replica was lost.", c.objects_lost);
  counter("quarantines_total",
          "Times that a worker was set aside because tasks that failed there ran well elsewhere.",
          c.quarantines);
  page.Gauge("taskd_scheduler_workers_quarantined", "Workers that are set aside now.",
             static_cast<double>(c.quarantined));
  counter(
      "gathers_total",
      "Copies ordered for their own sake: of what a drained worker holds, a task asks for, or one "
      "is going to read.",
      c.gathers);
  counter("early_gathers_total", "Of these, inputs of tasks that wait for others.",
          c.early_gathers);
  counter("gathers_failed_total", "Of these, orders that no holder could serve.", c.gathers_failed);
  counter("gathered_bytes_total", "Bytes that these orders ask for.", c.gathered_bytes);
  counter("tasks_recomputed_total", "Finished tasks run again to rebuild lost objects.",
          c.tasks_recomputed);
  counter("tasks_retried_total", "Tasks tried again after a failure of their own.",
          c.tasks_retried);
  counter("stale_messages_total", "Reports about attempts that were not ours any more.",
          c.stale_messages);
  page.Gauge("taskd_scheduler_jobs_open", "Jobs that have not ended.",
             static_cast<double>(c.jobs_open));
  page.Gauge("taskd_scheduler_jobs_ended", "Jobs that have ended.",
             static_cast<double>(c.jobs_ended));
  page.Gauge("taskd_scheduler_client_wants", "Objects that clients want, counted for each client.",
             static_cast<double>(c.client_wants));
  counter("jobs_forgotten_total", "Ended jobs whose records and results were dropped.",
          c.jobs_forgotten);
  Latency(page, "taskd_scheduler_recovery_duration_seconds",
          "From the loss of a worker to the end of the last task that it put back.", c.recovery);
  Latency(page, "taskd_scheduler_scheduling_latency_seconds", "From ready to assigned.",
          c.ready_to_assigned);
}

void Shell(const ShellFigures& shell, io::MetricsPage& page) {
  page.Counter("taskd_scheduler_steps_total", "Steps of the core.",
               static_cast<double>(shell.loop.steps));
  page.Counter("taskd_scheduler_events_total", "Events, requests and questions that the core took.",
               static_cast<double>(shell.loop.events));
  page.Counter("taskd_scheduler_core_busy_seconds_total", "Time that the core thread has worked.",
               1e-9 * static_cast<double>(shell.loop.busy_ns));
  page.Gauge("taskd_scheduler_event_queue_items", "Work that waits for the core.",
             static_cast<double>(shell.loop.queue_items));
  page.Gauge("taskd_scheduler_event_queue_limit_items", "Above this, sessions stop reading.",
             limits::kEventQueueItems);
  page.Gauge("taskd_scheduler_clients", "Client sessions.", static_cast<double>(shell.clients));
  page.Gauge("taskd_scheduler_job_records",
             "Jobs whose names, bodies and arguments are kept: those that were not forgotten.",
             static_cast<double>(shell.job_records));
  page.Counter("taskd_scheduler_malformed_messages_total",
               "Messages of workers that could not be decoded.",
               static_cast<double>(shell.malformed_messages));
  page.Counter("taskd_scheduler_outbox_overflows_total",
               "Worker streams broken because the worker took too little.",
               static_cast<double>(shell.outbox_overflows));
  page.Gauge("taskd_scheduler_value_bytes",
             "Memory of small results that are kept to be sent with assignments.",
             static_cast<double>(shell.values.bytes));
  page.Counter("taskd_scheduler_values_sent_total",
               "Small inputs that were sent with assignments and gathers.",
               static_cast<double>(shell.values.sent));
  page.Gauge("taskd_scheduler_build_info", "Always 1; the labels tell the build.", 1,
             {{"version", kVersion}, {"protocol", std::to_string(limits::kProtocolVersion)}});
}

}  // namespace

double Imbalance(const std::vector<WorkerView>& workers) {
  double most = 0, sum = 0;
  uint32_t up = 0;
  for (const WorkerView& worker : workers) {
    if (worker.state != WorkerState::kUp || worker.capacity.cpus_milli == 0) continue;
    double load = 1000.0 * worker.assigned / worker.capacity.cpus_milli;
    most = std::max(most, load);
    sum += load;
    ++up;
  }
  return sum == 0 ? 1 : most * up / sum;
}

void ExportMetrics(const Counters& counters, const std::vector<WorkerView>& workers,
                   const ShellFigures& shell, io::MetricsPage& page) {
  Core(counters, page);
  page.Gauge("taskd_scheduler_worker_imbalance_ratio",
             "The busiest worker's attempts per cpu over the mean of those that are up; 1 is even.",
             Imbalance(workers));
  Shell(shell, page);
}

}  // namespace taskd::scheduler
