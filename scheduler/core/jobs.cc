// Jobs: opened, fed in batches, sealed, cancelled, ended. Shapes are interned over all jobs, so
// that equal requests share one queue.
#include <algorithm>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
constexpr uint32_t kInvalid = 3, kNotFound = 5, kFailedPrecondition = 9;  // gRPC status codes
}  // namespace

void State::Answer(Token token, uint32_t code, std::string message, JobId job,
                   uint32_t next_batch) {
  if (token != 0) Emit(action::Reply{token, code, std::move(message), job, next_batch});
}

void State::Changed(Job& job) {
  if (job.changed) return;
  job.changed = true;
  changed_jobs.push_back(job.id);
  if (!job.is_root()) Changed(RootOf(job));
}

void State::On(event::OpenJob& e) {
  auto [it, fresh] = job_of_submission.try_emplace({e.submission_hi, e.submission_lo}, 0);
  if (!fresh) {
    Job* known = FindJob(it->second);
    if (known != nullptr && !known->forgetting) BindToClient(*known, e.client);
    return Answer(e.token, 0, "", it->second,
                  known != nullptr ? known->batches : forgotten.at(it->second).view.batches);
  }
  auto job = std::make_unique<Job>();
  job->id = jobs.next_id();
  job->submission_hi = e.submission_hi;
  job->submission_lo = e.submission_lo;
  job->own_family = std::make_unique<Family>();
  job->family = job->own_family.get();
  job->family->root = job->id;
  job->family->share = {.owner = e.owner,
                        .weight = std::max<uint32_t>(e.weight, 1),
                        .priority = e.priority,
                        .max_attempts = e.max_running};
  job->ttl_ns = e.ttl_ns;
  job->opened_ns = now_ns;
  it->second = job->id;
  ++counters.jobs_open;
  Emit(action::Journal{.kind = action::RecordKind::kOpenJob, .job = job->id, .token = e.token});
  Changed(*job);
  Answer(e.token, 0, "", job->id, 0);
  BindToClient(jobs.Add(std::move(job)), e.client);
}

uint16_t State::InternShape(const Batch::Shape& spec) {
  auto [it, fresh] = shape_of_spec.try_emplace(spec, static_cast<uint16_t>(shapes.size()));
  if (!fresh) return it->second;
  shapes.emplace_back();
  Shape& shape = shapes.back();
  shape.spec = spec;
  if (spec.fail_fast) fail_fast_shapes.push_back(it->second);
  for (const Batch::Variant& variant : spec.variants) {
    for (PoolAmount amount : variant.cluster) {
      std::vector<uint16_t>& users = pools[amount.pool].shapes;
      if (users.empty() || users.back() != it->second) users.push_back(it->second);
      shape.uses_cluster = true;
    }
  }
  ahead_of_shape.emplace_back();
  homes_of_shape.emplace_back();
  return it->second;
}

void State::On(event::AddBatch& e) {
  auto kept = forgotten.find(e.job);
  if (kept != forgotten.end() && e.number < kept->second.view.batches)
    return Answer(e.token, 0, "", e.job, kept->second.view.batches);
  Job* job = JobForCommand(e.token, e.job);
  if (job == nullptr) return;
  if (!job->is_root()) return RefuseForChild(e.token, *job);
  if (e.number < job->batches) return Answer(e.token, 0, "", job->id, job->batches);
  if (e.number > job->batches) {
    return Answer(
        e.token, kInvalid,
        StrCat("batch ", e.number, " of job ", e.job, " came before batch ", job->batches), job->id,
        job->batches);
  }
  if (job->seal_asked) {
    return Answer(e.token, kFailedPrecondition,
                  StrCat("job ", e.job, " is sealed: it takes no more batches"), job->id,
                  job->batches);
  }
  if (std::string wrong = ResolveImports(*job, e.batch); !wrong.empty())
    return Answer(e.token, kFailedPrecondition, std::move(wrong), job->id, job->batches);
  AppendBatch(*job, e.batch);
  ++job->batches;
  Emit(action::Journal{
      .kind = action::RecordKind::kBatch, .job = job->id, .number = e.number, .token = e.token});
  Answer(e.token, 0, "", job->id, job->batches);
}

