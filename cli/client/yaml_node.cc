#include "cli/client/yaml_node.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <regex>
#include <sstream>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "common/base/text.h"

namespace taskd::client {
namespace {

constexpr size_t kFileBytes = 256u << 20;  // a larger graph is a program's: it should write .tgraph

std::string_view HintForBraces() {
  return "; a name with brackets or braces inside [...] or {...} needs quotes: \"map[{i}].c\"";
}

// Builds the tree from the parser's events. The first error stops everything that follows.
class TreeBuilder : public YAML::EventHandler {
 public:
  std::shared_ptr<const YamlNode> root() { return root_; }
  int error_line() const { return error_line_; }
  const std::string& error() const { return error_; }

  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    Leaf(mark, anchor, YamlNode::kNull, "");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    CheckTag(mark, tag);
    Leaf(mark, anchor, YamlNode::kScalar, value);
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    auto at = anchors_.find(anchor);
    if (at == anchors_.end())
      return Fail(mark, "an alias (*name) stands inside the node that it names");
    Place(mark, at->second);
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(mark, anchor, YamlNode::kList);
  }
  void OnSequenceEnd() override { Close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    CheckTag(mark, tag);
    Open(mark, anchor, YamlNode::kMap);
  }
  void OnMapEnd() override { Close(); }

 private:
  struct Level {
    std::shared_ptr<YamlNode> node;
    YAML::anchor_t anchor = 0;
    bool has_key = false;                         // kMap: the next node is a value
    absl::flat_hash_map<std::string, int> lines;  // of the keys so far
  };

  void Fail(const YAML::Mark& mark, std::string what) {
    if (!error_.empty()) return;
    error_ = std::move(what);
    error_line_ = mark.line + 1;
  }
  void CheckTag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!")
      Fail(mark, StrCat("the tag ", tag, " is not supported; leave it out"));
  }
  void Leaf(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Kind kind,
            const std::string& value) {
    auto node = std::make_shared<YamlNode>();
    node->kind = kind;
    node->line = mark.line + 1;
    node->text = value;
    if (anchor != 0) anchors_[anchor] = node;
    Place(mark, std::move(node));
  }
  void Open(const YAML::Mark& mark, YAML::anchor_t anchor, YamlNode::Kind kind) {
    Level& level = open_.emplace_back();
    level.node = std::make_shared<YamlNode>();
    level.node->kind = kind;
    level.node->line = mark.line + 1;
    level.anchor = anchor;
  }
  void Close() {
    Level level = std::move(open_.back());
    open_.pop_back();
    if (level.anchor != 0) anchors_[level.anchor] = level.node;
    YAML::Mark mark;
    mark.line = level.node->line - 1;
    Place(mark, level.node);
  }
  // The finished node becomes a key, a value, an item or the root.
  void Place(const YAML::Mark& mark, std::shared_ptr<const YamlNode> node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    Level& level = open_.back();
    if (level.node->kind == YamlNode::kList) {
      level.node->items.push_back(std::move(node));
    } else if (level.has_key) {
      level.node->entries.back().value = std::move(node);
      level.has_key = false;
    } else {
      Key(mark, level, *node);
    }
  }
  void Key(const YAML::Mark& mark, Level& level, const YamlNode& node) {
    level.has_key = true;
    level.node->entries.push_back({node.text, mark.line + 1, nullptr});
    if (node.kind != YamlNode::kScalar) {
      return Fail(mark, StrCat("a key must be text, not ", node.KindName(), HintForBraces()));
    }
    if (node.text == "<<")
      return Fail(mark, "merge keys (<<) are not supported yet; write the keys out");
    auto [at, fresh] = level.lines.emplace(node.text, mark.line + 1);
    if (!fresh)
      Fail(mark, StrCat("the key '", node.text, "' stands here twice; the first is in line ",
                        at->second));
  }

  std::vector<Level> open_;
  absl::flat_hash_map<YAML::anchor_t, std::shared_ptr<const YamlNode>> anchors_;
  std::shared_ptr<const YamlNode> root_;
  int error_line_ = 0;
  std::string error_;
};

