#include "cli/taskctl/output.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

#include "cli/taskctl/json.h"
#include "common/base/text.h"

namespace taskd::cli {

void Context::Fail(const absl::Status& status) { Fail(ExitCodeFor(status), status); }

void Context::Fail(int code, const absl::Status& status) {
  exit_code = code;
  std::string message(status.message().data(), status.message().size());
  if (message.empty()) message = status.ToString();
  if (format == OutputFormat::kJson) {
    std::fprintf(stderr, "{\"error\":%s,\"exit_code\":%d}\n", JsonString(message).c_str(), code);
  } else {
    std::fprintf(stderr, "taskctl: %s\n", message.c_str());
  }
}

void PrintOut(std::string_view text) {
  while (!text.empty()) {
    ssize_t n = write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      if (errno != EPIPE) std::perror("taskctl: cannot write to stdout");
      std::_Exit(errno == EPIPE ? kExitOk : kExitTaskFailed);
    }
    text.remove_prefix(static_cast<size_t>(n));
  }
}

void Note(const Context& context, std::string_view text) {
  if (context.format != OutputFormat::kTable) return;
  std::fprintf(stderr, "%s\n", std::string(text).c_str());
}

void Show(const Context& context, const google::protobuf::Message& message, std::string_view id,
          const std::function<std::string()>& people) {
  switch (context.format) {
    case OutputFormat::kJson:
      return PrintOut(ToJson(message) + "\n");
    case OutputFormat::kQuiet:
      return PrintOut(StrCat(id, "\n"));
    case OutputFormat::kTable:
      return PrintOut(people());
  }
}

std::string Fields(const std::vector<std::pair<std::string, Cell>>& fields) {
  uint32_t width = 0;
  for (const auto& [name, value] : fields) {
    if (!value.text.empty()) width = std::max(width, DisplayWidth(name));
  }
  bool colours = UseColour(STDOUT_FILENO);
  std::string text;
  for (const auto& [name, value] : fields) {
    if (value.text.empty()) continue;
    std::string shown = Printable(value.text);
    if (colours) shown = Paint(shown, value.style);
    text += StrCat(name, std::string(width - DisplayWidth(name) + 2, ' '), shown, "\n");
  }
  return text;
}

ListWriter::ListWriter(const Context& context, std::string name, std::vector<Column> columns)
    : context_(context),
      table_(std::move(columns), TerminalWidth(STDOUT_FILENO), UseColour(STDOUT_FILENO)) {
  if (context_.format == OutputFormat::kJson) pending_ = StrCat("{\"", name, "\":[");
}

void ListWriter::Add(const google::protobuf::Message& message, std::string id, Row row) {
  switch (context_.format) {
    case OutputFormat::kJson:
      pending_ += StrCat(count_ > 0 ? ",\n" : "\n", ToJson(message));
      break;
    case OutputFormat::kQuiet:
      pending_ += StrCat(Printable(id), "\n");
      break;
    case OutputFormat::kTable:
      table_.Add(std::move(row));
      break;
  }
  ++count_;
}

void ListWriter::EndPage() {
  PrintOut(pending_ + table_.Take());
  pending_.clear();
}

void ListWriter::End(std::string_view when_empty) {
  if (context_.format == OutputFormat::kJson) pending_ += "]}\n";
  EndPage();
  if (count_ == 0 && !when_empty.empty()) Note(context_, when_empty);
}

Cell StateCell(std::string_view state) {
  Style style = Style::kPlain;
  if (state == "done" || state == "finished" || state == "up") style = Style::kGood;
  if (state == "failed" || state == "lost") style = Style::kBad;
  if (state == "running" || state == "active") style = Style::kBusy;
  if (state == "cancelled" || state == "suspect" || state == "away" || state.starts_with("drain"))
    style = Style::kWarn;
  return {std::string(state), style};
}

}  // namespace taskd::cli
