#include "common/io/ready_file.h"

#include <unistd.h>

#include <cstdio>

#include "common/base/text.h"
#include "common/io/files.h"

namespace taskd::io {
namespace {

std::string Quoted(std::string_view text) {
  std::string quoted = "\"";
  for (unsigned char c : text) {
    if (c == '"' || c == '\\') {
      quoted += '\\';
      quoted += static_cast<char>(c);
    } else if (c < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof(escape), "\\u%04x", c);
      quoted += escape;
    } else {
      quoted += static_cast<char>(c);
    }
  }
  return quoted + '"';
}

}  // namespace

absl::Status WriteReadyFile(std::string_view path,
                            const std::vector<std::pair<std::string, std::string>>& fields) {
  std::string json = StrCat("{\"pid\": ", getpid());
  for (const auto& [name, value] : fields) json += StrCat(", ", Quoted(name), ": ", Quoted(value));
  json += "}\n";
  return WriteFileAtomically(path, json);
}

}  // namespace taskd::io
