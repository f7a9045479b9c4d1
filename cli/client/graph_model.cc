#include "cli/client/graph_model.h"

#include "common/base/text.h"

namespace taskd::client {

absl::Status FileContext::Error(int line, const absl::Status& status) const {
  return absl::Status(status.code(), StrCat(file, ":", line, ": ", ToStd(status.message())));
}

absl::Status FileContext::NotYet(int line, std::string_view what) const {
  return absl::UnimplementedError(StrCat(file, ":", line, ": ", what, ": not supported yet"));
}

std::string FileContext::Absolute(std::string_view path) const {
  if (!path.empty() && path[0] == '/') return std::string(path);
  return StrCat(folder, folder.ends_with('/') ? "" : "/", path);
}

std::vector<std::string> Definition::AxisNames() const {
  std::vector<std::string> names;
  for (const AxisDef& axis : axes) names.push_back(axis.axis.name());
  return names;
}

int Definition::FindOutput(std::string_view name) const {
  for (int i = 0; i < body.outputs_size(); ++i) {
    if (body.outputs(i).name() == name) return i;
  }
  return -1;
}

std::vector<std::string> GraphModel::Names() const {
  std::vector<std::string> names;
  for (const Definition& d : definitions) names.push_back(d.name);
  return names;
}

void Errors::Add(const absl::Status& status) {
  if (status.ok()) return;
  if (++count_ <= kShown) text_ += StrCat(text_.empty() ? "" : "\n", ToStd(status.message()));
}

absl::Status Errors::Take() const {
  if (count_ == 0) return absl::OkStatus();
  return absl::InvalidArgumentError(
      count_ <= kShown ? text_ : StrCat(text_, "\n... and ", count_ - kShown, " more"));
}

}  // namespace taskd::client
