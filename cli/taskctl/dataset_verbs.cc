// taskctl dataset publish | list | drop
#include <CLI/CLI.hpp>
#include <memory>

#include "cli/client/connection.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/json.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"

namespace taskd::cli {
namespace {

void List(Context& context) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  ListWriter writer(context, "datasets",
                    {{"NAME", Column::kLeft, true},
                     {"JOB", Column::kRight},
                     {"OBJECTS", Column::kRight},
                     {"FIRST"},
                     {"LAST"}});
  v1::ListDatasetsRequest request;
  do {
    absl::StatusOr<v1::DatasetList> list = (*connection)->ListDatasets(request);
    if (!list.ok()) return context.Fail(list.status());
    for (const v1::DatasetInfo& d : list->datasets())
      writer.Add(d, d.name(),
                 {d.name(), StrCat(d.job()), StrCat(d.objects()), d.first(), d.last()});
    request.set_cursor(list->next_cursor());
  } while (!request.cursor().empty());
  writer.End("there are no datasets; taskctl dataset publish makes one");
}

void Publish(Context& context, const std::string& name, const std::string& job_text,
             const std::string& objects) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> job = ResolveOneJob(**connection, job_text);
  if (!job.ok()) return context.Fail(job.status());
  v1::PublishDatasetRequest request;
  request.set_name(name);
  request.set_job(*job);
  request.set_objects(objects);
  absl::StatusOr<v1::DatasetInfo> dataset = (*connection)->PublishDataset(request);
  if (!dataset.ok()) return context.Fail(dataset.status());
  Show(context, *dataset, dataset->name(), [&] {
    return StrCat("dataset ", dataset->name(), ": ", dataset->objects(), " objects of job ",
                  dataset->job(), ", kept until it is dropped; a graph reads them with\n  in: {x: ",
                  "{dataset: ", dataset->name(), "}}\n");
  });
}

void Drop(Context& context, const std::string& name) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  v1::DropDatasetRequest request;
  request.set_name(name);
  absl::StatusOr<v1::DatasetInfo> dataset = (*connection)->DropDataset(request);
  if (!dataset.ok()) return context.Fail(dataset.status());
  Show(context, *dataset, dataset->name(),
       [&] { return StrCat("dataset ", name, " is dropped; job ", dataset->job(), " stays\n"); });
}

}  // namespace

void AddDatasetCommands(CLI::App& app, Context& context) {
  CLI::App* dataset =
      app.add_subcommand("dataset", "Keep results under a name, for other jobs to read");
  dataset->require_subcommand(1);

  auto name = std::make_shared<std::string>();
  auto job = std::make_shared<std::string>();
  auto objects = std::make_shared<std::string>();
  CLI::App* publish = dataset->add_subcommand("publish", "Keep results of a job under a name");
  publish->add_option("NAME", *name, "The dataset's name")->required();
  publish->add_option("JOB", *job, "The job, or 'last'")->required();
  publish->add_option("OBJECTS", *objects, "What to keep: top.words, map[*].c")->required();
  publish->footer("\nExamples:\n  taskctl dataset publish counts last 'merge[*].c'");
  publish->callback([&context, name, job, objects] { Publish(context, *name, *job, *objects); });

  CLI::App* list = dataset->add_subcommand("list", "Every dataset of the cluster");
  list->footer("\nExamples:\n  taskctl dataset list");
  list->callback([&context] { List(context); });

  CLI::App* drop = dataset->add_subcommand("drop", "Forget the name; what nobody else wants goes");
  drop->add_option("NAME", *name, "The dataset's name")->required();
  drop->footer("\nExamples:\n  taskctl dataset drop counts");
  drop->callback([&context, name] { Drop(context, *name); });
}

}  // namespace taskd::cli
