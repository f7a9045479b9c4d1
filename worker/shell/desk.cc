#include "worker/shell/desk.h"

#include "absl/container/flat_hash_set.h"
#include "common/rpc/wire.h"
#include "taskd/v1/worker_session.pb.h"
#include "worker/shell/values.h"

namespace taskd::worker {

void Desk::BeginSession() {
  bodies_.clear();
  peers_.clear();
}

absl::Status Desk::Read(SessionId session, v1::SchedulerToWorker& message,
                        std::vector<Event>& events) {
  std::vector<Event> read;
  for (const v1::Peer& peer : message.peers()) {
    peers_[WorkerId::FromPacked(peer.worker())] = peer.data_address();
  }
  for (v1::BodyDefinition& body : *message.mutable_bodies()) {
    bodies_[{body.job(), body.body()}] =
        std::make_shared<v1::Body>(std::move(*body.mutable_definition()));
  }
  for (v1::Assignment& from : *message.mutable_assignments()) {
    absl::StatusOr<Assignment> assignment = rpc::Decode(from);
    if (!assignment.ok()) return assignment.status();
    if (zero_) {
      assignment->edges.clear();
      assignment->objects.clear();
    }
    auto request = std::make_shared<ExecRequest>();
    auto body = bodies_.find(std::pair(assignment->attempt.task.job, assignment->body));
    if (body != bodies_.end()) request->body = body->second;
    request->key = std::move(*from.mutable_key());
    request->args = std::move(*from.mutable_args());
    request->assignment = *assignment;
    requests_[assignment->attempt] = std::move(request);
    event::Assign assign{session, *std::move(assignment)};
    if (!zero_) {
      if (absl::Status s = TakeValues(from, assign); !s.ok()) return s;
    }
    read.push_back(std::move(assign));
  }
  for (const v1::AttemptRef& from : message.retracts()) {
    absl::StatusOr<AttemptRef> attempt = rpc::Decode(from);
    if (!attempt.ok()) return attempt.status();
    read.push_back(event::Retract{session, *attempt});
  }
  for (const v1::AttemptRef& from : message.cancels()) {
    absl::StatusOr<AttemptRef> attempt = rpc::Decode(from);
    if (!attempt.ok()) return attempt.status();
    read.push_back(event::Cancel{session, *attempt});
  }
  for (const v1::Replica& from : message.frees()) {
    absl::StatusOr<Replica> object = rpc::Decode(from);
    if (!object.ok()) return object.status();
    read.push_back(event::Free{session, object->id});
  }
  if (message.forgotten_jobs_size() > 0) {
    absl::flat_hash_set<JobId> gone(message.forgotten_jobs().begin(),
                                    message.forgotten_jobs().end());
    absl::erase_if(bodies_, [&](const auto& body) { return gone.contains(body.first.first); });
  }
  for (const v1::Gather& from : message.gathers()) {
    absl::StatusOr<InputObject> object = rpc::Decode(from);
    if (!object.ok()) return object.status();
    event::Gather gather{session, *object};
    TakeValue(from, gather);
    read.push_back(std::move(gather));
  }
  if (message.outcomes_acked() != 0)
    read.push_back(event::AckOutcomes{session, message.outcomes_acked()});
  retired_ |= message.retire();
  events.insert(events.end(), std::make_move_iterator(read.begin()),
                std::make_move_iterator(read.end()));
  return absl::OkStatus();
}

std::shared_ptr<ExecRequest> Desk::Request(const AttemptRef& attempt) const {
  auto it = requests_.find(attempt);
  return it == requests_.end() ? nullptr : it->second;
}

void Desk::Grant(const AttemptRef& attempt, std::vector<UnitShare> units) {
  auto it = requests_.find(attempt);
  if (it != requests_.end()) it->second->units = std::move(units);
}

void Desk::Release(const AttemptRef& attempt) { requests_.erase(attempt); }

std::string Desk::PeerAddress(WorkerId worker) const {
  auto it = peers_.find(worker);
  return it == peers_.end() ? "" : it->second;
}

}  // namespace taskd::worker
