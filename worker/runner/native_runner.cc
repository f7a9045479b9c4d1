// taskd-runner: calls functions of libraries for a worker, one task at a time, until the worker closes the socket.
//
//     taskd-runner                          started by a worker, never by hand
//     taskd-runner --exec PROGRAM ARG...    the same for a runner in another language
//
// It may die in any line of user code; what must not happen is that a task of its worker gets a wrong answer.
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "worker/runner/channel.h"
#include "worker/runner/op_call.h"

namespace taskd::runner {
namespace {

constexpr int kUsage = 2, kBadFrame = 3;

volatile sig_atomic_t asked_for_cancel = 0, cancelled = 0;

void OnTerminate(int) {
  if (!asked_for_cancel) _exit(128 + SIGTERM);
  cancelled = 1;
}

class Runner {
 public:
  // Exit code.
  int Run() {
    home_ = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    Send(FrameType::kHello, {});
    for (;;) {
      FrameStream::Frame frame;
      std::vector<int> fds;
      std::string error;
      if (!ReceiveFrame(kRunnerSocket, frame, fds, error))
        return error.empty() ? 0 : Complain(error);
      if (frame.header.type == FrameType::kFiles) {
        const bool decoded = MapFiles(frame.payload, fds, error);
        for (int fd : fds) close(fd);
        if (!decoded) return Complain(error);
      } else if (frame.header.type == FrameType::kTask) {
        TaskMessage task;
        if (!DecodeTask(frame.payload, task, error)) return Complain(error);
        RunTask(task);
        files_.clear();
        files_error_.clear();
      } else {
        return Complain("a frame that only runners send");
      }
    }
  }

 private:
  struct Library {
    void* handle = nullptr;
    std::map<std::string, taskd_op_function, std::less<>> functions;
  };

  static int Complain(const std::string& what) {
    std::fprintf(stderr, "taskd-runner: %s\n", what.c_str());
    return kBadFrame;
  }

  static void Send(FrameType type, std::string payload) {
    // A worker that is gone takes us with it.
    if (OutgoingFrame(type, std::move(payload)).Send(kRunnerSocket, true) !=
        OutgoingFrame::Result::kSent)
      _exit(0);
  }

  bool MapFiles(std::string_view payload, const std::vector<int>& fds, std::string& error) {
    std::vector<FileRange> ranges;
    if (!DecodeFiles(payload, ranges, error)) return false;
    if (ranges.size() != fds.size()) {
      error = "a frame with descriptors for other files";
      return false;
    }
    for (size_t i = 0; i < fds.size(); ++i) {
      MappedFile file;
      file.Map(fds[i], ranges[i], files_error_);  // the task fails by it
      files_.push_back(std::move(file));
    }
    return true;
  }

  void RunTask(const TaskMessage& task) {
    FailedMessage failed;
    if (!files_error_.empty()) {
      failed.error = TaskError::kStore;
      failed.message = files_error_;
      return Fail(failed);
    }
    std::string error;
    taskd_op_function function = Find(task, error);
    const std::string folder(task.folder);
    if (function == nullptr) {
      failed.error = TaskError::kCannotStart;
    } else if (mkdir(folder.c_str(), 0700) != 0 || chdir(folder.c_str()) != 0) {
      failed.error = TaskError::kStore;
      error = "cannot make the folder " + folder + ": " + std::strerror(errno);
      failed.left.folders = true;
    } else {
      return Call(task, function);
    }
    failed.message = error;
    Fail(failed);
  }

  void Call(const TaskMessage& task, taskd_op_function function) {
    OpCall call(task, files_, MakeHooks());
    DoneMessage done;
    FailedMessage failed;
    const pid_t pid = getpid();
    const int code = call.sound() ? call.Call(function) : 1;
    if (getpid() != pid) {
      Complain("a process that the function had forked came back from it, and is ended");
      std::fflush(nullptr);
      _exit(1);
    }
    std::fflush(nullptr);
    std::string text;
    bool ok = false;
    if (!call.sound()) {
      failed.error = TaskError::kBadBody;
      failed.message = "the task names an input that did not come with it";
    } else if (code != 0) {
      failed.code = code;
      text = "the function " + std::string(task.function) + " returned " + std::to_string(code);
      if (!call.error().empty()) text += ": " + call.error();
      failed.message = text;
    } else {
      ok = call.Finish(done.outputs, failed);
    }
    const Leftovers left = {!LeaveFolder(task) || call.made_output_folder(), ChildrenLive()};
    done.left = failed.left = left;
    ok ? Send(FrameType::kDone, EncodeDone(done)) : Fail(failed);
  }

