#include "tests/sim/plan.h"

#include <algorithm>

#include "common/base/check.h"
#include "common/base/text.h"
#include "tests/sim/loop.h"

namespace taskd::sim {
namespace {

// Grows one job by small patterns until it has enough tasks.
class JobBuilder {
 public:
  JobBuilder(const Options& options, Prng& rng, uint32_t job_index, Plan& plan)
      : options_(options),
        rng_(rng),
        job_index_(job_index),
        plan_(plan),
        job_(plan.jobs[job_index]) {}

  // What a task of another job submits.
  void BuildChild(uint32_t parent, Ordinal task) {
    job_.parent = parent + 1;
    job_.parent_task = task;
    DrawTables();
    job_.owner = plan_.jobs[parent].owner;
    job_.max_running = 0;
    for (const EdgePlan& e : plan_.jobs[parent].tasks[task].edges) {
      if (e.job == parent) readable_.insert(readable_.end(), e.objects.begin(), e.objects.end());
    }
    Independent(1 + rng_.Below(3));
    DrawDelegated(plan_.jobs[parent], task);
    const uint64_t tasks = rng_.Below(10);
    while (job_.tasks.size() < tasks) Grow();
    DrawDelegated(plan_.jobs[parent], task);
    DrawWants();
    CutBatches();
  }

  void Build(uint32_t tasks) {
    DrawTables();
    Independent(2 + rng_.Below(6));
    while (job_.tasks.size() < tasks) Grow();
    DrawWants();
    DrawDatasets();
    CutBatches();
  }

 private:
  void DrawTables() {
    job_.priority = static_cast<int32_t>(rng_.Below(3)) - 1;
    job_.owner = static_cast<uint32_t>(rng_.Below(2));
    job_.weight = static_cast<uint32_t>(rng_.Between(1, 4)) * 50;
    if (rng_.Chance(250)) job_.max_running = static_cast<uint32_t>(rng_.Between(1, 8));
    uint64_t shapes = rng_.Between(1, 4);
    for (uint64_t i = 0; i < shapes; ++i) {
      uint32_t cpus = i == 0 ? 1000 : static_cast<uint32_t>(rng_.Below(8) * 500);
      uint64_t memory = rng_.Chance(500) ? 0 : rng_.Below(uint64_t{3} << 30);
      Resources need{std::min(cpus, options_.workers[0].cpus_milli), memory};
      job_.shapes.push_back(scheduler::Batch::Shape::Of(need));
      if (i > 0) Specialize(job_.shapes.back());
    }
    uint64_t options = rng_.Between(1, 4);
    for (uint64_t i = 0; i < options; ++i) {
      scheduler::Batch::Options o;
      o.retries = static_cast<uint32_t>(rng_.Below(5));
      o.backoff_ns = rng_.Chance(500) ? 0 : rng_.Between(1, 200) * kMs;
      o.priority = static_cast<int32_t>(rng_.Below(3)) - 1;
      o.crash_limit = rng_.Chance(700) ? 0 : static_cast<uint32_t>(rng_.Between(1, 5));
      o.expect_ns = rng_.Chance(500) ? 0 : rng_.Between(1, 100) * kMs;
      // Long enough for a slow run of a long task; not for a hang, nor for a very slow worker.
      if (rng_.Chance(400)) o.time_limit_ns = 60 * options_.exec_ns + 50 * kMs;
      o.expect_bytes = rng_.Chance(500) ? 0 : rng_.Below(1'000'000);
      if (rng_.Chance(250)) o.straggler_milli = static_cast<uint32_t>(rng_.Between(1000, 3000));
      if (rng_.Chance(250)) o.replicas = static_cast<uint32_t>(rng_.Between(1, 3));
      o.impure = rng_.Chance(150);
      if (rng_.Chance(250)) o.retry_on = static_cast<uint32_t>(rng_.Next());
      job_.options.push_back(o);
    }
    shapes_ = job_.shapes.size();
    options_drawn_ = job_.options.size();
    job_.shapes.push_back(scheduler::Batch::Shape::Of({1, 0, {}}));
    job_.shapes.back().workers = {
        WorkerName(static_cast<uint32_t>(rng_.Below(options_.workers.size())))};
    job_.options.push_back({.put = true});
  }

