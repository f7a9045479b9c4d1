#include "common/graph/name_syntax.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

#include "common/base/limits.h"
#include "common/base/text.h"

namespace taskd::graph {
namespace {

bool IsLetter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

absl::Status Bad(std::string_view text, std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat("'", text, "' is not a name: ", what,
             "; write it like map[3], map[3].p, map[*].p or map[3].p[0..3]"));
}

// The position of the bracket that closes the one before `start`, behind escapes; npos: none.
size_t FindClose(std::string_view text, size_t start) {
  for (size_t i = start; i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == ']') {
      return i;
    }
  }
  return std::string_view::npos;
}

std::vector<Selector> ParseSelectors(std::string_view text) {
  std::vector<Selector> selectors(1);
  bool escaped_star = false;
  auto close = [&] {
    if (selectors.back().value == "*" && !escaped_star) selectors.back() = {true, ""};
    escaped_star = false;
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 1 < text.size()) {
      if (text[++i] == '*') escaped_star = true;
      selectors.back().value += text[i];
    } else if (text[i] == ',') {
      close();
      selectors.emplace_back();
      while (i + 1 < text.size() && text[i + 1] == ' ') ++i;
    } else {
      selectors.back().value += text[i];
    }
  }
  close();
  return selectors;
}

bool TakeNumber(std::string_view text, uint32_t& number) {
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

bool ParseParts(std::string_view text, PartRange& parts) {
  if (text == "*") return true;
  size_t dots = text.find("..");
  std::string_view lo = text.substr(0, dots);
  std::string_view hi = dots == std::string_view::npos ? lo : text.substr(dots + 2);
  uint32_t first = 0, last = 0;
  if (!TakeNumber(lo, first) || !TakeNumber(hi, last)) return false;
  if (last < first || last >= limits::kPartsPerObject) return false;
  parts = {first, last + 1};
  return true;
}

absl::StatusOr<ParsedName> ParseName(std::string_view text) {
  auto name = SplitName(text);
  if (name.ok() && name->has_parts && !ParseParts(name->parts_text, name->parts)) {
    return Bad(text,
               StrCat("'", name->parts_text, "' is not a part: a number, a range like 0..3, or *"));
  }
  return name;
}

absl::StatusOr<ParsedName> SplitName(std::string_view text) {
  ParsedName name;
  size_t end = 0;
  while (end < text.size() && text[end] != '[' && text[end] != '.') ++end;
  name.template_name = std::string(text.substr(0, end));
  if (!IsTemplateName(name.template_name)) {
    return Bad(text, name.template_name.empty()
                         ? std::string("it does not begin with a template's name")
                         : StrCat("'", name.template_name, "' cannot be a template"));
  }
  if (end < text.size() && text[end] == '[') {
    size_t close = FindClose(text, end + 1);
    if (close == std::string_view::npos) return Bad(text, "a ']' is missing");
    name.indexed = true;
    name.selectors = ParseSelectors(text.substr(end + 1, close - end - 1));
    end = close + 1;
  }
  if (end == text.size()) return name;
  if (text[end] != '.')
    return Bad(text, StrCat("'.' was expected before '", text.substr(end), "'"));
  std::string_view rest = text.substr(end + 1);
  size_t bracket = rest.find('[');
  name.output = std::string(rest.substr(0, bracket));
  if (!IsIdentifier(name.output))
    return Bad(text, StrCat("'", name.output, "' cannot be an output"));
  if (bracket == std::string_view::npos) return name;
  if (rest.back() != ']') return Bad(text, "it does not end with ']'");
  name.has_parts = true;
  name.parts_text = std::string(rest.substr(bracket + 1, rest.size() - bracket - 2));
  return name;
}

void AppendValue(std::string& key, std::string_view value) {
  if (value == "*") key += '\\';
  for (char c : value) {
    if (c == '\\' || c == ',' || c == ']') key += '\\';
    key += c;
  }
}

bool IsTemplateName(std::string_view text) {
  if (text.empty() || !IsLetter(text[0])) return false;
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return IsLetter(c) || IsDigit(c) || c == '-'; });
}

bool IsIdentifier(std::string_view text) {
  return IsTemplateName(text) && text.find('-') == std::string_view::npos;
}

namespace {

// Optimal string alignment distance (Damerau 1964, restricted), in three rows.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> before(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (size_t j = 0; j <= b.size(); ++j) last[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before[j - 2] + 1);
      }
    }
    before.swap(last);
    last.swap(row);
  }
  return last[b.size()];
}

}  // namespace

std::string Nearest(std::string_view text, const std::vector<std::string>& candidates) {
  constexpr size_t kLongest =
      64;  // the distance is quadratic, and nobody mistypes a longer name by a little
  constexpr size_t kMost = 10'000;
  if (text.size() > kLongest) return "";
  std::string best;
  size_t best_distance = std::max<size_t>(1, text.size() / 3) + 1;
  for (size_t i = 0; i < candidates.size() && i < kMost; ++i) {
    const std::string& candidate = candidates[i];
    if (candidate.size() > kLongest) continue;
    size_t distance = Distance(text, candidate);
    if (distance < best_distance && distance < candidate.size()) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

std::string DidYouMean(std::string_view text, const std::vector<std::string>& candidates) {
  std::string near = Nearest(text, candidates);
  return near.empty() ? "" : StrCat(" (did you mean '", near, "'?)");
}

}  // namespace taskd::graph
