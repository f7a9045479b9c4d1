// The names of things, as small integers that do not mix. Every id is a plain value: totally
// ordered, hashable, 0-initialised to "none" where a none exists.
#ifndef TASKD_COMMON_BASE_IDS_H_
#define TASKD_COMMON_BASE_IDS_H_

#include <compare>
#include <cstdint>
#include <string>

namespace taskd {

using JobId = uint32_t;    // 1, 2, 3 ...; 0: none
using Ordinal = uint32_t;  // index of a task, or of an object, in its job
using AttemptId =
    uint32_t;  // see MakeAttemptId; 0: none. As a version: the attempt that made the bytes

inline constexpr Ordinal kNoOrdinal = 0xFFFFFFFFu;

// An attempt is named by its task and this number: 12 bits count scheduler starts, 20 the tries at
// the task.
constexpr AttemptId MakeAttemptId(uint32_t start_count, uint32_t try_number) {
  return (start_count << 20) | (try_number & 0xFFFFFu);
}

constexpr uint32_t StartOf(AttemptId attempt) { return attempt >> 20; }

struct TaskId {
  JobId job = 0;
  Ordinal ordinal = 0;
  auto operator<=>(const TaskId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const TaskId& t) {
    return H::combine(std::move(h), t.job, t.ordinal);
  }
};

struct ObjectId {
  JobId job = 0;
  Ordinal ordinal = 0;
  auto operator<=>(const ObjectId&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ObjectId& o) {
    return H::combine(std::move(h), o.job, o.ordinal);
  }
};

struct AttemptRef {
  TaskId task;
  AttemptId attempt = 0;
  auto operator<=>(const AttemptRef&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const AttemptRef& a) {
    return H::combine(std::move(h), a.task, a.attempt);
  }
};

// One set of bytes that was once made for an object.
struct ObjectVersion {
  ObjectId object;
  AttemptId version = 0;
  auto operator<=>(const ObjectVersion&) const = default;
  template <typename H>
  friend H AbslHashValue(H h, const ObjectVersion& o) {
    return H::combine(std::move(h), o.object, o.version);
  }
};

// A slot in the worker table and the generation of its use. Generations start at 1, so 0 is no
// worker.
struct WorkerId {
  uint16_t slot = 0;
  uint16_t generation = 0;
  auto operator<=>(const WorkerId&) const = default;
  explicit operator bool() const { return generation != 0; }
  uint32_t packed() const { return uint32_t{slot} << 16 | generation; }
  static WorkerId FromPacked(uint32_t p) {
    return {static_cast<uint16_t>(p >> 16), static_cast<uint16_t>(p)};
  }
  template <typename H>
  friend H AbslHashValue(H h, const WorkerId& w) {
    return H::combine(std::move(h), w.slot, w.generation);
  }
};

std::string ToString(TaskId task);         // "3@17"
std::string ToString(ObjectId object);     // "3.o17"
std::string ToString(AttemptRef attempt);  // "3@17#2"
std::string ToString(WorkerId worker);     // "w4.1"

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_IDS_H_
