#include "common/base/ids.h"

#include "common/base/text.h"

namespace taskd {

std::string ToString(TaskId task) { return StrCat(task.job, "@", task.ordinal); }
std::string ToString(ObjectId object) { return StrCat(object.job, ".o", object.ordinal); }
std::string ToString(AttemptRef attempt) {
  return StrCat(ToString(attempt.task), "#", attempt.attempt & 0xFFFFFu);
}
std::string ToString(WorkerId worker) { return StrCat("w", worker.slot, ".", worker.generation); }

}  // namespace taskd
