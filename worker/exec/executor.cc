#include "worker/exec/executor.h"

#include <algorithm>
#include <chrono>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::worker {
namespace {

// Edges that point past the objects would be read blindly by every body.
bool EdgesFit(const Assignment& a) {
  return std::all_of(a.edges.begin(), a.edges.end(), [&](const InputEdge& e) {
    return e.first <= a.objects.size() && e.count <= a.objects.size() - e.first;
  });
}

}  // namespace

Executor::Executor(Store& store, Options options)
    : zero_(options.zero),
      done_(std::move(options.done)),
      logs_({.folder = options.log_path, .disk_bytes = options.log_disk_bytes}),
      ring_(options.ring),
      pins_(std::move(options.pinned)),
      files_(std::clamp(options.cpus, 2u, 8u)),
      compute_(std::max(1u, options.cpus)),
      memory_(std::move(options.vmstat_path)),
      context_{store,
               logs_,
               folders_,
               files_,
               compute_,
               reactor_,
               memory_,
               options.cgroups,
               options.guardian,
               options.run_path,
               std::move(options.memory_run_path),
               std::move(options.output_path),
               std::move(options.runners),
               std::move(options.pools),
               pins_,
               0,
               options.grace_ns,
               [this](event::ExecDone done) { OnDone(std::move(done)); },
               options.puts,
               std::move(options.ask)},
      runners_(reactor_, files_, options.guardian,
               {std::move(options.run_path), std::max(limits::kRunnersKept, options.cpus),
                options.runner_idle_ns}) {}

Executor::~Executor() {
  context_.grace_ns = 0;
  std::vector<std::shared_ptr<Run>> runs;
  {
    std::lock_guard lock(mutex_);
    for (auto& [attempt, live] : running_) runs.push_back(live.run);
  }
  for (auto& run : runs) run->Kill();
  runs.clear();
  std::unique_lock lock(mutex_);
  none_running_.wait(lock, [this] { return running_.empty(); });
}

std::optional<event::ExecDone> Executor::Start(std::shared_ptr<const ExecRequest> request) {
  if (zero_) return EmptyDone(context_.store, *request, 0);
  if (request->body == nullptr)
    return FailedDone(*request, BadBody("the scheduler did not send this task's body"));
  if (!EdgesFit(request->assignment))
    return FailedDone(*request, BadBody("the task's inputs are damaged"));
  std::shared_ptr<Run> run;
  CpuList cpus;
  switch (request->body->kind_case()) {
    case v1::Body::kBuiltin:
      if (std::optional<event::ExecDone> done = StartBuiltin(request, run)) return done;
      break;
    case v1::Body::kCommand:
      cpus = pins_.Take(request->assignment.need.cpus_milli);
      run = MakeCommandRun(context_, request, cpus);
      break;
    case v1::Body::kNative:
    case v1::Body::kPython:
      cpus = pins_.Take(request->assignment.need.cpus_milli);
      run = MakeRunnerRun(context_, runners_, request, cpus);
      break;
    case v1::Body::KIND_NOT_SET:
      return FailedDone(
          *request, BadBody("the kind of this task's body is not supported yet by this worker"));
  }
  const AttemptRef& attempt = request->assignment.attempt;
  const uint32_t slot = ring_ == nullptr ? RunRing::kNoSlot : ring_->Add(attempt, request->key);
  {
    std::lock_guard lock(mutex_);
    running_[attempt] = {run, slot, std::move(cpus)};
  }
  run->Start();
  return std::nullopt;
}

std::optional<event::ExecDone> Executor::StartBuiltin(
    const std::shared_ptr<const ExecRequest>& request, std::shared_ptr<Run>& run) {
  const std::string& name = request->body->builtin().name();
  const bool at_once = request->body->builtin().duration_ns() == 0;
  if (name == "noop" || (name == "sleep" && at_once)) return EmptyDone(context_.store, *request, 0);
  if (name == "put") return TakePut(*request);
  if (name == "sleep") {
    run = MakeSleepRun(context_, request);
  } else if (name == "busy" || name == "concat" || name == "checksum" || name == "generate") {
    run = MakeComputeRun(context_, request);
  } else {
    return FailedDone(
        *request, BadBody(StrCat("there is no built-in '", name,
                                 "': noop, sleep, busy, concat, checksum and generate are there")));
  }
  return std::nullopt;
}

event::ExecDone Executor::TakePut(const ExecRequest& request) {
  const Assignment& a = request.assignment;
  v1::TaskArgs args;
  if (context_.puts == nullptr || a.output_count != 1 || !args.ParseFromString(request.args) ||
      args.values_size() != 1)
    return FailedDone(request, BadBody("a task with the built-in put has a token and one output"));
  absl::StatusOr<StoredOutput> taken =
      context_.puts->Claim(args.values(0).value(), OutputKey(a, 0));
  if (!taken.ok())
    return FailedDone(request, {FailureClass::kStore, std::string(taken.status().message())});
  event::ExecDone done;
  done.attempt = a.attempt;
  done.outputs.push_back(*taken);
  return done;
}

void Executor::Kill(const AttemptRef& attempt) {
  std::shared_ptr<Run> run;
  {
    std::lock_guard lock(mutex_);
    auto it = running_.find(attempt);
    if (it == running_.end()) return;
    run = it->second.run;
  }
  run->Kill();
}

void Executor::OnDone(event::ExecDone done) {
  std::shared_ptr<Run> run;  // freed without the lock
  {
    // First, because the core may use the same reference again as soon as it knows.
    std::lock_guard lock(mutex_);
    auto it = running_.find(done.attempt);
    TASKD_CHECK(it != running_.end());
    run = std::move(it->second.run);
    if (ring_ != nullptr) ring_->Remove(it->second.ring_slot);
    pins_.GiveBack(it->second.cpus);
    running_.erase(it);
    if (running_.empty()) none_running_.notify_all();
  }
  done_(std::move(done));
}

}  // namespace taskd::worker
