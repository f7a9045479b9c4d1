#include "cli/client/graph_reader.h"

#include <algorithm>
#include <set>

#include "cli/client/body_reader.h"
#include "cli/client/option_reader.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

std::vector<std::string> Words(std::string_view text) {
  std::vector<std::string> words;
  for (size_t i = 0; i < text.size();) {
    size_t space = std::min(text.find(' ', i), text.size());
    if (space > i) words.emplace_back(text.substr(i, space - i));
    i = space + 1;
  }
  return words;
}

}  // namespace

absl::StatusOr<std::string> TextOf(const FileContext& context, const YamlNode& node,
                                   std::string_view what) {
  if (node.kind == YamlNode::kScalar) {
    if (node.text.find('\0') != std::string::npos)
      return context.Error(node.line, StrCat(what, " has a NUL byte in it"));
    return node.text;
  }
  std::string hint;
  if (node.kind == YamlNode::kMap && node.entries.size() == 1 &&
      node.entries[0].value->kind == YamlNode::kNull) {
    hint = StrCat("; quote it: \"{", node.entries[0].key, "}\"");
  }
  return context.Error(node.line, StrCat(what, " is text, not ", node.KindName(), hint));
}

absl::StatusOr<std::string> ExpandedTextOf(const FileContext& context, const YamlNode& node,
                                           std::string_view what) {
  auto text = TextOf(context, node, what);
  if (!text.ok()) return text;
  auto expanded = ExpandVars(*text, context.vars);
  if (!expanded.ok()) return context.Error(node.line, expanded.status());
  return expanded;
}

absl::Status CheckKeys(const FileContext& context, const YamlNode& map, std::string_view where,
                       std::string_view known, std::string_view planned) {
  std::vector<std::string> names = Words(known), later = Words(planned);
  for (const YamlNode::Entry& entry : map.entries) {
    if (std::find(names.begin(), names.end(), entry.key) != names.end()) continue;
    if (std::find(later.begin(), later.end(), entry.key) != later.end()) {
      return context.NotYet(entry.line, StrCat("'", entry.key, "' in ", where));
    }
    std::string list;
    for (const std::string& name : names) list += StrCat(list.empty() ? "" : ", ", name);
    return context.Error(entry.line,
                         StrCat("'", entry.key, "' is no key of ", where,
                                graph::DidYouMean(entry.key, names), "; known: ", list));
  }
  return absl::OkStatus();
}

namespace {

// Variables may use each other, in any order.
class VarReader {
 public:
  VarReader(FileContext& context, Errors& errors) : context_(context), errors_(errors) {}

  void Read(const YamlNode* vars, const std::map<std::string, std::string>& defines) {
    std::vector<std::string> names;
    if (vars != nullptr && vars->kind != YamlNode::kNull) {
      if (vars->kind != YamlNode::kMap) {
        return errors_.Add(context_.Error(
            vars->line, StrCat("vars is a mapping of names to text, not ", vars->KindName())));
      }
      for (const YamlNode::Entry& entry : vars->entries) {
        names.push_back(entry.key);
        if (!graph::IsIdentifier(entry.key)) {
          errors_.Add(
              context_.Error(entry.line, StrCat("the variable '", entry.key,
                                                "' cannot be an environment variable: "
                                                "a letter or _, then letters, digits and _")));
          continue;
        }
        auto text = TextOf(context_, *entry.value, StrCat("the variable '", entry.key, "'"));
        if (!text.ok()) {
          errors_.Add(text.status());
          continue;
        }
        raw_[entry.key] = {*text, entry.line};
      }
    }
    for (const auto& [name, value] : defines) {
      auto at = raw_.find(name);
      if (at == raw_.end()) {
        errors_.Add(absl::InvalidArgumentError(StrCat("-D ", name, "=...: ", context_.file,
                                                      " has no variable '", name, "'",
                                                      graph::DidYouMean(name, names))));
        continue;
      }
      at->second.text = value;
    }
    for (const auto& [name, raw] : raw_) Evaluate(name);
  }

