#include "cli/taskctl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <cstring>
#include <cwchar>

#include "common/base/text.h"

namespace taskd::cli {
namespace {

// Decodes one code point of strict UTF-8 (no overlong forms, no surrogates). Returns its length, 0
// if invalid.
uint32_t DecodeUtf8(std::string_view s, uint32_t* code) {
  auto byte = [&](size_t i) { return static_cast<unsigned char>(s[i]); };
  uint32_t first = byte(0);
  if (first < 0x80) {
    *code = first;
    return 1;
  }
  uint32_t length = first >= 0xF0 && first <= 0xF4  ? 4
                    : first >= 0xE0 && first < 0xF0 ? 3
                    : first >= 0xC2 && first < 0xE0 ? 2
                                                    : 0;
  if (length == 0 || s.size() < length) return 0;
  uint32_t value = first & (0x7Fu >> length);
  for (uint32_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
    value = value << 6 | (byte(i) & 0x3F);
  }
  constexpr uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (value < kSmallest[length] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
    return 0;
  *code = value;
  return length;
}

bool IsControl(uint32_t code) { return code < 0x20 || (code >= 0x7F && code < 0xA0); }

uint32_t ColumnsOf(uint32_t code) {
  if (code < 0x7F) return 1;
  // wcwidth follows the locale: this one is part of every Debian libc and changes nothing else that
  // we print.
  static locale_t utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  if (utf8 == nullptr) return 1;
  locale_t before = uselocale(utf8);
  int width = wcwidth(static_cast<wchar_t>(code));
  uselocale(before);
  return width < 0 ? 1 : static_cast<uint32_t>(width);
}

}  // namespace

uint32_t TerminalWidth(int fd) {
  if (isatty(fd) == 0) return 0;
  winsize size = {};
  if (ioctl(fd, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return 80;
  return size.ws_col;
}

bool UseColour(int fd) {
  const char* no_color = std::getenv("NO_COLOR");
  if (no_color != nullptr && *no_color != '\0') return false;
  const char* term = std::getenv("TERM");
  return isatty(fd) != 0 && term != nullptr && std::strcmp(term, "dumb") != 0;
}

std::string Printable(std::string_view bytes) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size());
  for (size_t i = 0; i < bytes.size();) {
    uint32_t code = 0;
    uint32_t length = DecodeUtf8(bytes.substr(i), &code);
    if (length != 0 && !IsControl(code)) {
      out.append(bytes.substr(i, length));
      i += length;
      continue;
    }
    for (uint32_t end = length == 0 ? 1 : length; end > 0; --end, ++i) {
      auto byte = static_cast<unsigned char>(bytes[i]);
      out += {'\\', 'x', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

uint32_t DisplayWidth(std::string_view text) {
  uint32_t width = 0;
  for (size_t i = 0; i < text.size();) {
    uint32_t code = 0;
    uint32_t length = DecodeUtf8(text.substr(i), &code);
    width += length == 0 ? 1 : ColumnsOf(code);
    i += length == 0 ? 1 : length;
  }
  return width;
}

std::string Shorten(std::string_view text, uint32_t width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  uint32_t room = width >= 4 ? width - 3 : width;
  size_t end = 0;
  for (uint32_t used = 0; end < text.size();) {
    uint32_t code = 0;
    uint32_t length = DecodeUtf8(text.substr(end), &code);
    used += length == 0 ? 1 : ColumnsOf(code);
    if (used > room) break;
    end += length == 0 ? 1 : length;
  }
  return StrCat(text.substr(0, end), width >= 4 ? "..." : "");
}

std::string Paint(std::string_view text, Style style) {
  const char* code = "";
  switch (style) {
    case Style::kPlain:
      return std::string(text);
    case Style::kGood:
      code = "32";
      break;
    case Style::kBad:
      code = "31";
      break;
    case Style::kBusy:
      code = "36";
      break;
    case Style::kWarn:
      code = "33";
      break;
    case Style::kDim:
      code = "2";
      break;
  }
  return StrCat("\033[", code, "m", text, "\033[0m");
}

}  // namespace taskd::cli
