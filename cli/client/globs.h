// Files by pattern, and lists of them that weigh the same.
#ifndef TASKD_CLI_CLIENT_GLOBS_H_
#define TASKD_CLI_CLIENT_GLOBS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace taskd::client {

struct FoundFile {
  std::string path;
  uint64_t size_bytes = 0;
};

// Regular files (or links to one) that match, in byte order, each once. `*`, `?` and `[a-z]` match
// within a name, `**` any number of folders; as in the shell, names that begin with a dot need a
// dot in the pattern, links to folders are not followed by `**`, and folders that may not be read
// are passed over. A relative pattern starts at `folder`; paths are absolute. Nothing found is an
// empty list.
absl::StatusOr<std::vector<FoundFile>> FindFiles(std::string_view pattern, std::string_view folder);

// Cuts files into `count` lists of about equal bytes: largest first, each to the lightest list
// (Graham 1969: at most 4/3 of the best). The same files give the same lists; within a list, byte
// order of the paths. Lists may be empty.
std::vector<std::vector<FoundFile>> Balance(std::vector<FoundFile> files, uint32_t count);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_GLOBS_H_
