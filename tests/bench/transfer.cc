// Objects from the store of one process into the store of another, by the data service and the
// fetcher of the workers over loopback, beside what a plain TCP stream of the same bytes and memcpy
// do in the same run. Prints one JSON object.
//
//   taskd_bench_transfer [--large BYTES] [--small COUNT] [--runs N] [--folder PATH] [--recycle 0|1]
//                        [--link-mbit N]
//
// `--recycle 0`: the reader's store has only fresh pages to write into. The folder is a tmpfs.
// `--link-mbit`: over a link of so many Mbit/s (a network namespace of its own, which takes root and tc) objects
// that shrink when compressed and one that does not.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <future>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/allocator.h"
#include "common/io/clock.h"
#include "worker/data/data_server.h"
#include "worker/data/fetcher.h"
#include "worker/store/store.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {
namespace {

constexpr char kKey[] = "bench";
constexpr uint64_t kSmallBytes = 10 << 10;
constexpr uint32_t kLarge = 1, kPieces = 100, kSmall = 1000;  // first ordinals
constexpr uint32_t kText = 2, kNoise = 3;

struct Sizes {
  uint64_t large = 1 << 30;
  uint32_t small = 10'000;
  uint32_t runs = 5;
  bool recycle = true;
  uint32_t link_mbit = 0;  // 0: loopback as it is
  std::string folder = "/dev/shm";

  uint32_t pieces() const {
    return static_cast<uint32_t>((large + limits::kFetchBytes - 1) / limits::kFetchBytes);
  }
};

LocalKey Key(uint32_t ordinal) { return {{{1, ordinal}, 1}, {}}; }

void Fill(Store& store, uint32_t ordinal, uint64_t bytes) {
  std::string block(std::min<uint64_t>(bytes, 1 << 20), '\0');
  for (size_t i = 0; i < block.size(); ++i)
    block[i] = static_cast<char>((i * 2654435761u + ordinal) >> 13);
  auto writer = store.NewWriter();
  for (uint64_t left = bytes; left > 0;) {
    const size_t n = std::min<uint64_t>(left, block.size());
    TASKD_CHECK(writer->Append({block.data(), n}).ok());
    left -= n;
  }
  TASKD_CHECK(store.Commit(Key(ordinal), std::move(writer)).ok());
}

// Numbers as text: zstd makes a bit less than half of it. Or random bytes, of which it makes nothing.
void FillWithNumbers(Store& store, uint32_t ordinal, uint64_t bytes) {
  auto writer = store.NewWriter();
  std::string block;
  for (uint64_t left = bytes, number = 1; left > 0; left -= block.size()) {
    for (block.clear(); block.size() < (1 << 20);) {
      number = number * 6364136223846793005u + 1442695040888963407u;
      if (ordinal == kText) {
        block += StrCat(number >> 40, "\n");
      } else {
        block.append(reinterpret_cast<const char*>(&number) + 3, 5);
      }
    }
    block.resize(std::min<uint64_t>(block.size(), left));
    TASKD_CHECK(writer->Append(block).ok());
  }
  TASKD_CHECK(store.Commit(Key(ordinal), std::move(writer)).ok());
}

std::string MakeFolder(const std::string& parent) {
  std::string name = parent + "/taskd-bench-XXXXXX";
  TASKD_CHECK(mkdtemp(name.data()) != nullptr);
  return name;
}

double CpuSeconds(clockid_t clock) {
  timespec t;
  TASKD_CHECK(clock_gettime(clock, &t) == 0);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

// A child process that holds every object, until it is let go.
class Holder {
 public:
  explicit Holder(const Sizes& sizes) {
    int up[2], down[2];
    TASKD_CHECK(pipe(up) == 0 && pipe(down) == 0);
    pid_ = fork();
    TASKD_CHECK(pid_ >= 0);
    if (pid_ == 0) {
      close(up[0]);
      close(down[1]);
      Serve(sizes, up[1], down[0]);
      _exit(0);
    }
    close(up[1]);
    close(down[0]);
    until_ = down[1];
    char text[64] = {};
    TASKD_CHECK(read(up[0], text, sizeof text - 1) > 0);
    address_ = text;
    close(up[0]);
    TASKD_CHECK(clock_getcpuclockid(pid_, &clock_) == 0);
  }
  ~Holder() {
    close(until_);
    waitpid(pid_, nullptr, 0);
  }

  const std::string& address() const { return address_; }
  clockid_t clock() const { return clock_; }

 private:
  static void Serve(const Sizes& sizes, int out, int until) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    const std::string folder = MakeFolder(sizes.folder);
    {
      Store store({folder, folder}, [](ObjectVersion) { TASKD_CHECK(false); });
      if (sizes.link_mbit > 0) {
        for (uint32_t ordinal : {kText, kNoise}) FillWithNumbers(store, ordinal, sizes.large);
      } else {
        Fill(store, kLarge, sizes.large);
        for (uint32_t i = 0; i < sizes.pieces(); ++i) Fill(store, kPieces + i, limits::kFetchBytes);
        for (uint32_t i = 0; i < sizes.small; ++i) Fill(store, kSmall + i, kSmallBytes);
      }
      DataServer::Options options;
      options.worker_key = kKey;
      auto server = DataServer::Start(store, std::move(options));
      TASKD_CHECK(server.ok());
      const std::string& address = (*server)->address();
      TASKD_CHECK(write(out, address.data(), address.size()) > 0);
      char end;
      while (read(until, &end, 1) > 0) {
      }
    }
    RemoveTree(folder);
  }

  pid_t pid_ = 0;
  int until_ = -1;
  std::string address_;
  clockid_t clock_ = {};
};

// Brings objects [first, first + count) in requests as the core makes them: so many bytes and items
// at most, two at once.
class Reader {
 public:
  // `take_files`: as a worker on one host does.
  Reader(const Sizes& sizes, const Holder& holder, bool take_files, bool take_compressed = true)
      : address_(holder.address()),
        folder_(MakeFolder(sizes.folder)),
        store_(std::make_unique<Store>(
            StoreOptions{folder_, folder_, 0, 0, sizes.recycle ? limits::kSpareBytes : 0},
            [](ObjectVersion) { TASKD_CHECK(false); })) {
    Fetcher::Options options;
    options.key = kKey;
    options.take_files = take_files;
    options.take_compressed = take_compressed;
    options.done = [this](event::FetchDone done) { Done(done); };
    fetcher_ = std::make_unique<Fetcher>(*store_, std::move(options));
  }
  ~Reader() {
    fetcher_.reset();
    store_.reset();
    RemoveTree(folder_);
  }