void State::RefuseForChild(Token token, const Job& job) {
  Answer(token, kFailedPrecondition,
         StrCat("job ", job.id, " is of task ", ToString(job.parent.task),
                ": only that submits to it"),
         job.id);
}

namespace {

// As the job numbers it: among a batch's collections there may be others since.
uint32_t SourceOf(const Job& job, const Batch::Edge& edge) {
  if (job.aliases == 0 || !(edge.source & kCollectionBit)) return edge.source;
  const uint32_t number = edge.source & ~kCollectionBit;
  const auto numbered = static_cast<uint32_t>(job.numbered.size());
  if (number < numbered) return job.numbered[number] | kCollectionBit;
  return (static_cast<uint32_t>(job.collections.size()) + number - numbered) | kCollectionBit;
}

}  // namespace

void State::AppendBatch(Job& job, const Batch& batch) {
  NoteTakenIn(job);
  for (const Batch::Shape& spec : batch.shapes) job.shapes.push_back(InternShape(spec));
  job.options.insert(job.options.end(), batch.options.begin(), batch.options.end());
  uint32_t first_task = job.tasks.size();
  uint32_t edge = 0;
  for (const Batch::Task& t : batch.tasks) {
    TaskRec task;
    task.body = t.body;
    task.rank = t.rank;
    task.tail = t.tail;
    task.shape = job.shapes[t.shape];
    task.option = t.option;
    task.group = t.group;
    task.output_count = t.output_count;
    task.first_output = job.objects.size();
    task.edges = job.edges.size();
    task.edge_count = t.edge_count;
    if (job.groups.size() <= t.group) job.groups.resize(t.group + 1u);
    Ordinal ordinal = job.tasks.size();
    for (uint32_t i = 0; i < t.edge_count; ++i, ++edge) {
      const Batch::Edge& e = batch.edges[edge];
      job.edges.Append({.source = SourceOf(job, e), .next = kNil, .consumer = ordinal});
      if (e.slot != i || !e.parts.whole()) {
        job.selections[task.edges + i] = {e.slot, e.parts, e.parts_total};
      }
    }
    bool copies = job.options[t.option].replicas > 1;
    for (uint32_t i = 0; i < t.output_count; ++i) {
      ObjectRec& object = job.objects.Append();
      object.producer = ordinal;
      object.copies = copies;
    }
    job.family->SetLeft(job.family->left_cpu_us + ToldCpuUs(job, task));
    job.tasks.Append(task);
  }
  for (Ordinal want : batch.wants) {
    job.objects[want].graph_want = true;
    job.wants.push_back(want);
  }
  // Edges of collections come after those of tasks; both are complete before the first task of the
  // batch starts.
  for (const Batch::Collection& c : batch.collections) {
    if (job.aliases != 0) job.numbered.push_back(static_cast<uint32_t>(job.collections.size()));
    if (c.job != 0) {
      AppendImport(job, c);
      continue;
    }
    CollectionRec record{
        .first = c.first, .count = c.count, .stride = c.stride, .members = job.edges.size()};
    uint32_t index = static_cast<uint32_t>(job.collections.size()) | kCollectionBit;
    for (uint32_t i = 0; i < c.count; ++i) {
      ObjectRec& object = job.objects[c.first + i * c.stride];
      uint32_t e = job.edges.size();
      job.edges.Append(
          {.source = c.first + i * c.stride, .next = object.consumers, .consumer = index});
      object.consumers = e;
      object.in_collection = true;
      CountMember(record, c.first + i * c.stride, object.presence, +1);
    }
    record.presence = CollectionPresence(record);
    job.collections.push_back(record);
  }
  uint64_t added = job.tasks.size() - first_task;
  CountIn(job,
          [added](Progress& p) { p.counts[static_cast<size_t>(TaskState::kWaiting)] += added; });
  counters.tasks[static_cast<size_t>(TaskState::kWaiting)] += added;
  Changed(job);
  if (added > 0 && job.child != ChildState::kHeld) {
    Enqueue({.kind = WorkKind::kStartTasks,
             .job = job.id,
             .index = first_task,
             .limit = job.tasks.size()});
  }
}

