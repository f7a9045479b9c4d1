#include "common/io/random.h"

#include <sys/random.h>

#include <cerrno>

#include "common/base/check.h"

namespace taskd::io {

std::string RandomBytes(uint32_t count) {
  std::string bytes(count, '\0');
  for (size_t done = 0; done < bytes.size();) {
    ssize_t got = getrandom(bytes.data() + done, bytes.size() - done, 0);
    TASKD_CHECK(got > 0 || errno == EINTR);
    if (got > 0) done += static_cast<size_t>(got);
  }
  return bytes;
}

uint64_t RandomU64() {
  uint64_t value = 0;
  for (unsigned char byte : RandomBytes(8)) value = value << 8 | byte;
  return value;
}

std::string RandomHex(uint32_t bytes) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string hex;
  for (unsigned char byte : RandomBytes(bytes)) {
    hex += kDigits[byte >> 4];
    hex += kDigits[byte & 15];
  }
  return hex;
}

}  // namespace taskd::io
