// One attempt under way, and what all of them share.
#ifndef TASKD_WORKER_EXEC_RUN_H_
#define TASKD_WORKER_EXEC_RUN_H_

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/io/thread_pool.h"
#include "worker/core/events.h"
#include "worker/exec/cgroups.h"
#include "worker/exec/cpu_pins.h"
#include "worker/exec/folder_pool.h"
#include "worker/exec/guardian.h"
#include "worker/exec/log_store.h"
#include "worker/exec/memory_watch.h"
#include "worker/exec/node_pools.h"
#include "worker/exec/reactor.h"
#include "worker/exec/request.h"
#include "worker/exec/runner_programs.h"
#include "worker/exec/task_request.h"
#include "worker/store/puts.h"
#include "worker/store/store.h"

namespace taskd::worker {

class RunnerPool;

struct ExecContext {
  Store& store;
  LogStore& logs;
  FolderPool& folders;      // of attempts of commands
  io::ThreadPool& files;    // short work that blocks: staging, spawning, collecting
  io::ThreadPool& compute;  // built-ins that use a cpu
  Reactor& reactor;
  MemoryWatch& memory;
  Cgroups* cgroups;             // null: limits of memory are the watch's alone
  const Guardian* guardian;     // may be null
  std::string run_path;         // of folders of attempts
  std::string memory_run_path;  // likewise on the tmpfs of the store; empty: there is none
  std::string output_path;      // of files that functions make
  RunnerPrograms runners;
  NodePools pools;
  CpuPins& pins;
  std::atomic<uint64_t> next_folder{
      0};  // an attempt's folder is removed after it is done, so names are not reused
  std::atomic<uint64_t> grace_ns;
  std::function<void(event::ExecDone)> done;  // any thread; once an attempt
  Puts* puts = nullptr;                       // may be null: nothing was ever put
  // What a function asks for; may be empty.
  std::function<void(const AttemptRef&, TaskRequest, AnswerTo)> ask;
};

// Start is called once; Kill at any time and from any thread, also before, during and after the
// end. Shared: timers, pool threads and the executor's table hold it until the attempt is done.
class Run {
 public:
  virtual ~Run() = default;
  virtual void Start() = 0;
  virtual void Kill() = 0;
};

// `cpus`: that it is pinned to, taken until it is done; empty: it is not.
std::shared_ptr<Run> MakeCommandRun(ExecContext& context,
                                    std::shared_ptr<const ExecRequest> request, CpuList cpus);
std::shared_ptr<Run> MakeRunnerRun(ExecContext& context, RunnerPool& pool,
                                   std::shared_ptr<const ExecRequest> request, CpuList cpus);
std::shared_ptr<Run> MakeSleepRun(ExecContext& context, std::shared_ptr<const ExecRequest> request);
std::shared_ptr<Run> MakeComputeRun(ExecContext& context,
                                    std::shared_ptr<const ExecRequest> request);

// The end of an attempt that failed or was cancelled. kInputLost becomes AttemptEnd::kStuck.
event::ExecDone FailedDone(const ExecRequest& request, ExecError error, uint64_t run_ns = 0);
event::ExecDone CancelledDone(const ExecRequest& request, uint64_t run_ns = 0);
event::ExecDone TimeoutDone(const ExecRequest& request, uint64_t run_ns);
// The process ended in the middle of the attempt, or with another exit code than 0. `who`: "the command".
// `out_of_memory`: the kernel has killed for want of memory meanwhile.
event::ExecDone ExitDone(const ExecRequest& request, std::string_view who, int wait_status,
                         bool out_of_memory, uint64_t run_ns);
// It was killed for using more than it had asked for, or the kernel did not let it (`kept`).
event::ExecDone TooMuchMemoryDone(const ExecRequest& request, std::string_view who,
                                  uint64_t used_bytes, bool kept, uint64_t run_ns);
// With the end of its stderr in the message.
event::ExecDone WithStderr(event::ExecDone done, const AttemptLog& log);

// A name for a folder of the attempt that no other one has.
std::string FolderName(ExecContext& context, const AttemptRef& attempt);

// Outputs without bytes: noop, sleep, busy.
event::ExecDone EmptyDone(Store& store, const ExecRequest& request, uint64_t run_ns);

LocalKey OutputKey(const Assignment& assignment, uint32_t index);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_RUN_H_
