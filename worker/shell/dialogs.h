// What running bodies ask for: submissions, waits, objects. Turns their requests into events of the core and messages to
// the scheduler, and answers when both have done their part. Of the core's thread.
//
//   submit, held    kept here until the core releases it; answered at once
//   submit, early   event::ExecSubmit -> SendSubmit -> the scheduler's answer
//   put             submits early a task that stands for it, on this worker
//   await           event::ExecYield -> ... -> ResumeExec
//   get             lookup -> the store has it, or event::Gather brings it; what is still to come is awaited first
//
// The core thinks of submissions and waits when a stream breaks; a get begins anew with its lookup.
#ifndef TASKD_WORKER_SHELL_DIALOGS_H_
#define TASKD_WORKER_SHELL_DIALOGS_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/core/actions.h"
#include "worker/core/events.h"
#include "worker/exec/request.h"
#include "worker/exec/task_request.h"
#include "worker/store/store.h"

namespace taskd::v1 {
class ObjectFound;
class SchedulerToWorker;
}  // namespace taskd::v1

namespace taskd::worker {

// An attempt asks, by its name or by its token.
struct TaskAsked {
  std::variant<AttemptRef, std::string> who;
  TaskRequest request;
  AnswerTo answer;
};

// To the scheduler; answered by v1::ObjectFound, or not when the stream breaks.
struct LookupMessage {
  uint64_t token = 0;
  ObjectId object;
};

class Dialogs {
 public:
  // `worker`: this one's name. `dir`, `socket`: for processes of tasks, see TaskAccess. `socket` empty: they have no
  // way in.
  Dialogs(Store& store, std::string worker, std::string dir)
      : store_(store), worker_(std::move(worker)), dir_(std::move(dir)) {}
  void SetSocket(std::string socket) { socket_ = std::move(socket); }

  // It is about to start.
  void Begin(const AttemptRef& attempt, ExecRequest& request);
  // What the core is to hear goes to `events`.
  void OnAsked(TaskAsked& asked, std::vector<Event>& events);
  // Of the current session, after what is in it for others has been read; `read` are the events of it.
  void OnMessage(SessionId session, const v1::SchedulerToWorker& message,
                 std::vector<Event>& events);
  void OnSessionUp();
  void OnTime(uint64_t now_ns);
  uint64_t wake_ns() const { return wake_ns_; }

  // What the core asks for, or tells the scheduler.
  struct Submitted {
    uint32_t graph = 0;
    std::string frame;
  };
  const Submitted& SubmittedBy(const action::SendSubmit& a) const;
  void Resumed(const AttemptRef& attempt);
  void ReleaseSubmission(const AttemptRef& attempt);
  void Release(const AttemptRef& attempt);
  // The core has it.
  void OnReplica(const ObjectVersion& object, uint64_t now_ns);
  void OnGatherFailed(const ObjectVersion& object, uint64_t now_ns);

  // Functions that wait for objects, each of which keeps its process.
  uint32_t waiting_functions() const { return waiting_functions_; }

  std::vector<LookupMessage> TakeLookups() { return std::exchange(lookups_, {}); }

 private:
  struct Dialog {
    std::shared_ptr<TaskAccess> access;  // of commands
    std::vector<std::string> output_names;
    bool submits = false, early = false;
    bool ended = false;           // only `held` is left
    std::vector<Submitted> held;  // by number
    uint64_t held_bytes = 0;
    Submitted asked;           // the early one that has no answer
    uint32_t puts = 0;         // that were taken
    uint32_t taken = 0;        // early ones before it
    AnswerTo submitting;       // its answer
    AnswerTo waiting;          // of an await
    uint64_t waiting_get = 0;  // or the get that waits
    bool function = false;
    bool waits() const { return waiting || waiting_get != 0; }
  };
  struct Get {
    AttemptRef attempt;
    ObjectId object;
    AnswerTo answer;
    ObjectVersion gathering;  // version 0: not yet
    uint64_t retry_ns = 0;    // when to look again; 0: an answer comes
    uint64_t tries = 0;
  };
  using Gets = std::map<uint64_t, Get>;

  Dialog* Find(const TaskAsked& asked, AttemptRef& attempt);
  absl::Status Submit(const AttemptRef& attempt, Dialog& dialog, SubmitRequest& request,
                      AnswerTo& answer, std::vector<Event>& events);
  absl::Status Put(const AttemptRef& attempt, Dialog& dialog, const PutRequest& request,
                   AnswerTo& answer, std::vector<Event>& events);
  absl::Status Await(const AttemptRef& attempt, Dialog& dialog, AwaitRequest& request,
                     AnswerTo& answer, std::vector<Event>& events);
  absl::Status Delegate(Dialog& dialog, const DelegateRequest& request);
  void BeginsToWait(const Dialog& dialog);
  void StopsToWait(const Dialog& dialog);  // if it does wait
  void LookUp(uint64_t token, Get& get);
  void Read(const ObjectVersion& object);  // for those that gather it, if it is here
  void OnFound(SessionId session, const v1::ObjectFound& found, std::vector<Event>& events);
  void Answer(Gets::iterator get, TaskAnswer answer);

  Store& store_;
  const std::string worker_, dir_;
  std::string socket_;
  absl::flat_hash_map<AttemptRef, Dialog> dialogs_;
  absl::flat_hash_map<std::string, AttemptRef> tokens_;
  Gets gets_;  // by token
  uint64_t next_token_ = 1;
  std::vector<LookupMessage> lookups_;  // to be sent
  uint64_t wake_ns_ = ~uint64_t{0};
  uint32_t waiting_functions_ = 0;
  uint32_t told_waiting_ = 0;  // the count of the last warning; 0: none since nobody waited
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_DIALOGS_H_
