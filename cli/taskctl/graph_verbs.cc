#include "cli/taskctl/graph_verbs.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "cli/client/load_graph.h"
#include "cli/client/tgraph.h"
#include "cli/taskctl/exit_codes.h"
#include "cli/taskctl/json.h"
#include "cli/taskctl/output.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

struct GraphOptions {
  std::string file;
  std::vector<std::string> defines;
  std::string out_file;
};

absl::StatusOr<client::LoadedGraph> Load(const GraphOptions& options) {
  auto defines = client::ParseDefines(options.defines);
  if (!defines.ok()) return defines.status();
  return client::LoadGraph(options.file, *defines);
}

std::string Plural(uint64_t count, std::string_view one) {
  return StrCat(FormatCount(count), " ", one, count == 1 ? "" : "s");
}

std::string Totals(const client::GraphStats& stats) {
  return StrCat(Plural(stats.tasks, "task"), ", ", Plural(stats.objects, "object"), ", ",
                Plural(stats.edges, "edge"), ", ", Plural(stats.wants, "wanted object"));
}

std::string Levels(const client::TemplateStats& t) {
  return t.level_min == t.level_max ? StrCat(t.level_min) : StrCat(t.level_min, "-", t.level_max);
}

std::string TotalsJson(const client::GraphStats& s) {
  return StrCat("\"tasks\":", s.tasks, ",\"objects\":", s.objects, ",\"edges\":", s.edges,
                ",\"inputs\":", s.inputs, ",\"collections\":", s.collections,
                ",\"wants\":", s.wants, ",\"batches\":", s.batches, ",\"depth\":", s.depth,
                ",\"width\":", s.width);
}

void Validate(Context& context, const GraphOptions& options) {
  auto graph = Load(options);
  if (!graph.ok()) return context.Fail(kExitUsage, graph.status());
  if (context.format == OutputFormat::kQuiet) return;
  if (context.format == OutputFormat::kJson) {
    return PrintOut(StrCat("{\"file\":", JsonString(options.file), ",\"valid\":true,",
                           TotalsJson(graph->stats), "}\n"));
  }
  PrintOut(StrCat(options.file, ": valid: ", Totals(graph->stats), "\n"));
}

std::string StatsJson(const GraphOptions& options, const client::LoadedGraph& graph) {
  uint64_t bytes = 0;
  for (const std::string& frame : graph.frames) bytes += frame.size();
  std::string json = StrCat("{\"file\":", JsonString(options.file), ",", TotalsJson(graph.stats),
                            ",\"compressed_bytes\":", bytes, ",\"templates\":[");
  bool first = true;
  for (const client::TemplateStats& t : graph.stats.templates) {
    json += StrCat(first ? "" : ",", "{\"name\":", JsonString(t.name), ",\"tasks\":", t.tasks,
                   ",\"objects\":", t.objects, ",\"edges\":", t.edges, ",\"inputs\":", t.inputs,
                   ",\"level_min\":", t.level_min, ",\"level_max\":", t.level_max, "}");
    first = false;
  }
  return json + "]}\n";
}

void Stats(Context& context, const GraphOptions& options) {
  auto graph = Load(options);
  if (!graph.ok()) return context.Fail(kExitUsage, graph.status());
  const client::GraphStats& stats = graph->stats;
  if (context.format == OutputFormat::kJson) return PrintOut(StatsJson(options, *graph));
  if (context.format == OutputFormat::kQuiet) {
    for (const client::TemplateStats& t : stats.templates) PrintOut(StrCat(t.name, "\n"));
    return;
  }
  uint64_t bytes = 0;
  for (const std::string& frame : graph->frames) bytes += frame.size();
  PrintOut(Fields({{"tasks", FormatCount(stats.tasks)},
                   {"objects", FormatCount(stats.objects)},
                   {"edges", StrCat(FormatCount(stats.edges), " (", FormatCount(stats.inputs),
                                    " objects read)")},
                   {"depth", StrCat(FormatCount(stats.depth), stats.depth == 1 ? " task" : " tasks",
                                    " on the longest path")},
                   {"width", StrCat(FormatCount(stats.width), stats.width == 1 ? " task" : " tasks",
                                    " on the widest level")},
                   {"wanted", Plural(stats.wants, "object")},
                   {"serialized", StrCat(FormatBytes(bytes), " in ", FormatCount(stats.batches),
                                         stats.batches == 1 ? " batch" : " batches")}}));
  Table table({{"TEMPLATE", Column::kLeft, true},
               {"TASKS", Column::kRight},
               {"OBJECTS", Column::kRight},
               {"EDGES", Column::kRight},
               {"INPUTS", Column::kRight},
               {"LEVEL", Column::kRight}},
              TerminalWidth(STDOUT_FILENO), UseColour(STDOUT_FILENO));
  for (const client::TemplateStats& t : stats.templates) {
    table.Add({t.name, FormatCount(t.tasks), FormatCount(t.objects), FormatCount(t.edges),
               FormatCount(t.inputs), Levels(t)});
  }
  PrintOut(StrCat("\n", table.Take()));
}

void Compile(Context& context, const GraphOptions& options) {
  std::string out = options.out_file;
  if (out.empty()) out = std::filesystem::path(options.file).replace_extension(".tgraph").string();
  std::error_code error;
  if (std::filesystem::equivalent(out, options.file, error)) {
    return context.Fail(absl::InvalidArgumentError(
        StrCat(out, " would be written over itself; name another with -O FILE")));
  }
  auto graph = Load(options);
  if (!graph.ok()) return context.Fail(kExitUsage, graph.status());
  if (auto s = client::WriteTgraph(out, graph->frames); !s.ok()) return context.Fail(s);
  if (context.format == OutputFormat::kQuiet) return PrintOut(StrCat(out, "\n"));
  if (context.format == OutputFormat::kJson) {
    return PrintOut(StrCat("{\"file\":", JsonString(out), ",", TotalsJson(graph->stats), "}\n"));
  }
  PrintOut(StrCat(out, ": ", Totals(graph->stats), "\n"));
}

using Verb = void (*)(Context&, const GraphOptions&);

CLI::App* Add(CLI::App& graph, Context& context, const char* name, const char* help, Verb verb) {
  CLI::App* sub = graph.add_subcommand(name, help);
  auto options = std::make_shared<GraphOptions>();
  sub->add_option("FILE", options->file, "A graph: YAML, JSON or .tgraph")->required();
  sub->add_option("-D,--define", options->defines, "Set a variable of the graph, as in -D parts=4")
      ->type_name("NAME=VALUE")
      ->allow_extra_args(false);
  if (verb == Compile) {
    sub->add_option("-O,--out-file", options->out_file,
                    "Where to write (default: FILE with the ending .tgraph)");
  }
  sub->callback([&context, options, verb] { verb(context, *options); });
  return sub;
}

}  // namespace

void AddGraphCommands(CLI::App& app, Context& context) {
  CLI::App* graph =
      app.add_subcommand("graph", "Check, measure and compile graph files; needs no cluster");
  graph->require_subcommand(1);
  Add(*graph, context, "validate",
      "Say whether a graph file is right, or everything that is wrong with it", Validate);
  Add(*graph, context, "stats",
      "Count tasks, objects and edges, and tell how deep and wide the graph is", Stats);
  Add(*graph, context, "compile", "Write the serialized form, which starts faster", Compile)
      ->footer(
          "Examples:\n  taskctl graph compile sweep.yaml -D seeds=1..1000\n  taskctl graph compile "
          "sweep.yaml -O big.tgraph");
}

}  // namespace taskd::cli
