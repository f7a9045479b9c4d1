// Names in braces, in paths, argv and references: "{src}/part-{k}". Variables and arithmetic over
// them ({parts-1}) become text at once; names of a task (its axes, in.x, out.x) stay pieces. "{{"
// and "}}" are the braces themselves.
#ifndef TASKD_CLI_CLIENT_BRACES_H_
#define TASKD_CLI_CLIENT_BRACES_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace taskd::client {

using Vars = std::map<std::string, std::string, std::less<>>;

struct Piece {
  bool is_name = false;
  std::string text;  // literal text, or the name
};

// `task_names` are the names that stay. Neighbouring literals are one piece; no text is no piece.
// Errors name the unknown name and the nearest known one.
absl::StatusOr<std::vector<Piece>> ExpandBraces(std::string_view text, const Vars& vars,
                                                const std::vector<std::string>& task_names);

// The same where only variables can stand.
absl::StatusOr<std::string> ExpandVars(std::string_view text, const Vars& vars);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_BRACES_H_
