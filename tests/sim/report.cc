#include "tests/sim/report.h"

#include <cstdio>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "common/base/names.h"
#include "common/base/text.h"

namespace taskd::sim {
namespace {

constexpr const char* kFaultNames[] = {"stream-break",   "half-open",
                                       "silence",        "silence-then-break",
                                       "crash",          "crash-unnoticed",
                                       "crash-for-good", "goodbye",
                                       "replica-lost",   "replica-vanished",
                                       "data-cut",       "drain",
                                       "slow",           "poison"};
static_assert(std::size(kFaultNames) == static_cast<size_t>(Fault::kCount));

constexpr const char* kSchedulerActions[] = {
    "Welcome",    "Refuse",       "CloseStream",   "Assign", "Retract",
    "Cancel",     "Free",         "AckOutcomes",   "Drain",  "Reply",
    "JobChanged", "JobForgotten", "ObjectChanged", "Journal"};
static_assert(std::size(kSchedulerActions) == std::variant_size_v<scheduler::Action>);

constexpr const char* kWorkerActions[] = {"SendInventory",    "SendInventoryDone",
                                          "SendStarted",      "SendOutcome",
                                          "SendReplicaAdded", "SendReplicaLost",
                                          "StartFetch",       "CancelFetch",
                                          "StartExec",        "KillExec",
                                          "ReleaseAttempt",   "Drop",
                                          "DropAll",          "Stopped"};
static_assert(std::size(kWorkerActions) == std::variant_size_v<worker::Action>);

void Row(std::string& out, std::string_view name, uint64_t count) {
  char line[96];
  std::snprintf(line, sizeof line, "  %-24.*s %14llu\n", static_cast<int>(name.size()), name.data(),
                static_cast<unsigned long long>(count));
  out += line;
}

}  // namespace

const char* Name(Fault fault) { return kFaultNames[static_cast<size_t>(fault)]; }

void Stats::Add(const Stats& other) {
  static_assert(std::is_trivially_copyable_v<Stats> && sizeof(Stats) % sizeof(uint64_t) == 0);
  uint64_t mine[sizeof(Stats) / sizeof(uint64_t)];
  uint64_t theirs[sizeof(Stats) / sizeof(uint64_t)];
  std::memcpy(mine, this, sizeof mine);
  std::memcpy(theirs, &other, sizeof theirs);
  for (size_t i = 0; i < std::size(mine); ++i) mine[i] += theirs[i];
  std::memcpy(static_cast<void*>(this), mine, sizeof mine);
}

std::string Table(const Stats& s) {
  std::string out = "totals\n";
  Row(out, "seeds", s.seeds);
  Row(out, "tasks", s.tasks);
  Row(out, "objects", s.objects);
  Row(out, "edges", s.edges);
  Row(out, "scheduler steps", s.scheduler_steps);
  Row(out, "worker steps", s.worker_steps);
  Row(out, "validations", s.validations);
  Row(out, "simulated seconds", s.simulated_ms / 1000);
  Row(out, "values checked", s.values_checked);
  Row(out, "reruns", s.reruns);
  Row(out, "needless reruns", s.needless_reruns);
  Row(out, "early frees", s.early_frees);
  Row(out, "twin attempts", s.twins);
  Row(out, "late wants", s.late_wants);
  Row(out, "rebuilt for clients", s.rebuilt_for_clients);
  if (s.mutations != 0) Row(out, "planted defects", s.mutations);
  out += "faults\n";
  for (size_t i = 0; i < s.faults.size(); ++i) Row(out, kFaultNames[i], s.faults[i]);
  out += "scheduler actions\n";
  for (size_t i = 0; i < s.scheduler_actions.size(); ++i)
    Row(out, kSchedulerActions[i], s.scheduler_actions[i]);
  out += "worker actions\n";
  for (size_t i = 0; i < s.worker_actions.size(); ++i)
    Row(out, kWorkerActions[i], s.worker_actions[i]);
  out += "attempt ends\n";
  for (size_t i = 1; i < s.attempt_ends.size(); ++i)
    Row(out, Name(static_cast<AttemptEnd>(i)), s.attempt_ends[i]);
  out += "final failures\n";
  for (size_t i = 1; i < s.final_failures.size(); ++i) {
    Row(out, Name(static_cast<FailureClass>(i)), s.final_failures[i]);
  }
  out += "tasks at the end\n";
  for (size_t i = 1; i < s.task_ends.size(); ++i)
    Row(out, Name(static_cast<TaskState>(i)), s.task_ends[i]);
  return out;
}

}  // namespace taskd::sim
