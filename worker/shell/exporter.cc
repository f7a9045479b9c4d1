#include "worker/shell/exporter.h"

#include <string>

#include "common/base/names.h"

namespace taskd::worker {
namespace {

constexpr const char* kFetchStatusNames[] = {"ok", "missing", "busy", "io_error", "unreachable"};

double Seconds(uint64_t ns) { return static_cast<double>(ns) * 1e-9; }
double Number(uint64_t n) { return static_cast<double>(n); }

void FillAttempts(const Counters& core, io::MetricsPage& page) {
  for (uint8_t end = static_cast<uint8_t>(AttemptEnd::kFinished);
       end <= static_cast<uint8_t>(AttemptEnd::kLost); ++end) {
    page.Counter("taskd_worker_attempts_ended_total", "Attempts by how they ended.",
                 Number(core.attempts_ended[end]),
                 {{"end", std::string(Name(static_cast<AttemptEnd>(end)))}});
  }
  const auto state = [&](const char* name, uint32_t value) {
    page.Gauge("taskd_worker_attempts", "Attempts here by state.", value, {{"state", name}});
  };
  state("fetching", core.fetching);
  state("queued", core.queued);
  state("running", core.running);
  page.Gauge("taskd_worker_outcomes_unacked", "Outcomes that the scheduler has not acknowledged.",
             Number(core.outcomes_unacked));
}

void FillStore(const Counters& core, const StoreTotals& store, io::MetricsPage& page) {
  page.Gauge("taskd_worker_store_objects", "Objects and selections of parts in the store.",
             Number(store.objects));
  const auto bytes = [&](const char* where, uint64_t value) {
    page.Gauge("taskd_worker_store_bytes", "Bytes in the store.", Number(value),
               {{"where", where}});
  };
  bytes("heap", store.heap_bytes);
  bytes("shared_memory", store.shared_bytes);
  bytes("disk", store.disk_bytes);
  page.Gauge("taskd_worker_store_spare_bytes",
             "Memory of objects that are gone, kept for the next ones.", Number(store.spare_bytes));
  page.Counter("taskd_worker_spilled_objects_total", "Objects that went from memory to disk.",
               Number(core.spilled));
  page.Counter("taskd_worker_spilled_bytes_total", "Bytes of these.", Number(core.spilled_bytes));
  page.Counter("taskd_worker_spill_failures_total",
               "Objects that could not go to disk: it is full, or cannot be written.",
               Number(core.spills_failed));
  page.Gauge("taskd_worker_replicas", "Replicas that the scheduler may name to others.",
             Number(core.replicas));
  page.Counter("taskd_worker_objects_lost_total", "Objects whose file vanished or was damaged.",
               Number(store.lost));
}

void FillLogs(const LogTotals& logs, io::MetricsPage& page) {
  const auto bytes = [&](const char* where, uint64_t value) {
    page.Gauge("taskd_worker_log_bytes", "Bytes that ended tasks wrote to stdout and stderr.",
               Number(value), {{"where", where}});
  };
  bytes("memory", logs.memory_bytes);
  bytes("disk", logs.disk_bytes);
  page.Counter("taskd_worker_logs_dropped_total", "Logs that are gone to make room for newer ones.",
               Number(logs.dropped));
}

void FillTransfer(const Counters& core, const TransferFigures& transfer, io::MetricsPage& page) {
  page.Counter("taskd_worker_fetched_bytes_total", "Bytes received from other workers.",
               Number(transfer.fetched.fetched_bytes));
  page.Counter("taskd_worker_linked_bytes_total",
               "Bytes of files of workers on this host, linked instead of received.",
               Number(transfer.fetched.linked_bytes));
  page.Counter("taskd_worker_resumed_bytes_total",
               "Bytes that broken streams had brought and that were not sent again.",
               Number(transfer.fetched.resumed_bytes));
  page.Gauge("taskd_worker_partial_bytes",
             "Bytes that broken streams have brought, kept for another holder to go on.",
             Number(transfer.fetched.partial_bytes));
  page.Counter("taskd_worker_served_bytes_total", "Bytes sent to other workers and clients.",
               Number(transfer.served.served_bytes));
  page.Counter("taskd_worker_named_bytes_total",
               "Bytes of files that workers on this host were told of instead of sent.",
               Number(transfer.served.named_bytes));
  page.Counter("taskd_worker_compressed_bytes_total",
               "Bytes sent that went compressed, because their link was slow and they shrink.",
               Number(transfer.served.packed_bytes));
  page.Counter("taskd_worker_compression_saved_bytes_total",
               "Bytes that did not have to be sent, because others went compressed.",
               Number(transfer.served.saved_bytes));
  page.Counter("taskd_worker_sent_elsewhere_total",
               "Large objects of which workers were told who else is sent them.",
               Number(transfer.served.sent_elsewhere));
  page.Counter("taskd_worker_relayed_objects_total",
               "Objects that came from a worker that the one asked had named.",
               Number(transfer.fetched.relayed_items));
  page.Counter("taskd_worker_values_total",
               "Small inputs that came with a message, and were not asked for.",
               Number(core.values_taken));
  page.Counter("taskd_worker_values_failed_total",
               "Of those that came so, damaged ones and those that the store had no room for.",
               Number(core.values_failed));
  for (uint32_t status = 0; status < 5; ++status) {
    page.Counter("taskd_worker_fetch_items_total",
                 "Objects asked of other workers by how that ended.",
                 Number(core.fetch_items[status]), {{"status", kFetchStatusNames[status]}});
  }
}

}  // namespace

void FillPage(const WorkerFigures& figures, const StoreTotals& store, const LogTotals& logs,
              const TransferFigures& transfer, io::MetricsPage& page) {
  page.Gauge("taskd_worker_session_up", "1: connected to the scheduler.",
             figures.session_up ? 1 : 0);
  page.Gauge("taskd_worker_cpus", "Cpus for tasks.", figures.capacity.cpus_milli / 1000.0);
  page.Gauge("taskd_worker_memory_bytes", "Memory for tasks.",
             Number(figures.capacity.memory_bytes));
  page.Gauge("taskd_worker_memory_cgroups",
             "1: memory limits of commands are kept by cgroups; 0: by watching them.",
             figures.memory_by_cgroups ? 1 : 0);
  page.Gauge("taskd_worker_waiting_runners",
             "Processes of functions that wait inside of their tasks for other tasks.",
             figures.waiting_functions);
  FillAttempts(figures.core, page);
  FillStore(figures.core, store, page);
  FillLogs(logs, page);
  FillTransfer(figures.core, transfer, page);
  page.Counter("taskd_worker_core_steps_total", "Steps of the core.", Number(figures.steps));
  page.Counter("taskd_worker_core_events_total", "Events of the core.", Number(figures.events));
  page.Counter("taskd_worker_core_busy_seconds_total",
               "Time in steps of the core and their actions.", Seconds(figures.step_ns));
  page.Gauge("taskd_worker_inbox_items", "Items that wait for the core.",
             Number(figures.inbox_items));
}

}  // namespace taskd::worker