 private:
  struct Raw {
    std::string text;
    int line = 0;
  };
  void Evaluate(const std::string& name) {
    if (context_.vars.contains(name)) return;
    const Raw& raw = raw_[name];
    if (!open_.insert(name).second) {
      if (failed_.insert(name).second) {
        errors_.Add(
            context_.Error(raw.line, StrCat("the variable '", name, "' is made from itself")));
      }
      context_.vars[name] = "";
      return;
    }
    for (const auto& [other, unused] : raw_) {
      if (raw.text.find('{') != std::string::npos && Mentions(raw.text, other)) Evaluate(other);
    }
    auto value = ExpandVars(raw.text, context_.vars);
    if (!value.ok() && !failed_.contains(name))
      errors_.Add(context_.Error(raw.line, value.status()));
    if (value.ok() && value->size() >= kArgumentBytes) {
      errors_.Add(
          context_.Error(raw.line, StrCat("the variable '", name,
                                          "' is over 128 KiB, the most that a process gets; put "
                                          "it into a file")));
    }
    context_.vars[name] = value.ok() ? *value : "";
    open_.erase(name);
  }
  // Whether `name` stands inside braces.
  static bool Mentions(const std::string& text, const std::string& name) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
      size_t open = text.rfind('{', at), close = text.rfind('}', at);
      auto part_of_name = [](char c) {
        return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
      };
      bool whole = (at == 0 || !part_of_name(text[at - 1])) &&
                   (at + name.size() == text.size() || !part_of_name(text[at + name.size()]));
      if (whole && open != std::string::npos && (close == std::string::npos || close < open))
        return true;
    }
    return false;
  }

  FileContext& context_;
  Errors& errors_;
  std::map<std::string, Raw> raw_;
  std::set<std::string> open_, failed_;
};

class GraphReader {
 public:
  GraphReader(GraphModel& model, Errors& errors)
      : model_(model), context_(model.context), errors_(errors) {}

  void Read(const std::map<std::string, std::string>& defines) {
    const YamlNode& root = *model_.root;
    if (root.kind != YamlNode::kMap) {
      return errors_.Add(context_.Error(
          root.line,
          StrCat("a graph file is a mapping that begins with 'taskd: 1', not ", root.KindName())));
    }
    errors_.Add(CheckKeys(context_, root, "a graph file", "taskd vars defaults tasks want",
                          "environments"));
    const YamlNode* version = root.Find("taskd");
    if (version == nullptr)
      return errors_.Add(
          context_.Error(root.line, "'taskd: 1' is missing: the version of the language"));
    if (version->kind != YamlNode::kScalar || version->text != "1") {
      return errors_.Add(context_.Error(
          version->line, StrCat("'taskd: ", version->text, "': this taskctl reads version 1")));
    }
    VarReader(context_, errors_).Read(root.Find("vars"), defines);
    if (errors_.any()) return;
    if (const YamlNode* defaults = root.Find("defaults");
        defaults != nullptr && defaults->kind != YamlNode::kNull) {
      Defaults(*defaults);
    }
    Tasks(root.Find("tasks"), root.line);
    Wants(root.Find("want"));
  }

 private:
  void Defaults(const YamlNode& node) {
    if (node.kind != YamlNode::kMap) {
      return errors_.Add(context_.Error(
          node.line, StrCat("defaults is a mapping of task options, not ", node.KindName())));
    }
    absl::Status keys = CheckKeys(context_, node, "defaults", kOptionKeys, kPlannedOptionKeys);
    errors_.Add(keys.ok() ? ReadOptions(context_, node, shape_, options_) : keys);
  }

