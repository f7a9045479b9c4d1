#include "cli/client/axes.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "cli/client/globs.h"
#include "cli/client/graph_reader.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

struct Number {
  int64_t value = 0;
  size_t width = 0;  // of a number with leading zeros; else 0
};

std::optional<Number> ParseNumber(std::string_view text) {
  Number number;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number.value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  if (text.size() > 1 && text[0] == '0') number.width = text.size();
  return number;
}

bool HasControlCharacters(std::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; });
}

class AxisResolver {
 public:
  explicit AxisResolver(GraphModel& model) : model_(model), context_(model.context) {}

  void ResolveAll(Errors& errors) {
    states_.assign(model_.definitions.size(), State::kNew);
    for (size_t i = 0; i < model_.definitions.size(); ++i) {
      absl::Status status = Resolve(i);
      // A template that waits for a broken one says nothing of its own.
      if (!status.ok() && status.code() != absl::StatusCode::kAborted) errors.Add(status);
    }
  }

 private:
  enum class State { kNew, kOpen, kDone, kFailed };

  absl::Status Resolve(size_t i) {
    Definition& d = model_.definitions[i];
    if (states_[i] == State::kDone) return absl::OkStatus();
    if (states_[i] == State::kFailed) return absl::AbortedError("said before");
    if (states_[i] == State::kOpen) {
      return context_.Error(d.line, StrCat("the axes of '", d.name, "' are made from themselves"));
    }
    states_[i] = State::kOpen;
    absl::Status status = Make(d);
    states_[i] = status.ok() ? State::kDone : State::kFailed;
    return status;
  }

  absl::Status Make(Definition& d) {
    if (d.over != nullptr && d.over->kind != YamlNode::kNull) {
      if (d.over->kind != YamlNode::kMap || d.over->entries.empty()) {
        return context_.Error(
            d.over->line,
            StrCat("over is a mapping of axes like {i: 1..100}, not ", d.over->KindName()));
      }
      for (const YamlNode::Entry& entry : d.over->entries) {
        AxisDef axis;
        axis.line = entry.line;
        axis.axis.set_name(entry.key);
        if (!graph::IsIdentifier(entry.key)) {
          return context_.Error(entry.line,
                                StrCat("the axis '", entry.key,
                                       "' cannot be an environment variable: a letter or "
                                       "_, then letters, digits and _"));
        }
        if (auto s = Values(*entry.value, axis); !s.ok()) return s;
        d.axes.push_back(std::move(axis));
      }
    }
    if (auto s = CheckSize(d); !s.ok()) return s;
    v1::Template full = d.table;
    auto names = graph::TemplateNames::Create(full);
    if (!names.ok()) return context_.Error(d.line, names.status());
    if (d.except != nullptr && d.except->kind != YamlNode::kNull) {
      if (auto s = Except(d, *names); !s.ok()) return s;
      names = graph::TemplateNames::Create(d.table);
      if (!names.ok()) return context_.Error(d.line, names.status());
    }
    d.names = std::make_unique<graph::TemplateNames>(*std::move(names));
    return absl::OkStatus();
  }

  // Builds the table, within the limits on tasks and keys.
  absl::Status CheckSize(Definition& d) {
    unsigned __int128 rows = 1;
    size_t key_bytes = d.name.size() + 1 + d.axes.size();
    std::string product;
    d.table.set_name(d.name);
    for (const AxisDef& axis : d.axes) {
      uint32_t size = graph::AxisSize(axis.axis);
      rows *= size;
      product += StrCat(product.empty() ? "" : " x ", size);
      if (rows > limits::kTasksPerJob) {
        return context_.Error(axis.line,
                              StrCat("'", d.name, "' would have ", product,
                                     " tasks; the limit of a job is ", limits::kTasksPerJob));
      }
      size_t longest = 0;
      std::string escaped;
      for (const std::string& value : axis.axis.values()) {
        escaped.clear();
        graph::AppendValue(escaped, value);
        longest = std::max(longest, escaped.size());
      }
      key_bytes += axis.axis.values_size() > 0 ? longest : 20;
      *d.table.add_axes() = axis.axis;
    }
    if (key_bytes > limits::kKeyBytes) {
      return context_.Error(
          d.line, StrCat("the keys of '", d.name, "' would take up to ", key_bytes,
                         " bytes; the limit is ", limits::kKeyBytes, "; use shorter values"));
    }
    d.table.set_task_count(static_cast<uint32_t>(rows));
    return absl::OkStatus();
  }