  // Worker 0 can run every one of them.
  void Specialize(scheduler::Batch::Shape& shape) {
    scheduler::Batch::Variant& variant = shape.variants[0];
    uint32_t some_worker = static_cast<uint32_t>(rng_.Below(options_.workers.size()));
    switch (rng_.Below(12)) {
      case 0:
        variant.need.pools[0] = {kDevices, rng_.Chance(500) ? 500u : 1000u};
        break;
      case 1: {  // a device, else more cpus
        scheduler::Batch::Variant with_device;
        with_device.need = {500, 0};
        with_device.need.pools[0] = {kDevices, 1000};
        shape.variants.insert(shape.variants.begin(), with_device);
        break;
      }
      case 2:
        variant.cluster = {{kLicences, rng_.Chance(500) ? 500u : 1000u}};
        break;
      case 3:
        shape.workers = {WorkerName(0)};
        break;
      case 4:
        shape.attributes = {1};
        break;
      case 5:
        shape.attributes = {1, 2};
        shape.preferred = rng_.Chance(500);
        break;
      case 6:
        shape.workers = {WorkerName(some_worker)};
        shape.preferred = true;
        break;
      case 7:
        shape.hosts = {HostName(some_worker % options_.hosts)};
        shape.preferred = true;
        break;
      case 8:  // or fails, when that one is gone for good
        if (!variant.need.Fits(options_.workers[some_worker])) some_worker = 0;
        shape.workers = {WorkerName(some_worker)};
        shape.fail_fast = true;
        break;
      case 9:
        shape.needs_time_ns = rng_.Between(1, 20) * options_.exec_ns;
        break;
      default:
        break;
    }
  }

  // Arguments and operands are evaluated in the compiler's order: no expression here draws twice.
  void Grow() {
    uint64_t kind = rng_.Below(7);
    uint64_t other = rng_.Below(6);
    switch (kind) {
      case 0:
        return Independent(1 + rng_.Below(10));
      case 1:
        return Chain(1 + rng_.Below(12));
      case 2:
        return FanIn(2 + rng_.Below(8));
      case 3:
        return Diamond(2 + rng_.Below(6));
      case 4:
        return Gather(2 + rng_.Below(12));
      case 5:
        return Shuffle(2 + rng_.Below(8), 1 + static_cast<uint32_t>(other));
      default:
        return Stencil(2 + rng_.Below(6), 1 + other / 2);
    }
  }

  Ordinal AddTask(std::vector<EdgePlan> edges, uint16_t outputs, uint32_t parts = 0) {
    TaskPlan t;
    Ordinal ordinal = static_cast<Ordinal>(job_.tasks.size());
    t.body = static_cast<uint32_t>(rng_.Below(5));
    t.shape = static_cast<uint16_t>(rng_.Below(shapes_));
    t.option = static_cast<uint16_t>(rng_.Below(options_drawn_));
    t.first_output = static_cast<Ordinal>(job_.objects.size());
    t.output_count = outputs;
    t.doomed = rng_.Chance(options_.doomed_per_mille);
    t.poison = rng_.Chance(options_.poison_per_mille);
    if (rng_.Chance(options_.flaky_per_mille))
      t.flaky_per_mille = static_cast<uint32_t>(rng_.Between(50, 500));
    if (edges.empty() && outputs == 1 && rng_.Chance(150)) {  // it stands for what was put
      t.shape = static_cast<uint16_t>(shapes_);
      t.option = static_cast<uint16_t>(options_drawn_);
      t.doomed = t.poison = false;
      t.flaky_per_mille = 0;
    }
    t.mean_ns = 1 + rng_.Below(options_.exec_ns);
    if (rng_.Chance(50)) t.mean_ns *= 20;
    uint64_t digest = 1;
    for (uint32_t slot = 0; slot < edges.size(); ++slot) {
      edges[slot].slot = slot;
      for (Ordinal o : edges[slot].objects) {
        ObjectPlan& object = plan_.jobs[edges[slot].job].objects[o];
        digest = HashCombine(digest, ReadValue(object.value, edges[slot].parts));
        if (edges[slot].job != job_index_) {
          object.consumers_elsewhere.push_back({job_index_, ordinal});
          continue;
        }
        std::vector<Ordinal>& consumers = object.consumers;
        if (consumers.empty() || consumers.back() != ordinal) consumers.push_back(ordinal);
      }
    }
    for (uint16_t i = 0; i < outputs; ++i) {
      ObjectPlan o;
      o.task = ordinal;
      o.parts = parts;
      o.size_bytes = rng_.Chance(50) ? 0 : rng_.Below(options_.max_output_bytes) + 1;
      o.value = o.made = OutputValue(options_.seed, job_index_, ordinal, i, digest);
      job_.objects.push_back(o);
    }
    t.edges = std::move(edges);
    job_.tasks.push_back(std::move(t));
    return ordinal;
  }

