// A client that submits one job of the plan: opens it, sends its batches (some twice, some while an
// answer is due), seals it, perhaps cancels it; and states wants.
#ifndef TASKD_TESTS_SIM_CLIENT_H_
#define TASKD_TESTS_SIM_CLIENT_H_

#include <cstdint>
#include <vector>

#include "common/base/prng.h"
#include "scheduler/core/events.h"

namespace taskd::sim {

class World;

class SimClient {
 public:
  SimClient(World& world, uint32_t job);

  void Start();
  // Ends what it does by chance; what it has begun goes on.
  void Heal() { calm_ = true; }
  bool submitted() const { return sealed_; }
  bool cancelled() const { return cancelled_; }

  // Wants that are set when everything else is over, freed objects among them.
  void WantLate();
  void DropWants();
  const std::vector<ObjectId>& wants() const { return wants_; }

 private:
  void Open();
  void SendBatch(uint32_t number);
  void Seal();
  void Cancel();
  void Wander();
  void SetWants(std::vector<ObjectId> wants);
  std::vector<ObjectId> DrawWants(uint64_t count);
  void Send(scheduler::Event event);

  World& world_;
  const uint32_t plan_;
  Prng rng_;
  JobId job_ = 0;
  uint32_t acknowledged_ = 0;  // batches
  uint64_t last_sent_ = 0;     // when the newest message arrives
  bool sealed_ = false;
  bool cancelled_ = false;
  bool calm_ = false;
  std::vector<ObjectId> wants_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_CLIENT_H_
