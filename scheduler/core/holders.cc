// The replicas of an object as a list, and of a worker as an array: the newest first in the one, in
// no order in the other. Short lists are walked; an object that many hold gets an index by worker,
// so that a broadcast to ten thousand workers is not a walk over ten thousand for each of them.
#include "common/base/prefetch.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kWalked = 16;  // replicas; with more there is an index
}  // namespace

// The link in the object's list that points at the worker's replica; null: it has none.
uint32_t* State::FindLink(ObjectId id, ObjectRec& object, uint16_t slot) {
  if (object.wide) {
    const WideIndex& index = wide_objects.find(id)->second;
    auto it = index.find(slot);
    if (it == index.end()) return nullptr;
    return it->second == kNil ? &object.replicas : &replicas[it->second].next;
  }
  uint32_t walked = 0;
  for (uint32_t* link = &object.replicas; *link != kNil; link = &replicas[*link].next, ++walked) {
    if (replicas[*link].worker == slot) return link;
  }
  if (walked >= kWalked) Widen(id, object);
  return nullptr;
}

void State::Widen(ObjectId id, ObjectRec& object) {
  object.wide = true;
  WideIndex& index = wide_objects[id];
  uint32_t previous = kNil;
  for (uint32_t r = object.replicas; r != kNil; previous = r, r = replicas[r].next)
    index[replicas[r].worker] = previous;
}

void State::Narrow(ObjectId id, ObjectRec& object) {
  if (!object.wide) return;
  object.wide = false;
  wide_objects.erase(id);
}

ReplicaRec* State::FindReplica(ObjectId id, uint16_t slot) {
  uint32_t* link = FindLink(id, *FindObject(id), slot);
  return link == nullptr ? nullptr : &replicas[*link];
}

bool State::HoldsUsable(ObjectId id, const ObjectRec& object, uint16_t slot) const {
  if (object.wide) {
    const WideIndex& index = wide_objects.find(id)->second;
    auto it = index.find(slot);
    if (it == index.end()) return false;
    return replicas[it->second == kNil ? object.replicas : replicas[it->second].next].usable;
  }
  for (uint32_t r = object.replicas; r != kNil; r = replicas[r].next) {
    if (replicas[r].worker == slot) return replicas[r].usable;
  }
  return false;
}

ReplicaRec& State::LinkReplica(Worker& worker, ObjectId id, ObjectRec& object) {
  uint32_t r = free_replica;
  if (r == kNil) {
    r = replicas.size();
    replicas.Append();
  } else {
    free_replica = replicas[r].next;
    if (free_replica != kNil) Prefetch(&replicas[free_replica]);
  }
  uint16_t slot = worker.id.slot;
  if (object.wide) {
    WideIndex& index = wide_objects.find(id)->second;
    index[replicas[object.replicas].worker] = r;
    index[slot] = kNil;
  }
  replicas[r] = {.next = object.replicas, .held_at = worker.held.size(), .worker = slot};
  object.replicas = r;
  worker.held.Append(id);
  return replicas[r];
}

void State::UnlinkReplica(Worker& worker, ObjectId id, ObjectRec& object, uint32_t* link) {
  uint32_t r = *link;
  uint32_t held_at = replicas[r].held_at;
  *link = replicas[r].next;
  if (object.wide) {
    auto wide = wide_objects.find(id);
    auto removed = wide->second.find(worker.id.slot);
    if (*link != kNil) wide->second[replicas[*link].worker] = removed->second;
    wide->second.erase(worker.id.slot);
    if (object.replicas == kNil) Narrow(id, object);
  }
  replicas[r].next = free_replica;
  free_replica = r;
  // The last one takes the place of what went.
  ObjectId moved = worker.held[worker.held.size() - 1];
  if (moved != id) {
    worker.held[held_at] = moved;
    FindReplica(moved, worker.id.slot)->held_at = held_at;
  }
  worker.held.RemoveLast();
}

}  // namespace taskd::scheduler
