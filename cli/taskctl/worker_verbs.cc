// taskctl worker list | drain | retire
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/client/connection.h"
#include "cli/taskctl/json.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/verbs.h"
#include "common/base/ids.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

std::string StateName(const v1::WorkerInfo& worker) {
  if (worker.quarantined() && worker.state() == v1::WORKER_UP) return "quarantined";
  return ShortName(*v1::WorkerState_descriptor()->FindValueByNumber(
      v1::WorkerState_IsValid(worker.state()) ? worker.state() : v1::WORKER_STATE_UNSPECIFIED));
}

std::string Of(std::string_view used, std::string_view all) { return StrCat(used, " / ", all); }

std::string Stored(const v1::WorkerInfo& worker) {
  std::string stored = FormatBytes(worker.store_bytes());
  const uint64_t memory = worker.store_budget_bytes();
  if (memory == 0) return stored;
  // What is more than memory holds is on disk.
  return worker.store_bytes() > memory ? StrCat(stored, ", spills")
                                       : Of(stored, FormatBytes(memory));
}

void List(Context& context) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<v1::WorkerList> list = (*connection)->ListWorkers({});
  if (!list.ok()) return context.Fail(list.status());
  ListWriter writer(context, "workers",
                    {{"NAME", Column::kLeft, true},
                     {"STATE"},
                     {"HOST", Column::kLeft, true},
                     {"CPUS", Column::kRight},
                     {"MEMORY", Column::kRight},
                     {"RUNNING", Column::kRight},
                     {"AHEAD", Column::kRight},
                     {"FINISHED", Column::kRight},
                     {"OBJECTS", Column::kRight},
                     {"STORED", Column::kRight},
                     {"TO MOVE", Column::kRight},
                     {"FETCHED", Column::kRight},
                     {"SERVED", Column::kRight},
                     {"ADDRESS"}});
  for (const v1::WorkerInfo& w : list->workers()) {
    uint32_t ahead = w.assigned() > w.running() ? w.assigned() - w.running() : 0;
    writer.Add(
        w, w.name(),
        {w.name(), StateCell(StateName(w)), w.host(),
         Of(FormatCpus(w.in_use().cpus_milli()), FormatCpus(w.capacity().cpus_milli())),
         Of(FormatBytes(w.in_use().memory_bytes()), FormatBytes(w.capacity().memory_bytes())),
         StrCat(w.running()), StrCat(ahead), FormatCount(w.tasks_finished()),
         FormatCount(w.objects()), Stored(w), FormatCount(w.to_move()),
         FormatBytes(w.fetched_bytes()), FormatBytes(w.served_bytes()), w.data_address()});
  }
  writer.End("no worker has joined yet");
}

void Drain(Context& context, const std::string& name, bool retire) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  v1::DrainWorkerRequest request;
  request.set_name(name);
  request.set_retire(retire);
  absl::StatusOr<v1::WorkerInfo> worker = (*connection)->DrainWorker(request);
  if (absl::IsNotFound(worker.status())) {
    return context.Fail(
        absl::NotFoundError(StrCat("no worker is called '", name, "'; see `taskctl worker list`")));
  }
  if (!worker.ok()) return context.Fail(worker.status());
  Show(context, *worker, worker->name(), [&] {
    return StrCat(worker->name(), " is ", StateName(*worker), ": it ends what runs (",
                  worker->running(), "), gets nothing new",
                  retire ? ", and stops when what only it holds (" : "; what only it holds (",
                  worker->to_move(),
                  retire ? " results) is elsewhere" : " results) is copied elsewhere",
                  "; see `taskctl worker list`\n");
  });
}

}  // namespace

void AddWorkerCommands(CLI::App& app, Context& context) {
  CLI::App* worker = app.add_subcommand("worker", "Look at workers and take them out of use");
  worker->require_subcommand(1);

  CLI::App* list = worker->add_subcommand("list", "Every worker that the scheduler knows");
  list->footer(
      "\nExamples:\n  taskctl worker list\n  taskctl worker list -o json | jq "
      "'.workers[].store_bytes'");
  list->callback([&context] { List(context); });

  auto name = std::make_shared<std::string>();
  auto add = [&](const char* verb, const char* help, const char* example, bool retire) {
    CLI::App* command = worker->add_subcommand(verb, help);
    command->add_option("NAME", *name, "The worker's name")->required();
    command->footer(StrCat("\nExamples:\n  ", example));
    command->callback([&context, name, retire] { Drain(context, *name, retire); });
  };
  add("drain",
      "Give a worker nothing new; what runs there ends, what only it holds is copied elsewhere",
      "taskctl worker drain worker-2", false);
  add("retire", "Drain a worker, and stop it once nobody needs what it holds",
      "taskctl worker retire worker-2", true);
}

}  // namespace taskd::cli
