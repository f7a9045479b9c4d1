#include "worker/shell/node_size.h"

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <sstream>
#include <string_view>
#include <vector>

#include "common/io/cpu_count.h"

namespace taskd::worker {
namespace {

constexpr uint64_t kUnlimited = std::numeric_limits<uint64_t>::max();

// The first word of a file as a number; kUnlimited when there is none ("max").
uint64_t NumberIn(const std::string& path) {
  std::ifstream file(path);
  uint64_t number;
  return file >> number ? number : kUnlimited;
}

uint64_t FromEnvironment(const char* name) {
  const char* text = std::getenv(name);
  if (text == nullptr) return kUnlimited;
  char* end;
  const uint64_t number = std::strtoull(text, &end, 10);
  return end == text || number == 0 ? kUnlimited : number;
}

// The folder of our cgroup in the hierarchy of `controller` ("": version 2), and all folders above
// it: a limit on any of them holds.
std::vector<std::string> CgroupFolders(const std::string& root, const std::string& controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  std::string line, path;
  bool found = false;
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string id, controllers;
    std::getline(fields, id, ':');
    std::getline(fields, controllers, ':');
    const std::string listed = "," + controllers + ",";
    const bool match = controller.empty()
                           ? controllers.empty()
                           : listed.find("," + controller + ",") != std::string::npos;
    if (match && std::getline(fields, path)) found = true;
    if (found) break;
  }
  std::vector<std::string> folders;
  const std::string base = root + "/sys/fs/cgroup" + (controller.empty() ? "" : "/" + controller);
  if (!found) return {base};
  for (;; path.erase(path.rfind('/'))) {
    folders.push_back(base + path);
    if (path.empty() || path.find('/') == std::string::npos) break;
  }
  return folders;
}

uint64_t CpusMilli(const std::string& root) {
  const uint32_t usable = io::UsableCpus();
  uint64_t least = usable == 0 ? 1'000'000 : uint64_t{usable} * 1000;
  const auto quota = [&](uint64_t quota_us, uint64_t period_us) {
    if (quota_us != kUnlimited && period_us != kUnlimited && period_us != 0) {
      least = std::min(least, quota_us * 1000 / period_us);
    }
  };
  for (const std::string& folder : CgroupFolders(root, "")) {
    std::ifstream file(folder + "/cpu.max");
    uint64_t quota_us, period_us;
    if (file >> quota_us >> period_us) quota(quota_us, period_us);
  }
  for (const std::string& folder : CgroupFolders(root, "cpu")) {
    quota(NumberIn(folder + "/cpu.cfs_quota_us"), NumberIn(folder + "/cpu.cfs_period_us"));
  }
  const uint64_t slurm = FromEnvironment("SLURM_CPUS_ON_NODE");
  if (slurm != kUnlimited) least = std::min(least, slurm * 1000);
  return std::max<uint64_t>(least, 1);
}

uint64_t MemoryBytes(const std::string& root) {
  uint64_t least = kUnlimited;
  std::ifstream meminfo(root + "/proc/meminfo");
  std::string name;
  uint64_t kib;
  while (meminfo >> name >> kib) {
    if (name == "MemTotal:") {
      least = kib * 1024;
      break;
    }
    meminfo.ignore(std::numeric_limits<std::streamsize>::max(), '\n');
  }
  for (const std::string& folder : CgroupFolders(root, ""))
    least = std::min(least, NumberIn(folder + "/memory.max"));
  for (const std::string& folder : CgroupFolders(root, "memory")) {
    least = std::min(least, NumberIn(folder + "/memory.limit_in_bytes"));
  }
  const uint64_t slurm_mib = FromEnvironment("SLURM_MEM_PER_NODE");
  if (slurm_mib != kUnlimited) least = std::min(least, slurm_mib << 20);
  return least;
}

}  // namespace

Resources DetectNodeSize(const std::string& root) {
  // A fifth is for the store (see DefaultStoreBytes), and a fifth stays for this daemon and the page cache.
  return {static_cast<uint32_t>(CpusMilli(root)), MemoryBytes(root) / 5 * 3};
}

}  // namespace taskd::worker
