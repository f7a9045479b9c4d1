#include "cli/client/sink.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/base/text.h"
#include "common/io/files.h"
#include "common/io/random.h"

namespace taskd::client {
namespace {

absl::Status WriteAll(int fd, std::string_view name, std::string_view bytes) {
  while (!bytes.empty()) {
    ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EPIPE)
      return absl::OutOfRangeError(StrCat("nobody reads ", name, " any more"));
    if (n < 0) return io::ErrnoStatus("write", name, errno);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

class FileSink : public Sink {
 public:
  FileSink(int fd, std::string temporary, std::string path)
      : fd_(fd), temporary_(std::move(temporary)), path_(std::move(path)) {}
  ~FileSink() override {
    if (fd_ >= 0) close(fd_);
    if (!done_) unlink(temporary_.c_str());
  }

  absl::Status Write(std::string_view bytes) override { return WriteAll(fd_, path_, bytes); }

  bool Restart() override { return ftruncate(fd_, 0) == 0 && lseek(fd_, 0, SEEK_SET) == 0; }

  absl::Status Finish() override {
    int closed = close(fd_);
    fd_ = -1;
    if (closed != 0) return io::ErrnoStatus("write", path_, errno);
    if (rename(temporary_.c_str(), path_.c_str()) != 0)
      return io::ErrnoStatus("create", path_, errno);
    done_ = true;
    return absl::OkStatus();
  }

 private:
  int fd_;
  std::string temporary_;
  std::string path_;
  bool done_ = false;
};

class DescriptorSink : public Sink {
 public:
  explicit DescriptorSink(int fd) : fd_(fd) {}
  absl::Status Write(std::string_view bytes) override {
    written_ = written_ || !bytes.empty();
    return WriteAll(fd_, "the output", bytes);
  }
  bool Restart() override { return !written_; }
  absl::Status Finish() override { return absl::OkStatus(); }

 private:
  int fd_;
  bool written_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Sink>> MakeFileSink(std::string_view path) {
  std::string target(path);
  struct stat info = {};
  if (stat(target.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) {
    return absl::InvalidArgumentError(StrCat(target, " is a folder: name a file in it"));
  }
  std::string temporary = StrCat(target, ".", io::RandomHex(4), ".part");
  int fd = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  if (fd < 0) return io::ErrnoStatus("create", target, errno);
  return std::make_unique<FileSink>(fd, std::move(temporary), std::move(target));
}

std::unique_ptr<Sink> MakeDescriptorSink(int fd) { return std::make_unique<DescriptorSink>(fd); }

}  // namespace taskd::client
