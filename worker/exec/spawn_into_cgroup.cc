#include "worker/exec/spawn_into_cgroup.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace taskd::worker {

#if defined(__x86_64__)
namespace {

// The child shares the daemon's memory, whose other threads go on, until it runs its program. So it makes system
// calls and nothing else, on a stack of its own, and no sanitizer may look on.
#define TASKD_IN_CHILD __attribute__((noinline, no_sanitize("address", "thread", "undefined")))

constexpr size_t kStackBytes = 16 << 10;  // it needs less than 1 KiB
constexpr int kSignals = 64;

struct Child {
  const SpawnRequest* request;
  const char* program;
  const char* folder;
  char* const* argv;
  char* const* env;
  int error = 0;
};

TASKD_IN_CHILD bool MoveFd(int from, int to) {
  if (from == to) return syscall(SYS_fcntl, to, F_SETFD, 0) == 0;
  return syscall(SYS_dup3, from, to, 0) >= 0;
}

TASKD_IN_CHILD bool Prepare(const Child& child) {
  const uint64_t defaults[4] = {};                    // a struct sigaction as the kernel has it
  for (int signal = 1; signal <= kSignals; ++signal)  // SIGKILL and SIGSTOP are refused
    syscall(SYS_rt_sigaction, signal, defaults, nullptr, sizeof(uint64_t));
  const long null = syscall(SYS_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0);
  const int socket_fd = child.request->socket_fd;
  if (syscall(SYS_setpgid, 0, 0) != 0 || null < 0 || !MoveFd(static_cast<int>(null), 0) ||
      !MoveFd(child.request->stdout_fd, 1) || !MoveFd(child.request->stderr_fd, 2) ||
      (socket_fd >= 0 && !MoveFd(socket_fd, 3)) ||
      syscall(SYS_close_range, socket_fd >= 0 ? 4 : 3, ~0u, 0) != 0 ||
      syscall(SYS_chdir, child.folder) != 0) {
    return false;
  }
  const uint64_t none = 0;
  return syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, nullptr, sizeof none) == 0;
}

TASKD_IN_CHILD void RunChild(Child* child) {
  if (Prepare(*child)) syscall(SYS_execve, child->program, child->argv, child->env);
  child->error = errno;  // this thread's, which waits
  for (;;) syscall(SYS_exit_group, 127);
}

// As clone3; the child begins on its stack with run(child), which does not return.
TASKD_IN_CHILD long Clone(clone_args* args, void (*run)(Child*), Child* child) {
  long result;
  asm volatile(
      "syscall\n\t"
      "test %%rax, %%rax\n\t"
      "jnz 1f\n\t"
      "mov %%rbx, %%rdi\n\t"
      "call *%%rdx\n\t"
      "hlt\n"
      "1:"
      : "=a"(result)
      : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "d"(run), "b"(child)
      : "rcx", "r11", "memory", "cc");
  return result;
}

}  // namespace

Spawned SpawnIntoCgroup(const SpawnRequest& request, char* const* argv, char* const* env) {
  alignas(16) char stack[kStackBytes];
  Child child{&request, request.program.c_str(), request.folder.c_str(), argv, env};
  Spawned spawned;
  clone_args args = {};
  args.flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_INTO_CGROUP;
  args.pidfd = reinterpret_cast<uintptr_t>(&spawned.pidfd);
  args.exit_signal = SIGCHLD;
  args.stack = reinterpret_cast<uintptr_t>(stack);
  args.stack_size = sizeof stack;
  args.cgroup = static_cast<uint64_t>(request.cgroup_fd);

  sigset_t all, before;  // no handler of ours may run in the child
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  const long pid = Clone(&args, RunChild, &child);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);

  spawned.pid = static_cast<pid_t>(pid);
  spawned.error = pid < 0 ? static_cast<int>(-pid) : child.error;
  if (spawned.error == 0) return spawned;
  if (pid > 0) {
    while (waitpid(spawned.pid, nullptr, 0) < 0 && errno == EINTR) {
    }
    close(spawned.pidfd);
  }
  return {spawned.error, -1, -1};
}

#else

Spawned SpawnIntoCgroup(const SpawnRequest&, char* const*, char* const*) {
  return {ENOSYS, -1, -1};
}

#endif

}  // namespace taskd::worker
