// A client that submits one job of the plan: opens it, sends its batches (some twice, some while an
// answer is due), seals it, perhaps cancels it or some of its tasks, has failed ones tried again; and
// states wants. When its stream breaks it comes back, perhaps after its lease is over.
#ifndef TASKD_TESTS_SIM_CLIENT_H_
#define TASKD_TESTS_SIM_CLIENT_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/core/actions.h"
#include "scheduler/core/events.h"
#include "tests/sim/plan.h"

namespace taskd::sim {

class World;

class SimClient {
 public:
  SimClient(World& world, uint32_t job);

  void Start();
  // Its connection or its process is gone; it comes back and resumes.
  void Disconnected();
  bool Crash();
  // Ends what it does by chance; what it has begun goes on.
  void Heal() { calm_ = true; }
  bool submitted() const { return sealed_; }
  // Its job is cancelled, or it has asked for it.
  bool cancelled() const;
  bool asked_to_cancel() const { return cancelled_; }
  bool ephemeral() const { return ephemeral_; }
  scheduler::ClientId id() const { return 50 + plan_; }
  // Somebody asked to cancel some of its tasks.
  bool cancelled_tasks() const { return cancelled_tasks_; }
  // At the very end.
  void Forget();
  bool forgotten() const { return forgotten_; }
  // It has asked for that: it opens its job no more.
  bool asked_to_forget() const { return asked_to_forget_; }

  // Wants that are set when everything else is over, freed objects among them.
  void WantLate();
  void DropWants();
  const std::vector<ObjectId>& wants() const { return wants_; }
  // Of its job, known for good.
  Ordinal objects() const;
  bool published(const std::string& dataset) const { return published_.contains(dataset); }

 private:
  void Resume();
  void Hello();
  void Goodbye();
  void Open();
  void OnOpened(const scheduler::action::Reply& reply);
  void SendCancel();
  void SendBatch(uint32_t number);
  bool FillImports(scheduler::Batch& batch);
  void Publish();
  void PublishAnother();
  void Drop(const DatasetPlan& dataset);
  bool ReadsForgotten(const scheduler::Batch& batch) const;
  void GiveUp();
  void ForgetEarly();
  void Seal();
  void Cancel();
  void CancelSome();
  void Retry();
  std::vector<scheduler::OrdinalRange> DrawRanges();
  void Wander();
  void SetWants(std::vector<ObjectId> wants);
  std::vector<ObjectId> DrawWants(uint64_t count);
  void DrawWantsOf(const SimClient& owner, uint64_t count, std::vector<ObjectId>& wants);
  void Send(scheduler::Event event);
  // A reply that does not come when the connection goes before.
  scheduler::Token Expect(std::function<void(const scheduler::action::Reply&)> handler);
  // One that says yes, unless the job is cancelled; `then` what follows.
  scheduler::Token ExpectTaken(const char* what, std::function<void()> then = nullptr);
  void After(uint64_t delay, std::function<void()> call);  // in this connection

  World& world_;
  const uint32_t plan_;
  Prng rng_, leaving_;
  const bool ephemeral_;  // its job is cancelled when it has left
  uint64_t connection_ = 1;
  uint64_t speaks_in_ = 1;  // the connection whose hello was the last to come; 0: it said goodbye
  uint64_t opened_in_ = 0;  // the connection in which its job was last named
  bool cancel_acknowledged_ = false;
  JobId job_ = 0;
  uint32_t acknowledged_ = 0;  // batches
  uint64_t last_sent_ = 0;     // when the newest message arrives
  bool sealed_ = false;
  bool cancelled_ = false, cancelled_tasks_ = false, forgotten_ = false;
  bool asked_to_forget_ = false;
  bool calm_ = false;
  std::vector<ObjectId> wants_;
  std::set<std::string> published_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_CLIENT_H_
