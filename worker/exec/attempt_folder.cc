#include "worker/exec/attempt_folder.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "worker/exec/task_request.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {
namespace {

ExecError StoreError(const absl::Status& status) {
  return {FailureClass::kStore, std::string(ToStd(status.message()))};
}

}  // namespace

AttemptFolder::~AttemptFolder() {
  if (stdout_fd_ >= 0) close(stdout_fd_);
  if (made_) pool_.GiveBack(path_, stdout_inode_);
  if (memory_made_) RemoveTree(memory_path_);
}

ExecError AttemptFolder::Stage(const CommandPlan& plan) {
  for (const CommandPlan::PathInput& input : plan.paths) {
    struct stat s;
    if (stat(input.path.c_str(), &s) != 0) {
      return {FailureClass::kInputPath,
              StrCat("input '", input.name, "': ", input.path, ": ", std::strerror(errno),
                     "; {path} inputs must be visible on every worker")};
    }
  }
  made_ = true;
  absl::StatusOr<int> taken = pool_.Take(path_, plan.stdout_is_output);
  if (!taken.ok()) return StoreError(taken.status());
  stdout_fd_ = *taken;
  struct stat out;
  if (stdout_fd_ >= 0 && fstat(stdout_fd_, &out) == 0) stdout_inode_ = out.st_ino;
  for (const std::string& folder : plan.folders) {
    const std::string path = path_ + "/" + folder;
    if (mkdir(path.c_str(), 0700) != 0 && errno != EEXIST) {
      return StoreError(io::ErrnoStatus("make the folder", path, errno));
    }
  }
  for (const CommandPlan::TextFile& text : plan.texts) {
    if (ExecError e = WriteText(text); !e.ok()) return e;
  }
  for (const CommandPlan::StagedInput& input : plan.inputs) {
    if (ExecError e = StageInput(input); !e.ok()) return e;
  }
  return {};
}

ExecError AttemptFolder::WriteText(const CommandPlan::TextFile& text) const {
  const std::string path = path_ + "/" + text.path;
  absl::Status made = io::MakeFile(path, [&](int fd) { return io::WriteAll(fd, text.text, path); });
  return made.ok() ? ExecError{} : StoreError(made);
}

ExecError AttemptFolder::StageInput(const CommandPlan::StagedInput& input) {
  ByteRange range;
  absl::StatusOr<ObjectReader> reader = store_.GetCovering(input.key, range);
  if (!reader.ok()) return InputError(input.path, reader.status());
  const std::string path = path_ + "/" + input.path;
  absl::Status copied = absl::OkStatus();
  const bool own = reader->entry().has_own_file() || reader->entry().packed();
  if (own && range.length == reader->meta().size_bytes) {
    copied = store_.MakeMappable(input.key, *reader);
    // Too many links, or a file system without them: a copy does as well.
    if (copied.ok() && LinkInput(*reader, input)) return {};
    // Neither does the store need room to unpack it.
    if (absl::IsResourceExhausted(copied)) copied = absl::OkStatus();
  }
  if (copied.ok()) {
    copied = io::MakeFile(path, [&](int fd) {
      return reader->Stream(range,
                            [&](std::string_view bytes) { return io::WriteAll(fd, bytes, path); });
    });
  }
  if (copied.code() == absl::StatusCode::kDataLoss) {
    store_.ReportLost(input.key.id);
    return {FailureClass::kInputLost, std::string(ToStd(copied.message()))};
  }
  return copied.ok() ? ExecError{} : StoreError(copied);
}

// The store may drop its own name for the file at any time: the link keeps the bytes.
bool AttemptFolder::LinkInput(const ObjectReader& reader, const CommandPlan::StagedInput& input) {
  const StoreFile& file = *reader.entry().file;
  const std::string path = path_ + "/" + input.path;
  std::string hard = path;
  if (!file.on_disk) {
    if (memory_path_.empty()) return false;
    if (!memory_made_ && mkdir(memory_path_.c_str(), 0700) != 0) return false;
    memory_made_ = true;
    hard = StrCat(memory_path_, "/", links_.size());
  }
  if (link(file.path.c_str(), hard.c_str()) != 0) return false;
  if (!file.on_disk && symlink(hard.c_str(), path.c_str()) != 0) {
    unlink(hard.c_str());
    return false;
  }
  links_.push_back({input.key.id, input.path, hard, file.identity});
  return true;
}

ExecError AttemptFolder::CheckInputs() const {
  ExecError error;
  for (const Link& link : links_) {
    struct stat s;
    // A body may remove or replace its own name for the object; only the shared bytes matter, and
    // an unlinked name cannot be followed to them, so the store's own check at the next use stands
    // in for it.
    if (lstat(link.path.c_str(), &s) != 0 || s.st_ino != link.identity.inode) continue;
    if (FileIdentity::Of(s) == link.identity) continue;
    store_.ReportLost(link.id);
    error = {FailureClass::kInputChanged,
             StrCat("the command changed its input ", link.name,
                    "; inputs are shared with other tasks: write to a copy instead")};
  }
  return error;
}