  void Tasks(const YamlNode* tasks, int line) {
    if (tasks == nullptr || tasks->kind == YamlNode::kNull ||
        (tasks->kind == YamlNode::kList && tasks->items.empty())) {
      return errors_.Add(context_.Error(tasks == nullptr ? line : tasks->line,
                                        "the graph is empty: 'tasks' has no task"));
    }
    if (tasks->kind != YamlNode::kList) {
      return errors_.Add(context_.Error(
          tasks->line,
          StrCat("tasks is a list, each begins with '- name: ...', not ", tasks->KindName())));
    }
    std::map<std::string, int> lines;
    for (const auto& item : tasks->items) {
      Definition definition;
      absl::Status status = Task(*item, definition);
      if (!definition.name.empty()) {
        auto [at, fresh] = lines.emplace(definition.name, definition.line);
        if (!fresh) {
          errors_.Add(
              context_.Error(definition.line, StrCat("there are two tasks named '", definition.name,
                                                     "'; the first is in line ", at->second)));
        }
      }
      errors_.Add(status);
      model_.by_name.emplace(definition.name, model_.definitions.size());
      model_.definitions.push_back(std::move(definition));
    }
  }

  absl::Status Task(const YamlNode& node, Definition& d) {
    d.line = node.line;
    if (node.kind != YamlNode::kMap) {
      return context_.Error(node.line, StrCat("a task is a mapping like {name: ..., sh: ...}, not ",
                                              node.KindName()));
    }
    const YamlNode* name = node.Find("name");
    if (name == nullptr)
      return context_.Error(node.line, "a task without a name; begin it with 'name: ...'");
    auto text = TextOf(context_, *name, "a task's name");
    if (!text.ok()) return text.status();
    if (!graph::IsTemplateName(*text)) {
      return context_.Error(
          name->line, StrCat("'", *text,
                             "' cannot be a task's name: a letter or _, then letters, digits, "
                             "_ and -; values belong into 'over'"));
    }
    d.name = *text;
    static const std::string kKeys =
        StrCat("name over except in out sh argv stdout native python builtin ", kOptionKeys);
    static const std::string kPlanned =
        StrCat("expand tasks tree on_fail edge setup ", kPlannedOptionKeys);
    if (auto s = CheckKeys(context_, node, StrCat("task '", d.name, "'"), kKeys, kPlanned); !s.ok())
      return s;
    d.over = node.Find("over");
    d.except = node.Find("except");
    d.shape = shape_;
    d.options = options_;
    if (auto s = ReadOptions(context_, node, d.shape, d.options); !s.ok()) return s;
    return ReadBody(context_, node, d);
  }

  void Wants(const YamlNode* want) {
    if (want == nullptr || want->kind == YamlNode::kNull) return;
    if (want->kind != YamlNode::kList) {
      return errors_.Add(context_.Error(
          want->line,
          StrCat("want is a list of objects like [top.words], not ", want->KindName())));
    }
    for (const auto& item : want->items) {
      if (item->kind == YamlNode::kMap && item->Find("object") != nullptr) {
        errors_.Add(
            context_.NotYet(item->line, "want with 'object' and 'to' (use 'taskctl object get')"));
        continue;
      }
      auto text = ExpandedTextOf(context_, *item, "a wanted object");
      errors_.Add(text.status());
      if (text.ok()) model_.wants.push_back({*text, item->line});
    }
  }

  GraphModel& model_;
  FileContext& context_;
  Errors& errors_;
  v1::Shape shape_ = DefaultShape();
  v1::TaskOptions options_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<GraphModel>> ReadGraph(
    std::string_view content, std::string_view file, std::string_view folder,
    const std::map<std::string, std::string>& defines) {
  auto model = std::make_unique<GraphModel>();
  model->context.file = std::string(file);
  model->context.folder = std::string(folder);
  auto root = ParseYaml(content, file);
  if (!root.ok()) return root.status();
  model->root = *root;
  Errors errors;
  GraphReader(*model, errors).Read(defines);
  if (errors.any()) return errors.Take();
  return model;
}

}  // namespace taskd::client
