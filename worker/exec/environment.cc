#include "worker/exec/environment.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/base/text.h"

namespace taskd::worker {
namespace {

void GiveUnits(const ExecRequest& request, uint16_t number, const NodePool& pool,
               Environment& env) {
  std::string ids;
  for (const UnitShare& share : request.units) {
    if (share.pool != number) continue;
    ids += StrCat(ids.empty() ? "" : ",",
                  share.unit < pool.ids.size() ? pool.ids[share.unit] : StrCat(share.unit));
  }
  // Who asked for no gpu finds none, where gpus are counted.
  if (pool.name == "gpus") env.emplace("CUDA_VISIBLE_DEVICES", ids);
  if (ids.empty()) return;
  std::string name = "TASKD_UNITS_" + pool.name;
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return !absl::ascii_isalnum(static_cast<unsigned char>(c)); }, '_');
  env[name] = ids;
}

}  // namespace

void AddBaseEnvironment(Environment& env) {
  const std::pair<const char*, const char*> base[] = {
      {"PATH", "/usr/local/bin:/usr/bin:/bin"}, {"HOME", "/"}, {"LANG", "C.UTF-8"}, {"USER", ""}};
  for (const auto& [name, fallback] : base) {
    const char* value = std::getenv(name);
    env[name] = value != nullptr ? value : fallback;
  }
}

void AddGrants(const ExecRequest& request, const NodePools& pools, Environment& env) {
  const std::string cpus = StrCat(CpusOf(request.assignment));
  env["TASKD_CPUS"] = cpus;
  env.emplace("OMP_NUM_THREADS", cpus);
  for (const auto& [number, pool] : pools) GiveUnits(request, number, pool, env);
}

uint32_t CpusOf(const Assignment& assignment) {
  return std::max(1u, (assignment.need.cpus_milli + 999) / 1000);
}

}  // namespace taskd::worker
