#include "cli/client/references.h"

#include <algorithm>
#include <cctype>
#include <queue>

#include "cli/client/graph_reader.h"
#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

// "{i}-1": a neighbour, not a value that is spelled so.
bool IsIndexArithmetic(std::string_view text) {
  size_t close = text.find('}');
  if (text.empty() || text[0] != '{' || close == std::string_view::npos ||
      close + 2 >= text.size() + 0)
    return false;
  if (text[close + 1] != '-' && text[close + 1] != '+') return false;
  return std::all_of(text.begin() + static_cast<std::ptrdiff_t>(close) + 2, text.end(),
                     [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; });
}

std::vector<std::string> OutputNames(const Definition& d) {
  std::vector<std::string> names;
  for (const v1::OutputSlot& output : d.body.outputs()) names.push_back(output.name());
  return names;
}

// The axis of the reader that pieces mention; -1: none, -2: several.
int OwnAxis(const Definition& reader, const std::vector<Piece>& pieces) {
  int own = -1;
  std::vector<std::string> names = reader.AxisNames();
  for (const Piece& piece : pieces) {
    if (!piece.is_name) continue;
    int axis = static_cast<int>(std::find(names.begin(), names.end(), piece.text) - names.begin());
    if (own >= 0 && own != axis) return -2;
    own = axis;
  }
  return own;
}

std::string WithValue(const std::vector<Piece>& pieces, const std::string& value) {
  std::string text;
  for (const Piece& piece : pieces) text += piece.is_name ? value : piece.text;
  return text;
}

bool SameValues(const v1::Axis& a, const v1::Axis& b) {
  if (graph::AxisSize(a) != graph::AxisSize(b) || a.values_size() != b.values_size()) return false;
  if (a.values_size() == 0) return a.first() == b.first() && a.step() == b.step();
  return std::equal(a.values().begin(), a.values().end(), b.values().begin());
}

}  // namespace

absl::StatusOr<Reference> FindReference(const GraphModel& model, int line,
                                        const std::string& text) {
  const FileContext& context = model.context;
  Reference reference;
  if (text.ends_with(".*"))
    return context.NotYet(line, StrCat("'", text, "' (every output of a task)"));
  auto name = graph::SplitName(text);
  if (!name.ok()) return context.Error(line, name.status());
  reference.name = *std::move(name);
  const graph::ParsedName& parsed = reference.name;
  auto found = model.by_name.find(parsed.template_name);
  if (found == model.by_name.end()) {
    return context.Error(line, StrCat("'", text, "': there is no task '", parsed.template_name, "'",
                                      graph::DidYouMean(parsed.template_name, model.Names())));
  }
  reference.definition = found->second;
  const Definition* at = &model.definitions[found->second];
  std::vector<std::string> outputs = OutputNames(*at);
  std::string list;
  for (const std::string& output : outputs) list += StrCat(list.empty() ? "" : ", ", output);
  if (parsed.output.empty()) {
    return context.Error(line, StrCat("'", text, "' names tasks, not objects; add an output, like ",
                                      text, ".", outputs.empty() ? "x" : outputs[0]));
  }
  int output = at->FindOutput(parsed.output);
  if (output < 0) {
    return context.Error(line, StrCat("'", text, "': '", at->name, "' has no output '",
                                      parsed.output, "'", graph::DidYouMean(parsed.output, outputs),
                                      list.empty() ? "; it has none" : "; it has ", list));
  }
  reference.output = static_cast<uint32_t>(output);
  if (!parsed.indexed && !at->axes.empty()) {
    std::string stars;
    for (size_t i = 0; i < at->axes.size(); ++i) stars += i == 0 ? "*" : ",*";
    return context.Error(line, StrCat("'", text, "': '", at->name, "' has ",
                                      at->names->task_count(), " tasks; write ", at->name, "[",
                                      stars, "].", parsed.output, " for all of them"));
  }
  if (parsed.indexed && parsed.selectors.size() != at->axes.size()) {
    auto rows = at->names->Match(parsed.selectors);
    return context.Error(line, rows.ok() ? absl::InvalidArgumentError(
                                               StrCat("'", text, "' has a wrong number of values"))
                                         : rows.status());
  }
  return reference;
}

absl::StatusOr<InputPlan> InputPlan::Create(const GraphModel& model, const Definition& reader,
                                            const InputDef& input, uint32_t slot) {
  const FileContext& context = model.context;
  auto reference = FindReference(model, input.line, input.text);
  if (!reference.ok()) return reference.status();
  InputPlan plan;
  plan.producer_ = reference->definition;
  plan.definition_ = &model.definitions[plan.producer_];
  plan.text_ = input.text;
  plan.line_ = input.line;
  plan.slot_ = slot;
  plan.output_ = reference->output;
  for (uint32_t k = 0; k < reference->name.selectors.size(); ++k) {
    auto axis = plan.PlanAxis(context, reader, k, reference->name.selectors[k]);
    if (!axis.ok()) return axis.status();
    plan.axes_.push_back(*std::move(axis));
  }
  if (reference->name.has_parts) {
    auto s = plan.PlanParts(context, reader,
                            plan.definition_->body.outputs(static_cast<int>(plan.output_)),
                            reference->name.parts_text);
    if (!s.ok()) return s;
  }
  return plan;
}

