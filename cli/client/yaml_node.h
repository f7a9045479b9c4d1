// A YAML or JSON file as a tree whose every node knows its line. Scalars stay the text that was
// written (0.10 is "0.10"), duplicate keys are refused (yaml-cpp's own tree keeps the first
// silently), and so are merge keys, tags and a second document.
#ifndef TASKD_CLI_CLIENT_YAML_NODE_H_
#define TASKD_CLI_CLIENT_YAML_NODE_H_

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::client {

struct YamlNode {
  enum Kind { kNull, kScalar, kList, kMap };
  Kind kind = kNull;
  int line = 0;                                        // from 1
  std::string text;                                    // kScalar
  std::vector<std::shared_ptr<const YamlNode>> items;  // kList
  struct Entry {
    std::string key;
    int line = 0;
    std::shared_ptr<const YamlNode> value;
  };
  std::vector<Entry> entries;  // kMap, in the order of the file

  // The value of a key of a map, or null.
  const YamlNode* Find(std::string_view key) const;
  std::string_view KindName() const;  // "text", "a list", "a mapping", "nothing"
};

// `file` is the name that errors begin with: "file:12: what is wrong".
absl::StatusOr<std::shared_ptr<const YamlNode>> ParseYaml(std::string_view content,
                                                          std::string_view file);

// The error `what` at a line of a file: "graph.yaml:12: what".
absl::Status AtLine(std::string_view file, int line, std::string_view what);

// The line (from 1) of the first byte that is not UTF-8, or 0.
int FirstLineNotUtf8(std::string_view content);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_YAML_NODE_H_
