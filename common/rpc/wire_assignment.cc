// An assignment's inputs travel as columns: no message per edge or object.
#include <algorithm>

#include "common/base/text.h"
#include "common/rpc/wire.h"
#include "taskd/v1/worker_session.pb.h"

namespace taskd::rpc {
namespace {

absl::Status Bad(AttemptRef attempt, std::string_view what) {
  return absl::InvalidArgumentError(
      StrCat("malformed assignment of ", ToString(attempt), ": ", what));
}

void EncodeEdges(const Assignment& from, v1::Assignment* to) {
  bool any_parts = std::any_of(from.edges.begin(), from.edges.end(),
                               [](const InputEdge& edge) { return !edge.parts.whole(); });
  for (const InputEdge& edge : from.edges) {
    to->add_edge_slot(edge.slot);
    to->add_edge_ends(edge.first + edge.count);
    if (any_parts) {
      to->add_edge_part_lo(edge.parts.lo);
      to->add_edge_part_hi(edge.parts.hi);
    }
  }
}

void EncodeObjects(const Assignment& from, v1::Assignment* to) {
  bool one_job =
      std::all_of(from.objects.begin(), from.objects.end(), [&](const InputObject& object) {
        return object.id.object.job == from.objects[0].id.object.job;
      });
  for (const InputObject& object : from.objects) {
    if (!one_job || to->object_job_size() == 0) to->add_object_job(object.id.object.job);
    to->add_object(object.id.object.ordinal);
    to->add_version(object.id.version);
    to->add_size_bytes(object.size_bytes);
    for (WorkerId holder : object.holders) {
      if (!holder) break;
      to->add_holder(holder.packed());
    }
    to->add_holder_ends(to->holder_size());
  }
}

absl::Status DecodeEdges(const v1::Assignment& from, Assignment* to) {
  int edges = from.edge_slot_size();
  int parts = from.edge_part_lo_size();
  if (from.edge_ends_size() != edges || (parts != 0 && parts != edges) ||
      from.edge_part_hi_size() != parts) {
    return Bad(to->attempt, "edge columns differ in length");
  }
  uint32_t first = 0;
  for (int i = 0; i < edges; ++i) {
    InputEdge edge{from.edge_slot(i), first, from.edge_ends(i) - first, {}};
    if (from.edge_ends(i) < first || from.edge_ends(i) > to->objects.size()) {
      return Bad(to->attempt, "an edge's objects are out of range");
    }
    if (parts != 0) edge.parts = {from.edge_part_lo(i), from.edge_part_hi(i)};
    if (edge.parts.lo > edge.parts.hi || edge.parts.hi > limits::kPartsPerObject) {
      return Bad(to->attempt, "an edge's parts are out of range");
    }
    first = from.edge_ends(i);
    to->edges.push_back(edge);
  }
  if (first != to->objects.size()) return Bad(to->attempt, "an object belongs to no edge");
  return absl::OkStatus();
}

absl::Status DecodeObjects(const v1::Assignment& from, Assignment* to) {
  int objects = from.object_size();
  bool one_job = from.object_job_size() == 1;
  if (from.version_size() != objects || from.size_bytes_size() != objects ||
      from.holder_ends_size() != objects || (!one_job && from.object_job_size() != objects)) {
    return Bad(to->attempt, "object columns differ in length");
  }
  uint32_t first = 0;
  to->objects.reserve(objects);
  for (int i = 0; i < objects; ++i) {
    InputObject object;
    object.id = {{from.object_job(one_job ? 0 : i), from.object(i)}, from.version(i)};
    object.size_bytes = from.size_bytes(i);
    uint32_t end = from.holder_ends(i);
    if (end < first || end > static_cast<uint32_t>(from.holder_size()) ||
        end - first > limits::kHoldersPerInput) {
      return Bad(to->attempt, "an object's holders are out of range");
    }
    for (uint32_t h = first; h < end; ++h) {
      WorkerId holder = WorkerId::FromPacked(from.holder(h));
      if (!holder) return Bad(to->attempt, "a holder is no worker");
      object.holders[h - first] = holder;
    }
    if (object.id.object.job == 0) return Bad(to->attempt, "an input of job 0");
    first = end;
    to->objects.push_back(object);
  }
  return absl::OkStatus();
}

}  // namespace

void Encode(const Assignment& from, v1::Assignment* to) {
  Encode(from.attempt, to->mutable_attempt());
  to->set_body(from.body);
  Encode(from.need, to->mutable_need());
  to->set_priority(from.priority);
  to->set_order(from.order);
  to->set_next_use(from.next_use == kUnknownUse ? 0 : from.next_use);
  to->set_time_limit_ns(from.time_limit_ns);
  to->set_first_output(from.first_output);
  to->set_output_count(from.output_count);
  EncodeEdges(from, to);
  EncodeObjects(from, to);
}

absl::StatusOr<Assignment> Decode(const v1::Assignment& from) {
  Assignment to;
  auto attempt = Decode(from.attempt());
  if (!attempt.ok()) return attempt.status();
  to.attempt = *attempt;
  if (from.output_count() > limits::kOutputsPerTask) return Bad(to.attempt, "too many outputs");
  to.body = from.body();
  auto need = Decode(from.need());
  if (!need.ok()) return need.status();
  to.need = *need;
  to.priority = from.priority();
  to.order = from.order();
  if (from.next_use() != 0) to.next_use = from.next_use();
  to.time_limit_ns = from.time_limit_ns();
  to.first_output = from.first_output();
  to.output_count = from.output_count();
  if (absl::Status status = DecodeObjects(from, &to); !status.ok()) return status;
  if (absl::Status status = DecodeEdges(from, &to); !status.ok()) return status;
  return to;
}

}  // namespace taskd::rpc
