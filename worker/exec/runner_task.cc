#include "worker/exec/runner_task.h"

#include <linux/magic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/files.h"
#include "taskd/v1/graph.pb.h"
#include "worker/exec/environment.h"

namespace taskd::worker {

class RunnerTaskMaker {
 public:
  RunnerTaskMaker(ExecContext& context, const ExecRequest& request, RunnerTask& task)
      : context_(context),
        request_(request),
        a_(request.assignment),
        body_(*request.body),
        task_(task),
        message_(task.message_) {}

  ExecError Run() {
    if (!args_.ParseFromString(request_.args)) return BadBody("the task's arguments are damaged");
    Identity();
    for (auto step : {&RunnerTaskMaker::Spec, &RunnerTaskMaker::Outputs, &RunnerTaskMaker::Values,
                      &RunnerTaskMaker::Inputs, &RunnerTaskMaker::PackSmallInputs}) {
      if (ExecError e = (this->*step)(); !e.ok()) return e;
    }
    return {};
  }

 private:
  std::string_view Keep(std::string text) { return task_.texts_.emplace_back(std::move(text)); }

  void Identity() {
    const std::string name = FolderName(context_, a_.attempt);
    task_.folder_ = StrCat(context_.run_path, "/", name);
    task_.output_folder_ = StrCat(context_.output_path, "/", name, ".out");
    message_.key = std::string_view(request_.key).substr(0, request_.key.find('\0'));
    message_.job = a_.attempt.task.job;
    message_.attempt = a_.attempt.attempt;
    message_.cpus = CpusOf(a_);
    message_.folder = task_.folder_;
    message_.output_folder = task_.output_folder_;
  }

  ExecError Spec() {
    Environment env;
    AddBaseEnvironment(env);
    AddGrants(request_, context_.pools, env);
    RunnerSpec& spec = task_.spec_;
    for (const auto& [name, value] : env) spec.env.push_back(name + "=" + value);
    ExecError error = body_.has_native() ? Native() : Python();
    for (const auto* words : {&spec.argv, &spec.env}) {
      for (const std::string& word : *words) spec.key += word + '\0';
    }
    return error;
  }

  ExecError Native() {
    const v1::NativeBody& native = body_.native();
    task_.spec_.what = "the process of the library's functions (taskd-runner)";
    task_.spec_.argv = {context_.runners.native};
    message_.library = native.library();
    message_.function = native.function();
    // A library that was built anew is not the one that older runners have loaded.
    struct stat s;
    if (stat(native.library().c_str(), &s) != 0) {
      return {FailureClass::kCannotStart,
              StrCat("cannot load the library ", native.library(), ": ", std::strerror(errno),
                     "; it must be at this path on every worker")};
    }
    const FileIdentity id = FileIdentity::Of(s);
    task_.spec_.key = native.library() + '\0' +
                      StrCat(id.device, ":", id.inode, ":", id.size_bytes, ":", id.mtime_ns) + '\0';
    return {};
  }

  ExecError Python() {
    const v1::PythonBody& python = body_.python();
    std::string interpreter = context_.runners.python, identity;
    task_.spec_.what = "the Python process";
    if (!python.interpreter().empty()) {
      interpreter = python.interpreter();
      task_.spec_.what += StrCat(" (", interpreter, ")");
      if (ExecError e = CheckInterpreter(interpreter, identity); !e.ok()) return e;
    }
    task_.spec_.argv = {context_.runners.native, "--exec", interpreter,
                        context_.runners.python_runner};
    if (!python.interpreter().empty()) task_.spec_.argv.push_back(interpreter);
    message_.library = python.path();
    if (!python.pickle().empty()) {
      message_.code = python.pickle();
      message_.code_id = HashBytes(1, python.pickle()) | 1;
    } else {
      message_.function = Keep(StrCat(python.module(), ":", python.function()));
    }
    // Modules of two folders may have the same name.
    task_.spec_.key = python.path() + '\0' + identity + '\0';
    return {};
  }