  uint16_t DrawOutputs() {
    return static_cast<uint16_t>(rng_.Chance(600) ? 1 : rng_.Between(1, 4));
  }

  EdgePlan Edge(Ordinal object) {
    EdgePlan e;
    e.job = job_index_;
    e.source = object;
    e.objects = {object};
    if (uint32_t parts = job_.objects[object].parts; parts != 0 && rng_.Chance(500)) {
      e.parts.lo = static_cast<uint32_t>(rng_.Below(parts));
      e.parts.hi = static_cast<uint32_t>(rng_.Between(e.parts.lo + 1, parts));
    }
    return e;
  }
  // Mostly recent objects, so that graphs are deep.
  EdgePlan RandomEdge() {
    if (job_.parent != 0 && !readable_.empty() && rng_.Chance(200)) return OfParent();
    if (job_.parent == 0 && job_index_ > 0 && rng_.Chance(80)) return Import();
    uint64_t n = job_.objects.size();
    uint64_t back = rng_.Chance(700) ? rng_.Below(std::min<uint64_t>(n, 20)) : rng_.Below(n);
    return Edge(static_cast<Ordinal>(n - 1 - back));
  }
  EdgePlan CollectionEdge(Ordinal first, uint32_t count, uint32_t stride, PartRange parts) {
    EdgePlan e;
    e.job = job_index_;
    e.source = CollectionIndex({first, count, stride}) | scheduler::kCollectionBit;
    e.parts = parts;
    for (uint32_t i = 0; i < count; ++i) e.objects.push_back(first + i * stride);
    return e;
  }
  uint32_t CollectionIndex(const scheduler::Batch::Collection& wanted) {
    for (uint32_t i = 0; i < job_.collections.size(); ++i) {
      if (job_.collections[i] == wanted) return i;
    }
    job_.collections.push_back(wanted);
    return static_cast<uint32_t>(job_.collections.size() - 1);
  }
  // Some outputs of the task that submits this job are its newest objects: each takes over what the
  // output is to be, before anybody reads it here.
  void DrawDelegated(JobPlan& parent, Ordinal task) {
    const TaskPlan& submitter = parent.tasks[task];
    Ordinal to = static_cast<Ordinal>(job_.objects.size());
    for (Ordinal o = submitter.first_output; o < submitter.first_output + submitter.output_count;
         ++o) {
      ObjectPlan& output = parent.objects[o];
      if (output.delegated != kNoOrdinal || to == 0 || !rng_.Chance(300)) continue;
      ObjectPlan& target = job_.objects[--to];
      if (target.stands_for != kNoOrdinal || !target.consumers.empty()) continue;
      output.delegated = to;
      target.stands_for = o;
      target.parts = output.parts;
      target.value = output.value;
    }
  }
  // An input of the task that submits this job.
  EdgePlan OfParent() {
    EdgePlan e;
    e.job = job_.parent - 1;
    e.objects = {readable_[rng_.Below(readable_.size())]};
    e.source = CollectionIndex({e.objects[0], 1, 1, job_.parent}) | scheduler::kCollectionBit;
    return e;
  }
  // Of an earlier job: by its number, when that has the same owner, or by a dataset of it.
  EdgePlan Import() {
    EdgePlan e;
    e.job = static_cast<uint32_t>(rng_.Below(job_index_));
    const JobPlan& other = plan_.jobs[e.job];
    scheduler::ObjectRange range;
    scheduler::Batch::Collection c;
    if (other.owner != job_.owner || (!other.datasets.empty() && rng_.Chance(300))) {
      const DatasetPlan& dataset = other.datasets[rng_.Below(other.datasets.size())];
      range = dataset.objects;
      c = {0, 0, 1, e.job + 1, dataset.name};
      if (rng_.Chance(500)) {
        c.first = static_cast<Ordinal>(rng_.Below(range.count));
        c.count = static_cast<uint32_t>(rng_.Between(1, range.count - c.first));
        range.first += c.first * range.stride;
        range.count = c.count;
      }
    } else {
      range = DrawRange(other);
      c = {range.first, range.count, range.stride, e.job + 1};
    }
    e.source = CollectionIndex(c) | scheduler::kCollectionBit;
    for (uint32_t i = 0; i < range.count; ++i) e.objects.push_back(range.first + i * range.stride);
    return e;
  }
  scheduler::ObjectRange DrawRange(const JobPlan& job) {
    scheduler::ObjectRange range;
    range.first = static_cast<Ordinal>(rng_.Below(job.objects.size()));
    range.stride = static_cast<uint32_t>(rng_.Between(1, 3));
    uint64_t most = (job.objects.size() - 1 - range.first) / range.stride + 1;
    range.count = static_cast<uint32_t>(rng_.Between(1, std::min<uint64_t>(most, 5)));
    return range;
  }
  void DrawDatasets() {
    for (uint64_t n = rng_.Between(1, 2); n > 0; --n) {
      std::string name = StrCat("set", job_index_, ".", n);
      job_.datasets.push_back({std::move(name), DrawRange(job_)});
    }
  }