absl::StatusOr<InputPlan::AxisPlan> InputPlan::PlanAxis(const FileContext& context,
                                                        const Definition& reader, uint32_t axis,
                                                        const graph::Selector& selector) {
  const graph::TemplateNames& names = *definition_->names;
  AxisPlan plan;
  if (selector.all) {
    folder_ = true;
    plan.fixed = {0, names.axis_size(axis)};
    return plan;
  }
  if (IsIndexArithmetic(selector.value)) {
    return context.NotYet(line_, StrCat("'", text_, "': index arithmetic"));
  }
  std::vector<std::string> own_names = reader.AxisNames();
  for (const std::string& name : reader.AxisNames()) {
    if (selector.value.find(StrCat("{", name, ".")) != std::string::npos) {
      return context.NotYet(line_, StrCat("'", text_, "': columns of rows"));
    }
  }
  auto pieces = ExpandBraces(selector.value, context.vars, own_names);
  if (!pieces.ok()) return context.Error(line_, pieces.status());
  plan.own_axis = OwnAxis(reader, *pieces);
  if (plan.own_axis == -2)
    return context.NotYet(line_, StrCat("'", text_, "': two axes in one place"));
  if (plan.own_axis == -1) {
    std::string value = WithValue(*pieces, "");
    auto found = names.MatchAxis(axis, {false, value});
    if (!found.ok())
      return context.Error(line_, StrCat("'", text_, "': ", ToStd(found.status().message())));
    plan.fixed = *found;
    folder_ |=
        value.find("..") != std::string::npos && graph::FindAxisValue(names.axis(axis), value) < 0;
    return plan;
  }
  const v1::Axis& own = reader.axes[static_cast<size_t>(plan.own_axis)].axis;
  if (pieces->size() == 1 && SameValues(own, names.axis(axis))) {
    plan.identity = true;
    return plan;
  }
  // Long lists of values are looked up in a table instead of one after the other.
  const v1::Axis& theirs = names.axis(axis);
  absl::flat_hash_map<absl::string_view, uint32_t> positions;
  for (int i = 0; i < theirs.values_size(); ++i)
    positions.emplace(theirs.values(i), static_cast<uint32_t>(i));
  bool ranges = std::any_of(pieces->begin(), pieces->end(), [](const Piece& p) {
    return !p.is_name && p.text.find("..") != std::string::npos;
  });
  folder_ |= ranges;
  for (uint32_t i = 0; i < graph::AxisSize(own); ++i) {
    std::string value = WithValue(*pieces, graph::AxisValue(own, i));
    if (auto at = positions.find(value); at != positions.end()) {
      plan.by_position.push_back({at->second, at->second + 1});
      continue;
    }
    auto found = names.MatchAxis(axis, {false, value});
    if (found.ok() && !ranges && found->hi - found->lo != 1) folder_ = true;
    if (!found.ok())
      return context.Error(line_, StrCat("'", text_, "': ", ToStd(found.status().message())));
    plan.by_position.push_back(*found);
  }
  return plan;
}

absl::Status InputPlan::PlanParts(const FileContext& context, const Definition& reader,
                                  const v1::OutputSlot& output, const std::string& text) {
  if (output.parts() == 0) {
    std::string how =
        StrCat("; write it as out: {", output.name(), ": {parts: \"p/{k}\", count: 16}}");
    if (output.kind() == v1::OutputSlot::VALUE)
      how = StrCat("; write it as out: [{", output.name(), ": {count: 16}}]");
    if (definition_->body.has_builtin()) how = ": a built-in makes none";
    return context.Error(line_, StrCat("'", text_, "': ", definition_->name, ".", output.name(),
                                       " has no parts", how));
  }
  if (IsIndexArithmetic(text))
    return context.NotYet(line_, StrCat("'", text_, "': index arithmetic"));
  auto pieces = ExpandBraces(text, context.vars, reader.AxisNames());
  if (!pieces.ok()) return context.Error(line_, pieces.status());
  parts_axis_ = OwnAxis(reader, *pieces);
  if (parts_axis_ == -2)
    return context.NotYet(line_, StrCat("'", text_, "': two axes in one place"));
  const v1::Axis* own =
      parts_axis_ < 0 ? nullptr : &reader.axes[static_cast<size_t>(parts_axis_)].axis;
  uint32_t count = own == nullptr ? 1 : graph::AxisSize(*own);
  for (uint32_t i = 0; i < count; ++i) {
    std::string value = WithValue(*pieces, own == nullptr ? "" : graph::AxisValue(*own, i));
    PartRange parts;
    if (!graph::ParseParts(value, parts)) {
      return context.Error(line_, StrCat("'", text_, "': '", value,
                                         "' is not a part: a number, a range like 0..3, or *"));
    }
    if (parts.hi > output.parts()) {
      return context.Error(line_, StrCat("'", text_, "': there is no part ", parts.hi - 1, "; ",
                                         definition_->name, ".", output.name(), " has ",
                                         output.parts(), " parts, 0 .. ", output.parts() - 1));
    }
    parts_by_position_.push_back(parts);
  }
  parts_ = parts_by_position_[0];
  return absl::OkStatus();
}

