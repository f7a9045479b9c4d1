// The worker's end of its session with the scheduler: connects, says hello, keeps the stream alive,
// and connects again for ever. Of the core's thread, but for what gRPC posts to the inbox.
#ifndef TASKD_WORKER_SHELL_SCHEDULER_LINK_H_
#define TASKD_WORKER_SHELL_SCHEDULER_LINK_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "worker/core/actions.h"
#include "worker/core/events.h"
#include "worker/shell/inbox.h"

namespace taskd::worker {

struct HeartbeatFigures {
  uint64_t store_bytes = 0;
  uint32_t running = 0, queued = 0;
  uint64_t fetched_bytes = 0, served_bytes = 0;
};

class SchedulerLink {
 public:
  struct Options {
    std::string access_dir;  // read again before each connect: a new scheduler writes a new file
    std::string scheduler;   // HOST:PORT instead of the access file's addresses; may be empty
    std::string name, host, data_address, metrics_address, version;
    uint64_t identity = 0, incarnation = 0;
    Resources capacity;
    uint64_t store_budget_bytes = 0;  // 0: no limit
    std::vector<std::string> attributes;
    uint64_t ends_at_ns = 0;  // of the monotonic clock; 0: no end
  };

  SchedulerLink(Options options, std::shared_ptr<Inbox> inbox);
  ~SchedulerLink();

  // Connects and sends heartbeats when they are due. Returns when to call again.
  uint64_t OnTime(uint64_t now_ns, const HeartbeatFigures& figures);

  // Handles the beginning of a stream. A value: the scheduler has welcomed us.
  std::optional<event::SessionUp> OnMessage(const SessionMessage& message, uint64_t now_ns);
  bool Current(SessionId session) const { return session == session_id_ && stream_ != nullptr; }
  // A value: the stream had been up.
  std::optional<event::SessionDown> OnClosed(const SessionClosed& closed, uint64_t now_ns);

  // The peer sent nonsense: a new stream starts from the inventory.
  void Break(const absl::Status& why);

  bool up() const { return up_; }
  // Not OK: trying again cannot help (wrong key, wrong version). The daemon ends with this message.
  const absl::Status& fatal() const { return fatal_; }

  void Send(const action::SendInventory& a);
  void Send(const action::SendInventoryDone& a);
  void Send(const action::SendStarted& a);
  // `values`: see ValuesOf.
  void Send(const action::SendOutcome& a, const std::vector<std::string>& values);
  void Send(const action::SendReplicaAdded& a);
  void Send(const action::SendReplicaLost& a);
  void Send(const action::SendGatherFailed& a);
  void Send(const action::SendSubmit& a, const Dialogs::Submitted& submitted);
  void Send(const action::SendYield& a);
  void Send(const LookupMessage& lookup);
  // `may_wait`: reports that tasks have begun and ended may gather for a moment, since each message costs both sides
  // more than the report. Returns when to call again.
  uint64_t Flush(uint64_t now_ns, bool may_wait);

  // A clean stop: says goodbye and ends the stream; OnClosed follows soon when the scheduler
  // answers.
  void Goodbye();

 private:
  struct Stream;
  template <typename Fill>
  void Add(SessionId session, uint64_t bytes, uint32_t rank, Fill&& fill);
  // Likewise, of what may wait.
  template <typename Fill>
  void AddPatient(SessionId session, uint64_t bytes, uint32_t rank, Fill&& fill);

  void Connect(uint64_t now_ns);
  void Failed(const absl::Status& status, uint64_t now_ns);

  const Options options_;
  const std::shared_ptr<Inbox> inbox_;
  std::unique_ptr<Stream> stream_;  // null: waiting for connect_at_ns_
  SessionId session_id_ = 0;
  std::string address_;  // of stream_
  bool up_ = false;
  bool stopping_ = false;
  absl::Status fatal_;
  std::string cluster_id_;  // of the last welcome
  uint64_t connect_at_ns_ = 0, opened_ns_ = 0, heartbeat_at_ns_ = 0, log_at_ns_ = 0;
  uint32_t failures_ = 0;          // since the last welcome
  bool urgent_ = false;            // of what was added since the last flush something may not wait
  uint64_t patient_since_ns_ = 0;  // and the first that may was added then; 0: there is none
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_SCHEDULER_LINK_H_
