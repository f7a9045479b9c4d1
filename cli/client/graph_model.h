// A graph file after reading, before its tasks are counted out: what each template is, with the
// lines for messages.
#ifndef TASKD_CLI_CLIENT_GRAPH_MODEL_H_
#define TASKD_CLI_CLIENT_GRAPH_MODEL_H_

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "cli/client/braces.h"
#include "cli/client/yaml_node.h"
#include "common/base/ids.h"
#include "common/base/session.h"
#include "common/graph/template_names.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {

// Where text came from and what its names mean.
struct FileContext {
  std::string file;    // as the user named it: errors begin with it
  std::string folder;  // absolute; relative paths start here
  Vars vars;

  absl::Status Error(int line, std::string_view what) const { return AtLine(file, line, what); }
  // A status of some text, with the place added and its code kept.
  absl::Status Error(int line, const absl::Status& status) const;
  absl::Status NotYet(int line, std::string_view what) const;
  std::string Absolute(std::string_view path) const;
};

struct AxisDef {
  int line = 0;
  v1::Axis axis;
  std::vector<std::string> lists;  // `into`: the text of each value's list, one path a line
  bool is_path = false;            // values are absolute paths: {x.path} names them too
};

struct InputDef {
  std::string name;
  int line = 0;
  enum Kind : uint8_t { kObjects, kDataset, kForeign, kPath } kind = kObjects;
  std::string text;  // the reference, the dataset's name or the path as written
  ObjectId object;   // kForeign: of another job
};

struct Definition {
  std::string name;
  int line = 0;
  const YamlNode* over = nullptr;  // null: one task
  const YamlNode* except = nullptr;
  std::vector<InputDef>
      inputs;  // in the order of the body's slots: store objects first, then paths
  v1::Body body;
  const YamlNode* argv = nullptr;  // compiled when the axes are known
  v1::Shape shape;
  v1::TaskOptions options;
  std::vector<int> output_lines;  // of body.outputs

  // Filled in by ResolveAxes.
  std::vector<AxisDef> axes;
  std::unique_ptr<graph::TemplateNames> names;
  v1::Template table;

  std::vector<std::string> AxisNames() const;
  int FindOutput(std::string_view name) const;  // index in body.outputs, or -1
};

struct WantDef {
  std::string name;  // variables replaced
  int line = 0;
};

struct GraphModel {
  FileContext context;
  std::shared_ptr<const YamlNode> root;  // keeps what Definition points to
  std::vector<Definition> definitions;
  absl::flat_hash_map<std::string, size_t> by_name;
  std::vector<WantDef> wants;

  std::vector<std::string> Names() const;
};

// What is wrong with a file: all of it where one mistake does not hide the next, the first 20.
class Errors {
 public:
  void Add(const absl::Status& status);  // an ok status adds nothing
  absl::Status Take() const;
  bool any() const { return count_ > 0; }

 private:
  static constexpr size_t kShown = 20;
  std::string text_;
  size_t count_ = 0;
};

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_GRAPH_MODEL_H_
