// taskd-sim: runs seeds of the simulated cluster. See README.md of this folder.
#include <signal.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <optional>
#include <string>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {
namespace {

struct Flags {
  uint64_t first = 1, last = 20;
  TraceOptions trace;
  bool hash = false;
  bool twice = false;
  bool canary = false;
  bool quiet = false;
  uint32_t minutes = 0;
  uint32_t jobs = 1;
  Mutation mutation = Mutation::kNone;
};

constexpr const char* kUsage =
    "usage: taskd-sim --seeds A..B | --seed N\n"
    "  --verbose        every event and action\n"
    "  --story TEXT     only those that mention TEXT, e.g. 1@17 or 1.o5\n"
    "  --hash           one line a seed: seed, hash of all actions\n"
    "  --twice          every seed twice; both runs must have the same hash\n"
    "  --minutes M      go on with the next seeds for M minutes\n"
    "  --jobs J         processes\n"
    "  --mutate NAME    plants a defect that the checkers must find\n"
    "  --canary         plants every defect into seeds A..B; succeeds when each is found\n"
    "  --quiet          no table at the end\n";

// What one process tells the others; in memory that they share.
struct Lane {
  uint64_t seed = 0;  // under way
  uint64_t next = 0;  // to be run next in this lane
  uint64_t failures = 0;
  bool finished = false;
  Stats stats;
};

Lane* g_lane = nullptr;
const Flags* g_flags = nullptr;

std::string Command(uint64_t seed, Mutation mutation) {
  std::string command = StrCat("taskd-sim --seed ", seed);
  if (mutation != Mutation::kNone) command += StrCat(" --mutate ", Name(mutation));
  return command;
}

void PrintFailure(uint64_t seed, const std::string& what) {
  std::string text = StrCat("SEED=", seed, " reproduce with: ", Command(seed, g_flags->mutation),
                            "\n  ", what, "\n");
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void OnCheckFailed(const char* file, int line, const char* condition) {
  PrintFailure(g_lane->seed, StrCat("CHECK failed at ", file, ":", line, ": ", condition));
}

struct Result {
  std::string failure;
  uint64_t hash = 0;
};

Result RunOnce(uint64_t seed, const TraceOptions& trace, Stats* stats) {
  Options options = Options::Draw(seed);
  options.mutation = g_flags->mutation;
  World world(options, trace);
  Result result;
  result.failure = world.Run();
  result.hash = world.action_hash;
  if (stats != nullptr) stats->Add(world.stats);
  return result;
}

void RunSeed(uint64_t seed) {
  g_lane->seed = seed;
  alarm(120);  // a core that never returns is a failure like others
  Result result = RunOnce(seed, g_flags->trace, &g_lane->stats);
  if (g_flags->twice && result.failure.empty()) {
    uint64_t again = RunOnce(seed, {}, nullptr).hash;
    if (again != result.hash)
      result.failure = StrCat("two runs differ: hashes ", result.hash, " and ", again);
  }
  if (!result.failure.empty()) {
    ++g_lane->failures;
    PrintFailure(seed, result.failure);
  }
  if (g_flags->hash) {
    std::printf("%" PRIu64 " %016" PRIx64 "\n", seed, result.hash);
    std::fflush(stdout);
  }
}

bool OutOfTime(std::chrono::steady_clock::time_point start) {
  return std::chrono::steady_clock::now() - start >= std::chrono::minutes(g_flags->minutes);
}

// Lane j of n runs the seeds first + j, first + j + n, ...
void RunLane(Lane& lane, std::chrono::steady_clock::time_point start) {
  g_lane = &lane;
  for (;;) {
    uint64_t seed = lane.next;
    if (g_flags->minutes == 0 ? seed > g_flags->last : OutOfTime(start)) break;
    lane.next += g_flags->jobs;
    RunSeed(seed);
  }
  lane.finished = true;
}

pid_t Fork(Lane& lane, std::chrono::steady_clock::time_point start) {
  std::fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) {
    std::perror("taskd-sim: fork");
    std::exit(2);
  }
  if (pid == 0) {
    RunLane(lane, start);
    std::fflush(stdout);
    _exit(0);
  }
  return pid;
}

struct Total {
  uint64_t failures = 0;
  Stats stats;
};

// Every lane is a process, so that a failed CHECK costs one seed: the lane is started again after
// it.
Total RunAll() {
  size_t bytes = sizeof(Lane) * g_flags->jobs;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("taskd-sim: mmap");
    std::exit(2);
  }
  Lane* lanes = static_cast<Lane*>(memory);
  auto start = std::chrono::steady_clock::now();
  std::vector<pid_t> pids(g_flags->jobs);
  for (uint32_t j = 0; j < g_flags->jobs; ++j) {
    new (&lanes[j]) Lane{.next = g_flags->first + j};
    pids[j] = Fork(lanes[j], start);
  }
  for (uint32_t live = g_flags->jobs; live > 0;) {
    int status = 0;
    pid_t pid = wait(&status);
    uint32_t j = static_cast<uint32_t>(std::find(pids.begin(), pids.end(), pid) - pids.begin());
    if (j == pids.size()) continue;
    if (lanes[j].finished) {
      --live;
      continue;
    }
    ++lanes[j].failures;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT) {
      std::printf("SEED=%" PRIu64 " reproduce with: %s\n  the process died, status %d\n",
                  lanes[j].seed, Command(lanes[j].seed, g_flags->mutation).c_str(), status);
    }
    pids[j] = Fork(lanes[j], start);
  }
  Total total;
  for (uint32_t j = 0; j < g_flags->jobs; ++j) {
    total.failures += lanes[j].failures;
    total.stats.Add(lanes[j].stats);
  }
  munmap(memory, bytes);
  return total;
}

