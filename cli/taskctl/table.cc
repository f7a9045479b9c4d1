#include "cli/taskctl/table.h"

#include <algorithm>
#include <numeric>

#include "common/base/check.h"

namespace taskd::cli {
namespace {

constexpr uint32_t kGap = 2;

}  // namespace

Table::Table(std::vector<Column> columns, uint32_t terminal_width, bool colours)
    : columns_(std::move(columns)),
      terminal_width_(terminal_width),
      colours_(colours),
      widths_(columns_.size()) {
  for (size_t i = 0; i < columns_.size(); ++i) widths_[i] = DisplayWidth(columns_[i].title);
}

void Table::Add(Row row) {
  TASKD_CHECK(row.size() == columns_.size());
  for (Cell& cell : row) cell.text = Printable(cell.text);
  rows_.push_back(std::move(row));
}

void Table::Measure() {
  for (const Row& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i)
      widths_[i] = std::max(widths_[i], DisplayWidth(row[i].text));
  }
  if (terminal_width_ == 0) return;
  uint32_t total = std::accumulate(widths_.begin(), widths_.end(), uint32_t{0});
  total += kGap * static_cast<uint32_t>(columns_.size() - 1);
  while (total > terminal_width_) {
    size_t widest = columns_.size();
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (!columns_[i].may_shrink || widths_[i] <= kShortest) continue;
      if (widest == columns_.size() || widths_[i] > widths_[widest]) widest = i;
    }
    if (widest == columns_.size()) return;  // the terminal wraps the line: nothing is lost
    --widths_[widest];
    --total;
  }
}

std::string Table::Line(const Row& row) const {
  std::string line;
  for (size_t i = 0; i < row.size(); ++i) {
    std::string text = columns_[i].may_shrink ? Shorten(row[i].text, widths_[i]) : row[i].text;
    uint32_t width = DisplayWidth(text);
    std::string pad(widths_[i] > width ? widths_[i] - width : 0, ' ');
    if (colours_) text = Paint(text, row[i].style);
    if (i > 0) line.append(kGap, ' ');
    line += columns_[i].align == Column::kRight ? pad + text : text + pad;
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + '\n';
}

std::string Table::Take() {
  if (rows_.empty()) return "";
  Measure();
  std::string text;
  if (!titled_) {
    Row titles;
    for (const Column& column : columns_) titles.emplace_back(column.title, Style::kDim);
    text = Line(titles);
    titled_ = true;
  }
  for (const Row& row : rows_) text += Line(row);
  rows_.clear();
  return text;
}

}  // namespace taskd::cli
