#include "cli/client/graph_reader.h"

#include <algorithm>
#include <charconv>
#include <set>

#include "cli/client/body_reader.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

constexpr std::string_view kOptionKeys = "retry time_limit resources priority expect crash_limit";
constexpr std::string_view kPlannedOptionKeys =
    "environment needs_time pure group placement workers hosts replicas";

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

// Reads the options that a task and `defaults` share.
class OptionReader {
 public:
  explicit OptionReader(const FileContext& context) : context_(context) {}

  absl::Status Read(const YamlNode& map, Resources& need, v1::TaskOptions& options) {
    for (const YamlNode::Entry& entry : map.entries) {
      const YamlNode& node = *entry.value;
      absl::Status status;
      if (entry.key == "retry") status = Retry(node, options);
      if (entry.key == "resources") status = NeedOf(node, need);
      if (entry.key == "expect") status = Expect(node, options);
      if (entry.key == "time_limit") {
        status = Take(node, "the time limit", ParseDuration,
                      [&](uint64_t ns) { options.set_time_limit_ns(ns); });
      }
      if (entry.key == "priority") {
        status = Integer(node, "the priority", -1'000'000, 1'000'000,
                         [&](int64_t v) { options.set_priority(static_cast<int32_t>(v)); });
      }
      if (entry.key == "crash_limit") {
        status = Integer(node, "the crash limit", 1, 1000,
                         [&](int64_t v) { options.set_crash_limit(static_cast<uint32_t>(v)); });
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::string> Text(const YamlNode& node, std::string_view what) {
    auto text = TextOf(context_, node, what);
    if (!text.ok()) return text;
    auto expanded = ExpandVars(*text, context_.vars);
    if (!expanded.ok()) return context_.Error(node.line, expanded.status());
    return expanded;
  }
  template <typename Parse, typename Set>
  absl::Status Take(const YamlNode& node, std::string_view what, Parse parse, Set set) {
    auto text = Text(node, what);
    if (!text.ok()) return text.status();
    auto value = parse(*text);
    if (!value.ok())
      return context_.Error(node.line, StrCat(what, ": ", ToStd(value.status().message())));
    set(*value);
    return absl::OkStatus();
  }
  template <typename Set>
  absl::Status Integer(const YamlNode& node, std::string_view what, int64_t lo, int64_t hi,
                       Set set) {
    auto text = Text(node, what);
    if (!text.ok()) return text.status();
    int64_t value = 0;
    auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
    if (text->empty() || error != std::errc() || end != text->data() + text->size() || value < lo ||
        value > hi) {
      return context_.Error(
          node.line, StrCat(what, " is '", *text, "'; it is a whole number from ", lo, " to ", hi));
    }
    set(value);
    return absl::OkStatus();
  }
  absl::Status Times(const YamlNode& node, v1::TaskOptions& options) {
    return Integer(node, "the number of retries", 0, 1'000'000,
                   [&](int64_t v) { options.set_retries(static_cast<uint32_t>(v)); });
  }
  absl::Status Retry(const YamlNode& node, v1::TaskOptions& options) {
    if (node.kind != YamlNode::kMap) return Times(node, options);
    if (auto status = CheckKeys(context_, node, "retry", "times backoff", "on"); !status.ok())
      return status;
    const YamlNode* times = node.Find("times");
    if (times == nullptr)
      return context_.Error(node.line, "retry needs times: {times: 2, backoff: 10s}");
    if (auto status = Times(*times, options); !status.ok()) return status;
    const YamlNode* backoff = node.Find("backoff");
    if (backoff == nullptr) return absl::OkStatus();
    auto status = Take(*backoff, "the backoff", ParseDuration,
                       [&](uint64_t ns) { options.set_backoff_ns(ns); });
    if (status.ok() && options.backoff_ns() > limits::kBackoffMaxNs) {
      return context_.Error(
          backoff->line, StrCat("the backoff is at most ", FormatDuration(limits::kBackoffMaxNs)));
    }
    return status;
  }
  absl::Status NeedOf(const YamlNode& node, Resources& need) {
    if (node.kind != YamlNode::kMap) {
      return context_.Error(
          node.line,
          StrCat("resources are a mapping like {cpus: 4, mem: 8GiB}, not ", node.KindName()));
    }
    for (const YamlNode::Entry& entry : node.entries) {
      if (entry.key.starts_with("pool."))
        return context_.NotYet(entry.line, StrCat("'", entry.key, "' (a pool)"));
    }
    if (auto status = CheckKeys(context_, node, "resources", "cpus mem", "gpus hosts");
        !status.ok())
      return status;
    if (const YamlNode* cpus = node.Find("cpus")) {
      auto status =
          Take(*cpus, "cpus", ParseCpus, [&](uint32_t milli) { need.cpus_milli = milli; });
      if (!status.ok()) return status;
      if (need.cpus_milli == 0)
        return context_.Error(cpus->line, "a task needs some cpu; give at least 0.001");
    }
    const YamlNode* mem = node.Find("mem");
    if (mem == nullptr) return absl::OkStatus();
    return Take(*mem, "mem", ParseBytes, [&](uint64_t bytes) { need.memory_bytes = bytes; });
  }
  absl::Status Expect(const YamlNode& node, v1::TaskOptions& options) {
    if (node.kind != YamlNode::kMap) {
      return context_.Error(
          node.line,
          StrCat("expect is a mapping like {time: 2s, bytes: 10MiB}, not ", node.KindName()));
    }
    if (auto status = CheckKeys(context_, node, "expect", "time bytes", ""); !status.ok())
      return status;
    if (const YamlNode* time = node.Find("time")) {
      auto status = Take(*time, "the expected time", ParseDuration,
                         [&](uint64_t ns) { options.set_expect_ns(ns); });
      if (!status.ok()) return status;
    }
    const YamlNode* bytes = node.Find("bytes");
    if (bytes == nullptr) return absl::OkStatus();
    return Take(*bytes, "the expected bytes", ParseBytes,
                [&](uint64_t n) { options.set_expect_bytes(n); });
  }

  const FileContext& context_;
};

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
    errors_.Add(keys.ok() ? OptionReader(context_).Read(node, need_, options_) : keys);
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
        StrCat("name over except in out sh argv stdout builtin ", kOptionKeys);
    static const std::string kPlanned =
        StrCat("expand tasks tree on_fail edge native python setup ", kPlannedOptionKeys);
    if (auto s = CheckKeys(context_, node, StrCat("task '", d.name, "'"), kKeys, kPlanned); !s.ok())
      return s;
    d.over = node.Find("over");
    d.except = node.Find("except");
    d.need = need_;
    d.options = options_;
    if (auto s = OptionReader(context_).Read(node, d.need, d.options); !s.ok()) return s;
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
      auto text = TextOf(context_, *item, "a wanted object");
      if (!text.ok()) {
        errors_.Add(text.status());
        continue;
      }
      auto expanded = ExpandVars(*text, context_.vars);
      if (!expanded.ok()) {
        errors_.Add(context_.Error(item->line, expanded.status()));
        continue;
      }
      model_.wants.push_back({*expanded, item->line});
    }
  }

  GraphModel& model_;
  FileContext& context_;
  Errors& errors_;
  Resources need_{1000, 0};
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