  void Independent(uint64_t n) {
    for (uint64_t i = 0; i < n; ++i) AddTask({}, DrawOutputs());
  }
  void Chain(uint64_t n) {
    EdgePlan edge = RandomEdge();
    for (uint64_t i = 0; i < n; ++i) {
      Ordinal t = AddTask({edge}, DrawOutputs());
      edge = Edge(job_.tasks[t].first_output);
    }
  }
  void FanIn(uint64_t n) {
    std::vector<EdgePlan> edges;
    for (uint64_t i = 0; i < n; ++i) edges.push_back(RandomEdge());
    uint32_t parts = rng_.Chance(200) ? 4 : 0;
    AddTask(std::move(edges), DrawOutputs(), parts);
  }
  void Diamond(uint64_t n) {
    Ordinal top = AddTask({RandomEdge()}, 2);
    std::vector<EdgePlan> edges;
    for (uint64_t i = 0; i < n; ++i) {
      Ordinal middle =
          AddTask({Edge(job_.tasks[top].first_output + static_cast<Ordinal>(i % 2))}, 1);
      edges.push_back(Edge(job_.tasks[middle].first_output));
    }
    AddTask(std::move(edges), 1);
  }
  // One template whose nth outputs are read whole by one task.
  void Gather(uint64_t n) {
    uint16_t outputs = DrawOutputs();
    Ordinal first = 0;
    for (uint64_t i = 0; i < n; ++i) {
      std::vector<EdgePlan> edges;
      if (rng_.Chance(500)) edges.push_back(RandomEdge());
      Ordinal t = AddTask(std::move(edges), outputs);
      if (i == 0) first = job_.tasks[t].first_output;
    }
    for (uint16_t output = 0; output < outputs; ++output) {
      AddTask({CollectionEdge(first + output, static_cast<uint32_t>(n), outputs, {})}, 1);
    }
  }
  // All to all: every reducer reads one part (or the rest of the parts) of each map.
  void Shuffle(uint64_t maps, uint32_t parts) {
    Ordinal first = static_cast<Ordinal>(job_.objects.size());
    for (uint64_t i = 0; i < maps; ++i) {
      AddTask(i == 0 ? std::vector<EdgePlan>{}
                     : std::vector<EdgePlan>{Edge(static_cast<Ordinal>(rng_.Below(first)))},
              1, parts);
    }
    uint32_t count = static_cast<uint32_t>(maps);
    for (uint32_t k = 0; k < parts; ++k) {
      PartRange range{k, rng_.Chance(200) ? parts : k + 1};
      std::vector<EdgePlan> edges{CollectionEdge(first, count, 1, range)};
      if (rng_.Chance(200)) edges.push_back(RandomEdge());
      AddTask(std::move(edges), DrawOutputs());
    }
  }
  void Stencil(uint64_t width, uint64_t depth) {
    std::vector<Ordinal> row;
    for (uint64_t i = 0; i < width; ++i)
      row.push_back(job_.tasks[AddTask({RandomEdge()}, 1)].first_output);
    for (uint64_t d = 0; d < depth; ++d) {
      std::vector<Ordinal> next;
      for (uint64_t i = 0; i < width; ++i) {
        std::vector<EdgePlan> edges;
        for (uint64_t j = i == 0 ? 0 : i - 1; j < std::min(width, i + 2); ++j)
          edges.push_back(Edge(row[j]));
        next.push_back(job_.tasks[AddTask(std::move(edges), 1)].first_output);
      }
      row = next;
    }
  }