absl::Status InputPlan::AppendEdges(const FileContext& context, const Definition& reader,
                                    uint32_t row, Ordinal first_object, BatchWriter& writer,
                                    std::vector<Edge>& edges) {
  PartRange parts = parts_;
  if (parts_axis_ >= 0)
    parts = parts_by_position_[reader.names->Position(row, static_cast<uint32_t>(parts_axis_))];
  std::vector<Interval> intervals;
  uint64_t key = 0;
  bool single = true;
  for (const AxisPlan& axis : axes_) {
    Interval interval = axis.fixed;
    if (axis.own_axis >= 0) {
      uint32_t position = reader.names->Position(row, static_cast<uint32_t>(axis.own_axis));
      key = key * reader.names->axis_size(static_cast<uint32_t>(axis.own_axis)) + position;
      interval = axis.identity ? Interval{position, position + 1} : axis.by_position[position];
    }
    single = single && interval.hi - interval.lo == 1;
    intervals.push_back(interval);
  }
  const auto outputs = static_cast<uint32_t>(definition_->body.outputs_size());
  auto object_of = [&](uint32_t r) { return first_object + r * outputs + output_; };
  auto nothing = [&] {
    return context.Error(
        line_, StrCat("'", text_, "' matches nothing for ", reader.names->Key(row),
                      ": those tasks of '", definition_->name, "' are taken out by its 'except'"));
  };
  if (single) {
    std::vector<graph::Run> rows = definition_->names->MatchIntervals(intervals);
    if (rows.empty()) return nothing();
    edges.push_back({object_of(rows[0].first), slot_, parts});
    return absl::OkStatus();
  }
  auto [at, fresh] = sources_.try_emplace(key);
  if (fresh) {
    for (const graph::Run& run : definition_->names->MatchIntervals(intervals)) {
      at->second.push_back(writer.Source(
          {object_of(run.first), run.count, run.count == 1 ? 1 : run.stride * outputs}));
    }
  }
  if (at->second.empty()) return nothing();
  for (uint32_t source : at->second) edges.push_back({source, slot_, parts});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<size_t>> SortTemplates(
    const GraphModel& model, const std::vector<std::vector<InputPlan>>& plans) {
  const size_t n = model.definitions.size();
  std::vector<std::vector<size_t>> readers(n);
  std::vector<size_t> missing(n, 0);
  for (size_t i = 0; i < n; ++i) {
    for (const InputPlan& plan : plans[i]) {
      readers[plan.producer()].push_back(i);
      ++missing[i];
    }
  }
  std::priority_queue<size_t, std::vector<size_t>, std::greater<>> ready;
  for (size_t i = 0; i < n; ++i) {
    if (missing[i] == 0) ready.push(i);
  }
  std::vector<size_t> order;
  while (!ready.empty()) {
    size_t i = ready.top();
    ready.pop();
    order.push_back(i);
    for (size_t reader : readers[i]) {
      if (--missing[reader] == 0) ready.push(reader);
    }
  }
  if (order.size() == n) return order;
  // What is left has a cycle: going from reader to producer among the left ones must come back
  // somewhere.
  size_t at = 0;
  while (missing[at] == 0) ++at;
  std::vector<size_t> path;
  while (std::find(path.begin(), path.end(), at) == path.end()) {
    path.push_back(at);
    auto next = std::find_if(plans[at].begin(), plans[at].end(),
                             [&](const InputPlan& plan) { return missing[plan.producer()] > 0; });
    TASKD_CHECK(next != plans[at].end());
    at = next->producer();
  }
  path.erase(path.begin(), std::find(path.begin(), path.end(), at));
  std::string cycle = model.definitions[at].name;
  for (size_t i : std::vector<size_t>(path.rbegin(), path.rend()))
    cycle += StrCat(" -> ", model.definitions[i].name);
  return model.context.Error(model.definitions[at].line,
                             StrCat("the tasks wait for each other in a cycle: ", cycle));
}

}  // namespace taskd::client
