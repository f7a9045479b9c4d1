// Aligned columns of text. The widths of one page of rows are kept for the next, so that a long
// list prints as it arrives and still lines up.
#ifndef TASKD_CLI_TASKCTL_TABLE_H_
#define TASKD_CLI_TASKCTL_TABLE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "cli/taskctl/terminal.h"

namespace taskd::cli {

struct Column {
  enum Align { kLeft, kRight };
  std::string title;
  Align align = kLeft;
  bool may_shrink = false;  // on a narrow terminal, down to kShortest columns
};

struct Cell {
  Cell(std::string t, Style s = Style::kPlain)
      : text(std::move(t)), style(s) {}  // NOLINT: rows read as text
  Cell(const char* t) : text(t) {}       // NOLINT
  std::string text;                      // made Printable() by the table
  Style style = Style::kPlain;
};
using Row = std::vector<Cell>;

class Table {
 public:
  // terminal_width 0: as wide as it comes.
  Table(std::vector<Column> columns, uint32_t terminal_width, bool colours);

  // A row has one cell a column.
  void Add(Row row);

  // The rows added since the last call, with the titles before the first one. Empty without rows.
  std::string Take();

 private:
  static constexpr uint32_t kShortest = 8;

  void Measure();
  std::string Line(const Row& row) const;

  std::vector<Column> columns_;
  uint32_t terminal_width_;
  bool colours_;
  bool titled_ = false;
  std::vector<uint32_t> widths_;
  std::vector<Row> rows_;
};

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_TABLE_H_
