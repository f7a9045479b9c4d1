// Values of small objects that ride in messages: those that come with an assignment or a gather go to the store when the
// core says so, those of outputs go with the outcome.
#ifndef TASKD_WORKER_SHELL_VALUES_H_
#define TASKD_WORKER_SHELL_VALUES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "worker/core/actions.h"
#include "worker/core/events.h"

namespace taskd::v1 {
class Assignment;
class Gather;
}  // namespace taskd::v1

namespace taskd::worker {

class Store;

// Of one message's item. Constant once the core has it.
class Values {
 public:
  struct Value {
    std::string bytes;
    uint32_t crc32c = 0;  // that its maker computed
  };

  void Add(const ObjectVersion& object, Value value) {
    values_.insert_or_assign(object, std::move(value));
  }
  const Value* Find(const ObjectVersion& object) const;  // null: it did not come

 private:
  absl::flat_hash_map<ObjectVersion, Value> values_;
};

// What comes with an assignment, which has been decoded into `event`; its values are moved from. An error: columns
// differ in length, or name no object.
absl::Status TakeValues(v1::Assignment& from, event::Assign& event);
void TakeValue(const v1::Gather& from, event::Gather& event);

// Carries the action out: its answer, which the core awaits unless the action says otherwise.
event::FetchDone PutInStore(const action::PutValues& action, Store& store);

// The values of a finished attempt's outputs that may ride with its outcome, by output; "" for others. An empty list:
// there are none.
std::vector<std::string> ValuesOf(const Outcome& outcome, const Store& store);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_SHELL_VALUES_H_
