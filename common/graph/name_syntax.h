// The text of names: map[3], sim[0.10,*], merge[*].c, map[3].p[2]. One syntax in graph files, on
// the command line and in messages.
//
//   name     = template [ "[" selector { "," selector } "]" ] [ "." output [ "[" part "]" ] ]
//   selector = "*" | value | value ".." value     (from the first value to the second, in the axis' order)
//   part     = "*" | number | number ".." number  (both ends included)
//
// In a value, a backslash takes the next character as it is; AppendValue writes the ones that are
// needed.
#ifndef TASKD_COMMON_GRAPH_NAME_SYNTAX_H_
#define TASKD_COMMON_GRAPH_NAME_SYNTAX_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/session.h"

namespace taskd::graph {

struct Selector {
  bool all = false;
  std::string value;  // without escapes; may hold ".."
};

struct ParsedName {
  std::string template_name;
  bool indexed = false;  // brackets were written after the template
  std::vector<Selector> selectors;
  std::string output;      // empty: tasks are meant
  bool has_parts = false;  // brackets were written after the output
  std::string parts_text;  // what stands in them
  PartRange parts;         // {0, 0}: whole objects
};

// Errors say what is wrong with which text. The template and the output need not exist.
absl::StatusOr<ParsedName> ParseName(std::string_view text);
// The same without a look into the part brackets: `parts` stays {0, 0}. For text with names in
// braces still in it.
absl::StatusOr<ParsedName> SplitName(std::string_view text);
// "3", "0..3" or "*" as a half-open range ({0, 0}: whole). False: it is none of these.
bool ParseParts(std::string_view text, PartRange& parts);

// Appends `value` as it stands in a key: "\", ",", "]" and a lone "*" get a backslash.
void AppendValue(std::string& key, std::string_view value);

// Template names: a letter or _, then letters, digits, _ and -.
bool IsTemplateName(std::string_view text);
// Names that are also names of environment variables: a letter or _, then letters, digits and _.
bool IsIdentifier(std::string_view text);

// The candidate that `text` was probably meant to be: the smallest edit distance (insert, delete,
// replace, swap of neighbours), if at most a third of the length (at least one). Empty: none is
// near.
std::string Nearest(std::string_view text, const std::vector<std::string>& candidates);
// " (did you mean 'map'?)", or nothing.
std::string DidYouMean(std::string_view text, const std::vector<std::string>& candidates);

}  // namespace taskd::graph

#endif  // TASKD_COMMON_GRAPH_NAME_SYNTAX_H_
