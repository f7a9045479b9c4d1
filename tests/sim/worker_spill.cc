// Memory and disk of the simulated store. Memory has a hard limit, the budget: what is over it goes to disk at
// once, or fails when the disk is full; the core makes room by spilling.
#include <utility>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = worker::event;
using worker::LocalKey;

uint64_t SimWorker::store_budget() const { return world_.options.stores[index_]; }

bool SimWorker::HasRoom(uint64_t bytes) const {
  if (store_budget() == 0) return false;
  for (const auto& [key, blob] : store_) bytes += blob.on_disk ? 0 : blob.size_bytes;
  return bytes <= store_budget();
}

bool SimWorker::PutBlob(const LocalKey& key, Blob blob) {
  blob.serial = ++last_serial_;
  store_.erase(key);
  blob.on_disk = store_budget() != 0 && !HasRoom(blob.size_bytes);
  store_[key] = blob;
  return blob.on_disk;
}

void SimWorker::PutEmpty(const LocalKey& key) {
  const JobPlan* job = world_.FindJobPlan(key.id.object.job);
  const bool planned = job != nullptr && key.id.object.ordinal < job->objects.size();
  if (!planned && world_.families.WasChild(key.id.object.job)) return;  // a crash took it along
  if (!planned || job->objects[key.id.object.ordinal].size_bytes != 0 || !key.parts.whole())
    return world_.Fail(StrCat(name_, " takes ", ToString(key.id.object), " for empty"));
  const auto known = store_.find(key);
  const bool told = known != store_.end() && known->second.told;
  PutBlob(key, {job->objects[key.id.object.ordinal].value, 0, told});
  vanished_.erase(key.id);
  noticed_.erase(key.id);
  damaged_.erase(key.id);
}

void SimWorker::StartSpill(const worker::action::Spill& spill) {
  if (spill.items.empty() || spill.items.size() > limits::kSpillItems ||
      !spills_.insert(spill.spill).second || spills_.size() > limits::kSpillsAtOnce) {
    return world_.Fail(StrCat(name_, ": spill limits: ", spills_.size(), " under way, ",
                              spill.items.size(), " items"));
  }
  // The store takes hold of them now: what comes under the same name later is another entry.
  std::vector<std::pair<LocalKey, uint64_t>> items;
  uint64_t bytes = 0;
  for (const LocalKey& key : spill.items) {
    auto found = store_.find(key);
    const bool here = found != store_.end();
    if (here && found->second.on_disk)
      return world_.Fail(StrCat(name_, " spills ", ToString(key.id.object), ", which is on disk"));
    bytes += here ? found->second.size_bytes : 0;
    items.emplace_back(key, here ? found->second.serial : 0);
    for (const auto& [ref, exec] : execs_) {
      for (const LocalKey& read : exec.reads) {
        if (read == key)
          return world_.Fail(StrCat(name_, " spills ", ToString(key.id.object), " while ",
                                    ToString(ref), " reads it"));
      }
    }
  }
  const uint64_t ns = rng_.Below(5 * kMs) + bytes * kMs / world_.options.bandwidth_bytes_per_ms;
  After(ns, [this, id = spill.spill, items = std::move(items)] { FinishSpill(id, items); });
}

void SimWorker::FinishSpill(worker::SpillId id,
                            const std::vector<std::pair<LocalKey, uint64_t>>& items) {
  using Result = event::Spilled::Result;
  event::Spilled spilled{.spill = id, .results = {}};
  for (const auto& [key, serial] : items) {
    auto found = store_.find(key);
    if (found == store_.end() || found->second.serial != serial) {
      spilled.results.push_back(Result::kGone);
    } else if (damaged_.contains(key.id)) {  // its checksum does not fit
      Lose({key.id, {}}, true);
      spilled.results.push_back(Result::kGone);
    } else if (disk_full_ || rng_.Chance(world_.healed ? 0 : world_.options.io_error_per_mille)) {
      spilled.results.push_back(Result::kFailed);
    } else {
      found->second.on_disk = true;
      spilled.results.push_back(Result::kOnDisk);
    }
  }
  spills_.erase(id);
  Post(std::move(spilled));
}

}  // namespace taskd::sim
