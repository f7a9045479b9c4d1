// The session words of the cores <-> their protobuf messages. Encoding cannot fail; decoding checks
// what a peer of another version or a damaged one might send (enums, ranges, column lengths) and
// says what is wrong.
#ifndef TASKD_COMMON_RPC_WIRE_H_
#define TASKD_COMMON_RPC_WIRE_H_

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/session.h"

namespace taskd::v1 {
class Assignment;
class AttemptRef;
class Gather;
class GatherFailure;
class Inventory;
class ObjectRef;
class Outcome;
class PoolAmount;
class Replica;
class Resources;
class TaskRef;
enum AttemptEnd : int;
enum AttemptState : int;
enum FailureClass : int;
enum JobState : int;
enum TaskState : int;
enum WaitReason : int;
enum WorkerState : int;
}  // namespace taskd::v1

namespace taskd::rpc {

// Any bytes as a string field may hold them: receivers refuse messages in which one is not UTF-8. Other bytes are
// spelled \xNN; what is over limits::kMessageBytes is cut off.
std::string MessageText(std::string_view text);

void Encode(const Resources& from, v1::Resources* to);
void Encode(TaskId from, v1::TaskRef* to);
void Encode(ObjectId from, v1::ObjectRef* to);
void Encode(AttemptRef from, v1::AttemptRef* to);
void Encode(const Replica& from, v1::Replica* to);
void Encode(ObjectVersion from, v1::Replica* to);  // size and crc unset: frees and losses
void Encode(const Inventory& from, v1::Inventory* to);
void Encode(const InputObject& from, v1::Gather* to);
void Encode(const GatherFailure& from, v1::GatherFailure* to);
void Encode(const Outcome& from, v1::Outcome* to);
void Encode(const Assignment& from,
            v1::Assignment* to);  // all but key and args, which are not the core's

v1::TaskState Encode(TaskState state);
v1::AttemptState Encode(AttemptState state);
v1::AttemptEnd Encode(AttemptEnd end);
v1::FailureClass Encode(FailureClass failure);
v1::WaitReason Encode(WaitReason reason);
v1::WorkerState Encode(WorkerState state);
v1::JobState Encode(JobState state);

absl::StatusOr<PoolAmount> Decode(const v1::PoolAmount& from);
absl::StatusOr<Resources> Decode(const v1::Resources& from);
TaskId Decode(const v1::TaskRef& from);
ObjectId Decode(const v1::ObjectRef& from);
absl::StatusOr<AttemptRef> Decode(
    const v1::AttemptRef& from);  // none of the ids may be 0 where 0 is "none"
absl::StatusOr<Replica> Decode(
    const v1::Replica& from);  // .id is the ObjectVersion of a free or a loss
absl::StatusOr<Inventory> Decode(const v1::Inventory& from);
absl::StatusOr<InputObject> Decode(const v1::Gather& from);
absl::StatusOr<GatherFailure> Decode(const v1::GatherFailure& from);
absl::StatusOr<Outcome> Decode(const v1::Outcome& from);
absl::StatusOr<Assignment> Decode(const v1::Assignment& from);

absl::StatusOr<TaskState> Decode(v1::TaskState state);
absl::StatusOr<AttemptState> Decode(v1::AttemptState state);
absl::StatusOr<AttemptEnd> Decode(v1::AttemptEnd end);
absl::StatusOr<FailureClass> Decode(v1::FailureClass failure);
absl::StatusOr<WaitReason> Decode(v1::WaitReason reason);
absl::StatusOr<WorkerState> Decode(v1::WorkerState state);
absl::StatusOr<JobState> Decode(v1::JobState state);

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_WIRE_H_