  void Bring(uint32_t first, uint32_t count, uint64_t bytes_each) {
    const uint32_t at_once = static_cast<uint32_t>(
        std::clamp<uint64_t>(limits::kFetchBytes / bytes_each, 1, limits::kFetchItems));
    for (uint32_t i = 0; i < count; i += at_once) {
      std::vector<LocalKey> items;
      for (uint32_t k = i; k < std::min(count, i + at_once); ++k) items.push_back(Key(first + k));
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return active_ < limits::kFetchesPerPeer; });
      ++active_;
      lock.unlock();
      fetcher_->Start(++fetch_, address_, std::move(items));
    }
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return active_ == 0; });
  }
  void Drop() { store_->DropAll(); }
  uint64_t received_bytes() const { return fetcher_->totals().fetched_bytes; }

 private:
  void Done(const event::FetchDone& done) {
    for (const auto& item : done.items) TASKD_CHECK(item.status == FetchStatus::kOk);
    std::lock_guard lock(mutex_);
    --active_;
    changed_.notify_all();
  }

  const std::string address_, folder_;
  std::unique_ptr<Store> store_;
  std::unique_ptr<Fetcher> fetcher_;
  std::mutex mutex_;
  std::condition_variable changed_;
  uint32_t active_ = 0;
  FetchId fetch_ = 0;
};

