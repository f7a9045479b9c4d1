// The store and the data plane: fetches read the peer's store when their time is over.
#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = worker::event;
using worker::FetchStatus;
using worker::LocalKey;

void SimWorker::CheckFetchLimits(const worker::action::StartFetch& action) {
  size_t same_peer = 0;
  for (const auto& [id, fetch] : fetches_) same_peer += fetch.peer == action.peer ? 1 : 0;
  const worker::Config& config = world_.options.worker;
  if (fetches_.size() > config.fetches_total || same_peer > config.fetches_per_peer ||
      action.items.size() > limits::kFetchItems || action.items.empty()) {
    world_.Fail(StrCat(name_, ": fetch limits: ", fetches_.size(), " under way, ", same_peer,
                       " to ", ToString(action.peer), ", ", action.items.size(), " items"));
  }
  // After a restart of the scheduler its name may have been another's.
  if (world_.stats.records_replayed == 0 && action.peer == id_ &&
      addresses_.at(id_).index == index_)
    world_.Fail(StrCat(name_, " fetches from itself"));
}

void SimWorker::StartFetch(const worker::action::StartFetch& action) {
  Fetch& fetch = fetches_[action.fetch];
  fetch.peer = action.peer;
  fetch.items = action.items;
  auto address = addresses_.find(action.peer);
  if (address == addresses_.end())
    return world_.Fail(StrCat(name_, " fetches from ", ToString(action.peer), ", a stranger"));
  fetch.peer_index = address->second.index;
  fetch.peer_incarnation = address->second.incarnation;
  CheckFetchLimits(action);
  uint64_t bytes = 0;
  for (const LocalKey& key : action.items) {
    const JobPlan* job = world_.FindJobPlan(key.id.object.job);
    if (job == nullptr || key.id.object.ordinal >= job->objects.size()) {
      // Delegated to what a crash took along.
      if (world_.families.WasChild(key.id.object.job)) continue;
      return world_.Fail(StrCat(name_, " fetches an object that does not exist"));
    }
    bytes += BytesOf(job->objects[key.id.object.ordinal], key.parts);
  }
  uint64_t ns = 2 * world_.net.Delay() + bytes * kMs / world_.options.bandwidth_bytes_per_ms;
  // A peer that sends nothing for so long is given up.
  ns = std::min(ns * world_.net.Slowness(fetch.peer_index), ns + limits::kFetchStallNs);
  After(ns, [this, id = action.fetch] { FinishFetch(id, false); });
}

void SimWorker::FinishFetch(worker::FetchId id, bool cancelled) {
  auto found = fetches_.find(id);
  if (found == fetches_.end()) return;
  Fetch fetch = std::move(found->second);
  fetches_.erase(found);
  SimWorker& peer = *world_.workers[fetch.peer_index];
  bool reachable = peer.alive() && peer.incarnation() == fetch.peer_incarnation &&
                   world_.loop.now() >= peer.paused_until_ &&
                   !world_.net.IsCut(index_, fetch.peer_index);
  bool busy = rng_.Chance(world_.options.busy_per_mille);
  event::FetchDone done{.fetch = id};
  for (const LocalKey& key : fetch.items) {
    event::FetchDone::Item& item = done.items.emplace_back();
    const Blob* blob = reachable ? peer.FindBlob(key) : nullptr;
    bool damaged = reachable && peer.damaged_.contains(key.id);
    if (damaged) peer.Lose({key.id, {}}, true);
    if (!reachable) {
      item.status = FetchStatus::kUnreachable;
    } else if (busy) {
      item.status = FetchStatus::kBusy;
    } else if (cancelled || damaged ||
               (disk_full_ && !HasRoom(blob == nullptr ? 0 : blob->size_bytes)) ||
               rng_.Chance(world_.healed ? 0 : world_.options.io_error_per_mille)) {
      item.status = FetchStatus::kIoError;
    } else if (blob == nullptr) {
      item.status = FetchStatus::kMissing;
      peer.NoticeVanished(key.id);
    } else {
      const JobPlan* job = world_.FindJobPlan(key.id.object.job);
      const bool planned = job != nullptr && key.id.object.ordinal < job->objects.size();
      item.size_bytes =
          planned ? BytesOf(job->objects[key.id.object.ordinal], key.parts) : blob->size_bytes;
      item.crc32c = CrcOfValue(ReadValue(blob->value, key.parts));
      if (key.parts.whole()) {
        vanished_.erase(key.id);
        noticed_.erase(key.id);
        damaged_.erase(key.id);
        item.crc32c = CrcOf(blob->value, item.size_bytes);
      }
      auto known = store_.find(key);
      bool told = known != store_.end() && known->second.told;
      item.on_disk = PutBlob(key, {blob->value, item.size_bytes, told});
    }
  }
  Post(std::move(done));
}

