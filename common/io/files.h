// Small helpers over the file system; errors name the path and say what errno says.
#ifndef TASKD_COMMON_IO_FILES_H_
#define TASKD_COMMON_IO_FILES_H_

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::io {

// "cannot WHAT PATH: reason" with the code that fits errno (kNotFound, kPermissionDenied,
// kResourceExhausted ...).
absl::Status ErrnoStatus(std::string_view what, std::string_view path, int error_number);

// The folder and its missing parents, 0700. An existing folder is left as it is.
absl::Status MakePrivateDir(std::string_view path);

// A new file (0600) whose bytes `fill` writes.
absl::Status MakeFile(const std::string& path, absl::FunctionRef<absl::Status(int fd)> fill);

// `path`: for the message.
absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path);

// Writes beside `path`, syncs, and renames: readers see the old bytes or the new ones.
absl::Status WriteFileAtomically(std::string_view path, std::string_view data, mode_t mode = 0600);

// kNotFound when it is not there; kResourceExhausted above `max_bytes`.
absl::StatusOr<std::string> ReadFile(std::string_view path, uint64_t max_bytes = 64u << 20);

// The folder of the running program, to find its siblings (taskd-scheduler beside taskctl).
absl::StatusOr<std::string> ProgramDir();

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_FILES_H_
