// What the machine can do without taskd: the figures that benchmarks stand beside. Prints one JSON
// object.
//
//   taskd_bench_limits spawn COUNT AT_ONCE          posix_spawn + wait of /bin/true
//   taskd_bench_limits wire COUNT BYTES BATCH       messages of BYTES there and back over loopback
//   TCP, BATCH in a write
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

extern char** environ;

namespace taskd {
namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void Die(const char* what) {
  std::perror(what);
  std::exit(1);
}

void Report(uint64_t count, Clock::time_point start) {
  double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  std::printf("{\"count\": %llu, \"seconds\": %.6f, \"per_second\": %.1f}\n",
              static_cast<unsigned long long>(count), seconds,
              static_cast<double>(count) / seconds);
}

void Spawn(uint64_t count, uint64_t at_once) {
  char path[] = "/bin/true";
  char* argv[] = {path, nullptr};
  auto start = Clock::now();
  uint64_t started = 0;
  for (uint64_t ended = 0; ended < count;) {
    while (started < count && started - ended < at_once) {
      pid_t pid;
      if (posix_spawn(&pid, path, nullptr, nullptr, argv, environ) != 0)
        Die("posix_spawn /bin/true");
      ++started;
    }
    int status;
    if (waitpid(-1, &status, 0) < 0) Die("waitpid");
    if (status != 0) Die("/bin/true failed");
    ++ended;
  }
  Report(count, start);
}

void ReadAll(int fd, char* data, uint64_t size) {
  for (uint64_t done = 0; done < size;) {
    ssize_t got = read(fd, data + done, size - done);
    if (got <= 0) Die("read");
    done += static_cast<uint64_t>(got);
  }
}

void WriteAll(int fd, const char* data, uint64_t size) {
  for (uint64_t done = 0; done < size;) {
    ssize_t put = write(fd, data + done, size - done);
    if (put <= 0) Die("write");
    done += static_cast<uint64_t>(put);
  }
}

void NoDelay(int fd) {
  int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void Wire(uint64_t count, uint64_t bytes, uint64_t batch) {
  int listener = socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* at = reinterpret_cast<sockaddr*>(&address);
  if (listener < 0 || bind(listener, at, size) != 0 || listen(listener, 1) != 0) Die("listen");
  getsockname(listener, at, &size);
  int near = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(near, at, size) != 0) Die("connect");
  int far = accept(listener, nullptr, nullptr);
  NoDelay(near);
  NoDelay(far);

  auto start = Clock::now();
  std::thread echo([&] {
    std::vector<char> buffer(bytes * batch);
    for (uint64_t left = count; left > 0;) {
      uint64_t n = std::min(left, batch);
      ReadAll(far, buffer.data(), n * bytes);
      WriteAll(far, buffer.data(), n * bytes);
      left -= n;
    }
  });
  std::thread sink([&] {
    std::vector<char> buffer(bytes * batch);
    for (uint64_t left = count; left > 0;) {
      uint64_t n = std::min(left, batch);
      ReadAll(near, buffer.data(), n * bytes);
      left -= n;
    }
  });
  std::vector<char> buffer(bytes * batch, 'x');
  for (uint64_t left = count; left > 0;) {
    uint64_t n = std::min(left, batch);
    WriteAll(near, buffer.data(), n * bytes);
    left -= n;
  }
  echo.join();
  sink.join();
  Report(count, start);
}

uint64_t Number(const char* text) {
  uint64_t value = std::strtoull(text, nullptr, 10);
  if (value == 0) {
    std::fprintf(stderr, "'%s' is not a number above 0\n", text);
    std::exit(2);
  }
  return value;
}

}  // namespace
}  // namespace taskd

int main(int argc, char** argv) {
  std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "spawn" && argc == 4) {
    taskd::Spawn(taskd::Number(argv[2]), taskd::Number(argv[3]));
  } else if (what == "wire" && argc == 5) {
    taskd::Wire(taskd::Number(argv[2]), taskd::Number(argv[3]), taskd::Number(argv[4]));
  } else {
    std::fprintf(stderr,
                 "usage: taskd_bench_limits spawn COUNT AT_ONCE | wire COUNT BYTES BATCH\n");
    return 2;
  }
  return 0;
}
