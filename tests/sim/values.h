// Values of small objects that ride in messages: in the simulation, the numbers that stand for bytes.
#ifndef TASKD_TESTS_SIM_VALUES_H_
#define TASKD_TESTS_SIM_VALUES_H_

#include <cstdint>
#include <map>

#include "common/base/ids.h"

namespace taskd::worker {

class Values {
 public:
  struct Value {
    uint64_t value = 0;
    uint64_t size_bytes = 0;
  };
  std::map<ObjectVersion, Value> values;
};

}  // namespace taskd::worker

#endif  // TASKD_TESTS_SIM_VALUES_H_
