// The one way results leave taskctl: a table for people, one JSON value (-o json), or ids alone
// (-q).
#ifndef TASKD_CLI_TASKCTL_OUTPUT_H_
#define TASKD_CLI_TASKCTL_OUTPUT_H_

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/taskctl/context.h"
#include "cli/taskctl/table.h"

namespace google::protobuf {
class Message;
}  // namespace google::protobuf

namespace taskd::cli {

// Writes to stdout at once. A closed pipe (`| head`) ends the process quietly, as for any filter.
void PrintOut(std::string_view text);

// A note for people, on stderr; nothing with -q or -o json.
void Note(const Context& context, std::string_view text);

// Shows one message: as JSON, as `id` alone, or as what `people` returns.
void Show(const Context& context, const google::protobuf::Message& message, std::string_view id,
          const std::function<std::string()>& people);

// "name   value" lines with the values aligned. Empty values are left out.
std::string Fields(const std::vector<std::pair<std::string, Cell>>& fields);

// A list that prints page by page. As JSON: {"<name>":[...]}.
class ListWriter {
 public:
  ListWriter(const Context& context, std::string name, std::vector<Column> columns);

  void Add(const google::protobuf::Message& message, std::string id, Row row);
  void EndPage();
  // Ends the list; `when_empty` is the note for people, if any, when nothing was added.
  void End(std::string_view when_empty);

  uint64_t count() const { return count_; }

 private:
  const Context& context_;
  Table table_;
  std::string pending_;
  uint64_t count_ = 0;
};

// The colour of a state's short name ("done", "failed", "up" ...).
Cell StateCell(std::string_view state);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_OUTPUT_H_
