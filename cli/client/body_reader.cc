#include "cli/client/body_reader.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <filesystem>
#include <map>
#include <set>

#include "cli/client/function_reader.h"
#include "cli/client/graph_reader.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

// The built-in bodies: which of them take a duration, a size, and how many outputs they make (-1:
// any).
struct Builtin {
  std::string_view name;
  bool duration, size;
  int outputs;
};
constexpr std::array<Builtin, 6> kBuiltins = {{{"noop", false, false, -1},
                                               {"sleep", true, false, -1},
                                               {"busy", true, false, -1},
                                               {"concat", false, false, 1},
                                               {"checksum", false, false, 1},
                                               {"generate", false, true, -1}}};

// "7:0".
bool ParseObject(std::string_view text, ObjectId& object) {
  const auto number = [&](uint32_t& value) {
    const char* end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data(), end, value);
    text.remove_prefix(static_cast<size_t>(rest - text.data()));
    return error == std::errc();
  };
  if (!number(object.job) || object.job == 0 || !text.starts_with(':')) return false;
  text.remove_prefix(1);
  return number(object.ordinal) && object.ordinal != kNoOrdinal && text.empty();
}

class BodyReader {
 public:
  BodyReader(const FileContext& context, const YamlNode& task, Definition& definition)
      : context_(context), task_(task), d_(definition) {}

  absl::Status Read() {
    int kinds = 0;
    for (std::string_view kind : {"sh", "argv", "builtin", "native", "python"})
      kinds += task_.Find(kind) != nullptr;
    if (kinds != 1) {
      return context_.Error(d_.line,
                            StrCat("task '", d_.name, "' needs ", kinds == 0 ? "" : "only ",
                                   "one of sh, argv, native, python and builtin",
                                   kinds == 0 ? "" : StrCat(", it has ", kinds)));
    }
    if (auto s = Inputs(); !s.ok()) return s;
    if (const YamlNode* builtin = task_.Find("builtin")) return ReadBuiltin(*builtin);
    for (const auto& [name, value] : context_.vars) {
      v1::Value* var = d_.body.add_vars();
      var->set_name(name);
      var->set_value(value);
    }
    if (const YamlNode* native = task_.Find("native")) {
      auto s = ReadNative(context_, *native, *d_.body.mutable_native());
      return s.ok() ? ValueOutputs("a function") : s;
    }
    if (const YamlNode* python = task_.Find("python")) {
      auto s = ReadPython(context_, *python, *d_.body.mutable_python());
      return s.ok() ? ValueOutputs("a function") : s;
    }
    if (auto s = Outputs(); !s.ok()) return s;
    if (const YamlNode* sh = task_.Find("sh")) {
      auto text = TextOf(context_, *sh, "sh");
      if (!text.ok()) return text.status();
      if (text->empty()) return context_.Error(sh->line, "sh is empty");
      if (text->size() >= kArgumentBytes) {
        return context_.Error(
            sh->line,
            "sh is over 128 KiB, the most that a process gets; put it into a script file");
      }
      d_.body.mutable_command()->set_sh(*text);
      return absl::OkStatus();
    }
    d_.argv = task_.Find("argv");
    if (d_.argv->kind != YamlNode::kList || d_.argv->items.empty()) {
      return context_.Error(
          d_.argv->line,
          StrCat("argv is a list of words like [sort, -n], not ",
                 d_.argv->kind == YamlNode::kList ? "an empty one" : d_.argv->KindName()));
    }
    return absl::OkStatus();
  }

