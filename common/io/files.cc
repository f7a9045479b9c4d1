#include "common/io/files.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "common/base/text.h"
#include "common/io/random.h"

namespace taskd::io {
namespace {

absl::StatusCode CodeOf(int error_number) {
  switch (error_number) {
    case ENOENT:
    case ENOTDIR:
      return absl::StatusCode::kNotFound;
    case EEXIST:
      return absl::StatusCode::kAlreadyExists;
    case EACCES:
    case EPERM:
    case EROFS:
      return absl::StatusCode::kPermissionDenied;
    case ENOSPC:
    case EDQUOT:
    case EMFILE:
    case ENFILE:
      return absl::StatusCode::kResourceExhausted;
    default:
      return absl::StatusCode::kUnknown;
  }
}

// Writes all of it to a new file, on disk when this returns.
absl::Status WriteNewFile(const std::string& path, std::string_view data, mode_t mode) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0) return ErrnoStatus("create", path, errno);
  absl::Status written = fchmod(fd, mode) == 0  // whatever the umask is
                             ? WriteAll(fd, data, path)
                             : ErrnoStatus("write", path, errno);
  if (written.ok() && fsync(fd) != 0) written = ErrnoStatus("write", path, errno);
  if (close(fd) != 0 && written.ok()) written = ErrnoStatus("write", path, errno);
  return written;
}

}  // namespace

absl::Status MakeFile(const std::string& path, absl::FunctionRef<absl::Status(int fd)> fill) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus("make", path, errno);
  absl::Status filled = fill(fd);
  if (close(fd) != 0 && filled.ok()) return ErrnoStatus("write", path, errno);
  return filled;
}

absl::Status WriteAll(int fd, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoStatus("write", path, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

absl::Status ErrnoStatus(std::string_view what, std::string_view path, int error_number) {
  return absl::Status(CodeOf(error_number),
                      StrCat("cannot ", what, " ", path, ": ", std::strerror(error_number)));
}

absl::Status MakePrivateDir(std::string_view path) {
  std::filesystem::path built;
  for (const std::filesystem::path& part : std::filesystem::path(path)) {
    built /= part;
    if (part.empty() || mkdir(built.c_str(), 0700) == 0) continue;
    struct stat found;
    int error = errno;
    bool is_folder = stat(built.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
    if (!is_folder)
      return ErrnoStatus("make the folder", built.native(), error == EEXIST ? ENOTDIR : error);
  }
  return absl::OkStatus();
}

absl::Status WriteFileAtomically(std::string_view path, std::string_view data, mode_t mode) {
  std::string target(path);
  std::string aside = StrCat(path, ".", RandomHex(4), ".tmp");
  absl::Status status = WriteNewFile(aside, data, mode);
  if (status.ok() && rename(aside.c_str(), target.c_str()) != 0)
    status = ErrnoStatus("replace", path, errno);
  if (!status.ok()) unlink(aside.c_str());
  return status;
}

absl::StatusOr<std::string> ReadFile(std::string_view path, uint64_t max_bytes) {
  int fd = open(std::string(path).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus("read", path, errno);
  std::string data;
  char buffer[64 << 10];
  int error = 0;
  for (;;) {
    ssize_t got = read(fd, buffer, sizeof(buffer));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = errno;
    if (got <= 0 || data.size() > max_bytes) break;
    data.append(buffer, static_cast<size_t>(got));
  }
  close(fd);
  if (error != 0) return ErrnoStatus("read", path, error);
  if (data.size() > max_bytes) {
    return absl::ResourceExhaustedError(
        StrCat("cannot read ", path, ": larger than ", max_bytes, " bytes"));
  }
  return data;
}

absl::StatusOr<std::string> ProgramDir() {
  char path[PATH_MAX];
  ssize_t length = readlink("/proc/self/exe", path, sizeof(path));
  if (length < 0) return ErrnoStatus("read", "/proc/self/exe", errno);
  return std::filesystem::path(std::string(path, static_cast<size_t>(length)))
      .parent_path()
      .native();
}

}  // namespace taskd::io
