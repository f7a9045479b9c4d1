// The access file, $TASKD_DIR/access.yaml: how to reach a cluster and the keys that let one in. Its
// folder is 0700 and it is 0600; it is replaced by rename, never locked, so it may lie on a network
// file system.
#ifndef TASKD_COMMON_IO_ACCESS_FILE_H_
#define TASKD_COMMON_IO_ACCESS_FILE_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace taskd::io {

struct AccessFile {
  std::string cluster_id;
  std::vector<std::string> addresses;  // HOST:PORT of the scheduler, the best first
  std::string client_key;              // empty in a file that was made for workers only
  std::string worker_key;              // empty in a file that was made for clients only
};

// `flag` if not empty, else $TASKD_DIR, else ~/.taskd. An error when none of them is there to be
// used.
absl::StatusOr<std::string> AccessDir(std::string_view flag);
std::string AccessPath(std::string_view dir);  // dir + "/access.yaml"

// kNotFound when there is no file; kPermissionDenied when others may read it or it is not ours;
// kInvalidArgument when it is damaged. Each names the file and the fix.
absl::StatusOr<AccessFile> ReadAccessFile(std::string_view dir);
// Makes the folder if need be.
absl::Status WriteAccessFile(std::string_view dir, const AccessFile& access);

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_ACCESS_FILE_H_
