// Puts the worker together: core, store, executors, data plane, session. One thread, that of Run,
// owns the core and carries out its actions; all others only post to the inbox.
#ifndef TASKD_WORKER_SHELL_DAEMON_H_
#define TASKD_WORKER_SHELL_DAEMON_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/io/http.h"
#include "worker/core/worker_core.h"
#include "worker/data/data_server.h"
#include "worker/data/fetcher.h"
#include "worker/exec/executor.h"
#include "worker/shell/desk.h"
#include "worker/shell/dialogs.h"
#include "worker/shell/exporter.h"
#include "worker/shell/inbox.h"
#include "worker/shell/options.h"
#include "worker/shell/scheduler_link.h"
#include "worker/shell/task_service.h"
#include "worker/shell/values.h"
#include "worker/store/store.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {

class Daemon {
 public:
  // Takes the work folder and the ports. `guardian` and `cgroups`, which may be null, outlive the daemon.
  static absl::StatusOr<std::unique_ptr<Daemon>> Start(WorkerOptions options,
                                                       const Guardian& guardian, Cgroups* cgroups);
  ~Daemon();  // after Run: kills what is left, empties the work folder

  // Until Stop, or until the scheduler refuses us for good: that is the result.
  absl::Status Run();

  // Any thread: ends Run in an orderly way, within a few seconds.
  void Stop();

 private:
  Daemon(WorkerOptions options, WorkDir work_dir, std::optional<WorkDir> memory_dir);
  absl::Status OpenRing();
  absl::Status StartParts(const Guardian& guardian, Cgroups* cgroups);
  absl::Status StartTaskService();
  absl::Status StartHttp(const std::string& worker_key, const std::string& client_key);
  void MakeLink();

  void Handle(InboxItem& item);
  void HandleMessage(SessionMessage& message);
  void Step();
  void Do(action::StartFetch& a);
  void Do(action::CancelFetch& a) { fetcher_->Cancel(a.fetch); }
  void Do(action::StartExec& a);
  void Do(action::KillExec& a) { executor_->Kill(a.attempt); }
  void Do(action::ReleaseAttempt& a);
  void Do(action::SendSubmit& a) { link_->Send(a, dialogs_.SubmittedBy(a)); }
  void Do(action::ResumeExec& a) { dialogs_.Resumed(a.attempt); }
  void Do(action::ReleaseSubmission& a) { dialogs_.ReleaseSubmission(a.attempt); }
  void Do(action::SendReplicaAdded& a);
  void Do(action::SendGatherFailed& a);
  void Do(action::SendOutcome& a) { link_->Send(a, ValuesOf(a.outcome, store_)); }
  void Do(action::PutValues& a);
  void Do(action::Spill& a);
  void Do(action::Drop& a) { store_.Drop(a.key); }
  void Do(action::DropAll&) { store_.DropAll(); }
  void Do(action::Stopped&) { stopped_ = true; }
  template <typename ToScheduler>
  void Do(ToScheduler& a) {
    link_->Send(a);
  }
  HeartbeatFigures Figures() const;
  void WriteReadyFile();
  void SayGoodbye();

  const WorkerOptions options_;
  const WorkDir work_dir_;
  const std::optional<WorkDir> memory_dir_;  // on a tmpfs
  const std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unique_ptr<RunRing> ring_;
  Store store_;
  Puts puts_{store_};
  std::unique_ptr<Executor> executor_;
  InFlight in_flight_;
  std::unique_ptr<DataServer> data_server_;
  std::unique_ptr<Fetcher> fetcher_;
  std::unique_ptr<io::HttpServer> http_;
  std::string data_address_;
  std::unique_ptr<TaskService> task_service_;  // null: nobody could call it
  std::unique_ptr<SchedulerLink> link_;
  Desk desk_;
  Dialogs dialogs_;
  WorkerCore core_;
  Published published_;  // what the exporter reads

  std::vector<Event> events_;  // for the next step
  std::vector<Action> actions_;
  uint64_t core_wake_ns_ = 0;
  uint64_t flush_at_ns_ = ~uint64_t{0};
  bool memory_by_cgroups_ = false;
  bool ready_ = false;
  bool stopped_ = false;  // the core says that nothing runs any more
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_DAEMON_H_
