#include "worker/exec/command_plan.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"
#include "worker/exec/environment.h"
#include "worker/exec/task_request.h"

namespace taskd::worker {
namespace {

constexpr std::string_view kIndexMark = "{k}";

bool IsName(std::string_view s) {
  if (s.empty() || s.size() > 255 || std::isdigit(static_cast<unsigned char>(s[0]))) return false;
  return std::all_of(s.begin(), s.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '_'; });
}

// Relative, downwards only, no odd components: such a path stays in its folder by its text alone.
bool IsRelativePath(std::string_view path) {
  if (path.empty() || path.size() > 4000 || path.find('\0') != std::string_view::npos) return false;
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view part = path.substr(begin, end - begin);
    if (part.empty() || part == "." || part == ".." || part.size() > 255) return false;
    begin = end + 1;
  }
  return true;
}

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == std::string::npos ? "" : path.substr(0, slash);
}

std::string Padded(uint32_t index, uint32_t count) {
  const std::string text = StrCat(index);
  const size_t width = StrCat(count - 1).size();
  return std::string(width - std::min(width, text.size()), '0') + text;
}

class Planner {
 public:
  Planner(const ExecRequest& request, const std::string& folder, const NodePools& pools,
          CommandPlan& plan)
      : request_(request),
        a_(request.assignment),
        body_(*request.body),
        folder_(folder),
        pools_(pools),
        plan_(plan) {}

  ExecError Run() {
    if (!args_.ParseFromString(request_.args)) return BadBody("the task's arguments are damaged");
    for (auto step : {&Planner::BaseEnvironment, &Planner::Values, &Planner::Inputs,
                      &Planner::Outputs, &Planner::Identity, &Planner::Command}) {
      if (ExecError e = (this->*step)(); !e.ok()) return e;
    }
    for (const auto& [name, value] : env_) plan_.env.push_back(name + "=" + value);
    plan_.search_path = env_["PATH"];
    plan_.folders.assign(folders_.begin(), folders_.end());  // sorted: parents come first
    return {};
  }

 private:
  ExecError BaseEnvironment() {
    AddBaseEnvironment(env_);
    env_["TMPDIR"] = folder_ + "/tmp";
    return {};
  }

  ExecError Values() {
    for (const auto* values : {&body_.vars(), &args_.values()}) {
      for (const v1::Value& v : *values) {
        if (ExecError e = Set(v.name(), v.value()); !e.ok()) return e;
        values_[v.name()] = v.value();
      }
    }
    for (const v1::Value& list : args_.lists()) {
      const std::string path = ".list/" + list.name();
      if (ExecError e = Set(list.name(), path); !e.ok()) return e;
      values_[list.name()] = path;
      folders_.insert(".list");
      plan_.texts.push_back({path, list.value()});
    }
    return {};
  }

  ExecError Inputs() {
    for (const InputEdge& e : a_.edges) {
      if (e.slot >= static_cast<uint32_t>(body_.inputs_size()) || e.first > a_.objects.size() ||
          e.count > a_.objects.size() - e.first) {
        return BadBody(StrCat("the task has an input for slot ", e.slot, ", its body has ",
                              body_.inputs_size()));
      }
    }
    for (int slot = 0; slot < body_.inputs_size(); ++slot) {
      const v1::InputSlot& input = body_.inputs(slot);
      if (!IsName(input.name())) return BadBody(StrCat("an input is called '", input.name(), "'"));
      ExecError e;
      switch (input.kind()) {
        case v1::InputSlot::OBJECT:
          e = ObjectInput(static_cast<uint32_t>(slot), input.name());
          break;
        case v1::InputSlot::AXIS:
          e = AxisInput(static_cast<uint32_t>(slot), input.name());
          break;
        case v1::InputSlot::PATH:
          e = PathInput(input.name());
          break;
        default:
          e = BadBody(StrCat("this worker does not know the kind of input '", input.name(), "'"));
      }
      if (!e.ok()) return e;
    }
    return {};
  }