  absl::Status Values(const YamlNode& node, AxisDef& axis) {
    switch (node.kind) {
      case YamlNode::kList:
        return List(node, axis);
      case YamlNode::kMap:
        return FromMap(node, axis);
      case YamlNode::kScalar:
        return FromText(node, axis);
      case YamlNode::kNull:
        break;
    }
    return context_.Error(node.line, StrCat("the axis '", axis.axis.name(),
                                            "' has no values; write a list, a range like "
                                            "1..100, {glob: ...} or {lines: ...}"));
  }

  // Adds values that people wrote or files hold, each once.
  absl::Status AddValues(int line, const std::vector<std::string>& values, AxisDef& axis) {
    absl::flat_hash_set<absl::string_view> seen;
    seen.reserve(values.size());
    for (const std::string& value : values) {
      if (HasControlCharacters(value) || FirstLineNotUtf8(value) > 0) {
        return context_.Error(line, StrCat("a value of axis '", axis.axis.name(),
                                           "' has control characters or is not UTF-8, "
                                           "so it cannot be part of a task's name"));
      }
      if (!seen.insert(value).second) {
        return context_.Error(
            line, StrCat("the axis '", axis.axis.name(), "' has the value '", value, "' twice"));
      }
      axis.axis.add_values(value);
    }
    return absl::OkStatus();
  }

  absl::Status List(const YamlNode& node, AxisDef& axis) {
    if (node.items.empty())
      return context_.Error(node.line,
                            StrCat("the axis '", axis.axis.name(), "' is an empty list"));
    std::vector<std::string> values;
    for (const auto& item : node.items) {
      auto text = Text(*item, StrCat("a value of axis '", axis.axis.name(), "'"));
      if (!text.ok()) return text.status();
      values.push_back(*std::move(text));
    }
    return AddValues(node.line, values, axis);
  }

  absl::StatusOr<std::string> Text(const YamlNode& node, std::string_view what) {
    return ExpandedTextOf(context_, node, what);
  }

  // "1..200", "0..100..5" or "sim.alpha".
  absl::Status FromText(const YamlNode& node, AxisDef& axis) {
    auto text = Text(node, "an axis");
    if (!text.ok()) return text.status();
    if (text->find("..") != std::string::npos) return Range(node.line, *text, axis);
    if (text->find('.') != std::string::npos) return OtherAxis(node.line, *text, axis);
    if (*text == "rows") return context_.NotYet(node.line, "an axis over rows");
    return context_.Error(
        node.line,
        StrCat("the axis '", axis.axis.name(), "' is '", *text, "'; write a list [", *text,
               "], a range like 1..100, an axis like sim.alpha, {glob: ...} or {lines: ...}"));
  }

  absl::Status Range(int line, const std::string& text, AxisDef& axis) {
    size_t first_dots = text.find(".."), second_dots = text.find("..", first_dots + 2);
    std::string_view view = text;
    auto lo = ParseNumber(view.substr(0, first_dots));
    auto hi = ParseNumber(view.substr(first_dots + 2, second_dots == std::string::npos
                                                          ? second_dots
                                                          : second_dots - first_dots - 2));
    std::optional<Number> step = Number{1, 0};
    if (second_dots != std::string::npos) step = ParseNumber(view.substr(second_dots + 2));
    if (!lo || !hi || !step || step->value == 0) {
      return context_.Error(
          line,
          StrCat("'", text, "' is not a range; write whole numbers like 1..100 or 0..100..5"));
    }
    __int128 distance = static_cast<__int128>(hi->value) - lo->value;
    if (distance != 0 && (distance < 0) != (step->value < 0)) {
      return context_.Error(line, StrCat("the range '", text, "' is empty",
                                         distance < 0 ? "; downwards is 5..1..-1" : ""));
    }
    __int128 count = distance / step->value + 1;
    if (count > limits::kTasksPerJob) {
      return context_.Error(
          line, StrCat("the range '", text, "' has more values than a job may have tasks (",
                       limits::kTasksPerJob, ")"));
    }
    size_t width = std::max(lo->width, hi->width);
    if (width == 0) {
      axis.axis.set_first(lo->value);
      axis.axis.set_step(step->value);
      axis.axis.set_count(static_cast<uint32_t>(count));
      return absl::OkStatus();
    }
    if (lo->value < 0 || hi->value < 0)
      return context_.Error(line, StrCat("'", text, "': leading zeros and signs do not mix"));
    for (int64_t i = 0; i < static_cast<int64_t>(count); ++i) {  // 001..100 keeps its width
      std::string value = StrCat(lo->value + i * step->value);
      if (value.size() < width) value.insert(0, width - value.size(), '0');
      axis.axis.add_values(std::move(value));
    }
    return absl::OkStatus();
  }

