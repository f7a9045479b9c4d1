// The shapes of a batch: resource requests with their placement rules, checked and interned.
#ifndef TASKD_SCHEDULER_SHELL_SHAPE_CHECK_H_
#define TASKD_SCHEDULER_SHELL_SHAPE_CHECK_H_

#include "absl/status/statusor.h"
#include "scheduler/core/events.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {

// Errors say what is wrong with the shape, not which one it is.
absl::StatusOr<Batch::Shape> CheckShape(const v1::Shape& shape);

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_SHAPE_CHECK_H_
