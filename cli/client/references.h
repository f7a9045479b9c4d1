// References between templates: what map[*].p[{k}] means for each row of the template that reads
// it.
#ifndef TASKD_CLI_CLIENT_REFERENCES_H_
#define TASKD_CLI_CLIENT_REFERENCES_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/statusor.h"
#include "cli/client/batch_writer.h"
#include "cli/client/graph_model.h"

namespace taskd::client {

// One input of a template, ready to be counted out row by row.
class InputPlan {
 public:
  // `producer` is the definition that the reference names. Checks everything that can be checked
  // without rows.
  static absl::StatusOr<InputPlan> Create(const GraphModel& model, const Definition& reader,
                                          const InputDef& input, uint32_t slot);

  size_t producer() const { return producer_; }
  bool is_folder() const { return folder_; }

  // Appends the edges of row `row` of the reader. `first_object` is that of the producer's row 0.
  absl::Status AppendEdges(const FileContext& context, const Definition& reader, uint32_t row,
                           Ordinal first_object, BatchWriter& writer, std::vector<Edge>& edges);

 private:
  using Interval = graph::TemplateNames::Interval;
  // What stands between the brackets for one axis of the producer.
  struct AxisPlan {
    int own_axis = -1;      // of the reader: positions by its value; -1: the same for every row
    bool identity = false;  // the two axes have the same values
    Interval fixed;
    std::vector<Interval> by_position;
  };
  absl::StatusOr<AxisPlan> PlanAxis(const FileContext& context, const Definition& reader,
                                    uint32_t axis, const graph::Selector& selector);
  absl::Status PlanParts(const FileContext& context, const Definition& reader,
                         const v1::OutputSlot& output, const std::string& text);

  size_t producer_ = 0;
  const Definition* definition_ = nullptr;
  std::string text_;
  int line_ = 0;
  uint32_t slot_ = 0;
  uint32_t output_ = 0;
  bool folder_ = false;
  std::vector<AxisPlan> axes_;
  PartRange parts_;
  int parts_axis_ = -1;  // of the reader: parts by its value
  std::vector<PartRange> parts_by_position_;
  absl::flat_hash_map<uint64_t, std::vector<uint32_t>>
      sources_;  // of rows with the same positions on those axes
};

// The templates in an order in which each reads earlier ones only, as near to the file's as that
// allows. The error shows one cycle.
absl::StatusOr<std::vector<size_t>> SortTemplates(const GraphModel& model,
                                                  const std::vector<std::vector<InputPlan>>& plans);

// The name in a reference split from its brackets, and its template found; braces are still in the
// selectors.
struct Reference {
  graph::ParsedName name;
  size_t definition = 0;
  uint32_t output = 0;
};
absl::StatusOr<Reference> FindReference(const GraphModel& model, int line, const std::string& text);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_REFERENCES_H_
