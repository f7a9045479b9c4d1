// Runs bodies. The core says start and kill; each start ends in exactly one ExecDone.
//
// Built-ins that are over at once run in the caller's thread, sleeps cost a timer, other built-ins
// a thread of a pool, commands a process (command_run.cc), functions a process that others of their
// kind have used before them (runner_run.cc).
#ifndef TASKD_WORKER_EXEC_EXECUTOR_H_
#define TASKD_WORKER_EXEC_EXECUTOR_H_

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/exec/run.h"
#include "worker/exec/run_ring.h"
#include "worker/exec/runner_pool.h"

namespace taskd::worker {

class Executor {
 public:
  struct Options {
    std::string run_path;         // WorkDir::run_path()
    std::string memory_run_path;  // of the work folder in memory; empty: there is none
    std::string log_path;         // for old logs, see LogStore
    uint64_t log_disk_bytes = limits::kLogsDiskBytes;
    std::string output_path;  // where functions make large outputs; on a file system of the store
    RunnerPrograms runners;
    uint64_t runner_idle_ns = limits::kRunnerIdleNs;
    uint32_t cpus = 1;                   // threads for built-ins
    std::vector<Cpu> pinned;             // that attempts are pinned to; none: they are not
    RunRing* ring = nullptr;             // names what runs; outlives the executor; may be null
    bool zero = false;                   // every attempt is over at once, nothing is run
    uint64_t grace_ns = 5'000'000'000;   // between SIGTERM and SIGKILL; 0: SIGKILL at once
    const Guardian* guardian = nullptr;  // outlives the executor
    Cgroups* cgroups = nullptr;          // likewise; null: memory limits are kept by watching
    NodePools pools;                     // of this worker
    std::string vmstat_path =
        "/proc/vmstat";  // where the kernel says how often it killed for memory
    std::function<void(event::ExecDone)> done;  // any thread, never from inside of Start
    Puts* puts = nullptr;                       // outlives the executor; null: nothing is ever put
    // What functions ask for while they run; any thread, in order of each attempt. Empty: they may not.
    std::function<void(const AttemptRef&, TaskRequest, AnswerTo)> ask;
  };

  Executor(Store& store, Options options);
  ~Executor();  // kills what runs, without grace, and waits for it
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // A result: the attempt is over already, `done` is not called. Inputs are in the store.
  std::optional<event::ExecDone> Start(std::shared_ptr<const ExecRequest> request);

  // Answered by `done` as every start is; nothing happens when the attempt has ended.
  void Kill(const AttemptRef& attempt);

  void SetGrace(uint64_t grace_ns) { context_.grace_ns = grace_ns; }

  // Thread safe.
  const LogStore& logs() const { return logs_; }

 private:
  event::ExecDone TakePut(const ExecRequest& request);
  std::optional<event::ExecDone> StartBuiltin(const std::shared_ptr<const ExecRequest>& request,
                                              std::shared_ptr<Run>& run);
  void OnDone(event::ExecDone done);

  const bool zero_;
  const std::function<void(event::ExecDone)> done_;
  LogStore logs_;
  FolderPool folders_;  // outlives the threads that give back
  std::mutex mutex_;
  std::condition_variable none_running_;
  struct Live {
    std::shared_ptr<Run> run;
    uint32_t ring_slot = RunRing::kNoSlot;
    CpuList cpus;
  };
  RunRing* const ring_;
  absl::flat_hash_map<AttemptRef, Live> running_;  // guarded by mutex_
  CpuPins pins_;
  io::ThreadPool files_, compute_;
  Reactor reactor_;
  MemoryWatch memory_;
  ExecContext context_;
  RunnerPool runners_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_EXECUTOR_H_
