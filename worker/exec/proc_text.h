// The kernel's texts: lines of a name and a number.
#ifndef TASKD_WORKER_EXEC_PROC_TEXT_H_
#define TASKD_WORKER_EXEC_PROC_TEXT_H_

#include <cstdint>
#include <string_view>

namespace taskd::worker {

// The number after `name` at the start of a line; 0: there is none.
inline uint64_t FieldOf(std::string_view text, std::string_view name) {
  for (size_t at = text.find(name); at != std::string_view::npos; at = text.find(name, at + 1)) {
    if (at != 0 && text[at - 1] != '\n') continue;
    size_t begin = text.find_first_of("0123456789", at + name.size());
    uint64_t value = 0;
    for (; begin < text.size() && text[begin] >= '0' && text[begin] <= '9'; ++begin)
      value = value * 10 + static_cast<uint64_t>(text[begin] - '0');
    return value;
  }
  return 0;
}

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_PROC_TEXT_H_
