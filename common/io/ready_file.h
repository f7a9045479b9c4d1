// The file by which a daemon that was told --ready-file says that it serves, and where.
#ifndef TASKD_COMMON_IO_READY_FILE_H_
#define TASKD_COMMON_IO_READY_FILE_H_

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/status.h"

namespace taskd::io {

// One JSON object, {"pid": <this process>, "NAME": "VALUE", ...}, written atomically with mode
// 0600.
absl::Status WriteReadyFile(std::string_view path,
                            const std::vector<std::pair<std::string, std::string>>& fields);

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_READY_FILE_H_