 private:
  absl::Status Inputs() {
    const YamlNode* in = task_.Find("in");
    if (in == nullptr || in->kind == YamlNode::kNull) return absl::OkStatus();
    if (in->kind != YamlNode::kMap) {
      return context_.Error(
          in->line,
          StrCat("in is a mapping of names to objects like {x: map[*].c}, not ", in->KindName()));
    }
    std::vector<InputDef> paths;
    for (const YamlNode::Entry& entry : in->entries) {
      if (!graph::IsIdentifier(entry.key)) {
        return context_.Error(
            entry.line, StrCat("the input '", entry.key, "' cannot be an environment variable (in_",
                               entry.key, "): a letter or _, then letters, digits and _"));
      }
      const YamlNode& value = *entry.value;
      InputDef input{entry.key, entry.line, InputDef::kObjects, ""};
      if (value.kind == YamlNode::kMap && value.Find("path") != nullptr) {
        if (auto s = CheckKeys(context_, value, "an input by path", "path", "as to"); !s.ok())
          return s;
        auto text = TextOf(context_, *value.Find("path"), "a path");
        if (!text.ok()) return text.status();
        if (text->empty()) return context_.Error(value.line, "an empty path");
        input.kind = InputDef::kPath;
        input.text = *text;
        paths.push_back(std::move(input));
        continue;
      }
      if (value.kind == YamlNode::kMap && value.Find("dataset") != nullptr) {
        if (auto s = CheckKeys(context_, value, "an input by dataset", "dataset", "as"); !s.ok())
          return s;
        auto text = TextOf(context_, *value.Find("dataset"), "the name of a dataset");
        if (!text.ok()) return text.status();
        if (text->empty() || text->size() > limits::kDatasetNameBytes) {
          return context_.Error(value.line, StrCat("a dataset has a name of 1 to ",
                                                   limits::kDatasetNameBytes, " bytes"));
        }
        input.kind = InputDef::kDataset;
        input.text = *text;
        d_.inputs.push_back(std::move(input));
        continue;
      }
      if (value.kind == YamlNode::kMap && value.Find("object") != nullptr) {
        if (auto s = CheckKeys(context_, value, "an input by object", "object", "as"); !s.ok())
          return s;
        auto text = ExpandedTextOf(context_, *value.Find("object"), "an object");
        if (!text.ok()) return text.status();
        input.kind = InputDef::kForeign;
        if (!ParseObject(*text, input.object)) {
          return context_.Error(value.line,
                                StrCat("'", *text,
                                       "' is no object: write JOB:NUMBER, as `taskctl object "
                                       "put` prints it"));
        }
        d_.inputs.push_back(std::move(input));
        continue;
      }
      if (value.kind == YamlNode::kMap &&
          (value.Find("from") != nullptr || value.Find("as") != nullptr)) {
        return context_.NotYet(value.line, "an input with 'from' and 'as'");
      }
      auto text = TextOf(context_, value, StrCat("the input '", entry.key, "'"));
      if (!text.ok()) return text.status();
      input.text = *text;
      d_.inputs.push_back(std::move(input));
    }
    // Paths last: then edge i of a task fills slot i, and the slot column stays away.
    for (InputDef& input : paths) d_.inputs.push_back(std::move(input));
    for (const InputDef& input : d_.inputs) {
      v1::InputSlot* slot = d_.body.add_inputs();
      slot->set_name(input.name);
      slot->set_kind(input.kind == InputDef::kPath      ? v1::InputSlot::PATH
                     : input.kind == InputDef::kDataset ? v1::InputSlot::AXIS
                                                        : v1::InputSlot::OBJECT);
    }
    return absl::OkStatus();
  }

  absl::Status AddOutput(const YamlNode::Entry& entry, v1::OutputSlot slot) {
    if (!graph::IsIdentifier(entry.key)) {
      return context_.Error(
          entry.line, StrCat("the output '", entry.key, "' cannot be an environment variable (out_",
                             entry.key, "): a letter or _, then letters, digits and _"));
    }
    if (d_.FindOutput(entry.key) >= 0) {
      return context_.Error(entry.line, StrCat("there are two outputs named '", entry.key, "'"));
    }
    if (d_.body.outputs_size() >= static_cast<int>(limits::kOutputsPerTask)) {
      return context_.Error(entry.line, StrCat("more than ", limits::kOutputsPerTask,
                                               " outputs of one task; use parts"));
    }
    slot.set_name(entry.key);
    *d_.body.add_outputs() = std::move(slot);
    d_.output_lines.push_back(entry.line);
    return absl::OkStatus();
  }