void State::On(event::SealJob& e) {
  auto kept = forgotten.find(e.job);
  if (kept != forgotten.end() && e.batches == kept->second.view.batches)
    return Answer(e.token, 0, "", e.job, e.batches);
  Job* job = JobForCommand(e.token, e.job);
  if (job == nullptr) return;
  if (!job->is_root()) return RefuseForChild(e.token, *job);
  if (e.batches != job->batches) {
    return Answer(e.token, kInvalid,
                  StrCat("job ", e.job, " has ", job->batches, " batches, not ", e.batches,
                         ": send the others first"),
                  job->id, job->batches);
  }
  if (!job->seal_asked) {
    job->seal_asked = true;
    Emit(action::Journal{
        .kind = action::RecordKind::kSeal, .job = job->id, .number = e.batches, .token = e.token});
    Enqueue({.kind = WorkKind::kSweepObjects, .job = job->id});
  }
  Answer(e.token, 0, "", job->id, job->batches);
}

void State::On(event::SetRanks& e) {
  Job* job = FindJob(e.job);
  if (job == nullptr) return;
  TASKD_CHECK(e.rank.size() == e.tail.size());
  uint64_t end = std::min<uint64_t>(uint64_t{e.first} + e.rank.size(), job->tasks.size());
  for (uint64_t t = e.first; t < end; ++t) {
    Ordinal ordinal = static_cast<Ordinal>(t);
    TaskRec& task = job->tasks[ordinal];
    bool queued = task.position != kNotInHeap;
    if (queued) PopReady(*job, ordinal);
    task.rank = e.rank[t - e.first];
    task.tail = e.tail[t - e.first];
    if (queued) PushReady(*job, ordinal);
  }
}

void State::On(event::CancelJob& e) {
  if (forgotten.contains(e.job)) return Answer(e.token, 0, "", e.job);  // it has ended
  Job* job = FindJob(e.job);
  if (job == nullptr) return Answer(e.token, kNotFound, StrCat("no job ", e.job));
  CancelWhole(*job, e.token);
  Answer(e.token, 0, "", job->id);
}

void State::CancelWhole(Job& job, Token token) {
  if (!job.ended || job.retries_pending > 0) CancelUnlessCancelled(job, token);
}

void State::CancelUnlessCancelled(Job& job, Token token) {
  if (job.cancelled) return;
  job.cancelled = true;
  job.seal_asked = true;
  Emit(action::Journal{.kind = action::RecordKind::kCancelJob, .job = job.id, .token = token});
  Enqueue({.kind = WorkKind::kCancelTasks, .job = job.id});
  if (!job.children.empty()) Enqueue({.kind = WorkKind::kCancelChildren, .job = job.id});
  Enqueue({.kind = WorkKind::kSweepObjects, .job = job.id});
  Changed(job);
}

void State::CheckJobEnd(Job& job) {
  if (job.ended || !job.sealed || job.unfinished() > 0 || job.retries_pending > 0) return;
  if (job.is_root() && job.family->open_children > 0) return;
  job.ended = true;
  job.ended_ns = now_ns;
  Changed(job);
  if (!job.is_root()) {
    --job.family->open_children;
    CheckJobEnd(RootOf(job));
    return ForgetIfDiscarded(job);
  }
  --counters.jobs_open;
  ++counters.jobs_ended;
  if (job.ttl_ns > 0) Arm(TimerKind::kForgetJob, now_ns + job.ttl_ns, job.id, 0);
  Reclassify(job);
}

}  // namespace taskd::scheduler
