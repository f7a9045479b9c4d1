#include "common/base/names.h"

#include <array>

namespace taskd {
namespace {

template <typename E, size_t N>
std::string_view Look(const std::array<std::string_view, N>& names, E value) {
  auto i = static_cast<size_t>(value);
  return i < N ? names[i] : std::string_view("unknown");
}

constexpr std::array<std::string_view, 7> kTask = {"unknown", "waiting", "ready",    "active",
                                                   "done",    "failed",  "cancelled"};
constexpr std::array<std::string_view, 6> kAttempt = {"unknown",    "assigned",   "running",
                                                      "retracting", "cancelling", "yielded"};
constexpr std::array<std::string_view, 8> kEnd = {"unknown",   "finished", "failed", "cancelled",
                                                  "retracted", "refused",  "stuck",  "lost"};
constexpr std::array<std::string_view, kFailureClasses> kFailure = {
    "none",           "exit",          "signal",     "timeout",       "cannot_start",
    "output_missing", "input_changed", "input_path", "bad_body",      "store",
    "crash_limit",    "input_failed",  "input_lost", "out_of_memory", "unschedulable"};
constexpr std::array<std::string_view, static_cast<size_t>(kLastWaitReason) + 1> kReason = {
    "none",          "inputs",      "input_rebuild", "behind_others", "no_worker",
    "unschedulable", "backoff",     "drain",         "at_worker",     "job_open",
    "input_away",    "worker_away", "pool",          "refused",       "suspect",
    "job_limit",     "restart",     "memory",        "held",          "yielded"};
constexpr std::array<std::string_view, 7> kWorker = {"unknown",  "up",      "suspect", "away",
                                                     "draining", "drained", "lost"};
constexpr std::array<std::string_view, 6> kJob = {"unknown", "open",   "running",
                                                  "done",    "failed", "cancelled"};

}  // namespace

std::string_view Name(TaskState state) { return Look(kTask, state); }
std::string_view Name(AttemptState state) { return Look(kAttempt, state); }
std::string_view Name(AttemptEnd end) { return Look(kEnd, end); }
std::string_view Name(FailureClass failure) { return Look(kFailure, failure); }
std::string_view Name(WaitReason reason) { return Look(kReason, reason); }
std::string_view Name(WorkerState state) { return Look(kWorker, state); }
std::string_view Name(JobState state) { return Look(kJob, state); }

}  // namespace taskd