  ExecError ObjectInput(uint32_t slot, const std::string& name) {
    const InputEdge* edge = nullptr;
    for (const InputEdge& e : a_.edges) {
      if (e.slot != slot) continue;
      if (edge != nullptr || e.count != 1)
        return BadBody(StrCat("input '", name, "' takes one object, not several"));
      edge = &e;
    }
    if (edge == nullptr) return BadBody(StrCat("input '", name, "' has no object"));
    const std::string path = ".in/" + name;
    folders_.insert(".in");
    plan_.inputs.push_back({{a_.objects[edge->first].id, edge->parts}, path});
    return SetInput(name, path);
  }

  ExecError AxisInput(uint32_t slot, const std::string& name) {
    uint32_t count = 0;
    for (const InputEdge& e : a_.edges) count += e.slot == slot ? e.count : 0;
    const std::string path = ".in/" + name, list_path = path + ".list";
    folders_.insert(".in");
    folders_.insert(path);
    std::string list;
    uint32_t index = 0;
    for (const InputEdge& e : a_.edges) {
      if (e.slot != slot) continue;
      for (uint32_t i = 0; i < e.count; ++i, ++index) {
        std::string file = path + "/" + Padded(index, count);
        list += file + "\n";
        plan_.inputs.push_back({{a_.objects[e.first + i].id, e.parts}, std::move(file)});
      }
    }
    plan_.texts.push_back({list_path, std::move(list)});
    if (ExecError e = Set("in_" + name + "_list", list_path); !e.ok()) return e;
    return SetInput(name, path);
  }

  ExecError PathInput(const std::string& name) {
    for (const v1::Value& p : args_.paths()) {
      if (p.name() != name) continue;
      if (p.value().empty() || p.value()[0] != '/') {
        return BadBody(
            StrCat("input '", name, "' is the path '", p.value(), "', which is not absolute"));
      }
      plan_.paths.push_back({name, p.value()});
      return SetInput(name, p.value());
    }
    return BadBody(StrCat("input '", name, "' is a path, but the task names none"));
  }

  ExecError Outputs() {
    if (a_.output_count != static_cast<uint32_t>(body_.outputs_size())) {
      return BadBody(
          StrCat("the task has ", a_.output_count, " outputs, its body ", body_.outputs_size()));
    }
    for (const v1::OutputSlot& output : body_.outputs()) {
      if (!IsName(output.name()))
        return BadBody(StrCat("an output is called '", output.name(), "'"));
      ExecError e;
      switch (output.kind()) {
        case v1::OutputSlot::FILE:
          e = FileOutput(output);
          break;
        case v1::OutputSlot::PARTS:
          e = PartsOutput(output);
          break;
        case v1::OutputSlot::STDOUT:
          e = StdoutOutput(output);
          break;
        default:
          e = BadBody(StrCat("output '", output.name(),
                             "': a command cannot make this kind of output yet"));
      }
      if (!e.ok()) return e;
    }
    return {};
  }

  ExecError FileOutput(const v1::OutputSlot& output) {
    if (!IsRelativePath(output.file())) return BadPath(output);
    MakeParents(output.file());
    plan_.outputs.push_back({output.name(), CommandPlan::Output::Kind::kFile, output.file(), 0});
    return SetOutput(output.name(), output.file());
  }

  ExecError PartsOutput(const v1::OutputSlot& output) {
    const std::string& pattern = output.file();
    const size_t mark = pattern.find(kIndexMark);
    if (mark == std::string::npos || !IsRelativePath(pattern)) return BadPath(output);
    if (output.parts() == 0 || output.parts() > limits::kPartsPerObject) {
      return BadBody(StrCat("output '", output.name(), "' has ", output.parts(), " parts; 1 to ",
                            limits::kPartsPerObject, " are possible"));
    }
    // With the mark in a folder's name, each part has a folder of its own.
    const bool folder_each = pattern.find('/', mark) != std::string::npos;
    for (uint32_t k = 0; k < (folder_each ? output.parts() : 1); ++k)
      MakeParents(PartFile(pattern, k));
    plan_.outputs.push_back(
        {output.name(), CommandPlan::Output::Kind::kParts, pattern, output.parts()});
    const std::string folder = ParentOf(pattern.substr(0, mark));
    return SetOutput(output.name(), folder.empty() ? "." : folder);
  }

  ExecError StdoutOutput(const v1::OutputSlot& output) {
    if (plan_.stdout_is_output) return BadBody("two outputs are the body's stdout");
    plan_.stdout_is_output = true;
    plan_.outputs.push_back({output.name(), CommandPlan::Output::Kind::kStdout, kStdoutFile, 0});
    return SetOutput(output.name(), "/dev/stdout");
  }