  OpCall::Hooks MakeHooks() {
    asked_for_cancel = 0;
    return {[] {
              asked_for_cancel = 1;
              return cancelled != 0;
            },
            [last = uint32_t{0}](uint32_t milli) mutable {
              if (milli <= last) return;
              last = milli;
              // Nobody needs it so much as to wait.
              OutgoingFrame(FrameType::kProgress, EncodeProgress(milli)).Send(kRunnerSocket, false);
            },
            &Runner::Ask, &Runner::Send};
  }

  // While a task runs nothing comes but the answers to what it asks.
  static bool Ask(FrameType type, std::string payload, FrameStream::Frame& frame,
                  AnswerMessage& answer, MappedFile& file, std::string& error) {
    Send(type, std::move(payload));
    std::vector<int> fds;
    std::string broken;
    if (!ReceiveFrame(kRunnerSocket, frame, fds, broken)) {
      if (!broken.empty()) Complain(broken);
      _exit(0);
    }
    const bool sound = frame.header.type == FrameType::kAnswer &&
                       DecodeAnswer(frame.payload, answer, broken) &&
                       answer.in_file == (fds.size() == 1);
    if (sound && answer.in_file) file.Map(fds[0], answer.range, error);
    for (int fd : fds) close(fd);
    if (!sound) _exit(Complain("an answer that is none: " + broken));
    if (!answer.error.empty()) error = answer.error;
    return answer.error.empty() && (!answer.in_file || file.bytes().data() != nullptr);
  }

  // True: the folder is gone, as nothing was in it.
  bool LeaveFolder(const TaskMessage& task) const {
    return fchdir(home_) == 0 && rmdir(std::string(task.folder).c_str()) == 0;
  }

  static bool ChildrenLive() {
    pid_t pid;
    do {
      pid = waitpid(-1, nullptr, WNOHANG);
    } while (pid > 0);
    return pid == 0;
  }

  static void Fail(FailedMessage failed) { Send(FrameType::kFailed, EncodeFailed(failed)); }

  taskd_op_function Find(const TaskMessage& task, std::string& error) {
    const std::string path(task.library);
    Library& library = libraries_[path];
    if (library.handle == nullptr && !Load(path, library, error)) return nullptr;
    auto known = library.functions.find(task.function);
    if (known != library.functions.end()) return known->second;
    const std::string name(task.function);
    auto function = reinterpret_cast<taskd_op_function>(dlsym(library.handle, name.c_str()));
    if (function == nullptr) {
      error = "the library " + path + " has no function '" + name +
              "': define it with TASKD_OP_FUNCTION, so that its name stays as it is";
      return nullptr;
    }
    return library.functions[name] = function;
  }

  static bool Load(const std::string& path, Library& library, std::string& error) {
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      error = std::string("cannot load the library: ") + dlerror();
      return false;
    }
    auto version =
        reinterpret_cast<taskd_op_abi_version_function>(dlsym(handle, "taskd_op_abi_version"));
    if (version == nullptr) {
      error = "the library " + path +
              " does not say for which taskd_op.h it was made: put TASKD_OP_LIBRARY into one of "
              "its files";
    } else if (version() != TASKD_OP_ABI) {
      error = "the library " + path + " was made for version " + std::to_string(version()) +
              " of taskd_op.h, and this worker has version " + std::to_string(TASKD_OP_ABI) +
              ": build it again with the header of this worker";
    } else {
      library.handle = handle;
      return true;
    }
    dlclose(handle);
    return false;
  }

  int home_ = -1;
  std::map<std::string, Library> libraries_;
  std::vector<MappedFile> files_;  // of the task that comes
  std::string files_error_;
};

int Main(int argc, char** argv) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (argc > 2 && std::strcmp(argv[1], "--exec") == 0) {
    execvp(argv[2], argv + 2);
    std::fprintf(stderr, "taskd-runner: cannot start %s: %s\n", argv[2], std::strerror(errno));
    return 127;
  }
  struct stat s;
  if (argc != 1 || fstat(kRunnerSocket, &s) != 0 || !S_ISSOCK(s.st_mode)) {
    std::fprintf(stderr, "taskd-runner is started by taskd-worker, not by hand\n");
    return kUsage;
  }
  fcntl(kRunnerSocket, F_SETFD, FD_CLOEXEC);
  struct sigaction action = {};
  action.sa_handler = OnTerminate;
  action.sa_flags = SA_RESTART;
  sigaction(SIGTERM, &action, nullptr);
  return Runner().Run();
}

}  // namespace
}  // namespace taskd::runner

int main(int argc, char** argv) { return taskd::runner::Main(argc, argv); }