  absl::Status Outputs() {
    const YamlNode* out = task_.Find("out");
    if (out != nullptr && out->kind != YamlNode::kNull) {
      if (out->kind != YamlNode::kMap) {
        return context_.Error(
            out->line, StrCat("out is a mapping of names to files like {c: counts.txt}, not ",
                              out->KindName()));
      }
      for (const YamlNode::Entry& entry : out->entries) {
        v1::OutputSlot slot;
        absl::Status s = entry.value->kind == YamlNode::kMap ? Parts(*entry.value, slot)
                                                             : File(*entry.value, slot);
        if (s.ok()) s = AddOutput(entry, std::move(slot));
        if (!s.ok()) return s;
      }
    }
    if (const YamlNode* std_out = task_.Find("stdout")) {
      auto name = TextOf(context_, *std_out, "stdout (the name of the output that it becomes)");
      if (!name.ok()) return name.status();
      v1::OutputSlot slot;
      slot.set_kind(v1::OutputSlot::STDOUT);
      if (auto s = AddOutput({*name, std_out->line, nullptr}, std::move(slot)); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  // A relative path inside the task's folder; `names` may stay in braces.
  absl::StatusOr<std::string> OutputPath(const YamlNode& node,
                                         const std::vector<std::string>& names) {
    auto text = TextOf(context_, node, "an output's file");
    if (!text.ok()) return text;
    auto pieces = ExpandBraces(*text, context_.vars, names);
    if (!pieces.ok()) {
      return context_.Error(
          node.line,
          StrCat(ToStd(pieces.status().message()),
                 "; (each task has a folder of its own, so axis values are not needed here)"));
    }
    std::string path;
    for (const Piece& piece : *pieces)
      path += piece.is_name ? StrCat("{", piece.text, "}") : piece.text;
    std::filesystem::path parsed(path);
    if (parsed.is_absolute()) {
      return context_.Error(node.line,
                            StrCat("the output '", path,
                                   "' is an absolute path; an output is a relative path in "
                                   "the task's own folder"));
    }
    for (const auto& component : parsed) {
      if (component == "..") {
        return context_.Error(node.line,
                              StrCat("the output '", path, "' leaves the task's folder with '..'"));
      }
    }
    path = parsed.lexically_normal().string();
    if (path.empty() || path == "." || path.ends_with('/')) {
      return context_.Error(node.line, StrCat("the output '", *text, "' is not a file's name"));
    }
    if (auto [at, fresh] = files_.emplace(path, node.line); !fresh) {
      return context_.Error(node.line, StrCat("two outputs are the file '", path,
                                              "'; the first is in line ", at->second));
    }
    return path;
  }

  absl::Status File(const YamlNode& node, v1::OutputSlot& slot) {
    auto path = OutputPath(node, {});
    if (!path.ok()) return path.status();
    slot.set_kind(v1::OutputSlot::FILE);
    slot.set_file(*path);
    return absl::OkStatus();
  }

  absl::Status Parts(const YamlNode& node, v1::OutputSlot& slot) {
    if (node.entries.size() == 1 && node.entries[0].value->kind == YamlNode::kNull) {
      return TextOf(context_, node, "an output's file").status();
    }
    if (auto s = CheckKeys(context_, node, "an output", "parts count", "path folder to"); !s.ok())
      return s;
    const YamlNode* parts = node.Find("parts");
    const YamlNode* count = node.Find("count");
    if (parts == nullptr || count == nullptr) {
      return context_.Error(node.line,
                            "an output in parts needs both: {parts: \"p/{k}\", count: 16}");
    }
    auto path = OutputPath(*parts, {"k"});
    if (!path.ok()) return path.status();
    if (path->find("{k}") == std::string::npos) {
      return context_.Error(parts->line, StrCat("the parts '", *path,
                                                "' need {k}, the number of the part, like p/{k}"));
    }
    auto number = PartCount(*count);
    if (!number.ok()) return number.status();
    slot.set_kind(v1::OutputSlot::PARTS);
    slot.set_file(*path);
    slot.set_parts(*number);
    return absl::OkStatus();
  }

  absl::StatusOr<uint32_t> PartCount(const YamlNode& node) {
    auto expanded = ExpandedTextOf(context_, node, "the count of parts");
    if (!expanded.ok()) return expanded.status();
    uint32_t number = 0;
    auto [end, error] =
        std::from_chars(expanded->data(), expanded->data() + expanded->size(), number);
    if (error != std::errc() || end != expanded->data() + expanded->size() || number == 0 ||
        number > limits::kPartsPerObject) {
      return context_.Error(node.line,
                            StrCat("the count of parts is '", *expanded,
                                   "'; it is a whole number from 1 to ", limits::kPartsPerObject));
    }
    return number;
  }

  // `whose`: "a built-in".
  absl::Status ValueOutputs(std::string_view whose) {
    if (const YamlNode* std_out = task_.Find("stdout")) {
      return context_.Error(std_out->line,
                            StrCat(whose,
                                   " has no stdout that could be an output; name its "
                                   "outputs: out: [v]"));
    }
    const YamlNode* out = task_.Find("out");
    if (out != nullptr && out->kind != YamlNode::kNull) {
      if (out->kind != YamlNode::kList) {
        return context_.Error(
            out->line, StrCat("the outputs of ", whose,
                              " are values: a list of names like [v], not ", out->KindName()));
      }
      for (const auto& item : out->items) {
        v1::OutputSlot slot;
        slot.set_kind(v1::OutputSlot::VALUE);
        auto name = ValueOutput(*item, slot);
        if (!name.ok()) return name.status();
        if (auto s = AddOutput({*name, item->line, nullptr}, std::move(slot)); !s.ok()) return s;
      }
    }
    return absl::OkStatus();
  }

  // v, or of a function {v: {count: 16}}: a list of so many values, each a part. Gives the name.
  absl::StatusOr<std::string> ValueOutput(const YamlNode& node, v1::OutputSlot& slot) {
    const bool in_parts = node.kind == YamlNode::kMap && node.entries.size() == 1 &&
                          node.entries[0].value->kind == YamlNode::kMap;
    if (!in_parts || task_.Find("builtin") != nullptr)
      return TextOf(context_, node, "an output's name");
    const YamlNode& parts = *node.entries[0].value;
    if (auto s = CheckKeys(context_, parts, "an output of a function", "count", ""); !s.ok())
      return s;
    const YamlNode* count = parts.Find("count");
    if (count == nullptr)
      return context_.Error(node.line, "an output in parts needs how many: {p: {count: 16}}");
    auto number = PartCount(*count);
    if (!number.ok()) return number.status();
    slot.set_parts(*number);
    return node.entries[0].key;
  }

  absl::Status BuiltinOutputs(const Builtin& builtin) {
    if (auto s = ValueOutputs("a built-in"); !s.ok()) return s;
    if (builtin.outputs >= 0 && d_.body.outputs_size() != builtin.outputs) {
      return context_.Error(
          d_.line, StrCat("the built-in '", builtin.name, "' makes ", builtin.outputs,
                          " output, but ", d_.body.outputs_size(), " are named; write out: [v]"));
    }
    return absl::OkStatus();
  }

  absl::Status ReadBuiltin(const YamlNode& node) {
    const YamlNode* name = &node;
    if (node.kind == YamlNode::kMap) {
      if (auto s = CheckKeys(context_, node, "builtin", "name duration size", ""); !s.ok())
        return s;
      name = node.Find("name");
      if (name == nullptr)
        return context_.Error(node.line, "a built-in needs its name: {name: sleep, duration: 1s}");
    }
    auto text = TextOf(context_, *name, "a built-in's name");
    if (!text.ok()) return text.status();
    auto at = std::find_if(kBuiltins.begin(), kBuiltins.end(),
                           [&](const Builtin& b) { return b.name == *text; });
    if (at == kBuiltins.end()) {
      std::vector<std::string> names;
      for (const Builtin& b : kBuiltins) names.emplace_back(b.name);
      if (*text == "replay") return context_.NotYet(name->line, "the built-in 'replay'");
      return context_.Error(
          name->line, StrCat("there is no built-in '", *text, "'", graph::DidYouMean(*text, names),
                             "; known: noop, sleep, busy, concat, checksum, generate"));
    }
    v1::BuiltinBody* body = d_.body.mutable_builtin();
    body->set_name(*text);
    if (auto s = Quantity(node, *at, "duration", at->duration); !s.ok()) return s;
    if (auto s = Quantity(node, *at, "size", at->size); !s.ok()) return s;
    return BuiltinOutputs(*at);
  }

  absl::Status Quantity(const YamlNode& node, const Builtin& builtin, std::string_view key,
                        bool needed) {
    const YamlNode* value = node.Find(key);
    if ((value != nullptr) != needed) {
      return context_.Error(
          value == nullptr ? node.line : value->line,
          StrCat("the built-in '", builtin.name, "' ", needed ? "needs a " : "has no ", key));
    }
    if (value == nullptr) return absl::OkStatus();
    auto expanded = ExpandedTextOf(context_, *value, StrCat("the ", key));
    if (!expanded.ok()) return expanded.status();
    auto number = key == "size" ? ParseBytes(*expanded) : ParseDuration(*expanded);
    if (!number.ok())
      return context_.Error(value->line,
                            StrCat("the ", key, ": ", ToStd(number.status().message())));
    key == "size" ? d_.body.mutable_builtin()->set_size_bytes(*number)
                  : d_.body.mutable_builtin()->set_duration_ns(*number);
    return absl::OkStatus();
  }

  const FileContext& context_;
  const YamlNode& task_;
  Definition& d_;
  std::map<std::string, int> files_;
};

absl::Status CompileArgv(const FileContext& context, Definition& d) {
  std::vector<std::string> names = d.AxisNames();
  std::map<std::string, std::string> alias;  // {i.path} is the value of i, where i is a path
  for (const AxisDef& axis : d.axes) {
    if (!axis.lists.empty()) names.push_back(axis.axis.name() + "_list");
    if (axis.is_path) {
      names.push_back(axis.axis.name() + ".path");
      alias[names.back()] = axis.axis.name();
    }
  }
  for (const InputDef& input : d.inputs) names.push_back("in." + input.name);
  for (const v1::OutputSlot& output : d.body.outputs()) {
    if (output.kind() != v1::OutputSlot::STDOUT) names.push_back("out." + output.name());
  }
  for (const auto& item : d.argv->items) {
    auto text = TextOf(context, *item, "a word of argv");
    if (!text.ok()) return text.status();
    auto pieces = ExpandBraces(*text, context.vars, names);
    if (!pieces.ok()) return context.Error(item->line, pieces.status());
    v1::ArgvWord* word = d.body.mutable_command()->add_argv();
    for (const Piece& piece : *pieces) {
      v1::ArgvPiece* made = word->add_pieces();
      if (!piece.is_name) {
        made->set_literal(piece.text);
      } else if (piece.text.starts_with("in.")) {
        made->set_input(piece.text.substr(3));
      } else if (piece.text.starts_with("out.")) {
        made->set_output(piece.text.substr(4));
      } else {
        made->set_value(alias.contains(piece.text) ? alias[piece.text] : piece.text);
      }
    }
  }
  const v1::ArgvWord& program = d.body.command().argv(0);
  if (program.pieces_size() == 0)
    return context.Error(d.argv->line, "the first word of argv, the program, is empty");
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadBody(const FileContext& context, const YamlNode& task, Definition& definition) {
  return BodyReader(context, task, definition).Read();
}

absl::Status FinishBody(const FileContext& context, Definition& d) {
  if (d.body.has_builtin()) return absl::OkStatus();
  const bool function = d.body.has_native() || d.body.has_python();
  std::map<std::string, std::string> seen;  // name that the body sees -> what it is
  auto add = [&](int line, const std::string& name, std::string what) -> absl::Status {
    auto [at, fresh] = seen.emplace(name, what);
    if (fresh) return absl::OkStatus();
    return context.Error(line, StrCat(function ? "" : "$", name, " would be both ", at->second,
                                      " and ", what, "; rename one"));
  };
  for (const auto& [name, value] : context.vars) {
    if (auto s = add(d.line, name, StrCat("the variable '", name, "'")); !s.ok()) return s;
  }
  for (const AxisDef& axis : d.axes) {
    const std::string& name = axis.axis.name();
    if (auto s = add(axis.line, name, StrCat("the axis '", name, "'")); !s.ok()) return s;
    if (axis.lists.empty()) continue;
    if (auto s = add(axis.line, name + "_list", StrCat("the list of '", name, "'")); !s.ok())
      return s;
  }
  for (const InputDef& input : d.inputs) {
    if (auto s = add(input.line, (function ? "" : "in_") + input.name,
                     StrCat("the input '", input.name, "'"));
        !s.ok())
      return s;
  }
  for (int i = 0; i < d.body.outputs_size() && !function; ++i) {
    const std::string& name = d.body.outputs(i).name();
    auto s = add(d.output_lines[static_cast<size_t>(i)], "out_" + name,
                 StrCat("the output '", name, "'"));
    if (!s.ok()) return s;
  }
  return d.argv == nullptr ? absl::OkStatus() : CompileArgv(context, d);
}

}  // namespace taskd::client