  // The first task of the first job succeeds and is wanted: something can be lost in every seed.
  void DrawWants() {
    for (ObjectPlan& o : job_.objects) o.wanted = rng_.Chance(o.consumers.empty() ? 800 : 50);
    if (job_index_ != 0) return;
    TaskPlan& first = job_.tasks[0];
    first.doomed = first.poison = false;
    first.flaky_per_mille = 0;
    job_.objects[0].wanted = true;
  }

  // Tables are appended by the first batch that needs an entry.
  void CutBatches() {
    uint64_t remaining_cuts = rng_.Between(1, 8);
    size_t shapes = 0, options = 0, collections = 0;
    for (size_t begin = 0; begin < job_.tasks.size();) {
      size_t left = job_.tasks.size() - begin;
      size_t count = remaining_cuts <= 1
                         ? left
                         : 1 + rng_.Below(std::max<uint64_t>(1, 2 * left / remaining_cuts));
      count = std::min(count, left);
      if (remaining_cuts > 1) --remaining_cuts;
      scheduler::Batch& batch = job_.batches.emplace_back();
      for (size_t i = begin; i < begin + count; ++i) {
        const TaskPlan& t = job_.tasks[i];
        while (shapes <= t.shape) batch.shapes.push_back(job_.shapes[shapes++]);
        while (options <= t.option) batch.options.push_back(job_.options[options++]);
        for (const EdgePlan& e : t.edges) {
          if ((e.source & scheduler::kCollectionBit) != 0) {
            while (collections <= (e.source & ~scheduler::kCollectionBit)) {
              batch.collections.push_back(job_.collections[collections++]);
            }
          }
          batch.edges.push_back({e.source, e.slot, e.parts});
        }
        job_.batch_of_task.push_back(static_cast<uint32_t>(job_.batches.size() - 1));
        batch.tasks.push_back({t.body, static_cast<uint32_t>(i), t.shape, t.option,
                               static_cast<uint16_t>(t.body % 3), t.output_count,
                               static_cast<uint32_t>(t.edges.size())});
        for (Ordinal o = t.first_output; o < t.first_output + t.output_count; ++o) {
          if (job_.objects[o].wanted) batch.wants.push_back(o);
        }
      }
      begin += count;
    }
  }

