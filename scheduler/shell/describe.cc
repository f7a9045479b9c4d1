#include "scheduler/shell/describe.h"

#include "common/rpc/interned_names.h"
#include "common/rpc/wire.h"

namespace taskd::scheduler {
namespace {

uint64_t Count(const StateCounts& counts, TaskState state) {
  return counts[static_cast<size_t>(state)];
}

uint64_t Milliseconds(uint64_t ns) { return ns / 1'000'000; }

}  // namespace

void Describer::Failure(const FailureView& view, v1::TaskFailure* to) const {
  rpc::Encode(view.task, to->mutable_task());
  to->set_key(Key(view.task));
  to->set_attempt(view.attempt);
  to->set_failure(rpc::Encode(view.failure));
  to->set_exit_code(view.exit_code);
  to->set_worker(directory_.Name(view.worker));
  to->set_message(view.message);
  to->set_exception(view.exception);
}

void Describer::Job(const JobView& view, v1::JobInfo* to) const {
  to->set_job(view.job);
  if (auto header = jobs_.Header(view.job)) {
    to->set_name(std::move(header->name));
    to->set_owner(std::move(header->owner));
    to->set_submitted_ms(header->submitted_ms);
  }
  to->set_state(rpc::Encode(view.state));
  if (view.parent.task.job != 0) {
    rpc::Encode(view.parent.task, to->mutable_parent());
    to->set_parent_key(Key(view.parent.task));
  }
  to->set_children(view.children);
  to->set_forgotten(view.forgotten);
  to->set_priority(view.priority);
  to->set_weight(view.weight);
  to->set_max_running(view.max_running);
  to->set_ttl_ms(Milliseconds(view.ttl_ns));
  to->set_ephemeral(view.ephemeral);
  to->set_waiting(Count(view.tasks, TaskState::kWaiting));
  to->set_ready(Count(view.tasks, TaskState::kReady));
  to->set_active(Count(view.tasks, TaskState::kActive));
  to->set_running(view.running);
  to->set_done(Count(view.tasks, TaskState::kDone));
  to->set_failed(Count(view.tasks, TaskState::kFailed));
  to->set_cancelled(Count(view.tasks, TaskState::kCancelled));
  uint64_t total = 0;
  for (uint64_t count : view.tasks) total += count;
  to->set_total(total);
  to->set_recomputed(view.recomputed);
  to->set_retried(view.retried);
  uint64_t end_ns = view.ended_ns != 0 ? view.ended_ns : now_ns_;
  to->set_elapsed_ms(end_ns > view.opened_ns ? Milliseconds(end_ns - view.opened_ns) : 0);
  for (const FailureView& failure : view.failures) Failure(failure, to->add_failures());
  for (Ordinal ordinal : view.wants) {
    ObjectId id{view.job, ordinal};
    v1::WantedObject* want = to->add_wants();
    rpc::Encode(id, want->mutable_object());
    want->set_name(jobs_.ObjectName(id));
    if (auto object = core_.GetObject(id)) {
      want->set_size_bytes(object->size_bytes);
      want->set_available(object->available);
    }
  }
  to->set_bytes_moved(view.bytes_moved);
  to->set_bytes_saved(view.bytes_saved);
}

void Describer::Task(const TaskView& view, v1::TaskInfo* to) const {
  rpc::Encode(view.task, to->mutable_task());
  to->set_key(Key(view.task));
  to->set_state(rpc::Encode(view.state));
  to->set_running(view.running);
  to->set_worker(directory_.Name(view.worker));
  to->set_attempts(view.attempts);
  to->set_run_ms(Milliseconds(view.run_ns));
  to->set_failure(rpc::Encode(view.failure));
  if (view.culprit != kNoOrdinal) to->set_culprit_key(Key({view.task.job, view.culprit}));
  to->set_reason(rpc::Encode(view.reason));
}

void Describer::Explain(const Explanation& view, v1::TaskExplanation* to) const {
  Task(view.task, to->mutable_task());
  to->set_summary(Summary(view));
  for (const WaitingInputView& input : view.inputs) {
    v1::WaitingInput* waiting = to->add_inputs();
    waiting->set_name(jobs_.ObjectName(input.object));
    waiting->set_producer_state(rpc::Encode(input.producer));
    waiting->set_lost(input.lost);
    waiting->set_root_key(Key(input.root));
    waiting->set_root_state(rpc::Encode(input.root_state));
    waiting->set_root_reason(rpc::Encode(input.root_reason));
  }
  to->set_inputs_missing(view.inputs_missing);
  to->set_inputs_total(view.inputs_total);
  for (const WorkerFitView& fit : view.workers) {
    v1::WorkerFit* worker = to->add_workers();
    worker->set_worker(directory_.Name(fit.worker));
    worker->set_now(fit.now);
    worker->set_when_idle(fit.when_idle);
    worker->set_limit(ToString(fit.limit, rpc::PoolName(fit.limit.pool)));
    worker->set_count(fit.count);
  }
  for (const AttemptView& attempt : view.attempts) {
    v1::AttemptInfo* info = to->add_attempts();
    WorkerProfile profile = directory_.Get(attempt.worker);
    info->set_attempt(attempt.attempt);
    info->set_worker(directory_.Name(attempt.worker));
    if (attempt.ended) {
      info->set_end(rpc::Encode(attempt.end));
    } else {
      info->set_state(rpc::Encode(attempt.state));
    }
    info->set_failure(rpc::Encode(attempt.failure));
    info->set_exit_code(attempt.exit_code);
    info->set_run_ms(Milliseconds(attempt.run_ns));
    info->set_data_address(profile.data_address);
  }
  to->set_ahead_in_queue(view.standing.ahead);
  to->set_ahead_is_about(view.standing.about);
  to->set_jobs_taking_turns(view.standing.sharing);
  if (view.failure.failure != FailureClass::kNone) Failure(view.failure, to->mutable_failure());
}

void Describer::Object(const ObjectView& view, v1::ObjectInfo* to) const {
  rpc::Encode(view.object, to->mutable_object());
  to->set_name(jobs_.ObjectName(view.object));
  if (view.behind != view.object) rpc::Encode(view.behind, to->mutable_behind());
  to->set_version(view.version);
  to->set_size_bytes(view.size_bytes);
  to->set_available(view.available);
  to->set_producer_state(rpc::Encode(view.producer_state));
  for (WorkerId holder : view.holders) {
    WorkerProfile profile = directory_.Get(holder);
    to->add_data_addresses(profile.data_address);
    to->add_workers(profile.name);
  }
}

void Describer::Worker(const WorkerView& view, v1::WorkerInfo* to) const {
  WorkerProfile profile = directory_.Get(view.worker);
  to->set_worker(view.worker.packed());
  to->set_name(profile.name);
  to->set_host(profile.host);
  to->set_state(rpc::Encode(view.state));
  rpc::Encode(view.capacity, to->mutable_capacity());
  rpc::Encode(view.in_use, to->mutable_in_use());
  to->set_running(view.running);
  to->set_assigned(view.assigned);
  to->set_objects(view.objects);
  to->set_store_bytes(profile.store_bytes != 0 ? profile.store_bytes : view.object_bytes);
  to->set_store_budget_bytes(view.store_budget_bytes);
  to->set_promised_bytes(view.promised_bytes);
  to->set_tasks_finished(view.finished);
  to->set_data_address(profile.data_address);
  to->set_metrics_address(profile.metrics_address);
  to->set_fetched_bytes(profile.fetched_bytes);
  to->set_served_bytes(profile.served_bytes);
  to->set_to_move(view.to_move);
  to->set_quarantined(view.quarantined);
}

}  // namespace taskd::scheduler
