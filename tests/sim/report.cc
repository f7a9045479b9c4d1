#include "tests/sim/report.h"

#include <cstdio>
#include <cstring>
#include <iterator>
#include <string_view>
#include <type_traits>

#include "common/base/names.h"
#include "common/base/text.h"

namespace taskd::sim {
namespace {

constexpr const char* kFaultNames[] = {"stream-break",
                                       "half-open",
                                       "silence",
                                       "silence-then-break",
                                       "crash",
                                       "crash-unnoticed",
                                       "crash-for-good",
                                       "goodbye",
                                       "replica-lost",
                                       "replica-vanished",
                                       "data-cut",
                                       "data-cut-one-way",
                                       "clog",
                                       "one-way-up",
                                       "one-way-down",
                                       "disk-full",
                                       "replica-damaged",
                                       "sole-replica-lost",
                                       "drain",
                                       "slow",
                                       "worker-pause",
                                       "scheduler-pause",
                                       "scheduler-crash",
                                       "client-crash",
                                       "bad-worker",
                                       "few-licences",
                                       "poison",
                                       "time-over"};
static_assert(std::size(kFaultNames) == static_cast<size_t>(Fault::kCount));

constexpr const char* kSchedulerActions[] = {
    "Welcome", "Refuse",      "CloseStream",  "Assign",        "Retract", "Cancel",
    "Free",    "AckOutcomes", "Drain",        "Retire",        "Gather",  "Resume",
    "Reply",   "JobChanged",  "JobForgotten", "ObjectChanged", "Journal"};
static_assert(std::size(kSchedulerActions) == std::variant_size_v<scheduler::Action>);

constexpr const char* kWorkerActions[] = {"SendInventory",
                                          "SendInventoryDone",
                                          "SendStarted",
                                          "SendOutcome",
                                          "SendReplicaAdded",
                                          "SendReplicaLost",
                                          "SendGatherFailed",
                                          "StartFetch",
                                          "CancelFetch",
                                          "StartExec",
                                          "KillExec",
                                          "ReleaseAttempt",
                                          "SendSubmit",
                                          "SendYield",
                                          "ResumeExec",
                                          "ReleaseSubmission",
                                          "PutValues",
                                          "Spill",
                                          "Drop",
                                          "DropAll",
                                          "Stopped"};
static_assert(std::size(kWorkerActions) == std::variant_size_v<worker::Action>);

void Row(std::string& out, std::string_view name, uint64_t count) {
  char line[96];
  std::snprintf(line, sizeof line, "  %-24.*s %14llu\n", static_cast<int>(name.size()), name.data(),
                static_cast<unsigned long long>(count));
  out += line;
}

constexpr const char* kAssignReasons[] = {"home", "idle", "moved", "second", "alone"};
constexpr const char* kLossCauses[] = {"closed", "silent", "goodbye", "restarted"};

// "-" stands for not there.
template <typename S, size_t n>
void Moves(std::string& out, const std::array<std::array<uint64_t, n>, n>& moves) {
  auto name = [](size_t s) { return s == 0 ? "-" : Name(static_cast<S>(s)); };
  for (size_t from = 0; from < n; ++from) {
    for (size_t to = 1; to < n; ++to) {
      if (moves[from][to] != 0) Row(out, StrCat(name(from), " -> ", name(to)), moves[from][to]);
    }
  }
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
  Row(out, "clients gone", s.clients_gone);
  Row(out, "clients that said goodbye", s.goodbyes);
  Row(out, "jobs of clients that left", s.left_jobs);
  Row(out, "journal records lost", s.records_lost);
  Row(out, "journal records replayed", s.records_replayed);
  Row(out, "attempts adopted", s.attempts_adopted);
  Row(out, "quarantines", s.quarantines);
  Row(out, "inputs fetched early", s.early_gathers);
  Row(out, "jobs forgotten early", s.forgotten_early);
  Row(out, "values taken", s.values_taken);
  Row(out, "imports", s.imports);
  Row(out, "datasets published", s.datasets_published);
  Row(out, "datasets dropped", s.datasets_dropped);
  Row(out, "submissions of tasks", s.submissions);
  Row(out, "yields", s.yields);
  Row(out, "of these discarded", s.discards);
  Row(out, "outputs delegated to them", s.delegations);
  Row(out, "gets of running tasks", s.gets);
  Row(out, "gets that waited", s.gets_waited);
  Row(out, "gets that gathered", s.gets_gathered);
  Row(out, "gets tried again", s.gets_retried);
  Row(out, "gets answered", s.gets_answered);
  Row(out, "gets that failed", s.gets_failed);
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
  out += "tasks, from state to state\n";
  Moves<TaskState>(out, s.task_moves);
  out += "workers, from state to state\n";
  Moves<WorkerState>(out, s.worker_moves);
  out += "jobs, from state to state\n";
  Moves<JobState>(out, s.job_moves);
  out += "tasks seen waiting\n";
  for (size_t i = 1; i < s.reasons.size(); ++i)
    Row(out, Name(static_cast<WaitReason>(i)), s.reasons[i]);
  out += "assigned because of\n";
  for (size_t i = 0; i < s.assigned.size(); ++i) Row(out, kAssignReasons[i], s.assigned[i]);
  out += "workers lost by\n";
  for (size_t i = 0; i < s.workers_lost.size(); ++i) Row(out, kLossCauses[i], s.workers_lost[i]);
  out += "attempts failed\n";
  for (size_t i = 1; i < s.attempts_failed.size(); ++i)
    Row(out, Name(static_cast<FailureClass>(i)), s.attempts_failed[i]);
  out += "tasks at the end\n";
  for (size_t i = 1; i < s.task_ends.size(); ++i)
    Row(out, Name(static_cast<TaskState>(i)), s.task_ends[i]);
  return out;
}

namespace {

// Of any kind, what nothing in this world can cause.
bool Impossible(Fault) { return false; }
bool Impossible(AttemptEnd end) {
  return end == AttemptEnd::kRefused ||  // no worker has less than it said
         end == AttemptEnd::kLost;       // is no outcome, but the lack of one
}
bool Impossible(FailureClass failure) {
  return failure != FailureClass::kExit && failure != FailureClass::kSignal &&
         failure != FailureClass::kTimeout && failure != FailureClass::kOutputMissing &&
         failure != FailureClass::kStore;  // of attempts; those of tasks alone are counted as final
}
bool Impossible(WaitReason reason) {
  return reason != WaitReason::kInputs && reason != WaitReason::kInputRebuild &&
         reason != WaitReason::kBehindOthers && reason != WaitReason::kNoWorker &&
         reason != WaitReason::kUnschedulable && reason != WaitReason::kBackoff &&
         reason != WaitReason::kDrain && reason != WaitReason::kAtWorker &&
         reason != WaitReason::kInputAway && reason != WaitReason::kWorkerAway &&
         reason != WaitReason::kSuspect && reason != WaitReason::kJobLimit &&
         reason != WaitReason::kRestart && reason != WaitReason::kMemory &&
         reason != WaitReason::kPool && reason != WaitReason::kRefused;
}

template <typename E, size_t n>
void UnmetOf(std::string& out, const char* kind, const std::array<uint64_t, n>& counts,
             size_t first) {
  for (size_t i = first; i < n; ++i) {
    E e = static_cast<E>(i);
    if (counts[i] == 0 && !Impossible(e)) out += StrCat("  ", kind, " ", Name(e), "\n");
  }
}

struct Move {
  uint8_t from, to;
};
// Changes of state that one message can bring; seen from outside others come together.
constexpr Move kTaskMoves[] = {{1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {2, 1}, {2, 3}, {2, 4},
                               {2, 6}, {3, 1}, {3, 2}, {3, 4}, {3, 5}, {3, 6}, {4, 1}, {4, 6}};
constexpr Move kWorkerMoves[] = {{0, 2}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6},
                                 {2, 1}, {2, 3}, {2, 5}, {2, 6}, {3, 1}, {3, 5},
                                 {3, 6}, {4, 2}, {4, 3}, {4, 5}, {5, 2}, {5, 3}};
constexpr Move kJobMoves[] = {{0, 1}, {1, 2}, {1, 5}, {2, 3}, {2, 4}, {2, 5}, {3, 2}, {4, 2}};

template <typename E, size_t n, size_t m>
void UnmetMoves(std::string& out, const char* kind,
                const std::array<std::array<uint64_t, n>, n>& counts, const Move (&moves)[m]) {
  for (Move move : moves) {
    if (counts[move.from][move.to] != 0) continue;
    out += StrCat("  ", kind, " ", move.from == 0 ? "-" : Name(static_cast<E>(move.from)), " -> ",
                  Name(static_cast<E>(move.to)), "\n");
  }
}

}  // namespace

std::string Unmet(const Stats& s) {
  std::string out;
  UnmetOf<Fault>(out, "fault", s.faults, 0);
  UnmetOf<AttemptEnd>(out, "attempt end", s.attempt_ends, 1);
  UnmetOf<FailureClass>(out, "attempt failed by", s.attempts_failed, 1);
  UnmetOf<WaitReason>(out, "task waiting for", s.reasons, 1);
  UnmetMoves<TaskState>(out, "task", s.task_moves, kTaskMoves);
  UnmetMoves<WorkerState>(out, "worker", s.worker_moves, kWorkerMoves);
  UnmetMoves<JobState>(out, "job", s.job_moves, kJobMoves);
  for (size_t i = 0; i < std::size(kAssignReasons); ++i)
    if (s.assigned[i] == 0) out += StrCat("  assigned ", kAssignReasons[i], "\n");
  for (size_t i = 0; i < s.workers_lost.size(); ++i)
    if (s.workers_lost[i] == 0) out += StrCat("  worker lost by ", kLossCauses[i], "\n");
  // Nobody is refused: there is room for every worker. No other cluster comes.
  for (size_t i = 0; i < s.scheduler_actions.size(); ++i) {
    if (s.scheduler_actions[i] == 0 && kSchedulerActions[i] != std::string_view("Refuse"))
      out += StrCat("  action ", kSchedulerActions[i], "\n");
  }
  for (size_t i = 0; i < s.worker_actions.size(); ++i) {
    if (s.worker_actions[i] == 0 && kWorkerActions[i] != std::string_view("DropAll"))
      out += StrCat("  worker's action ", kWorkerActions[i], "\n");
  }
  if (s.early_gathers == 0) out += "  inputs fetched early\n";
  if (s.values_taken == 0) out += "  values that ride in messages\n";
  for (uint64_t n :
       {s.gets, s.gets_waited, s.gets_gathered, s.gets_retried, s.gets_answered, s.gets_failed})
    if (n == 0) out += "  gets that wait, are gathered, tried again, answered or fail\n";
  for (FailureClass f :
       {FailureClass::kCrashLimit, FailureClass::kInputFailed, FailureClass::kUnschedulable}) {
    if (s.final_failures[static_cast<size_t>(f)] == 0)
      out += StrCat("  final failure ", Name(f), "\n");
  }
  for (uint64_t n : {s.records_lost, s.records_replayed, s.attempts_adopted, s.quarantines, s.twins,
                     s.late_wants, s.forgotten_early, s.imports, s.datasets_published,
                     s.datasets_dropped, s.submissions, s.discards, s.delegations, s.yields})
    if (n == 0)
      out +=
          "  records lost or replayed, adoptions, quarantines, twins, late wants, jobs forgotten "
          "early, imports, datasets, submissions or delegations\n";
  return out;
}

}  // namespace taskd::sim
