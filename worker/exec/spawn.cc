#include "worker/exec/spawn.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "worker/exec/spawn_into_cgroup.h"

namespace taskd::worker {
namespace {

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> out;
  out.reserve(strings.size() + 1);
  for (const std::string& s : strings) out.push_back(const_cast<char*>(s.c_str()));
  out.push_back(nullptr);
  return out;
}

void SetAttributes(posix_spawnattr_t& attributes) {
  posix_spawnattr_init(&attributes);
  posix_spawnattr_setflags(&attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setpgroup(&attributes, 0);
  sigset_t all, none;
  sigfillset(&all);
  sigemptyset(&none);
  posix_spawnattr_setsigdefault(&attributes, &all);
  posix_spawnattr_setsigmask(&attributes, &none);
}

Spawned SpawnHere(const SpawnRequest& request, char* const* argv, char* const* env) {
  posix_spawnattr_t attributes;
  SetAttributes(attributes);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions, request.stdout_fd, 1);
  posix_spawn_file_actions_adddup2(&actions, request.stderr_fd, 2);
  // A descriptor that is there already is let through by it, too.
  if (request.socket_fd >= 0) posix_spawn_file_actions_adddup2(&actions, request.socket_fd, 3);
  posix_spawn_file_actions_addclosefrom_np(&actions, request.socket_fd >= 0 ? 4 : 3);
  posix_spawn_file_actions_addchdir_np(&actions, request.folder.c_str());

  Spawned result;
  result.error =
      posix_spawn(&result.pid, request.program.c_str(), &actions, &attributes, argv, env);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (result.error != 0) return result;

  // The child is ours and not reaped, so its number still means it.
  result.pidfd = static_cast<int>(syscall(SYS_pidfd_open, result.pid, 0));
  if (result.pidfd < 0) {
    result.error = errno;
    kill(-result.pid, SIGKILL);
    waitpid(result.pid, nullptr, 0);
  }
  return result;
}

}  // namespace

Spawned Spawn(const SpawnRequest& request) {
  const std::vector<char*> argv = Pointers(request.argv);
  const std::vector<char*> env = Pointers(request.env);
  const ThreadOnCpus inherited(request.cpus);
  return request.cgroup_fd < 0 ? SpawnHere(request, argv.data(), env.data())
                               : SpawnIntoCgroup(request, argv.data(), env.data());
}

}  // namespace taskd::worker
