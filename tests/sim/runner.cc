#include "tests/sim/runner.h"

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
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"

namespace taskd::sim {
namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kSecondsASeed = 120;  // a core that never returns is a failure like others

// What one process tells the others; in memory that they share.
struct Lane {
  uint64_t seed = 0;  // under way
  uint64_t next = 0;  // to be run next in this lane
  uint64_t failures = 0;
  uint64_t first_failure = 0;
  char text[160] = {};
  bool finished = false;
  Stats stats;
};

Lane* g_lane = nullptr;
const RunSpec* g_spec = nullptr;

void PrintFailure(uint64_t seed, const std::string& what) {
  if (g_spec->silent) return;
  std::string text = StrCat("SEED=", seed, " reproduce with: taskd-sim", g_spec->flags, " --seed ",
                            seed, "\n  ", what, "\n");
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void NoteFailure(Lane& lane, uint64_t seed, const std::string& what) {
  ++lane.failures;
  if (lane.first_failure != 0) return;
  lane.first_failure = seed;
  std::snprintf(lane.text, sizeof lane.text, "%s", what.substr(0, what.find('\n')).c_str());
}

void OnCheckFailed(const char* file, int line, const char* condition) {
  std::string what = StrCat("CHECK failed at ", file, ":", line, ": ", condition);
  NoteFailure(*g_lane, g_lane->seed, what);
  PrintFailure(g_lane->seed, what);
}

struct Result {
  std::string failure;
  uint64_t hash = 0;
};

Result RunOnce(uint64_t seed, const TraceOptions& trace, Stats* stats) {
  Options options = Options::Draw(seed);
  options.mutation = g_spec->mutation;
  World world(options, trace);
  Result result;
  result.failure = world.Run();
  result.hash = world.action_hash;
  if (stats != nullptr) stats->Add(world.stats);
  return result;
}

void RunSeed(uint64_t seed) {
  g_lane->seed = seed;
  alarm(kSecondsASeed);
  Result result = RunOnce(seed, g_spec->trace, &g_lane->stats);
  if (g_spec->twice && result.failure.empty()) {
    uint64_t again = RunOnce(seed, {}, nullptr).hash;
    if (again != result.hash)
      result.failure = StrCat("two runs differ: hashes ", result.hash, " and ", again);
  }
  if (!result.failure.empty()) {
    NoteFailure(*g_lane, seed, result.failure);
    PrintFailure(seed, result.failure);
  }
  if (g_spec->hash) {
    std::printf("%" PRIu64 " %016" PRIx64 "\n", seed, result.hash);
    std::fflush(stdout);
  }
}

bool Over(const Lane* lanes, uint64_t seed, Clock::time_point start) {
  if (g_spec->minutes != 0) return Clock::now() - start >= std::chrono::minutes(g_spec->minutes);
  if (seed > g_spec->last) return true;
  return g_spec->until_failure &&
         std::any_of(lanes, lanes + g_spec->jobs, [seed](const Lane& lane) {
           return lane.first_failure != 0 && lane.first_failure < seed;
         });
}

// Lane j of n runs the seeds first + j, first + j + n, ...
void RunLane(Lane* lanes, uint32_t index, Clock::time_point start) {
  Lane& lane = lanes[index];
  g_lane = &lane;
  while (!Over(lanes, lane.next, start)) {
    uint64_t seed = lane.next;
    lane.next += g_spec->jobs;
    RunSeed(seed);
  }
  lane.finished = true;
}

pid_t Fork(Lane* lanes, uint32_t index, Clock::time_point start) {
  std::fflush(stdout);
  pid_t pid = fork();
  if (pid < 0) {
    std::perror("taskd-sim: fork");
    std::exit(2);
  }
  if (pid == 0) {
    RunLane(lanes, index, start);
    std::fflush(stdout);
    _exit(0);
  }
  return pid;
}

// The lane's process has ended before its last seed.
void NoteDeath(Lane& lane, int status) {
  if (WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) return;  // a CHECK: it is noted
  std::string what = StrCat("the process died, status ", status);
  NoteFailure(lane, lane.seed, what);
  PrintFailure(lane.seed, what);
}

Total Sum(const Lane* lanes) {
  Total total;
  for (const Lane* lane = lanes; lane != lanes + g_spec->jobs; ++lane) {
    total.failures += lane->failures;
    total.stats.Add(lane->stats);
    if (lane->first_failure == 0) continue;
    if (total.first_failure != 0 && total.first_failure < lane->first_failure) continue;
    total.first_failure = lane->first_failure;
    total.first_text = lane->text;
  }
  return total;
}

}  // namespace

Total RunSeeds(const RunSpec& spec) {
  g_spec = &spec;
  SetCheckHook(&OnCheckFailed);
  size_t bytes = sizeof(Lane) * spec.jobs;
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) {
    std::perror("taskd-sim: mmap");
    std::exit(2);
  }
  Lane* lanes = static_cast<Lane*>(memory);
  auto start = Clock::now();
  std::vector<pid_t> pids(spec.jobs);
  for (uint32_t j = 0; j < spec.jobs; ++j) new (&lanes[j]) Lane{.next = spec.first + j};
  for (uint32_t j = 0; j < spec.jobs; ++j) pids[j] = Fork(lanes, j, start);
  for (uint32_t live = spec.jobs; live > 0;) {
    int status = 0;
    pid_t pid = wait(&status);
    uint32_t j = static_cast<uint32_t>(std::find(pids.begin(), pids.end(), pid) - pids.begin());
    if (j == pids.size()) continue;
    if (lanes[j].finished) {
      --live;
      continue;
    }
    NoteDeath(lanes[j], status);
    pids[j] = Fork(lanes, j, start);
  }
  Total total = Sum(lanes);
  munmap(memory, bytes);
  return total;
}

}  // namespace taskd::sim