  // `identity`: of the file or link. An environment that was made anew is not the one that older processes run in.
  static ExecError CheckInterpreter(const std::string& path, std::string& identity) {
    const auto error = [&](const std::string& why) {
      return ExecError{FailureClass::kCannotStart,
                       StrCat("cannot start the interpreter ", path, ": ", why)};
    };
    struct stat s;
    if (lstat(path.c_str(), &s) != 0)
      return error(StrCat(std::strerror(errno), "; it must be at this path on every worker"));
    const FileIdentity id = FileIdentity::Of(s);
    identity = StrCat(id.device, ":", id.inode, ":", id.size_bytes, ":", id.mtime_ns);
    if (stat(path.c_str(), &s) != 0) {
      std::error_code unknown;
      const std::string target = std::filesystem::read_symlink(path, unknown).string();
      return error(
          StrCat("it is a link to ", target, ", and that leads to no file (", std::strerror(errno),
                 "); an environment needs the Python that it was made with: make it anew"));
    }
    if (!S_ISREG(s.st_mode) || access(path.c_str(), X_OK) != 0)
      return error("it is no program that this worker's user may run");
    return {};
  }

  ExecError Outputs() {
    if (a_.output_count != static_cast<uint32_t>(body_.outputs_size())) {
      return BadBody(
          StrCat("the task has ", a_.output_count, " outputs, its body ", body_.outputs_size()));
    }
    for (const v1::OutputSlot& output : body_.outputs()) {
      if (output.kind() != v1::OutputSlot::VALUE)
        return BadBody(StrCat("output '", output.name(), "': a function makes values"));
      message_.outputs.push_back({output.name(), output.parts()});
    }
    return {};
  }

  ExecError Values() {
    for (const auto* values : {&body_.vars(), &args_.values(), &args_.lists()}) {
      for (const v1::Value& v : *values)
        message_.values.push_back({Keep(v.name()), Keep(v.value())});
    }
    for (const v1::Value& path : args_.paths()) {
      struct stat s;
      if (stat(path.value().c_str(), &s) != 0) {
        return {FailureClass::kInputPath,
                StrCat("input '", path.name(), "': ", path.value(), ": ", std::strerror(errno),
                       "; {path} inputs must be visible on every worker")};
      }
      message_.values.push_back({Keep(path.name()), Keep(path.value())});
    }
    return {};
  }

  ExecError Inputs() {
    std::vector<uint32_t> of_slot(static_cast<size_t>(body_.inputs_size()), kNone);
    for (int slot = 0; slot < body_.inputs_size(); ++slot) {
      const v1::InputSlot& input = body_.inputs(slot);
      if (input.kind() == v1::InputSlot::PATH) continue;
      of_slot[static_cast<size_t>(slot)] = static_cast<uint32_t>(message_.inputs.size());
      message_.inputs.push_back({input.name(), input.kind() == v1::InputSlot::AXIS, {}});
    }
    for (const InputEdge& edge : a_.edges) {
      if (edge.slot >= of_slot.size() || of_slot[edge.slot] == kNone)
        return BadBody(StrCat("the task has an input for slot ", edge.slot, ", its body has none"));
      runner::TaskMessage::Input& input = message_.inputs[of_slot[edge.slot]];
      for (uint32_t i = 0; i < edge.count; ++i) {
        const LocalKey key{a_.objects[edge.first + i].id, edge.parts};
        if (ExecError e = AddPiece(key, input); !e.ok()) return e;
      }
    }
    for (const runner::TaskMessage::Input& input : message_.inputs) {
      if (!input.collection && input.pieces.size() != 1) {
        return BadBody(
            StrCat("input '", input.name, "' takes one object, not ", input.pieces.size()));
      }
    }
    return {};
  }