// The limit: a process that writes from memory, one that reads into memory, 256 KiB at a time.
double PlainTcpSeconds(uint64_t bytes) {
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* at = reinterpret_cast<sockaddr*>(&address);
  TASKD_CHECK(bind(listener, at, size) == 0 && listen(listener, 1) == 0);
  TASKD_CHECK(getsockname(listener, at, &size) == 0);
  std::vector<char> buffer(limits::kChunkBytes, 'x');
  std::future<void> sender = std::async(std::launch::async, [&] {
    int fd = accept(listener, nullptr, nullptr);
    std::vector<char> from(limits::kChunkBytes, 'y');
    for (uint64_t left = bytes; left > 0;) {
      const ssize_t n = write(fd, from.data(), std::min<uint64_t>(left, from.size()));
      TASKD_CHECK(n > 0);
      left -= static_cast<uint64_t>(n);
    }
    close(fd);
  });
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  TASKD_CHECK(connect(fd, at, size) == 0);
  const uint64_t start = io::NowNs();
  uint64_t got = 0;
  for (ssize_t n; (n = read(fd, buffer.data(), buffer.size())) > 0;)
    got += static_cast<uint64_t>(n);
  const uint64_t ns = io::NowNs() - start;
  TASKD_CHECK(got == bytes);
  sender.get();
  close(fd);
  close(listener);
  return static_cast<double>(ns) * 1e-9;
}

double MemcpySeconds(uint64_t bytes) {
  std::vector<char> from(64 << 20, 'x'), to(64 << 20, 'y');
  const uint64_t start = io::NowNs();
  for (uint64_t done = 0; done < bytes; done += from.size())
    std::memcpy(to.data(), from.data(), std::min<uint64_t>(from.size(), bytes - done));
  return static_cast<double>(io::NowNs() - start) * 1e-9;
}

double Median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// `bring` once to warm up, then `runs` times, each beside the limit.
void Measure(const char* name, uint64_t bytes, uint64_t objects, const Sizes& sizes,
             const Holder& holder, Reader& reader, const std::function<void()>& bring) {
  std::vector<double> rates, limits, ratios, cpu_here, cpu_there;
  uint64_t received = 0;
  for (uint32_t run = 0; run <= sizes.runs; ++run) {
    const double tcp = static_cast<double>(bytes) / PlainTcpSeconds(bytes) / 1e6;
    const double here = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID), there = CpuSeconds(holder.clock());
    const uint64_t start = io::NowNs();
    bring();
    const double seconds = static_cast<double>(io::NowNs() - start) * 1e-9;
    const double used_here = CpuSeconds(CLOCK_PROCESS_CPUTIME_ID) - here;
    const double used_there = CpuSeconds(holder.clock()) - there;
    reader.Drop();
    if (run == 0) {
      received = reader.received_bytes();
      continue;
    }
    rates.push_back(static_cast<double>(bytes) / seconds / 1e6);
    limits.push_back(tcp);
    ratios.push_back(rates.back() / tcp);
    cpu_here.push_back(used_here * 1e9 / static_cast<double>(bytes));
    cpu_there.push_back(used_there * 1e9 / static_cast<double>(bytes));
  }
  std::printf(
      "  \"%s\": {\"objects\": %llu, \"bytes\": %llu, \"mb_per_s\": {\"median\": %.0f, \"min\": "
      "%.0f, \"max\": %.0f}, \"tcp_mb_per_s\": {\"median\": %.0f, \"min\": %.0f, \"max\": %.0f}, "
      "\"ratio_to_tcp\": %.3f, \"objects_per_s\": %.0f, \"received_share\": %.3f, "
      "\"cpu_ns_per_byte\": {\"reader\": %.3f, \"holder\": %.3f}},\n",
      name, static_cast<unsigned long long>(objects), static_cast<unsigned long long>(bytes),
      Median(rates), *std::min_element(rates.begin(), rates.end()),
      *std::max_element(rates.begin(), rates.end()), Median(limits),
      *std::min_element(limits.begin(), limits.end()),
      *std::max_element(limits.begin(), limits.end()), Median(ratios),
      Median(rates) * 1e6 * static_cast<double>(objects) / static_cast<double>(bytes),
      static_cast<double>(reader.received_bytes() - received) /
          static_cast<double>(bytes * sizes.runs),
      Median(cpu_here), Median(cpu_there));
  std::fflush(stdout);
}