// A checker that finds nothing is a defect itself: every kind of planted defect has to be found.
int Canary(Flags flags) {
  int missed = 0;
  for (uint8_t m = 1; m < static_cast<uint8_t>(Mutation::kCount); ++m) {
    flags.mutation = static_cast<Mutation>(m);
    g_flags = &flags;
    Total total = RunAll();
    bool found = total.failures > 0;
    missed += found ? 0 : 1;
    std::printf("canary %-16s %s: %" PRIu64 " of %" PRIu64 " seeds fail, as they should\n",
                Name(flags.mutation), found ? "found" : "MISSED", total.failures,
                flags.last - flags.first + 1);
  }
  return missed == 0 ? 0 : 1;
}

bool ParseNumber(const char* text, uint64_t* value) {
  char* end = nullptr;
  *value = std::strtoull(text, &end, 10);
  return end != text && *end == '\0';
}

bool ParseRange(const std::string& text, Flags& flags) {
  size_t dots = text.find("..");
  if (dots == std::string::npos) return false;
  return ParseNumber(text.substr(0, dots).c_str(), &flags.first) &&
         ParseNumber(text.substr(dots + 2).c_str(), &flags.last) && flags.first <= flags.last;
}

// "" or what is wrong.
std::string ParseValue(const std::string& flag, const std::string& value, Flags& flags) {
  uint64_t number = 0;
  if (flag == "--seeds") return ParseRange(value, flags) ? "" : "--seeds needs A..B, e.g. 1..500";
  if (flag == "--story") {
    flags.trace.story = value;
    return "";
  }
  if (flag == "--mutate") {
    flags.mutation = MutationByName(value);
    return flags.mutation == Mutation::kCount ? StrCat("no such mutation: ", value) : "";
  }
  if (!ParseNumber(value.c_str(), &number))
    return StrCat(flag, " needs a number, not '", value, "'");
  if (flag == "--seed") {
    flags.first = flags.last = number;
  } else if (flag == "--minutes") {
    flags.minutes = static_cast<uint32_t>(number);
  } else if (flag == "--jobs" && number >= 1 && number <= 256) {
    flags.jobs = static_cast<uint32_t>(number);
  } else {
    return StrCat("bad flag or value: ", flag, " ", value);
  }
  return "";
}

std::string Parse(int argc, char** argv, Flags& flags) {
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    bool* boolean = flag == "--verbose"  ? &flags.trace.all
                    : flag == "--hash"   ? &flags.hash
                    : flag == "--twice"  ? &flags.twice
                    : flag == "--canary" ? &flags.canary
                    : flag == "--quiet"  ? &flags.quiet
                                         : nullptr;
    if (boolean != nullptr) {
      *boolean = true;
      continue;
    }
    std::string value;
    if (size_t equals = flag.find('='); equals != std::string::npos) {
      value = flag.substr(equals + 1);
      flag.resize(equals);
    } else if (++i < argc) {
      value = argv[i];
    } else {
      return StrCat("bad flag, or it needs a value: ", flag);
    }
    std::string wrong = ParseValue(flag, value, flags);
    if (!wrong.empty()) return wrong;
  }
  return "";
}

int Main(int argc, char** argv) {
  Flags flags;
  std::string wrong = Parse(argc, argv, flags);
  if (!wrong.empty()) {
    std::fprintf(stderr, "taskd-sim: %s\n%s", wrong.c_str(), kUsage);
    return 2;
  }
  SetCheckHook(&OnCheckFailed);
  g_flags = &flags;
  if (flags.canary) return Canary(flags);
  auto start = std::chrono::steady_clock::now();
  Total total = RunAll();
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!flags.quiet && !flags.hash) std::fputs(Table(total.stats).c_str(), stdout);
  if (!flags.hash) {
    std::printf("%" PRIu64 " seeds, %" PRIu64 " failed, %.1f s\n", total.stats.seeds,
                total.failures, seconds);
  }
  return total.failures == 0 ? 0 : 1;
}

}  // namespace
}  // namespace taskd::sim

int main(int argc, char** argv) { return taskd::sim::Main(argc, argv); }
