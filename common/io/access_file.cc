#include "common/io/access_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <cerrno>
#include <cstdlib>

#include "common/base/text.h"
#include "common/io/files.h"

namespace taskd::io {
namespace {

constexpr uint64_t kMaxBytes = 64 << 10;

absl::Status Damaged(const std::string& path, std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat("the access file ", path, " is damaged (", what,
             "); remove it and start the scheduler again, or copy the cluster's file"));
}

// Keys in a file that others can read are not secret any more; say so instead of going on.
absl::Status CheckPrivate(const std::string& path) {
  struct stat found;
  if (stat(path.c_str(), &found) != 0) {
    if (errno == ENOENT || errno == ENOTDIR) {
      return absl::NotFoundError(
          StrCat("there is no access file ", path,
                 "; start a cluster (taskctl cluster start), or point $TASKD_DIR at its folder"));
    }
    return ErrnoStatus("read the access file", path, errno);
  }
  if (found.st_uid != geteuid() && geteuid() != 0) {
    return absl::PermissionDeniedError(
        StrCat("the access file ", path, " belongs to another user; use a copy of your own"));
  }
  if ((found.st_mode & 077) != 0) {
    return absl::PermissionDeniedError(StrCat("the access file ", path,
                                              " holds keys but other users may read it; ",
                                              "run: chmod 600 ", path));
  }
  return absl::OkStatus();
}

absl::StatusOr<AccessFile> Parse(const std::string& path, const std::string& text) {
  AccessFile access;
  try {
    YAML::Node root = YAML::Load(text);
    if (!root.IsMap()) return Damaged(path, "it is not a mapping");
    auto get = [&](const char* name) {
      return root[name] ? root[name].as<std::string>() : std::string();
    };
    access.cluster_id = get("cluster_id");
    access.client_key = get("client_key");
    access.worker_key = get("worker_key");
    if (root["addresses"]) access.addresses = root["addresses"].as<std::vector<std::string>>();
  } catch (const YAML::Exception& error) {
    return Damaged(path, error.what());
  }
  if (access.client_key.empty() && access.worker_key.empty()) return Damaged(path, "it has no key");
  return access;
}

}  // namespace

absl::StatusOr<std::string> AccessDir(std::string_view flag) {
  if (!flag.empty()) return std::string(flag);
  if (const char* dir = std::getenv("TASKD_DIR"); dir != nullptr && *dir != '\0')
    return std::string(dir);
  if (const char* home = std::getenv("HOME"); home != nullptr && *home != '\0')
    return StrCat(home, "/.taskd");
  return absl::NotFoundError("no folder for the access file: set $TASKD_DIR, or give --dir");
}

std::string AccessPath(std::string_view dir) { return StrCat(dir, "/access.yaml"); }

absl::StatusOr<AccessFile> ReadAccessFile(std::string_view dir) {
  std::string path = AccessPath(dir);
  if (absl::Status status = CheckPrivate(path); !status.ok()) return status;
  auto text = ReadFile(path, kMaxBytes);
  if (!text.ok()) return text.status();
  return Parse(path, *text);
}

absl::Status WriteAccessFile(std::string_view dir, const AccessFile& access) {
  if (absl::Status status = MakePrivateDir(dir); !status.ok()) return status;
  YAML::Emitter out;
  out << YAML::BeginMap;
  out << YAML::Key << "cluster_id" << YAML::Value << access.cluster_id;
  out << YAML::Key << "addresses" << YAML::Value << access.addresses;
  if (!access.client_key.empty())
    out << YAML::Key << "client_key" << YAML::Value << access.client_key;
  if (!access.worker_key.empty())
    out << YAML::Key << "worker_key" << YAML::Value << access.worker_key;
  out << YAML::EndMap;
  return WriteFileAtomically(AccessPath(dir), StrCat(out.c_str(), "\n"), 0600);
}

}  // namespace taskd::io
