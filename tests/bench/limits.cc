// What the machine can do without taskd: the figures that benchmarks stand beside. Prints one JSON
// object.
//
//   taskd_bench_limits spawn COUNT AT_ONCE          posix_spawn + wait of /bin/true
//   taskd_bench_limits wire COUNT BYTES BATCH       messages of BYTES there and back over loopback
//                                                   TCP, BATCH in a write
//   taskd_bench_limits roundtrip COUNT BYTES        one message at a time there and back over it
//   taskd_bench_limits stream BYTES                 one way over it, in writes of 256 KiB
//   taskd_bench_limits busy COUNT MICROSECONDS THREADS   threads that burn time by the clock
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
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

// Two ends of a connection over loopback.
struct Pair {
  int near, far;
};

Pair Connect() {
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
  if (far < 0) Die("accept");
  NoDelay(near);
  NoDelay(far);
  return {near, far};
}

void Wire(uint64_t count, uint64_t bytes, uint64_t batch) {
  const auto [near, far] = Connect();
  auto start = Clock::now();
  std::thread echo([&, far = far] {
    std::vector<char> buffer(bytes * batch);
    for (uint64_t left = count; left > 0;) {
      uint64_t n = std::min(left, batch);
      ReadAll(far, buffer.data(), n * bytes);
      WriteAll(far, buffer.data(), n * bytes);
      left -= n;
    }
  });
  std::thread sink([&, near = near] {
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

void RoundTrip(uint64_t count, uint64_t bytes) {
  const auto [near, far] = Connect();
  auto start = Clock::now();
  std::thread echo([&, far = far] {
    std::vector<char> buffer(bytes);
    for (uint64_t i = 0; i < count; ++i) {
      ReadAll(far, buffer.data(), bytes);
      WriteAll(far, buffer.data(), bytes);
    }
  });
  std::vector<char> buffer(bytes, 'x');
  for (uint64_t i = 0; i < count; ++i) {
    WriteAll(near, buffer.data(), bytes);
    ReadAll(near, buffer.data(), bytes);
  }
  echo.join();
  Report(count, start);
}

void Stream(uint64_t bytes) {
  constexpr uint64_t kWrite = 256 << 10;
  const auto [near, far] = Connect();
  auto start = Clock::now();
  std::thread sink([&, far = far] {
    std::vector<char> buffer(kWrite);
    for (uint64_t left = bytes; left > 0;) {
      uint64_t n = std::min(left, kWrite);
      ReadAll(far, buffer.data(), n);
      left -= n;
    }
  });
  std::vector<char> buffer(kWrite, 'x');
  for (uint64_t left = bytes; left > 0;) {
    uint64_t n = std::min(left, kWrite);
    WriteAll(near, buffer.data(), n);
    left -= n;
  }
  sink.join();
  Report(bytes, start);
}

void Busy(uint64_t count, uint64_t microseconds, uint64_t threads) {
  const auto duration = std::chrono::microseconds(microseconds);
  std::atomic<uint64_t> next = 0;
  auto start = Clock::now();
  std::vector<std::thread> pool;
  for (uint64_t i = 0; i < threads; ++i) {
    pool.emplace_back([&] {
      while (next.fetch_add(1, std::memory_order_relaxed) < count) {
        auto begin = Clock::now();
        while (Clock::now() - begin < duration) {
        }
      }
    });
  }
  for (std::thread& thread : pool) thread.join();
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
  } else if (what == "roundtrip" && argc == 4) {
    taskd::RoundTrip(taskd::Number(argv[2]), taskd::Number(argv[3]));
  } else if (what == "stream" && argc == 3) {
    taskd::Stream(taskd::Number(argv[2]));
  } else if (what == "busy" && argc == 5) {
    taskd::Busy(taskd::Number(argv[2]), taskd::Number(argv[3]), taskd::Number(argv[4]));
  } else {
    std::fprintf(stderr,
                 "usage: taskd_bench_limits spawn COUNT AT_ONCE | wire COUNT BYTES BATCH | "
                 "roundtrip COUNT BYTES | stream BYTES | busy COUNT MICROSECONDS THREADS\n");
    return 2;
  }
  return 0;
}