  absl::Status OtherAxis(int line, const std::string& text, AxisDef& axis) {
    size_t dot = text.find('.');
    std::string name = text.substr(0, dot), other = text.substr(dot + 1);
    auto at = model_.by_name.find(name);
    if (at == model_.by_name.end()) {
      return context_.Error(
          line, StrCat("there is no task '", name, "'", graph::DidYouMean(name, model_.Names())));
    }
    if (auto s = Resolve(at->second); !s.ok()) return s;
    const Definition& d = model_.definitions[at->second];
    for (const AxisDef& candidate : d.axes) {
      if (candidate.axis.name() != other) continue;
      std::string own = axis.axis.name();
      axis.axis = candidate.axis;
      axis.axis.set_name(own);
      axis.is_path = candidate.is_path;
      return absl::OkStatus();
    }
    return context_.Error(line, StrCat("'", name, "' has no axis '", other, "'",
                                       graph::DidYouMean(other, d.AxisNames())));
  }

  absl::Status FromMap(const YamlNode& node, AxisDef& axis) {
    if (node.entries.size() == 1 && node.entries[0].value->kind == YamlNode::kNull) {
      return TextOf(context_, node, "an axis").status();
    }
    if (auto s = CheckKeys(context_, node, "an axis", "glob lines into by", "rows columns");
        !s.ok())
      return s;
    const YamlNode* glob = node.Find("glob");
    const YamlNode* lines = node.Find("lines");
    if ((glob != nullptr) == (lines != nullptr)) {
      return context_.Error(
          node.line, StrCat("the axis '", axis.axis.name(), "' needs one of glob and lines"));
    }
    const YamlNode* into = node.Find("into");
    const YamlNode* by = node.Find("by");
    if (lines != nullptr) {
      if (into != nullptr) return context_.NotYet(into->line, "'into' for lines of a file");
      if (by != nullptr) return context_.Error(by->line, "'by' belongs to a glob cut 'into' lists");
      return Lines(*lines, axis);
    }
    std::vector<FoundFile> files;
    if (auto s = Glob(*glob, files); !s.ok()) return s;
    if (into != nullptr) return Into(*into, by, std::move(files), axis);
    if (by != nullptr) return context_.Error(by->line, "'by' belongs to a glob cut 'into' lists");
    std::vector<std::string> values;
    for (FoundFile& file : files) values.push_back(std::move(file.path));
    axis.is_path = true;
    return AddValues(glob->line, values, axis);
  }

  absl::Status Glob(const YamlNode& node, std::vector<FoundFile>& files) {
    std::vector<const YamlNode*> patterns = {&node};
    if (node.kind == YamlNode::kList) {
      patterns.clear();
      for (const auto& item : node.items) patterns.push_back(item.get());
    }
    for (const YamlNode* pattern : patterns) {
      auto text = Text(*pattern, "a glob");
      if (!text.ok()) return text.status();
      auto found = FindFiles(*text, context_.folder);
      if (!found.ok()) return context_.Error(pattern->line, found.status());
      if (found->empty())
        return context_.Error(pattern->line, StrCat("the glob '", *text, "' matches nothing"));
      files.insert(files.end(), found->begin(), found->end());
    }
    if (patterns.size() == 1) return absl::OkStatus();
    std::sort(files.begin(), files.end(),
              [](const FoundFile& a, const FoundFile& b) { return a.path < b.path; });
    auto same = [](const FoundFile& a, const FoundFile& b) { return a.path == b.path; };
    files.erase(std::unique(files.begin(), files.end(), same), files.end());
    return absl::OkStatus();
  }

