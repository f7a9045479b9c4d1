// The processes that functions run in (taskd-runner, and Python behind it): started when needed, kept warm for tasks of
// the same kind, ended when idle for long or when another kind needs the place.
//
// Both classes belong to the reactor's thread but for what says otherwise.
#ifndef TASKD_WORKER_EXEC_RUNNER_POOL_H_
#define TASKD_WORKER_EXEC_RUNNER_POOL_H_

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "common/base/limits.h"
#include "common/io/thread_pool.h"
#include "worker/exec/cpu_pins.h"
#include "worker/exec/guardian.h"
#include "worker/exec/reactor.h"
#include "worker/exec/request.h"
#include "worker/runner/frames.h"

namespace taskd::worker {

class RunnerPool;

struct RunnerSpec {
  std::string what;               // for messages: "the Python process"
  std::string key;                // runners of the same key are as good as each other
  std::vector<std::string> argv;  // argv[0]: a path
  std::vector<std::string> env;
};

// One process.
class Runner : public std::enable_shared_from_this<Runner> {
 public:
  // The attempt that has it. Called on the reactor's thread.
  class Client {
   public:
    virtual ~Client() = default;
    virtual void OnFrame(runner::FrameStream::Frame frame) = 0;
    virtual void OnLog(bool is_out, std::string_view bytes) = 0;
    // It said what no runner says, and is being killed; OnEnd follows.
    virtual void OnBroken(const std::string& error) = 0;
    // It has ended and is reaped. The last call.
    virtual void OnEnd(int wait_status) = 0;
  };

  ~Runner();
  Runner(const Runner&) = delete;
  Runner& operator=(const Runner&) = delete;

  // Null: nobody hears it.
  void SetClient(std::shared_ptr<Client> client) { client_ = std::move(client); }
  void RunOn(const CpuList& cpus);
  void ReadLogs();   // what it has written so far, for the client
  void Terminate();  // SIGTERM to its group
  void Kill();       // SIGKILL

  pid_t pid() const { return pid_; }
  bool greeted() const { return greeted_; }  // it has come as far as to take tasks
  int socket() const { return socket_; }     // open as long as this
  const std::string& key() const { return spec_.key; }
  // Pickled functions that it has had.
  bool HasCode(uint64_t id) const { return codes_.contains(id); }
  void NoteCode(uint64_t id) { codes_.insert(id); }
  bool full() const { return codes_.size() >= limits::kRunnerFunctions; }

 private:
  friend class RunnerPool;
  Runner(RunnerPool& pool, RunnerSpec spec) : pool_(pool), spec_(std::move(spec)) {}

  ExecError Launch();
  void Attach();
  void OnSocket();
  bool ReadFrames();  // false: nothing more comes now
  bool ReadLog(int& fd, bool is_out);
  void Break(const std::string& error);
  void OnExit();
  void CloseWatched(int& fd);

  RunnerPool& pool_;
  const RunnerSpec spec_;
  std::string home_;
  CpuList cpus_;  // that it runs on, if it was told
  pid_t pid_ = -1;
  int socket_ = -1, pidfd_ = -1, out_fd_ = -1, err_fd_ = -1;
  bool attached_ = false, greeted_ = false, deaf_ = false, killed_ = false;
  runner::FrameStream stream_;
  std::shared_ptr<Client> client_;
  absl::flat_hash_set<uint64_t> codes_;
  Reactor::Timer idle_timer_;
};

class RunnerPool {
 public:
  struct Options {
    std::string run_path;                  // for their working directories
    uint32_t kept = limits::kRunnersKept;  // processes; more only while more tasks run
    uint64_t idle_ns = limits::kRunnerIdleNs;
  };
  // All outlive this. `files`: for what blocks.
  RunnerPool(Reactor& reactor, io::ThreadPool& files, const Guardian* guardian, Options options)
      : reactor_(reactor), files_(files), guardian_(guardian), options_(std::move(options)) {}
  ~RunnerPool();  // kills all of them and waits; no attempt has one any more
  RunnerPool(const RunnerPool&) = delete;
  RunnerPool& operator=(const RunnerPool&) = delete;

  // Null: none is idle.
  std::shared_ptr<Runner> Take(const std::string& key);
  void MakeRoom();  // for one more, by ending idle ones
  // Any thread that may block: starts a process.
  ExecError Start(const RunnerSpec& spec, std::shared_ptr<Runner>& runner);
  void Attach(const std::shared_ptr<Runner>& runner);  // next after Start
  void GiveBack(const std::shared_ptr<Runner>& runner);

  // Processes that are not on their way out.
  size_t live() const;

 private:
  friend class Runner;
  void Ended(const std::shared_ptr<Runner>& runner);
  void EndIdle(std::shared_ptr<Runner> runner);

  Reactor& reactor_;
  io::ThreadPool& files_;
  const Guardian* const guardian_;  // may be null
  const Options options_;
  std::atomic<uint64_t> next_home_{0};
  // What is read from any of them. Not thread_local: that would take from the stack of every thread, and small ones
  // could not start.
  std::vector<char> buffer_ = std::vector<char>(256 << 10);
  std::list<std::shared_ptr<Runner>> idle_;            // the one that waits longest first
  absl::flat_hash_set<std::shared_ptr<Runner>> live_;  // attached, and not reaped
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_RUNNER_POOL_H_
