// What goes wrong, and when: drawn from the seed for the fault phase; undone at its end.
#ifndef TASKD_TESTS_SIM_FAULTS_H_
#define TASKD_TESTS_SIM_FAULTS_H_

#include <cstdint>
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
  void OnPoison(uint32_t worker);

 private:
  void Happen(Fault fault);
  bool Try(Fault fault, uint32_t index);
  bool Kill(uint32_t index, Fault fault);
  void Restart(uint32_t index, uint64_t after_ns);

  World& world_;
  Prng rng_;
  std::vector<bool> gone_for_good_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_FAULTS_H_
