#include "worker/store/places.h"

#include <unistd.h>

#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::worker {
namespace {

uint64_t DeviceOf(const std::string& folder) {
  struct stat s;
  return folder.empty() || stat(folder.c_str(), &s) != 0 ? 0 : s.st_dev;
}

}  // namespace

Places::Places(StoreOptions options)
    : disk_folder(std::move(options.disk_folder)),
      memory_folder(std::move(options.memory_folder)),
      memory_device(DeviceOf(memory_folder)),
      memory(std::make_shared<Space>(options.memory_bytes)),
      disk(std::make_shared<Space>(options.disk_bytes)) {}

std::string Places::NewPath(bool on_disk) {
  return StrCat(on_disk ? disk_folder : memory_folder, "/",
                absl::Hex(next_file.fetch_add(1, std::memory_order_relaxed)));
}

absl::Status Places::DiskIsFull() const {
  return absl::ResourceExhaustedError(StrCat(
      "the store may not use more than ", FormatBytes(disk->limit()), " of disk (--disk), and has ",
      FormatBytes(disk->used()), " there: give it more, or more memory with --store"));
}

StoreFile::~StoreFile() { Unlink(); }

void StoreFile::Unlink() const {
  if (!unlinked.exchange(true)) unlink(path.c_str());
}

}  // namespace taskd::worker