// Whether the line has a name with brackets, like map[3] or map[{i}], that is not between quotes:
// the usual cause of a YAML error, since brackets inside {...} or [...] begin a list.
bool HasBareBrackets(std::string_view content, int line) {
  std::istringstream lines{std::string(content)};
  std::string text;
  for (int i = 0; i < line && std::getline(lines, text); ++i) {
  }
  static const std::regex kQuoted(R"("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')");
  static const std::regex kBare(R"([A-Za-z0-9_]\[|\[\{)");
  if (text.size() > 4096) return false;
  return std::regex_search(std::regex_replace(text, kQuoted, "''"), kBare);
}

}  // namespace

const YamlNode* YamlNode::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return entry.value.get();
  }
  return nullptr;
}

std::string_view YamlNode::KindName() const {
  switch (kind) {
    case kNull:
      return "nothing";
    case kScalar:
      return "text";
    case kList:
      return "a list";
    case kMap:
      return "a mapping";
  }
  return "nothing";
}

absl::Status AtLine(std::string_view file, int line, std::string_view what) {
  return absl::InvalidArgumentError(StrCat(file, ":", line, ": ", what));
}

int FirstLineNotUtf8(std::string_view content) {
  int line = 1;
  for (size_t i = 0; i < content.size();) {
    auto c = static_cast<unsigned char>(content[i]);
    if (c == '\n') ++line;
    size_t more = c < 0x80                ? 0
                  : c >= 0xC2 && c < 0xE0 ? 1
                  : c >= 0xE0 && c < 0xF0 ? 2
                  : c >= 0xF0 && c < 0xF5 ? 3
                                          : 4;
    if (more == 4 || c == 0 || i + more >= content.size() + (more == 0)) return line;
    for (size_t j = 1; j <= more; ++j) {
      if ((static_cast<unsigned char>(content[i + j]) & 0xC0) != 0x80) return line;
    }
    if (more > 1) {  // overlong forms, surrogates, beyond U+10FFFF
      auto second = static_cast<unsigned char>(content[i + 1]);
      if ((c == 0xE0 && second < 0xA0) || (c == 0xED && second > 0x9F) ||
          (c == 0xF0 && second < 0x90) || (c == 0xF4 && second > 0x8F)) {
        return line;
      }
    }
    i += more + 1;
  }
  return 0;
}

absl::StatusOr<std::shared_ptr<const YamlNode>> ParseYaml(std::string_view content,
                                                          std::string_view file) {
  if (content.size() > kFileBytes)
    return AtLine(file, 1, "the file is over 256 MiB; write a .tgraph with the builder");
  if (int line = FirstLineNotUtf8(content); line > 0) {
    return AtLine(file, line, "this line is not UTF-8 text; save the file as UTF-8");
  }
  TreeBuilder tree;
  try {
    std::istringstream in{std::string(content)};
    YAML::Parser parser(in);
    if (!parser.HandleNextDocument(tree))
      return AtLine(file, 1, "the file is empty; a graph begins with 'taskd: 1'");
    if (!tree.error().empty()) return AtLine(file, tree.error_line(), tree.error());
    TreeBuilder rest;
    if (parser.HandleNextDocument(rest)) {
      int line = rest.root() == nullptr ? 1 : rest.root()->line;
      return AtLine(file, line, "a second document begins here; a graph file has one");
    }
  } catch (const YAML::Exception& e) {
    int line = e.mark.is_null() ? 1 : e.mark.line + 1;
    for (int at = std::max(1, line - 1); at <= line; ++at) {
      if (HasBareBrackets(content, at))
        return AtLine(file, at, StrCat("YAML: ", e.msg, HintForBraces()));
    }
    return AtLine(file, line, StrCat("YAML: ", e.msg));
  }
  if (tree.root() == nullptr)
    return AtLine(file, 1, "the file is empty; a graph begins with 'taskd: 1'");
  return tree.root();
}

}  // namespace taskd::client
