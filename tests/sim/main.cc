// taskd-sim: runs seeds of the simulated cluster. See README.md of this folder.
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "common/base/mutant.h"
#include "common/base/text.h"
#include "tests/sim/runner.h"

namespace taskd::sim {
namespace {

struct Flags {
  RunSpec run;
  bool canary = false;
  bool mutants = false;
  bool quiet = false;
  bool cover = false;
  Mutant mutant = Mutant::kNone;
};

constexpr const char* kUsage =
    "usage: taskd-sim --seeds A..B | --seed N\n"
    "  --verbose        every event and action\n"
    "  --story TEXT     only those that mention TEXT, e.g. 1@17 or 1.o5\n"
    "  --hash           one line a seed: seed, hash of all actions\n"
    "  --twice          every seed twice; both runs must have the same hash\n"
    "  --minutes M      go on with the next seeds for M minutes\n"
    "  --jobs J         processes\n"
    "  --mutate NAME    plants a defect between core and world that the checkers must find\n"
    "  --canary         plants every such defect into seeds A..B; succeeds when each is found\n"
    "  --mutant NAME    (taskd-sim-mutants) plants a defect into the cores themselves\n"
    "  --mutants        (taskd-sim-mutants) each of them, until one of seeds A..B finds it\n"
    "  --cover          fails when something that can happen never did\n"
    "  --quiet          no table at the end\n";

constexpr const char* kMutantNames[] = {"",
                                        "finish-unchecked",
                                        "freed-too-early",
                                        "lineage-skipped",
                                        "retract-ignored",
                                        "replicas-not-readded",
                                        "last-copy-evicted",
                                        "pinned-spilled",
                                        "gather-untold"};
static_assert(std::size(kMutantNames) == static_cast<size_t>(Mutant::kCount));

// A checker that finds nothing is a defect itself: every kind of planted defect has to be found.
int Canary(RunSpec run) {
  int missed = 0;
  run.silent = true;
  for (uint8_t m = 1; m < static_cast<uint8_t>(Mutation::kCount); ++m) {
    run.mutation = static_cast<Mutation>(m);
    Total total = RunSeeds(run);
    bool found = total.failures > 0;
    missed += found ? 0 : 1;
    std::printf("canary %-16s %s: %" PRIu64 " of %" PRIu64 " seeds fail, as they should\n",
                Name(run.mutation), found ? "found" : "MISSED", total.failures,
                run.last - run.first + 1);
  }
  return missed == 0 ? 0 : 1;
}

#ifdef TASKD_MUTANTS
constexpr bool kHasMutants = true;
void Live(Mutant mutant) { g_mutant = mutant; }
#else
constexpr bool kHasMutants = false;
void Live(Mutant) {}
#endif

// The cores themselves, each time with one defect.
int Mutants(RunSpec run) {
  int missed = 0;
  run.silent = true;
  run.until_failure = true;
  for (uint8_t m = 1; m < static_cast<uint8_t>(Mutant::kCount); ++m) {
    Live(static_cast<Mutant>(m));
    Total total = RunSeeds(run);
    bool found = total.first_failure != 0;
    missed += found ? 0 : 1;
    if (found) {
      std::printf("mutant %-21s found by seed %" PRIu64 ", after %" PRIu64 ": %s\n",
                  kMutantNames[m], total.first_failure, total.first_failure - run.first + 1,
                  total.first_text.c_str());
    } else {
      std::printf("mutant %-21s MISSED by seeds %" PRIu64 "..%" PRIu64 "\n", kMutantNames[m],
                  run.first, run.last);
    }
    std::fflush(stdout);
  }
  return missed == 0 ? 0 : 1;
}

Mutant MutantByName(const std::string& name) {
  uint8_t m = 0;
  while (m < static_cast<uint8_t>(Mutant::kCount) && name != kMutantNames[m]) ++m;
  return static_cast<Mutant>(m);
}

bool ParseNumber(const char* text, uint64_t* value) {
  char* end = nullptr;
  *value = std::strtoull(text, &end, 10);
  return end != text && *end == '\0';
}

bool ParseRange(const std::string& text, RunSpec& run) {
  size_t dots = text.find("..");
  if (dots == std::string::npos) return false;
  return ParseNumber(text.substr(0, dots).c_str(), &run.first) &&
         ParseNumber(text.substr(dots + 2).c_str(), &run.last) && run.first <= run.last;
}

// "" or what is wrong.
std::string ParseValue(const std::string& flag, const std::string& value, Flags& flags) {
  uint64_t number = 0;
  RunSpec& run = flags.run;
  if (flag == "--seeds") return ParseRange(value, run) ? "" : "--seeds needs A..B, e.g. 1..500";
  if (flag == "--story") {
    run.trace.story = value;
    return "";
  }
  if (flag == "--mutate") {
    run.mutation = MutationByName(value);
    run.flags += StrCat(" --mutate ", value);
    return run.mutation == Mutation::kCount ? StrCat("no such mutation: ", value) : "";
  }
  if (flag == "--mutant") {
    flags.mutant = MutantByName(value);
    run.flags += StrCat("-mutants --mutant ", value);
    return flags.mutant == Mutant::kCount ? StrCat("no such mutant: ", value) : "";
  }
  if (!ParseNumber(value.c_str(), &number))
    return StrCat(flag, " needs a number, not '", value, "'");
  if (flag == "--seed") {
    run.first = run.last = number;
  } else if (flag == "--minutes") {
    run.minutes = static_cast<uint32_t>(number);
  } else if (flag == "--jobs" && number >= 1 && number <= 256) {
    run.jobs = static_cast<uint32_t>(number);
  } else {
    return StrCat("bad flag or value: ", flag, " ", value);
  }
  return "";
}

std::string Parse(int argc, char** argv, Flags& flags) {
  for (int i = 1; i < argc; ++i) {
    std::string flag = argv[i];
    bool* boolean = flag == "--verbose"   ? &flags.run.trace.all
                    : flag == "--hash"    ? &flags.run.hash
                    : flag == "--twice"   ? &flags.run.twice
                    : flag == "--canary"  ? &flags.canary
                    : flag == "--mutants" ? &flags.mutants
                    : flag == "--cover"   ? &flags.cover
                    : flag == "--quiet"   ? &flags.quiet
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
  if ((flags.mutants || flags.mutant != Mutant::kNone) && !kHasMutants) {
    std::fprintf(stderr, "taskd-sim: this build has no mutants: use taskd-sim-mutants\n");
    return 2;
  }
  if (flags.canary) return Canary(flags.run);
  if (flags.mutants) return Mutants(flags.run);
  Live(flags.mutant);
  auto start = std::chrono::steady_clock::now();
  Total total = RunSeeds(flags.run);
  double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  if (!flags.quiet && !flags.run.hash) std::fputs(Table(total.stats).c_str(), stdout);
  if (!flags.run.hash) {
    std::printf("%" PRIu64 " seeds, %" PRIu64 " failed, %.1f s\n", total.stats.seeds,
                total.failures, seconds);
  }
  std::string unmet = flags.cover ? Unmet(total.stats) : "";
  if (!unmet.empty()) std::printf("never happened:\n%s", unmet.c_str());
  return total.failures == 0 && unmet.empty() ? 0 : 1;
}

}  // namespace
}  // namespace taskd::sim

int main(int argc, char** argv) { return taskd::sim::Main(argc, argv); }
