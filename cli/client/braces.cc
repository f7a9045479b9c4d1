#include "cli/client/braces.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "common/base/text.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {
namespace {

bool IsDotted(std::string_view text) {
  size_t dot = text.find('.');
  return graph::IsIdentifier(text.substr(0, dot)) &&
         (dot == std::string_view::npos || graph::IsIdentifier(text.substr(dot + 1)));
}

std::vector<std::string> Known(const Vars& vars, const std::vector<std::string>& task_names) {
  std::vector<std::string> known = task_names;
  for (const auto& [name, value] : vars) known.push_back(name);
  return known;
}

absl::Status Unknown(std::string_view name, const Vars& vars,
                     const std::vector<std::string>& task_names) {
  std::vector<std::string> known = Known(vars, task_names);
  std::string list;
  for (size_t i = 0; i < known.size() && i < 20; ++i)
    list += StrCat(list.empty() ? "" : ", ", known[i]);
  return absl::InvalidArgumentError(
      StrCat("'{", name, "}' names nothing here", graph::DidYouMean(name, known),
             list.empty() ? "; no names are known here" : "; known: ", list,
             "; braces themselves are written {{ and }}"));
}

// sum = product { ("+" | "-") product }; product = term { ("*" | "/" | "%") term }; term = number |
// variable.
class Arithmetic {
 public:
  Arithmetic(std::string_view text, const Vars& vars, const std::vector<std::string>& task_names)
      : text_(text), vars_(vars), task_names_(task_names) {}

  absl::StatusOr<int64_t> Value() {
    auto value = Sum();
    if (value.ok() && at_ < text_.size()) return Bad();
    return value;
  }

 private:
  absl::StatusOr<int64_t> Sum() {
    auto value = Product();
    while (value.ok()) {
      char op = Peek();
      if (op != '+' && op != '-') break;
      ++at_;
      auto next = Product();
      if (!next.ok()) return next;
      int64_t result;
      if (op == '+' ? __builtin_add_overflow(*value, *next, &result)
                    : __builtin_sub_overflow(*value, *next, &result)) {
        return Bad();
      }
      value = result;
    }
    return value;
  }
  absl::StatusOr<int64_t> Product() {
    auto value = Term();
    while (value.ok()) {
      char op = Peek();
      if (op != '*' && op != '/' && op != '%') break;
      ++at_;
      auto next = Term();
      if (!next.ok()) return next;
      int64_t result = 0;
      if (op == '*' ? __builtin_mul_overflow(*value, *next, &result) : *next == 0 || *next == -1)
        return Bad();
      if (op == '/') result = *value / *next;
      if (op == '%') result = *value % *next;
      value = result;
    }
    return value;
  }
  absl::StatusOr<int64_t> Term() {
    Peek();
    size_t start = at_;
    while (at_ < text_.size() &&
           std::string_view("+-*/% ").find(text_[at_]) == std::string_view::npos)
      ++at_;
    std::string_view term = text_.substr(start, at_ - start);
    if (std::find(task_names_.begin(), task_names_.end(), term) != task_names_.end()) {
      return absl::UnimplementedError(
          StrCat("'{", text_, "}': arithmetic on an axis is not supported yet, only on variables"));
    }
    std::string_view number = term;
    if (auto var = vars_.find(term); var != vars_.end()) {
      number = var->second;
    } else if (IsDotted(term)) {
      return Unknown(term, vars_, task_names_);
    }
    int64_t value = 0;
    auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
    if (number.empty() || error != std::errc() || end != number.data() + number.size())
      return Bad();
    return value;
  }
  char Peek() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
    return at_ < text_.size() ? text_[at_] : '\0';
  }
  absl::Status Bad() {
    return absl::InvalidArgumentError(
        StrCat("'{", text_,
               "}' is neither a name nor whole-number arithmetic like {parts-1}; "
               "braces themselves are written {{ and }}"));
  }

  std::string_view text_;
  const Vars& vars_;
  const std::vector<std::string>& task_names_;
  size_t at_ = 0;
};

}  // namespace

absl::StatusOr<std::vector<Piece>> ExpandBraces(std::string_view text, const Vars& vars,
                                                const std::vector<std::string>& task_names) {
  std::vector<Piece> pieces;
  auto literal = [&pieces](std::string_view more) {
    if (more.empty()) return;
    if (pieces.empty() || pieces.back().is_name) pieces.push_back({false, ""});
    pieces.back().text += more;
  };
  for (size_t i = 0; i < text.size();) {
    char c = text[i];
    if (c != '{' || (i + 1 < text.size() && text[i + 1] == '{')) {
      bool doubled = (c == '{' || c == '}') && i + 1 < text.size() && text[i + 1] == c;
      literal(text.substr(i, 1));
      i += doubled ? 2 : 1;
      continue;
    }
    size_t close = text.find('}', i);
    if (close == std::string_view::npos) {
      return absl::InvalidArgumentError(
          StrCat("'", text, "': a '}' is missing; a brace itself is written {{"));
    }
    std::string_view name = text.substr(i + 1, close - i - 1);
    i = close + 1;
    if (std::find(task_names.begin(), task_names.end(), name) != task_names.end()) {
      pieces.push_back({true, std::string(name)});
    } else if (auto var = vars.find(name); var != vars.end()) {
      literal(var->second);
    } else if (IsDotted(name)) {
      return Unknown(name, vars, task_names);
    } else {
      auto value = Arithmetic(name, vars, task_names).Value();
      if (!value.ok()) return value.status();
      literal(StrCat(*value));
    }
  }
  return pieces;
}

absl::StatusOr<std::string> ExpandVars(std::string_view text, const Vars& vars) {
  auto pieces = ExpandBraces(text, vars, {});
  if (!pieces.ok()) return pieces.status();
  return pieces->empty() ? std::string() : pieces->front().text;
}

}  // namespace taskd::client
