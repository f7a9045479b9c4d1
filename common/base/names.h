// The one spelling of every enum value, used alike in tables, JSON, logs and metric labels.
#ifndef TASKD_COMMON_BASE_NAMES_H_
#define TASKD_COMMON_BASE_NAMES_H_

#include <string_view>

#include "common/base/session.h"

namespace taskd {

std::string_view Name(TaskState state);
std::string_view Name(AttemptState state);
std::string_view Name(AttemptEnd end);
std::string_view Name(FailureClass failure);
std::string_view Name(WaitReason reason);
std::string_view Name(WorkerState state);
std::string_view Name(JobState state);

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_NAMES_H_
