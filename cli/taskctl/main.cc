// taskctl: submits graphs and shows what happens. See ../README.md for the verbs and the exit
// codes.
#include <signal.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>
#include <vector>

#include "cli/taskctl/context.h"
#include "cli/taskctl/graph_verbs.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"
#include "common/io/config.h"
#include "common/io/log.h"

namespace taskd::cli {
namespace {

constexpr const char* kVersion = "taskctl " TASKD_VERSION;

constexpr const char* kExamples = R"(
A first session:
  taskctl cluster start --workers 3        start a cluster on this machine
  taskctl run words.yaml                   run a graph and watch it
  taskctl object get last top.words        print a result
  taskctl cluster stop                     stop it; nothing is left behind

Jobs are named by number (3), several (3,5 or 3-7), last, or all; tasks and objects as in the graph: map[3], merge[2].c.
Exit codes: 0 ok, 1 some task failed, 2 usage, 3 not found, 4 cannot reach or not allowed, 5 timeout, 6 cancelled,
130 interrupted.)";

void AddGlobalOptions(CLI::App& app, Context& context) {
  app.add_option("-d,--dir", context.dir,
                 "State folder of the cluster (default: $TASKD_DIR, then ~/.taskd)");
  app.add_option_function<std::string>(
         "-o,--output",
         [&](const std::string& name) {
           context.format = name == "json" ? OutputFormat::kJson : OutputFormat::kTable;
         },
         "table for people, json for programs")
      ->check(CLI::IsMember({"table", "json"}))
      ->trigger_on_parse();
  app.add_flag_callback(
         "-q,--quiet",
         [&] {
           context.quiet = true;
           context.format = OutputFormat::kQuiet;
         },
         "Print ids alone, and no progress")
      ->trigger_on_parse();
}

// The deepest subcommand that the command line named.
const CLI::App* Deepest(const CLI::App& app) {
  const CLI::App* at = &app;
  for (;;) {
    std::vector<const CLI::App*> parsed = at->get_subcommands(nullptr);
    const CLI::App* next = nullptr;
    for (const CLI::App* sub : parsed) {
      if (sub->parsed()) next = sub;
    }
    if (next == nullptr) return at;
    at = next;
  }
}

std::string PathOf(const CLI::App* app) {
  std::string path = app->get_name();
  for (app = app->get_parent(); app != nullptr; app = app->get_parent())
    path = StrCat(app->get_name(), " ", path);
  return path;
}

std::vector<std::string> VerbsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* sub : app.get_subcommands(nullptr)) names.push_back(sub->get_name());
  return names;
}

std::string Join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += StrCat(text.empty() ? "" : ", ", word);
  return text;
}

// What was wrong with the command line, and what to write instead.
absl::Status Explain(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = Deepest(app);
  std::vector<std::string> verbs = VerbsOf(*at);
  std::vector<std::string> extra = app.remaining(true);
  std::string help = StrCat("; see `", PathOf(at), " --help`");
  if (!extra.empty() && extra[0].starts_with('-')) {
    std::vector<std::string> options;
    for (const CLI::App* a = at; a != nullptr; a = a->get_parent()) {
      for (const CLI::Option* option : a->get_options()) {
        for (const std::string& name : option->get_lnames()) options.push_back("--" + name);
      }
    }
    std::string word = extra[0].substr(0, extra[0].find('='));
    std::optional<std::string> near = io::NearestName(word, options);
    return absl::InvalidArgumentError(StrCat("`", PathOf(at), "` has no option ", word,
                                             near ? StrCat("; did you mean ", *near, "?") : help));
  }
  if (!verbs.empty() && !extra.empty()) {
    std::optional<std::string> near = io::NearestName(extra[0], verbs);
    return absl::InvalidArgumentError(
        StrCat("`", PathOf(at), "` has no verb '", extra[0], "'; ",
               near ? StrCat("did you mean '", *near, "'?") : StrCat("it has ", Join(verbs))));
  }
  // An option's bad value is thrown before the verb is looked at.
  if (dynamic_cast<const CLI::RequiredError*>(&error) == nullptr) {
    return absl::InvalidArgumentError(StrCat(error.what(), help));
  }
  if (!verbs.empty()) {
    return absl::InvalidArgumentError(
        StrCat("`", PathOf(at), "` needs a verb: ", Join(verbs), help));
  }
  if (!extra.empty())
    return absl::InvalidArgumentError(
        StrCat("`", PathOf(at), "` does not take '", extra[0], "'", help));
  return absl::InvalidArgumentError(StrCat(error.what(), help));
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  // The libraries' own warnings would stand between our lines; what matters of them comes as an
  // error.
  io::InitLog("taskctl", "error").IgnoreError();
  Context context;
  CLI::App app("Runs task graphs on a taskd cluster.", "taskctl");
  app.fallthrough();  // -o json, -q and --dir may stand anywhere
  app.require_subcommand(1);
  app.footer(kExamples);
  AddGlobalOptions(app, context);
  AddClusterCommands(app, context);
  AddRunCommands(app, context);
  AddJobCommands(app, context);
  AddTaskCommands(app, context);
  AddObjectCommands(app, context);
  AddWorkerCommands(app, context);
  AddDatasetCommands(app, context);
  AddGraphCommands(app, context);
  app.add_subcommand("version", "Print the version")->callback([] {
    PrintOut(StrCat(kVersion, "\n"));
  });
  app.set_version_flag("--version", kVersion);
  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& error) {
    context.Fail(kExitUsage, Explain(app, error));
  }
  return context.exit_code;
}

}  // namespace
}  // namespace taskd::cli

int main(int argc, char** argv) { return taskd::cli::Main(argc, argv); }