  ExecError BadPath(const v1::OutputSlot& output) {
    return BadBody(
        StrCat("output '", output.name(), "' is at '", output.file(),
               "'; it must be a relative path without '..'",
               output.kind() == v1::OutputSlot::PARTS ? " and with {k}, such as p/{k}" : ""));
  }

  void MakeParents(const std::string& path) {
    for (std::string p = ParentOf(path); !p.empty(); p = ParentOf(p)) {
      if (!folders_.insert(p).second) return;
    }
  }

  ExecError Identity() {
    env_["TASKD_JOB"] = StrCat(a_.attempt.task.job);
    env_["TASKD_TASK"] = request_.key.substr(0, request_.key.find('\0'));
    env_["TASKD_ATTEMPT"] = StrCat(a_.attempt.attempt);
    AddGrants(request_, pools_, env_);
    if (const TaskAccess* access = request_.access.get()) {
      env_["TASKD_DIR"] = access->dir;
      env_["TASKD_SOCKET"] = access->socket;
      env_["TASKD_TOKEN"] = access->token;
    }
    return {};
  }

  ExecError Command() {
    const v1::CommandBody& command = body_.command();
    if (!command.sh().empty()) {
      plan_.argv = {"/bin/sh", "-c", command.sh()};
    } else {
      for (const v1::ArgvWord& word : command.argv()) {
        std::string text;
        for (const v1::ArgvPiece& piece : word.pieces()) {
          if (ExecError e = AddPiece(piece, text); !e.ok()) return e;
        }
        plan_.argv.push_back(std::move(text));
      }
    }
    if (plan_.argv.empty() || plan_.argv[0].empty()) return BadBody("the command is empty");
    for (const std::string& word : plan_.argv) {
      if (word.find('\0') != std::string::npos)
        return BadBody("a word of the command holds a zero byte");
    }
    return {};
  }

  ExecError AddPiece(const v1::ArgvPiece& piece, std::string& text) {
    const std::map<std::string, std::string>* table = nullptr;
    std::string name;
    switch (piece.piece_case()) {
      case v1::ArgvPiece::kLiteral:
        text += piece.literal();
        return {};
      case v1::ArgvPiece::kValue:
        table = &values_, name = piece.value();
        break;
      case v1::ArgvPiece::kInput:
        table = &inputs_, name = piece.input();
        break;
      case v1::ArgvPiece::kOutput:
        table = &outputs_, name = piece.output();
        break;
      default:
        return BadBody("a word of the command has a piece of an unknown kind");
    }
    auto it = table->find(name);
    if (it == table->end())
      return BadBody(StrCat("the command names '", name, "', which the task does not have"));
    text += it->second;
    return {};
  }

  ExecError Set(const std::string& name, const std::string& value) {
    if (!IsName(name))
      return BadBody(StrCat("'", name, "' cannot be the name of an environment variable"));
    if (value.find('\0') != std::string::npos)
      return BadBody(StrCat("the value of '", name, "' holds a zero byte"));
    env_[name] = value;
    return {};
  }
  ExecError SetInput(const std::string& name, const std::string& path) {
    inputs_[name] = path;
    return Set("in_" + name, path);
  }
  ExecError SetOutput(const std::string& name, const std::string& path) {
    outputs_[name] = path;
    return Set("out_" + name, path);
  }

  const ExecRequest& request_;
  const Assignment& a_;
  const v1::Body& body_;
  const std::string& folder_;
  const NodePools& pools_;
  CommandPlan& plan_;
  v1::TaskArgs args_;
  Environment env_;
  std::map<std::string, std::string> values_, inputs_, outputs_;
  std::set<std::string> folders_;
};

}  // namespace

ExecError MakePlan(const ExecRequest& request, const std::string& folder, const NodePools& pools,
                   CommandPlan& plan) {
  return Planner(request, folder, pools, plan).Run();
}

std::string PartFile(const std::string& pattern, uint32_t k) {
  const size_t mark = pattern.find(kIndexMark);
  return pattern.substr(0, mark) + StrCat(k) + pattern.substr(mark + kIndexMark.size());
}

}  // namespace taskd::worker
