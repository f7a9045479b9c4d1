#include "cli/client/function_reader.h"

#include <algorithm>
#include <filesystem>
#include <string>
#include <string_view>

#include "cli/client/graph_reader.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

// On the workers: there relative paths would mean nothing.
absl::StatusOr<std::string> PathOf(const FileContext& context, const YamlNode& node,
                                   std::string_view what) {
  auto text = ExpandedTextOf(context, node, what);
  if (!text.ok()) return text;
  if (text->empty()) return context.Error(node.line, StrCat(what, " is empty"));
  std::string path = std::filesystem::path(context.Absolute(*text)).lexically_normal().string();
  if (path.size() > limits::kLibraryPathBytes)
    return context.Error(node.line,
                         StrCat(what, " has more than ", limits::kLibraryPathBytes, " bytes"));
  return path;
}

bool IsDotted(std::string_view text) {
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (!graph::IsIdentifier(text.substr(begin, end - begin))) return false;
    begin = end + 1;
  }
  return true;
}

// An environment is known by its interpreter, which finds the rest of it.
absl::Status ReadInterpreter(const FileContext& context, const YamlNode& node,
                             v1::PythonBody& body) {
  const YamlNode* interpreter = node.Find("interpreter");
  const YamlNode* env = node.Find("env");
  if (interpreter == nullptr && env == nullptr) return absl::OkStatus();
  if (interpreter != nullptr && env != nullptr)
    return context.Error(node.line, "python takes env or interpreter, not both");
  auto path = env == nullptr ? PathOf(context, *interpreter, "the interpreter")
                             : PathOf(context, *env, "the environment");
  if (!path.ok()) return path.status();
  body.set_interpreter(env == nullptr ? *path
                                      : (std::filesystem::path(*path) / "bin" / "python").string());
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadNative(const FileContext& context, const YamlNode& node, v1::NativeBody& body) {
  constexpr std::string_view kForm = "{library: PATH, function: NAME}";
  if (node.kind != YamlNode::kMap)
    return context.Error(node.line,
                         StrCat("native is a mapping like ", kForm, ", not ", node.KindName()));
  if (auto s = CheckKeys(context, node, "native", "library function", ""); !s.ok()) return s;
  const YamlNode* library = node.Find("library");
  const YamlNode* function = node.Find("function");
  if (library == nullptr || function == nullptr)
    return context.Error(node.line, StrCat("native needs both: ", kForm));
  auto path = PathOf(context, *library, "the library");
  if (!path.ok()) return path.status();
  auto name = ExpandedTextOf(context, *function, "the function");
  if (!name.ok()) return name.status();
  if (!graph::IsIdentifier(*name) || name->size() > limits::kFunctionNameBytes) {
    return context.Error(function->line,
                         StrCat("the function '", *name, "' is not a C function's name"));
  }
  body.set_library(*path);
  body.set_function(*name);
  return absl::OkStatus();
}

absl::Status ReadPython(const FileContext& context, const YamlNode& node, v1::PythonBody& body) {
  const YamlNode* call = &node;
  if (node.kind == YamlNode::kMap) {
    if (auto s = CheckKeys(context, node, "python", "call path env interpreter", ""); !s.ok())
      return s;
    if (auto s = ReadInterpreter(context, node, body); !s.ok()) return s;
    call = node.Find("call");
    if (call == nullptr)
      return context.Error(node.line, "python needs what to call: {call: \"module:function\"}");
    if (const YamlNode* path = node.Find("path")) {
      auto folder = PathOf(context, *path, "the path");
      if (!folder.ok()) return folder.status();
      body.set_path(*folder);
    }
  }
  auto text = ExpandedTextOf(context, *call, "what python calls");
  if (!text.ok()) return text.status();
  const size_t colon = std::min(text->find(':'), text->size());
  const std::string module = text->substr(0, colon);
  const std::string function = text->substr(std::min(colon + 1, text->size()));
  if (!IsDotted(module) || !IsDotted(function) || text->size() > limits::kFunctionNameBytes) {
    return context.Error(call->line,
                         StrCat("python calls \"module:function\", not \"", *text, "\""));
  }
  body.set_module(module);
  body.set_function(function);
  return absl::OkStatus();
}

}  // namespace taskd::client
