// What the scheduler was told of clients: what they want, and whether they are there.
#include <algorithm>

#include "common/base/text.h"
#include "tests/sim/checker.h"
#include "tests/sim/world.h"

namespace taskd::sim {

namespace event = scheduler::event;

void Checker::On(const event::SetWants& e) {
  Client& client = clients_[e.client];
  client.gone = client.unclear = false;
  client.now = std::set<ObjectId>(e.objects.begin(), e.objects.end());
  std::erase_if(client.certain, [&client](ObjectId id) { return !client.now.contains(id); });
  client.possible.insert(client.now.begin(), client.now.end());
  ForgetUnneeded();
}

void Checker::On(const event::ClientGone& e) {
  Client& client = clients_[e.client];
  client.gone = true;
  client.settled = false;
  client.lease_ends =
      world_.loop.now() + (e.for_good ? 0 : world_.options.scheduler.client_lease_ns);
  ++(e.for_good ? world_.stats.goodbyes : world_.stats.clients_gone);
}

// When the lease may have been over, some of what it wanted may have been dropped: it has to say it
// again.
void Checker::On(const event::ClientBack& e) {
  Client& client = clients_[e.client];
  client.unclear |= LeaseMayBeOver(client);
  client.gone = false;
}

bool Checker::LeaseMayBeOver(const Client& client) const {
  return client.gone && world_.loop.now() >= client.lease_ends;
}

bool Checker::MayBeLeft(scheduler::ClientId id) const {
  auto found = clients_.find(id);
  return found != clients_.end() && LeaseMayBeOver(found->second);
}

bool Checker::WantedByClient(ObjectId id, Wants wants) const {
  return std::any_of(clients_.begin(), clients_.end(), [&](const auto& entry) {
    const Client& client = entry.second;
    if (wants == Wants::kPossible) return client.possible.contains(id);
    return client.certain.contains(id) && !client.unclear && !LeaseMayBeOver(client);
  });
}

bool Checker::WantsMayGo() const {
  return std::any_of(clients_.begin(), clients_.end(), [&](const auto& entry) {
    return LeaseMayBeOver(entry.second) && !entry.second.settled;
  });
}

void Checker::ClientsAtRest() {
  for (auto& [id, client] : clients_) {
    client.settled = LeaseMayBeOver(client);
    client.possible = client.now;
    client.certain = client.unclear || LeaseMayBeOver(client) ? std::set<ObjectId>{} : client.now;
  }
}

// Nothing is known of what clients want; all of them have their lease to come back.
void Checker::OnRestartOfClients() {
  clients_.clear();
  for (const auto& client : world_.clients) {
    clients_[client->id()] = {
        .gone = true, .lease_ends = world_.loop.now() + world_.options.scheduler.client_lease_ns};
  }
}

void Checker::On(const event::PublishDataset& e) {
  dataset_requests_[e.token] = {e.name, e.objects};
}

void Checker::On(const event::DropDataset& e) { dataset_requests_[e.token] = {e.name, {}}; }

void Checker::OnDatasetRecord(const scheduler::action::Journal& a) {
  const auto& [name, objects] = dataset_requests_.at(a.token);
  if (a.kind == scheduler::action::RecordKind::kPublishDataset) {
    datasets_[name] = {objects};
    ++world_.stats.datasets_published;
  } else {
    datasets_.at(name).dropped = true;
    ++world_.stats.datasets_dropped;
  }
}

void Checker::DatasetsAtRest() {
  std::erase_if(datasets_, [](const auto& entry) { return entry.second.dropped; });
  for (auto& [name, dataset] : datasets_) dataset.held = true;
}

bool Checker::WantedByDataset(ObjectId id, Wants wants) const {
  return std::any_of(datasets_.begin(), datasets_.end(), [&](const auto& entry) {
    const Dataset& dataset = entry.second;
    return dataset.objects.job == id.job && dataset.objects.Contains(id.ordinal) &&
           (wants == Wants::kPossible || (dataset.held && !dataset.dropped));
  });
}

// A job is cancelled when somebody asked for it, or by the core when its client has left.
void Checker::CheckCancel(JobId job) {
  if (world_.families.IsChild(job)) {
    const JobId root = world_.families.RootOf(job);
    if (!JobOf(root).cancelled) Fail(StrCat("job ", job, " is cancelled before job ", root));
    return;
  }
  if (world_.FindJobPlan(job) == nullptr) {  // its client left before it was told the number
    if (std::none_of(clients_.begin(), clients_.end(),
                     [this](const auto& entry) { return LeaseMayBeOver(entry.second); }))
      Fail(StrCat("job ", job, ", which nobody knows, is cancelled"));
    return;
  }
  const SimClient& client = ClientOf(job);
  if (client.asked_to_cancel()) return;
  if (!client.ephemeral()) return Fail(StrCat("job ", job, " is cancelled by nobody"));
  if (!MayBeLeft(client.id())) {
    return Fail(StrCat("job ", job, " is cancelled for its client ", client.id(),
                       ", which is there or has its lease"));
  }
  ++world_.stats.left_jobs;
}

bool Checker::Cancelled(JobId job) const {
  auto found = jobs_.find(job);
  return found != jobs_.end() && found->second.cancelled_once;
}

}  // namespace taskd::sim
