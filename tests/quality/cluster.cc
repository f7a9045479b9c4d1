#include "tests/quality/cluster.h"

#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "tests/quality/ranks.h"

namespace taskd::quality {

namespace {

using namespace scheduler;  // NOLINT: this file speaks the core's language

constexpr uint64_t kStepEveryNs = 100'000'000;
constexpr uint64_t kAnswerNs = 50'000'000;
constexpr uint64_t kHeartbeatNs = 1'000'000'000;
constexpr uint32_t kDownloads = 4, kDownloadsOfSource = 2;
constexpr uint32_t kBudget = 1 << 20;
constexpr uint64_t kGiveUpNs = 1'000'000'000'000'000;  // of simulated time: eleven days

Config CoreConfig() {
  Config config;
  // Workers of this world are never lost.
  config.silent_ns = config.forget_after_ns = kGiveUpNs * 2;
  return config;
}

}  // namespace

Cluster::Cluster(const Setting& setting, std::vector<JobSpec> jobs, StoreBudget store)
    : setting_(setting),
      store_(store),
      jobs_(std::move(jobs)),
      core_(CoreConfig()),
      network_(setting.workers, setting.mib_per_s * double{1 << 20}),
      workers_(setting.workers) {
  for (const JobSpec& job : jobs_) {
    std::vector<uint64_t>& bytes = object_bytes_.emplace_back();
    std::vector<Ordinal>& first_output = first_output_.emplace_back();
    std::vector<uint32_t>& readers = readers_.emplace_back();
    for (const GraphTask& task : job.graph->tasks) {
      for (auto [source, output] : task.inputs) ++readers[first_output[source] + output];
      first_output.push_back(static_cast<Ordinal>(bytes.size()));
      bytes.insert(bytes.end(), task.output_bytes.begin(), task.output_bytes.end());
      readers.resize(bytes.size());
    }
    made_.emplace_back(bytes.size());
    left_.push_back(job.graph->tasks.size());
  }
  result_.makespan_ns.resize(jobs_.size());
  result_.used_cpu_ns.resize(jobs_.size());
  for (uint32_t w = 0; w < workers_.size(); ++w) {
    Worker& worker = workers_[w];
    worker.stream = w + 1;
    worker.free_cpus = setting.cpus;
    worker_of_stream_[worker.stream] = w;
    events_.push_back(event::WorkerHello{
        .stream = worker.stream,
        .identity = w + 1,
        .incarnation = 1,
        .capacity = {.cpus_milli = setting.cpus * 1000, .memory_bytes = 1ull << 50},
        .host = w + 1,
        .store_budget_bytes = store.told ? store.bytes : 0});
    events_.push_back(event::InventoryDone{worker.stream});
  }
  // The workers are there before the first job comes.
  std::vector<Action> actions;
  while (core_.Step(now_ns_, events_, kBudget, actions) == now_ns_) events_.clear();
  events_.clear();
  for (const Action& action : actions) {
    if (const auto* welcome = std::get_if<action::Welcome>(&action))
      workers_[worker_of_stream_.at(welcome->stream)].id = welcome->worker;
  }
  heartbeat_ns_ = kHeartbeatNs;
  wake_ns_ = kNever;
}

void Cluster::Submit(uint32_t index) {
  const JobSpec& spec = jobs_[index];
  const Graph& graph = *spec.graph;
  const JobId job = index + 1;
  event::OpenJob open;
  open.submission_lo = job;
  open.priority = spec.priority;
  open.owner = spec.owner;
  open.weight = spec.weight;
  open.max_running = spec.max_running;
  events_.push_back(open);
  event::AddBatch add;
  add.job = job;
  std::map<uint32_t, uint16_t> shapes;
  std::map<std::pair<uint64_t, uint64_t>, uint16_t> options;
  const std::vector<Ordinal>& first_output = first_output_[index];
  for (const GraphTask& task : graph.tasks) {
    auto [shape, new_shape] = shapes.try_emplace(task.cpus, shapes.size());
    if (new_shape) add.batch.shapes.push_back(Batch::Shape::Of({.cpus_milli = task.cpus * 1000}));
    uint64_t bytes = 0;
    for (uint64_t b : task.output_bytes) bytes += b;
    std::pair<uint64_t, uint64_t> hint = {task.duration_ns, bytes};
    if (!spec.hints) hint = {0, 0};
    auto [option, new_option] = options.try_emplace(hint, options.size());
    if (new_option)
      add.batch.options.push_back({.expect_ns = hint.first, .expect_bytes = hint.second});
    add.batch.tasks.push_back({.shape = shape->second,
                               .option = option->second,
                               .group = shape->second,
                               .output_count = static_cast<uint16_t>(task.output_bytes.size()),
                               .edge_count = static_cast<uint32_t>(task.inputs.size())});
    for (uint32_t slot = 0; slot < task.inputs.size(); ++slot) {
      auto [source, output] = task.inputs[slot];
      add.batch.edges.push_back({.source = first_output[source] + output, .slot = slot});
    }
  }
  if (spec.ranks == nullptr) {
    GiveRanks(add.batch);
  } else {
    for (size_t t = 0; t < add.batch.tasks.size(); ++t) add.batch.tasks[t].rank = (*spec.ranks)[t];
  }
  for (Ordinal o = 0; spec.keep_results && o < readers_[index].size(); ++o) {
    if (readers_[index][o] == 0) add.batch.wants.push_back(o);
  }
  events_.push_back(std::move(add));
  events_.push_back(event::SealJob{.job = job, .batches = 1});
}

uint64_t Cluster::BytesOf(ObjectId object) const {
  return object_bytes_[object.job - 1][object.ordinal];
}

void Cluster::Step() {
  next_step_ns_ = now_ns_ + kStepEveryNs;
  for (ptrdiff_t w : reporting_) {
    workers_[w].report.stream = workers_[w].stream;
    events_.push_back(std::exchange(workers_[w].report, {}));
  }
  reporting_.clear();
  Delivery delivery{now_ns_ + kAnswerNs, {}};
  wake_ns_ = core_.Step(now_ns_, events_, kBudget, delivery.actions);
  events_.clear();
  while (wake_ns_ == now_ns_) wake_ns_ = core_.Step(now_ns_, {}, kBudget, delivery.actions);
  if (!delivery.actions.empty()) deliveries_.push(std::move(delivery));
}

void Cluster::Deliver(std::vector<Action>& actions) {
  std::set<uint32_t> touched;
  auto at = [&](StreamId stream) -> Worker& {
    touched.insert(worker_of_stream_.at(stream));
    return workers_[worker_of_stream_.at(stream)];
  };
  for (Action& any : actions) {
    if (auto* assign = std::get_if<action::Assign>(&any)) {
      Assign(at(assign->stream), assign->assignment);
    } else if (auto* retract = std::get_if<action::Retract>(&any)) {
      Worker& worker = at(retract->stream);
      auto it = worker.ranks.find(retract->attempt);
      if (it == worker.ranks.end() || worker.attempts.at(it->second).running) continue;
      ++result_.retracted;
      End(worker, retract->attempt, AttemptEnd::kRetracted);
    } else if (auto* cancel = std::get_if<action::Cancel>(&any)) {
      result_.error = StrCat("an attempt is cancelled: ", ToString(cancel->attempt));
    } else if (auto* release = std::get_if<action::Free>(&any)) {
      Worker& worker = at(release->stream);
      std::erase(worker.gathers, release->object.object);
      StopDownload(worker, release->object.object);
      Drop(worker, release->object.object);
    } else if (auto* gather = std::get_if<action::Gather>(&any)) {
      Worker& worker = at(gather->stream);
      if (!worker.held.contains(gather->object.id.object)) {
        worker.gathers.push_back(gather->object.id.object);
        continue;
      }
      worker.report.replicas_added.push_back({gather->object.id, gather->object.size_bytes, 0});
      Report(worker);
    } else if (auto* reply = std::get_if<action::Reply>(&any)) {
      if (reply->code != 0) result_.error = reply->message;
    }
  }
  for (uint32_t w : touched) {
    StartTasks(workers_[w]);
    StartDownloads(workers_[w]);
  }
}

void Cluster::Assign(Worker& worker, const Assignment& assignment) {
  Rank rank{-int64_t{assignment.priority}, assignment.order, assignment.attempt};
  Attempt& attempt = worker.attempts[rank];
  worker.ranks[assignment.attempt] = rank;
  attempt.cpus = assignment.need.cpus_milli / 1000;
  for (const InputObject& input : assignment.objects) attempt.inputs.push_back(input.id.object);
}

void Cluster::StartTasks(Worker& worker) {
  for (auto& [rank, attempt] : worker.attempts) {
    if (worker.free_cpus == 0) return;
    if (attempt.running || attempt.cpus > worker.free_cpus) continue;
    bool local = std::all_of(attempt.inputs.begin(), attempt.inputs.end(),
                             [&](ObjectId id) { return worker.held.contains(id); });
    if (!local) continue;
    attempt.running = true;
    attempt.started_ns = now_ns_;
    worker.free_cpus -= attempt.cpus;
    const GraphTask& task =
        jobs_[rank.attempt.task.job - 1].graph->tasks[rank.attempt.task.ordinal];
    running_.insert({now_ns_ + task.duration_ns, static_cast<uint32_t>(&worker - workers_.data()),
                     rank.attempt});
    worker.report.started.push_back(rank.attempt);
    Report(worker);
  }
}

void Cluster::StartDownloads(Worker& worker) {
  std::map<uint32_t, uint32_t> from;
  auto start = [&](ObjectId object) {
    if (worker.held.contains(object) || worker.downloads.contains(object)) return;
    uint32_t source = Made(object).worker;
    if (from[source] >= kDownloadsOfSource) return;
    ++from[source];
    uint32_t target = static_cast<uint32_t>(&worker - workers_.data());
    network_.Start(++last_flow_, source, target, BytesOf(object));
    downloads_[last_flow_] = {target, source, object};
    worker.downloads[object] = last_flow_;
    result_.moved_bytes += BytesOf(object);
  };
  for (const auto& [rank, attempt] : worker.attempts) {
    if (attempt.running) continue;
    for (ObjectId object : attempt.inputs) {
      if (worker.downloads.size() >= kDownloads) return;
      start(object);
    }
  }
  for (ObjectId object : worker.gathers) {
    if (worker.downloads.size() >= kDownloads) return;
    start(object);
  }
}

void Cluster::StopDownload(Worker& worker, ObjectId object) {
  auto it = worker.downloads.find(object);
  if (it == worker.downloads.end()) return;
  auto needed = [&](const auto& objects) {
    return std::find(objects.begin(), objects.end(), object) != objects.end();
  };
  if (needed(worker.gathers) ||
      std::any_of(worker.attempts.begin(), worker.attempts.end(),
                  [&](const auto& attempt) { return needed(attempt.second.inputs); }))
    return;
  network_.Stop(it->second);
  downloads_.erase(it->second);
  worker.downloads.erase(it);
}

void Cluster::Arrive(uint64_t flow) {
  Download download = downloads_.at(flow);
  downloads_.erase(flow);
  Worker& worker = workers_[download.worker];
  worker.downloads.erase(download.object);
  std::erase(worker.gathers, download.object);
  Store(worker, download.object);
  for (auto& [rank, attempt] : worker.attempts) {
    if (std::find(attempt.inputs.begin(), attempt.inputs.end(), download.object) ==
        attempt.inputs.end())
      continue;
    attempt.fetched_bytes += BytesOf(download.object);
    break;
  }
  worker.report.replicas_added.push_back(
      {{download.object, Made(download.object).version}, BytesOf(download.object), 0});
  Report(worker);
  StartTasks(worker);
  StartDownloads(worker);
}

void Cluster::End(Worker& worker, const AttemptRef& ref, AttemptEnd end) {
  Rank rank = worker.ranks.at(ref);
  Attempt attempt = std::move(worker.attempts.at(rank));
  worker.attempts.erase(rank);
  worker.ranks.erase(ref);
  Outcome outcome;
  outcome.sequence = ++worker.sequence;
  outcome.attempt = ref;
  outcome.end = end;
  outcome.fetched_bytes = attempt.fetched_bytes;
  if (attempt.running) {
    outcome.run_ns = now_ns_ - attempt.started_ns;
    worker.free_cpus += attempt.cpus;
    const uint64_t from = std::max(attempt.started_ns, from_ns_), to = std::min(now_ns_, to_ns_);
    if (from < to) result_.used_cpu_ns[ref.task.job - 1] += (to - from) * attempt.cpus;
  }
  if (end == AttemptEnd::kFinished) {
    const GraphTask& task = jobs_[ref.task.job - 1].graph->tasks[ref.task.ordinal];
    for (uint64_t bytes : task.output_bytes) outcome.outputs.push_back({bytes, 0});
  }
  worker.report.outcomes.push_back(std::move(outcome));
  Report(worker);
  // A download that nobody here needs any more is stopped.
  for (ObjectId object : attempt.inputs) StopDownload(worker, object);
}

void Cluster::Finish(const Running& running) {
  Worker& worker = workers_[running.worker];
  const TaskId task = running.attempt.task;
  const Graph& graph = *jobs_[task.job - 1].graph;
  for (uint32_t i = 0; i < graph.tasks[task.ordinal].output_bytes.size(); ++i) {
    ObjectId object{task.job, first_output_[task.job - 1][task.ordinal] + i};
    Made(object) = {running.worker, running.attempt.attempt};
    Store(worker, object);
  }
  CountLive(task);
  if (--left_[task.job - 1] == 0)
    result_.makespan_ns[task.job - 1] = now_ns_ - jobs_[task.job - 1].submit_ns;
  End(worker, running.attempt, AttemptEnd::kFinished);
  StartTasks(worker);
  StartDownloads(worker);
}

// Its results are made before what it read goes.
void Cluster::CountLive(TaskId finished) {
  const JobSpec& job = jobs_[finished.job - 1];
  const std::vector<uint64_t>& bytes = object_bytes_[finished.job - 1];
  const std::vector<Ordinal>& first_output = first_output_[finished.job - 1];
  std::vector<uint32_t>& readers = readers_[finished.job - 1];
  const GraphTask& task = job.graph->tasks[finished.ordinal];
  const Ordinal first = first_output[finished.ordinal];
  const Ordinal end = first + static_cast<Ordinal>(task.output_bytes.size());
  for (Ordinal o = first; o < end; ++o) live_.Make(bytes[o]);
  for (Ordinal o = first; o < end; ++o) {
    if (readers[o] == 0 && !job.keep_results) live_.Release(bytes[o]);
  }
  for (auto [source, output] : task.inputs) {
    const Ordinal o = first_output[source] + output;
    if (--readers[o] > 0) continue;
    live_.Release(bytes[o]);
    for (Worker& worker : workers_)
      if (worker.held.contains({finished.job, o})) worker.read_bytes -= bytes[o];
  }
}

void Cluster::Store(Worker& worker, ObjectId object) {
  if (!worker.held.insert(object).second || Readers(object) == 0) return;
  const uint64_t bytes = BytesOf(object);
  worker.read_bytes += bytes;
  result_.store_peak_bytes = std::max(result_.store_peak_bytes, worker.read_bytes);
  if (store_.bytes != 0 && worker.read_bytes > store_.bytes)
    result_.over_budget_bytes += std::min(bytes, worker.read_bytes - store_.bytes);
}

void Cluster::Drop(Worker& worker, ObjectId object) {
  if (worker.held.erase(object) > 0 && Readers(object) > 0) worker.read_bytes -= BytesOf(object);
}

Result Cluster::Run() {
  uint32_t submitted = 0;
  auto unfinished = [&] {
    if (to_ns_ != 0 && now_ns_ > to_ns_) {
      // What runs and began before the window's end.
      return std::any_of(running_.begin(), running_.end(), [&](const Running& r) {
        const Worker& worker = workers_[r.worker];
        return worker.attempts.at(worker.ranks.at(r.attempt)).started_ns < to_ns_;
      });
    }
    return submitted < jobs_.size() ||
           std::any_of(left_.begin(), left_.end(), [](uint64_t n) { return n > 0; });
  };
  while (unfinished() && result_.error.empty()) {
    uint64_t step = kNever;
    if (!events_.empty() || !reporting_.empty()) step = next_step_ns_;
    if (wake_ns_ != kNever) step = std::min(step, std::max(wake_ns_, next_step_ns_));
    uint64_t next = std::min({std::max(step, now_ns_), network_.NextDoneNs(), heartbeat_ns_});
    if (!running_.empty()) next = std::min(next, running_.begin()->end_ns);
    if (!deliveries_.empty()) next = std::min(next, deliveries_.front().at_ns);
    if (submitted < jobs_.size()) next = std::min(next, jobs_[submitted].submit_ns);
    now_ns_ = next;
    if (now_ns_ > kGiveUpNs) result_.error = "it does not end";
    for (uint64_t flow : network_.Advance(now_ns_)) Arrive(flow);
    while (!running_.empty() && running_.begin()->end_ns <= now_ns_)
      Finish(running_.extract(running_.begin()).value());
    while (submitted < jobs_.size() && jobs_[submitted].submit_ns <= now_ns_) Submit(submitted++);
    if (now_ns_ == heartbeat_ns_) {
      heartbeat_ns_ += kHeartbeatNs;
      for (Worker& worker : workers_) Report(worker);
    }
    if (step <= now_ns_) Step();
    while (!deliveries_.empty() && deliveries_.front().at_ns <= now_ns_) {
      Deliver(deliveries_.front().actions);
      deliveries_.pop();
    }
  }
  result_.peak = live_.peak();
  return result_;
}

}  // namespace taskd::quality
