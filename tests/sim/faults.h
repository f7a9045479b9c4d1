// What goes wrong, and when: drawn from the seed for the fault phase; undone at its end.
#ifndef TASKD_TESTS_SIM_FAULTS_H_
#define TASKD_TESTS_SIM_FAULTS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/prng.h"
#include "tests/sim/report.h"

namespace taskd::sim {

class World;
class SimWorker;

class Faults {
 public:
  explicit Faults(World& world);

  void Plan();
  void Heal();
  // Five faults or more, a lost sole replica among them.
  bool HardEnough() const;
  std::string Hardness() const;
  void Harden();
  bool LoseEverywhere();
  void OnPoison(uint32_t worker);
  void OnRetired(uint32_t worker);
  void OnTimeOver(uint32_t worker);
  void BreakSome();

 private:
  void Happen(Fault fault, bool or_break = true);
  bool Try(Fault fault, uint32_t index);
  bool TryAtScheduler(Fault fault);
  bool TryAtData(Fault fault, uint32_t index);
  void RestartScheduler(uint64_t after_ns);
  void Count(Fault fault, uint32_t index);
  bool Kill(uint32_t index, Fault fault);
  void Restart(uint32_t index, uint64_t after_ns);

  World& world_;
  Prng rng_;
  std::vector<bool> gone_for_good_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_FAULTS_H_
