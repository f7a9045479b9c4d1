// Clients: what they want, and the jobs that live no longer than they do. A client that is gone has
// a lease: until it is over its wants and its ephemeral jobs stay as they are, and the same client
// takes over by being there again. Then its wants go one by one and its ephemeral jobs are
// cancelled.
#include <algorithm>
#include <utility>

#include "scheduler/core/state.h"

namespace taskd::scheduler {

void State::On(event::SetWants& e) {
  std::sort(e.objects.begin(), e.objects.end());
  e.objects.erase(std::unique(e.objects.begin(), e.objects.end()), e.objects.end());
  std::erase_if(e.objects, [this](ObjectId id) {
    if (FindObject(id) != nullptr && !jobs[id.job]->forgetting) return false;
    Emit(action::ObjectChanged{id});  // the shell finds nothing and says so
    return true;
  });
  Client& client = clients[e.client];
  client.gone = false;
  std::vector<ObjectId> before = std::exchange(client.wants, e.objects);
  for (ObjectId id : e.objects) {
    if (!std::binary_search(before.begin(), before.end(), id)) AddWant(id);
  }
  for (ObjectId id : before) {
    if (!std::binary_search(e.objects.begin(), e.objects.end(), id)) DropWant(id);
  }
  if (e.objects.empty() && client.ephemeral.empty()) clients.erase(e.client);
}

void State::AddWant(ObjectId id) {
  Job& job = *jobs[id.job];
  ObjectRec& object = job.objects[id.ordinal];
  ++counters.client_wants;
  Presence actual = Actual(job, object);
  if (actual == Presence::kAvailable || actual == Presence::kDead) Emit(action::ObjectChanged{id});
  CountOutside(job, +1);
  Hold(job, id.ordinal);
}

void State::DropWant(ObjectId id) {
  --counters.client_wants;
  Job* job = FindJob(id.job);
  if (job == nullptr) return;  // forgotten meanwhile
  LetGo(*job, id.ordinal);
  CountOutside(*job, -1);
}

void State::On(event::ClientGone& e) {
  auto it = clients.find(e.client);
  if (it == clients.end()) return;
  it->second.gone = true;
  it->second.epoch = ++last_epoch;
  if (e.for_good) return EndLease(e.client, last_epoch);
  Arm(TimerKind::kClientLease, now_ns + config.client_lease_ns, e.client, it->second.epoch);
}

void State::On(event::ClientBack& e) {
  auto it = clients.find(e.client);
  if (it != clients.end()) it->second.gone = false;
}

void State::EndLease(ClientId id, uint64_t epoch) {
  auto it = clients.find(id);
  if (it == clients.end() || !it->second.gone || it->second.epoch != epoch) return;
  Enqueue({.kind = WorkKind::kDropClient,
           .index = static_cast<uint32_t>(id >> 32),
           .limit = static_cast<uint32_t>(id)});
}

// One want or one job a call; it may come back half-way.
bool State::DropClient(Work& work) {
  auto it = clients.find(uint64_t{work.index} << 32 | work.limit);
  if (it == clients.end() || !it->second.gone) return false;
  Client& client = it->second;
  if (!client.wants.empty()) {
    ObjectId id = client.wants.back();
    client.wants.pop_back();
    DropWant(id);
    return true;
  }
  // Once round the worklist: what was rebuilt only for its wants is called off first.
  if (!work.begun) {
    work.begun = true;
    Enqueue(work);
    return false;
  }
  if (client.ephemeral.empty()) {
    clients.erase(it);
    return false;
  }
  JobId id = *client.ephemeral.begin();
  client.ephemeral.erase(client.ephemeral.begin());
  jobs[id]->client = 0;
  CancelWhole(*jobs[id], 0);
  return true;
}

// An ephemeral job belongs to the client that opened it last; opened by `client` 0 it is detached.
void State::BindToClient(Job& job, ClientId client) {
  if (job.client == client) return;
  if (job.client != 0) {
    auto it = clients.find(job.client);
    it->second.ephemeral.erase(job.id);
    if (it->second.ephemeral.empty() && it->second.wants.empty()) clients.erase(it);
  }
  job.client = client;
  if (client != 0) clients[client].ephemeral.insert(job.id);
}

}  // namespace taskd::scheduler