  size_t shapes_ = 0, options_drawn_ = 0;  // without those of puts, which follow
  const Options& options_;
  Prng& rng_;
  uint32_t job_index_;
  Plan& plan_;
  JobPlan& job_;
  std::vector<Ordinal> readable_;  // of the parent's objects
};

constexpr uint32_t kSubmitsPerMille = 40;

// Children of children as well, while there are few.
void DrawChildren(const Options& options, Prng& rng, Plan& plan) {
  for (uint32_t j = 0; j < plan.jobs.size() && plan.jobs.size() < 2 * options.jobs + 8; ++j) {
    for (Ordinal t = 0; t < plan.jobs[j].tasks.size(); ++t) {
      if (!rng.Chance(kSubmitsPerMille)) continue;
      if (plan.jobs[j].options[plan.jobs[j].tasks[t].option].put) continue;
      const auto child = static_cast<uint32_t>(plan.jobs.size());
      plan.jobs.emplace_back();
      plan.jobs[j].tasks[t].child = child + 1;
      plan.jobs[j].tasks[t].early = rng.Chance(500);
      JobBuilder(options, rng, child, plan).BuildChild(j, t);
    }
  }
}

uint64_t AttemptHash(uint64_t seed, uint32_t job, Ordinal task, AttemptId attempt) {
  return HashCombine(HashCombine(seed ^ 0xFA7E, uint64_t{job} << 32 | task), attempt);
}

}  // namespace

Plan Plan::Draw(const Options& options) {
  Plan plan;
  plan.seed = options.seed;
  plan.hang_per_mille = options.hang_per_mille;
  plan.miscount_per_mille = options.miscount_per_mille;
  Prng rng(Mix64(options.seed) ^ 0x6EA9);
  plan.jobs.resize(options.jobs);
  for (uint32_t j = 0; j < options.jobs; ++j) {
    JobBuilder(options, rng, j, plan).Build(options.tasks / options.jobs + 1);
  }
  DrawChildren(options, rng, plan);
  return plan;
}

Fate Plan::FateOf(uint32_t job, Ordinal task, AttemptId attempt) const {
  const TaskPlan& t = jobs[job].tasks[task];
  if (t.poison) return Fate::kPoison;
  uint64_t draw = AttemptHash(seed, job, task, attempt);
  if (t.doomed || draw % 1000 < t.flaky_per_mille) return Fate::kFail;
  if (draw / 1000 % 1000 < miscount_per_mille) return Fate::kMiscount;
  bool limited = jobs[job].options[t.option].time_limit_ns != 0;
  if (limited && draw / 1'000'000 % 1000 < hang_per_mille) return Fate::kHang;
  return Fate::kFinish;
}

uint64_t Plan::DurationNs(uint32_t job, Ordinal task, AttemptId attempt) const {
  uint64_t mean = jobs[job].tasks[task].mean_ns;
  return mean / 2 + Mix64(AttemptHash(seed, job, task, attempt)) % (mean + 1);
}

uint64_t ReadValue(uint64_t object_value, PartRange parts) {
  return HashCombine(object_value, uint64_t{parts.lo} << 32 | parts.hi);
}

uint64_t OutputValue(uint64_t seed, uint32_t job, Ordinal task, uint32_t index,
                     uint64_t inputs_digest) {
  return HashCombine(HashCombine(HashCombine(seed, uint64_t{job} << 32 | task), index),
                     inputs_digest);
}

uint32_t CrcOfValue(uint64_t value) { return static_cast<uint32_t>(Mix64(value)); }

uint32_t CrcOf(uint64_t value, uint64_t size_bytes) {
  return size_bytes == 0 ? 0 : CrcOfValue(value);
}

uint64_t BytesOf(const ObjectPlan& object, PartRange parts) {
  if (parts.whole() || object.parts == 0) return object.size_bytes;
  return object.size_bytes * (parts.hi - parts.lo) / object.parts;
}

}  // namespace taskd::sim