// This process, and what it starts, is alone on a loopback of so many Mbit/s.
bool EnterLink(uint32_t mbit) {
  const std::string setup = StrCat("ip link set lo up && tc qdisc add dev lo root tbf rate ", mbit,
                                   "mbit burst 256kb latency 50ms");
  if (unshare(CLONE_NEWNET) == 0 && std::system(setup.c_str()) == 0) return true;
  std::fprintf(stderr, "--link-mbit needs root, ip and tc\n");
  return false;
}

void RunOnLink(const Sizes& sizes, const Holder& holder) {
  Reader compressed(sizes, holder, false), as_it_is(sizes, holder, false, false);
  const auto measure = [&](const char* name, Reader& reader, uint32_t ordinal) {
    Measure(name, sizes.large, 1, sizes, holder, reader,
            [&] { reader.Bring(ordinal, 1, sizes.large); });
  };
  measure("text", compressed, kText);
  measure("text_as_it_is", as_it_is, kText);
  measure("noise", compressed, kNoise);
  measure("noise_as_it_is", as_it_is, kNoise);
  std::printf("  \"link_mb_per_s\": %.1f}\n", sizes.link_mbit / 8.0);
}

void Run(const Sizes& sizes) {
  std::printf("{\"benchmark\": \"transfer\", \"runs\": %u,\n", sizes.runs);
  std::fflush(stdout);
  Holder holder(sizes);
  if (sizes.link_mbit > 0) return RunOnLink(sizes, holder);
  Reader reader(sizes, holder, false), linker(sizes, holder, true);
  Measure("one_object", sizes.large, 1, sizes, holder, reader,
          [&] { reader.Bring(kLarge, 1, sizes.large); });
  Measure("pieces_of_64_mib", sizes.pieces() * limits::kFetchBytes, sizes.pieces(), sizes, holder,
          reader, [&] { reader.Bring(kPieces, sizes.pieces(), limits::kFetchBytes); });
  Measure("objects_of_10_kib", sizes.small * kSmallBytes, sizes.small, sizes, holder, reader,
          [&] { reader.Bring(kSmall, sizes.small, kSmallBytes); });
  Measure("one_object_same_host", sizes.large, 1, sizes, holder, linker,
          [&] { linker.Bring(kLarge, 1, sizes.large); });
  std::printf("  \"memcpy_mb_per_s\": %.0f}\n",
              static_cast<double>(sizes.large) / MemcpySeconds(sizes.large) / 1e6);
}

int Usage() {
  std::fprintf(stderr,
               "usage: taskd_bench_transfer [--large BYTES] [--small COUNT] [--runs N] [--folder "
               "PATH] [--recycle 0|1] [--link-mbit N]\n");
  return 2;
}

int Main(int argc, char** argv) {
  io::KeepFreedMemory();  // as taskd-worker
  Sizes sizes;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 >= argc) return Usage();
    const std::string_view flag = argv[i];
    const uint64_t number = std::strtoull(argv[i + 1], nullptr, 10);
    if (flag == "--folder") {
      sizes.folder = argv[i + 1];
    } else if (flag == "--recycle") {
      sizes.recycle = number != 0;
    } else if (number == 0) {
      return Usage();
    } else if (flag == "--large") {
      sizes.large = number;
    } else if (flag == "--small") {
      sizes.small = static_cast<uint32_t>(number);
    } else if (flag == "--link-mbit") {
      sizes.link_mbit = static_cast<uint32_t>(number);
    } else if (flag == "--runs") {
      sizes.runs = static_cast<uint32_t>(number);
    } else {
      return Usage();
    }
  }
  if (sizes.link_mbit > 0 && !EnterLink(sizes.link_mbit)) return 1;
  Run(sizes);
  return 0;
}

}  // namespace
}  // namespace taskd::worker

int main(int argc, char** argv) { return taskd::worker::Main(argc, argv); }