  absl::Status Into(const YamlNode& into, const YamlNode* by, std::vector<FoundFile> files,
                    AxisDef& axis) {
    if (by != nullptr && by->text != "bytes") {
      return context_.Error(by->line,
                            StrCat("lists are balanced 'by: bytes', not '", by->text, "'"));
    }
    auto text = Text(into, "the number of lists");
    if (!text.ok()) return text.status();
    auto count = ParseNumber(*text);
    constexpr int64_t kLists = 1'000'000;
    if (!count || count->value < 1 || count->value > kLists) {
      return context_.Error(into.line, StrCat("the number of lists is '", *text,
                                              "'; it is a whole number from 1 to ", kLists));
    }
    for (const FoundFile& file : files) {
      if (file.path.find('\n') != std::string::npos) {
        return context_.Error(into.line,
                              "a file's name has a newline in it, so it cannot stand in a list");
      }
    }
    for (const auto& list : Balance(std::move(files), static_cast<uint32_t>(count->value))) {
      std::string& lines = axis.lists.emplace_back();
      for (const FoundFile& file : list) lines += StrCat(file.path, "\n");
      if (lines.size() > limits::kArgsBytes - limits::kKeyBytes) {
        return context_.Error(into.line, StrCat("one of the ", *text, " lists takes ", lines.size(),
                                                " bytes; the limit is ", limits::kArgsBytes,
                                                "; cut the files into more lists"));
      }
    }
    axis.axis.set_first(0);
    axis.axis.set_step(1);
    axis.axis.set_count(static_cast<uint32_t>(count->value));
    return absl::OkStatus();
  }

  absl::Status Lines(const YamlNode& node, AxisDef& axis) {
    auto text = Text(node, "the file of lines");
    if (!text.ok()) return text.status();
    std::string path = context_.Absolute(*text);
    std::ifstream in(path);
    std::vector<std::string> values;
    for (std::string line; std::getline(in, line);) {
      if (line.ends_with('\r')) line.pop_back();
      if (!line.empty()) values.push_back(std::move(line));
    }
    if (!in.eof())
      return context_.Error(node.line,
                            StrCat("cannot read the lines of '", path, "': is it there?"));
    if (values.empty())
      return context_.Error(node.line, StrCat("the file '", path, "' has no lines"));
    return AddValues(node.line, values, axis);
  }

  absl::Status Except(Definition& d, const graph::TemplateNames& full) {
    if (d.except->kind != YamlNode::kList) {
      return context_.Error(
          d.except->line,
          StrCat("except is a list like [{alpha: 0.2, seed: 13}], not ", d.except->KindName()));
    }
    if (d.axes.empty())
      return context_.Error(d.except->line, "except without over: there is nothing to take out");
    std::set<uint32_t> rows;
    for (const auto& item : d.except->items) {
      if (item->kind != YamlNode::kMap || item->entries.empty()) {
        return context_.Error(item->line,
                              StrCat("an exception is a mapping like {alpha: 0.2, seed: 13}, not ",
                                     item->KindName()));
      }
      std::vector<graph::Selector> selectors(d.axes.size(), graph::Selector{true, ""});
      std::vector<std::string> names = d.AxisNames();
      for (const YamlNode::Entry& entry : item->entries) {
        auto at = std::find(names.begin(), names.end(), entry.key);
        if (at == names.end()) {
          return context_.Error(entry.line, StrCat("'", d.name, "' has no axis '", entry.key, "'",
                                                   graph::DidYouMean(entry.key, names)));
        }
        auto value = Text(*entry.value, "a value to take out");
        if (!value.ok()) return value.status();
        selectors[static_cast<size_t>(at - names.begin())] = {false, *value};
      }
      auto runs = full.Match(selectors);
      if (!runs.ok()) return context_.Error(item->line, runs.status());
      for (const graph::Run& run : *runs) {
        for (uint32_t i = 0; i < run.count; ++i) rows.insert(run.first + i * run.stride);
      }
    }
    if (rows.size() >= full.task_count()) {
      return context_.Error(d.except->line, StrCat("nothing is left of '", d.name, "'"));
    }
    d.table.mutable_excluded()->Add(rows.begin(), rows.end());
    d.table.set_task_count(full.task_count() - static_cast<uint32_t>(rows.size()));
    return absl::OkStatus();
  }

  GraphModel& model_;
  const FileContext& context_;
  std::vector<State> states_;
};

}  // namespace

void ResolveAxes(GraphModel& model, Errors& errors) { AxisResolver(model).ResolveAll(errors); }

}  // namespace taskd::client
