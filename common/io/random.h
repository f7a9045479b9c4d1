// Unpredictable bytes from the kernel (getrandom), for keys and ids. Never in a core: those draw
// from seeds.
#ifndef TASKD_COMMON_IO_RANDOM_H_
#define TASKD_COMMON_IO_RANDOM_H_

#include <cstdint>
#include <string>

namespace taskd::io {

uint64_t RandomU64();
std::string RandomBytes(uint32_t count);
std::string RandomHex(uint32_t bytes);  // twice as many lower-case hex digits

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_RANDOM_H_
