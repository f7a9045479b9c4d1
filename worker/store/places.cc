#include "worker/store/places.h"

#include <unistd.h>

#include <cerrno>
#include <cstdio>

#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/files.h"

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
      pack_spilled(options.pack_spilled),
      memory(std::make_shared<Space>(options.memory_bytes)),
      disk(std::make_shared<Space>(options.disk_bytes)),
      spares(
          std::make_shared<Spares>(memory_folder, has_memory_folder() ? options.spare_bytes : 0)) {
  memory->OnShortage([&s = *spares](uint64_t bytes) { return s.MakeRoom(bytes); });
}

std::string Places::NewPath(bool on_disk) {
  return StrCat(on_disk ? disk_folder : memory_folder, "/",
                absl::Hex(next_file.fetch_add(1, std::memory_order_relaxed)));
}

absl::Status Places::DiskIsFull() const {
  return absl::ResourceExhaustedError(StrCat(
      "the store may not use more than ", FormatBytes(disk->limit()), " of disk (--disk), and has ",
      FormatBytes(disk->used()), " there: give it more, or more memory with --store"));
}

std::shared_ptr<Spares> Places::SparesFor(bool on_disk) const {
  return on_disk || !spares->keeps_any() ? nullptr : spares;
}

StoreFile::~StoreFile() {
  Unlink();
  if (!aside_.empty() && !spares->Offer(aside_, share)) unlink(aside_.c_str());
}

absl::Status StoreFile::Make(absl::FunctionRef<absl::Status(int fd)> fill) {
  return io::MakeFile(path, [&](int fd) -> absl::Status {
    if (absl::Status filled = fill(fd); !filled.ok()) return filled;
    struct stat s;
    if (fstat(fd, &s) != 0) return io::ErrnoStatus("stat", path, errno);
    identity = FileIdentity::Of(s);
    return absl::OkStatus();
  });
}

void StoreFile::Unlink() const {
  if (unlinked.exchange(true)) return;
  if (spares != nullptr) {
    std::string aside = spares->NewPath();
    if (rename(path.c_str(), aside.c_str()) == 0) {
      aside_ = std::move(aside);
      return;
    }
  }
  unlink(path.c_str());
}

}  // namespace taskd::worker