  ExecError AddPiece(const LocalKey& key, runner::TaskMessage::Input& input) {
    ByteRange range;
    absl::StatusOr<ObjectReader> got = context_.store.GetCovering(key, range);
    if (!got.ok()) return InputError(StrCat("input '", input.name, "'"), got.status());
    ObjectReader& reader = task_.held_.emplace_back(*std::move(got));
    if (absl::Status sound = context_.store.MakeMappable(key, reader); !sound.ok()) {
      if (sound.code() == absl::StatusCode::kDataLoss) context_.store.ReportLost(key.id);
      return InputError(StrCat("input '", input.name, "'"), sound);
    }
    runner::TaskMessage::Piece& piece = input.pieces.emplace_back();
    for (uint32_t part = range.part_lo; part < range.part_hi; ++part)
      piece.part_ends.push_back(reader.meta().part_ends[part] - range.offset);
    parts_ += piece.part_ends.size();
    if (parts_ > limits::kPartsPerObject) {
      return BadBody(StrCat("a function reads at most ", limits::kPartsPerObject,
                            " parts of objects at once"));
    }
    if (reader.in_file()) {
      piece.in_file = true;
      piece.file = static_cast<uint32_t>(task_.ranges_.size());
      piece.length = range.length;
      AddFile(reader.fd(), {reader.entry().offset + range.offset, range.length});
    } else {
      piece.bytes = std::string_view(reader.entry().bytes).substr(range.offset, range.length);
      small_bytes_ += range.length;
    }
    return {};
  }

  void AddFile(int fd, const runner::FileRange& range) {
    struct statfs s;
    if (a_.need.memory_bytes != 0 && fstatfs(fd, &s) == 0 && s.f_type == TMPFS_MAGIC)
      task_.shared_bytes_ += range.length;
    task_.ranges_.push_back(range);
    task_.fds_.push_back(fd);
  }

  // One file of memory for all small inputs, when they are too many for the frame.
  ExecError PackSmallInputs() {
    if (small_bytes_ <= limits::kRunnerInlineBytes) return {};
    task_.packed_fd_ = memfd_create("taskd-inputs", MFD_CLOEXEC);
    if (task_.packed_fd_ < 0)
      return {FailureClass::kStore,
              StrCat("cannot make a file of memory for small inputs: ", std::strerror(errno))};
    constexpr uint64_t kAlignment = 64;
    std::string all;
    const auto file = static_cast<uint32_t>(task_.ranges_.size());
    for (runner::TaskMessage::Input& input : message_.inputs) {
      for (runner::TaskMessage::Piece& piece : input.pieces) {
        if (piece.in_file) continue;
        piece.in_file = true;
        piece.file = file;
        piece.offset = all.size();
        piece.length = piece.bytes.size();
        all += piece.bytes;
        all.resize((all.size() + kAlignment - 1) / kAlignment * kAlignment);
        piece.bytes = {};
      }
    }
    if (absl::Status s = io::WriteAll(task_.packed_fd_, all, "small inputs into memory"); !s.ok())
      return {FailureClass::kStore, std::string(ToStd(s.message()))};
    AddFile(task_.packed_fd_, {0, all.size()});
    return {};
  }

  static constexpr uint32_t kNone = 0xFFFFFFFFu;

  ExecContext& context_;
  const ExecRequest& request_;
  const Assignment& a_;
  const v1::Body& body_;
  RunnerTask& task_;
  runner::TaskMessage& message_;
  v1::TaskArgs args_;
  uint64_t small_bytes_ = 0, parts_ = 0;
};

ExecError RunnerTask::Make(ExecContext& context, const ExecRequest& request, RunnerTask& task) {
  return RunnerTaskMaker(context, request, task).Run();
}

RunnerTask::~RunnerTask() {
  if (packed_fd_ >= 0) close(packed_fd_);
}

std::vector<runner::OutgoingFrame> RunnerTask::Frames(bool code_known) const {
  std::vector<runner::OutgoingFrame> frames;
  for (size_t begin = 0; begin < fds_.size(); begin += limits::kRunnerFilesPerFrame) {
    const size_t end = std::min(fds_.size(), begin + limits::kRunnerFilesPerFrame);
    const auto at = [&](const auto& list, size_t i) {
      return list.begin() + static_cast<ptrdiff_t>(i);
    };
    frames.emplace_back(runner::FrameType::kFiles,
                        runner::EncodeFiles({at(ranges_, begin), at(ranges_, end)}),
                        std::vector<int>(at(fds_, begin), at(fds_, end)));
  }
  runner::TaskMessage message = message_;
  if (code_known) message.code = {};
  frames.emplace_back(runner::FrameType::kTask, runner::EncodeTask(message));
  return frames;
}

}  // namespace taskd::worker