// Bytes that came along are what the maker sent; the store may have no room for them, or find them damaged.
void SimWorker::PutValues(const worker::action::PutValues& put) {
  if (put.values == nullptr) {
    for (const LocalKey& key : put.items) PutEmpty(key);
    return;
  }
  event::FetchDone done{.fetch = put.fetch};
  for (const LocalKey& key : put.items) {
    event::FetchDone::Item& item = done.items.emplace_back();
    auto value = put.values->values.find(key.id);
    if (value == put.values->values.end() || !key.parts.whole())
      return world_.Fail(StrCat(name_, " takes ", ToString(key.id.object), ", which did not come"));
    const worker::Values::Value& came = value->second;
    if ((disk_full_ && !HasRoom(came.size_bytes)) ||
        rng_.Chance(world_.healed ? 0 : world_.options.io_error_per_mille)) {
      item.status = FetchStatus::kIoError;
      continue;
    }
    ++world_.stats.values_taken;
    vanished_.erase(key.id);
    noticed_.erase(key.id);
    damaged_.erase(key.id);
    item.size_bytes = came.size_bytes;
    item.crc32c = CrcOf(came.value, came.size_bytes);
    const auto known = store_.find(key);
    const bool told = known != store_.end() && known->second.told;
    item.on_disk = PutBlob(key, {came.value, came.size_bytes, told});
  }
  Post(std::move(done));
}

// The small ones of its outputs go with it.
void SimWorker::NoteValues(const Outcome& outcome) {
  if (outcome.end != AttemptEnd::kFinished) return;
  for (uint32_t i = 0; i < outcome.outputs.size(); ++i) {
    const ObjectVersion id = {{outcome.attempt.task.job, outcome.first_output + i},
                              outcome.attempt.attempt};
    const auto found = store_.find({id, {}});
    if (found == store_.end() || found->second.size_bytes > limits::kInlineBytes) continue;
    if (!damaged_.contains(id))
      world_.scheduler.KeepValue(id, {found->second.value, found->second.size_bytes});
  }
}

void SimWorker::Drop(const LocalKey& key) {
  auto found = store_.find(key);
  bool had = found != store_.end();
  // What arrives although its request was called back is nobody's replica.
  bool told = had && found->second.told;
  if (had) store_.erase(found);
  // Parts may be here twice, by themselves and in the whole: one of them has to stay while a body
  // reads.
  for (const auto& [ref, exec] : execs_) {
    for (const LocalKey& read : exec.reads) {
      const bool serves = read == key || (read.id == key.id && key.parts.whole());
      if (!had || !serves || FindBlob(read) != nullptr) continue;
      return world_.Fail(
          StrCat(name_, " drops ", ToString(key.id.object), " while ", ToString(ref), " reads it"));
    }
  }
  if (!key.parts.whole()) return;
  vanished_.erase(key.id);
  noticed_.erase(key.id);
  damaged_.erase(key.id);
  bool elsewhere = std::any_of(
      world_.workers.begin(), world_.workers.end(),
      [&key](const auto& other) { return other->alive() && other->store_.contains(key); });
  if (told) world_.checker.OnDrop(index_, key.id, !elsewhere);
}

// A message names it: from now on the scheduler counts on it.
void SimWorker::Told(const ObjectVersion& id) {
  if (auto found = store_.find({id, {}}); found != store_.end()) found->second.told = true;
}

const LocalKey* SimWorker::PickWhole(uint64_t random) const {
  std::vector<const LocalKey*> whole;
  for (const auto& [key, blob] : store_) {
    if (key.parts.whole()) whole.push_back(&key);
  }
  return whole.empty() ? nullptr : whole[random % whole.size()];
}

void SimWorker::Lose(const LocalKey& key, bool noticed) {
  world_.Trace(name_, StrCat(noticed ? "loses " : "silently loses ", ToString(key.id.object), "#",
                             key.id.version));
  ObjectVersion id = key.id;
  store_.erase(key);
  damaged_.erase(id);
  vanished_.insert(id);
  if (noticed) NoticeVanished(id);
}

bool SimWorker::LoseReplica(uint64_t random, bool noticed) {
  const LocalKey* key = PickWhole(random);
  if (key != nullptr) Lose(LocalKey(*key), noticed);
  return key != nullptr;
}

void SimWorker::LoseReplica(const ObjectVersion& id) {
  if (store_.contains({id, {}})) Lose({id, {}}, true);
}

bool SimWorker::DamageReplica(uint64_t random) {
  const LocalKey* key = PickWhole(random);
  if (key == nullptr) return false;
  world_.Trace(name_, StrCat("has damaged ", ToString(key->id.object), "#", key->id.version));
  damaged_.insert(key->id);
  return true;
}

bool SimWorker::LoseSoleReplica(uint64_t random, bool noticed) {
  std::vector<LocalKey> sole;
  for (const auto& [key, blob] : store_) {
    if (key.parts.whole() && world_.checker.IsSoleNeeded(index_, key.id)) sole.push_back(key);
  }
  if (sole.empty()) return false;
  Lose(sole[random % sole.size()], noticed);
  return true;
}

void SimWorker::NoticeVanished(const ObjectVersion& id) {
  if (vanished_.contains(id) && noticed_.insert(id).second) Post(event::ReplicaLost{id});
}

void SimWorker::NoticeVanished() {
  for (const ObjectVersion& id : std::set<ObjectVersion>(damaged_)) Lose({id, {}}, false);
  for (const ObjectVersion& id : vanished_) NoticeVanished(id);
}

}  // namespace taskd::sim
