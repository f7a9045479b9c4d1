// The names of one job's tasks and objects, both ways, from the batches alone: ordinals to keys for
// tables and messages, names to ordinals for the command line. Used by the scheduler's shell and by
// the client.
//
// Memory follows the number of templates, axis values and runs, not the number of tasks.
#ifndef TASKD_COMMON_GRAPH_JOB_NAMES_H_
#define TASKD_COMMON_GRAPH_JOB_NAMES_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "common/base/ids.h"
#include "common/graph/template_names.h"

namespace taskd::v1 {
class GraphBatch;
}

namespace taskd::graph {

// What a name means: one task, one object, or parts of one object.
struct NamedThing {
  Ordinal task = 0;
  bool is_object = false;
  Ordinal object = 0;
  bool has_parts = false;
  PartRange parts;
};

// Not thread-safe against AddBatch; const methods may run side by side.
class JobNames {
 public:
  // The next batch of the job, in order. Refuses templates that are wrong or doubled, runs and
  // bodies that do not exist, and rows named twice; a refused batch changes nothing.
  absl::Status AddBatch(const v1::GraphBatch& batch);

  uint32_t task_count() const { return task_count_; }
  uint32_t object_count() const { return object_count_; }

  std::string TaskKey(Ordinal task) const;       // "map[3]"; "task 17" when there is no such task
  std::string ObjectName(Ordinal object) const;  // "map[3].p"
  Ordinal ProducerOf(Ordinal object) const;      // kNoOrdinal when there is no such object
  Ordinal FirstOutput(Ordinal task) const;       // kNoOrdinal when there is no such task

  // "map[3]", "top", "merge[2].c", "map[3].p[2]": exactly one task or object. NotFound with the
  // nearest name, or InvalidArgument that says how to name one.
  absl::StatusOr<NamedThing> Resolve(std::string_view name) const;
  // Task ordinals of "map", "map[*]", "sim[0.10,*]": ascending runs. An empty pattern is every
  // task.
  absl::StatusOr<std::vector<Run>> MatchTasks(std::string_view pattern) const;
  // Object ordinals of "merge[*].c" or "top.words", ascending runs; every one of them if a run is
  // many.
  absl::StatusOr<std::vector<Run>> MatchObjects(std::string_view pattern) const;

 private:
  class Addition;
  // Tasks task .. task + count - 1 are rows row ... of a template; each has the same outputs.
  struct Span {
    Ordinal task = 0, object = 0;
    uint32_t template_index = 0, row = 0, count = 0;
    uint32_t body = 0;
    uint32_t output_count = 0;
  };
  struct Keys {  // explicit keys of a span of tasks
    Ordinal task = 0;
    std::vector<uint32_t> ends;
    std::string bytes;
  };
  void AddSpan(const Span& span);
  const Span* SpanOfTask(Ordinal task) const;
  const Span* SpanOfObject(Ordinal object) const;
  absl::StatusOr<uint32_t> FindTemplate(std::string_view name) const;
  absl::StatusOr<std::vector<Run>> TasksOfRows(uint32_t template_index,
                                               const std::vector<Run>& rows) const;
  absl::StatusOr<std::vector<Run>> Select(const ParsedName& name) const;
  std::string_view ExplicitKey(Ordinal task) const;

  std::vector<TemplateNames> templates_;
  absl::flat_hash_map<std::string, uint32_t> template_by_name_;
  std::vector<std::vector<uint32_t>> spans_of_template_;  // by row
  std::vector<std::vector<std::string>> outputs_of_body_;
  std::vector<Span> spans_;  // by task
  std::vector<Keys> keys_;
  absl::flat_hash_map<std::string, Ordinal> task_by_key_;  // explicit keys only
  uint32_t task_count_ = 0;
  uint32_t object_count_ = 0;
};

}  // namespace taskd::graph

#endif  // TASKD_COMMON_GRAPH_JOB_NAMES_H_