ExecError AttemptFolder::Collect(const CommandPlan& plan, const Assignment& a,
                                 const TaskAccess* access, std::vector<StoredOutput>& outputs) {
  for (uint32_t i = 0; i < plan.outputs.size(); ++i) {
    const CommandPlan::Output& output = plan.outputs[i];
    if (const Ordinal to = access == nullptr ? kNoOrdinal : access->Delegated(i);
        to != kNoOrdinal) {
      outputs.emplace_back().delegated = to;
      continue;
    }
    const LocalKey key{{{a.attempt.task.job, a.first_output + i}, a.attempt.attempt}, {}};
    absl::StatusOr<StoredOutput> info = CollectOutput(output, key);
    if (info.ok()) {
      outputs.push_back(*info);
      continue;
    }
    for (uint32_t done = 0; done < i; ++done) {
      store_.Drop({{{a.attempt.task.job, a.first_output + done}, a.attempt.attempt}, {}});
    }
    outputs.clear();
    switch (info.status().code()) {
      case absl::StatusCode::kNotFound:
        return {FailureClass::kOutputMissing,
                StrCat("output '", output.name, "' was not written: the command left no file '",
                       output.file, "'")};
      case absl::StatusCode::kFailedPrecondition:
        return {FailureClass::kOutputMissing,
                StrCat("output '", output.name, "': ", ToStd(info.status().message()))};
      default:
        return StoreError(info.status());
    }
  }
  return {};
}

absl::StatusOr<StoredOutput> AttemptFolder::CollectOutput(const CommandPlan::Output& output,
                                                          const LocalKey& key) {
  if (output.kind == CommandPlan::Output::Kind::kParts) return CollectParts(output, key);
  absl::StatusOr<int> fd = OpenOutput(output.file);
  if (!fd.ok()) return fd.status();
  absl::Cleanup closer = [&] { close(*fd); };
  return store_.Adopt(key, *fd, path_ + "/" + output.file);
}

absl::StatusOr<StoredOutput> AttemptFolder::CollectParts(const CommandPlan::Output& output,
                                                         const LocalKey& key) {
  std::unique_ptr<ObjectWriter> writer = store_.NewWriter();
  std::string buffer(limits::kChunkBytes, '\0');
  for (uint32_t k = 0; k < output.parts; ++k) {
    const std::string file = PartFile(output.file, k);
    absl::StatusOr<int> fd = OpenOutput(file);
    if (!fd.ok() && fd.status().code() != absl::StatusCode::kNotFound) return fd.status();
    if (fd.ok()) {
      absl::Cleanup closer = [&] { close(*fd); };
      ssize_t n;
      while ((n = read(*fd, buffer.data(), buffer.size())) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return io::ErrnoStatus("read", file, errno);
        if (absl::Status s = writer->Append({buffer.data(), static_cast<size_t>(n)}); !s.ok())
          return s;
      }
    }
    writer->EndPart();
  }
  return store_.Commit(key, std::move(writer));
}

absl::StatusOr<int> AttemptFolder::OpenOutput(const std::string& file) const {
  int folder = open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
  for (size_t begin = 0; folder >= 0;) {
    const size_t slash = file.find('/', begin);
    const std::string part = file.substr(begin, slash == std::string::npos ? slash : slash - begin);
    // O_NONBLOCK: a FIFO with that name must not hold us.
    const int flags =
        O_RDONLY | O_CLOEXEC | O_NOFOLLOW | (slash == std::string::npos ? O_NONBLOCK : O_DIRECTORY);
    const int next = openat(folder, part.c_str(), flags);
    const int error = errno;
    close(folder);
    if (next < 0 && (error == ELOOP || (error == ENOTDIR && slash != std::string::npos))) {
      return absl::FailedPreconditionError(StrCat(
          "'", file.substr(0, slash), "' is a link or no folder; write the output itself there"));
    }
    if (next < 0) return io::ErrnoStatus("open", file, error);
    folder = next;
    if (slash == std::string::npos) break;
    begin = slash + 1;
  }
  if (folder < 0) return io::ErrnoStatus("open", path_, errno);
  struct stat s;
  if (fstat(folder, &s) == 0 && S_ISREG(s.st_mode)) return folder;
  close(folder);
  return absl::FailedPreconditionError(StrCat("'", file, "' is ",
                                              S_ISDIR(s.st_mode) ? "a folder" : "no regular file",
                                              "; a regular file is needed"));
}

}  // namespace taskd::worker
