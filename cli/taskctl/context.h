// What every verb gets: the global options, and where its exit code goes.
//
// A verb is a CLI11 subcommand whose callback does the work, prints its result to stdout through
// Context::output (see output.h), anything else to stderr, and on an error calls
// context.Fail(status). The flags -o/--output, -q/--quiet, -d/--dir, --help are global: a verb that
// writes a file names it with -O/--out-file.
#ifndef TASKD_CLI_TASKCTL_CONTEXT_H_
#define TASKD_CLI_TASKCTL_CONTEXT_H_

#include <string>

#include "absl/status/status.h"
#include "cli/taskctl/exit_codes.h"

namespace taskd::cli {

enum class OutputFormat {
  kTable,  // for people
  kJson,   // -o json: one JSON value on stdout
  kQuiet,  // -q: ids alone, one a line
};

struct Context {
  std::string dir;  // --dir; empty: $TASKD_DIR, then ~/.taskd
  OutputFormat format = OutputFormat::kTable;
  bool quiet = false;       // -q
  int exit_code = kExitOk;  // what main returns; a verb sets it when it is not 0

  // Prints the error for people ("taskctl: ...", or {"error": ...} with -o json) on stderr and sets
  // exit_code.
  void Fail(const absl::Status& status);
  // The same with a given exit code.
  void Fail(int exit_code, const absl::Status& status);
};

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_CONTEXT_H_
