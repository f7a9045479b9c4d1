#include "tests/scenarios/scheduler_names.h"

#include <algorithm>

#include "common/base/text.h"

namespace taskd::scenario {

using scheduler::Batch;

void SchedulerNames::JobOpened(JobId job) {
  current_ = job;
  jobs_[job];
}

JobId SchedulerNames::JobOf(const Words& words) const {
  return static_cast<JobId>(words.Number("job", current_));
}

Batch SchedulerNames::ParseBatch(JobId id, std::string_view items) {
  Batch batch;
  Job& job = jobs_[id];
  ++job.batches;
  for (const std::string& item : Split(items, ';')) {
    const Words words{Trimmed(item)};
    if (words.size() == 0 && words.pairs().empty()) continue;
    if (words.size() > 0 && words[0] == "coll") {
      AddCollection(job, id, words, batch);
    } else if (words[0] == "want") {
      for (uint32_t i = 1; i < words.size(); ++i)
        batch.wants.push_back(ParseObject(words[i]).ordinal);
    } else {
      AddTasks(id, words, batch);
    }
  }
  return batch;
}

// "m*4 in=x" adds m0 .. m3; "$" in an input is the index.
void SchedulerNames::AddTasks(JobId id, const Words& words, Batch& batch) {
  Job& job = jobs_[id];
  const auto parts = Split(words[0], '*');
  const Range range = {static_cast<Ordinal>(job.tasks.size()),
                       parts.size() > 1 ? static_cast<uint32_t>(ParseNumber(parts[1])) : 1};
  for (uint32_t i = 0; i < range.count; ++i) {
    AddTask(job, id, parts.size() > 1 ? StrCat(parts[0], i) : parts[0], i, words, batch);
  }
  job.templates[parts[0]] = range;
}

void SchedulerNames::AddTask(Job& job, JobId id, const std::string& name, uint32_t index,
                             const Words& words, Batch& batch) {
  const auto ordinal = static_cast<Ordinal>(job.tasks.size());
  const auto first_output = static_cast<Ordinal>(job.producer.size());
  Batch::Task task;
  task.body = static_cast<uint32_t>(words.Number("body", 0));
  task.rank = static_cast<uint32_t>(words.Number("rank", 0));
  task.group = static_cast<uint16_t>(words.Number("group", 0));
  task.shape = Shape(job, words, batch);
  task.option = Option(job, words, batch);
  task.output_count = static_cast<uint16_t>(words.Number("out", 1));
  const auto parts_total = static_cast<uint32_t>(words.Number("parts", 0));
  for (std::string input : Split(words.Get("in"), ',')) {
    for (size_t at = input.find('$'); at != std::string::npos; at = input.find('$')) {
      input.replace(at, 1, StrCat(index));
    }
    batch.edges.push_back(ParseEdge(job, id, input, parts_total));
    batch.edges.back().slot = task.edge_count++;
  }
  if (!tasks_.emplace(name, TaskId{id, ordinal}).second)
    throw ScenarioError{StrCat("there is a task ", name, " already")};
  job.tasks.push_back({name, first_output, task.output_count});
  job.producer.resize(job.producer.size() + task.output_count, ordinal);
  batch.tasks.push_back(task);
}

// "m:0": output 0 of every task of template m, which all have equally many outputs; of another job
// "1/m:0".
scheduler::ObjectRange SchedulerNames::ParseObjects(std::string_view text, JobId id) const {
  if (const size_t slash = text.find('/'); slash != std::string_view::npos) {
    id = static_cast<JobId>(ParseNumber(text.substr(0, slash)));
    text = text.substr(slash + 1);
  }
  const auto parts = Split(text, ':');
  const Job& job = jobs_.at(id);
  auto range = job.templates.find(parts[0]);
  if (range == job.templates.end()) throw ScenarioError{StrCat("there is no template ", parts[0])};
  const TaskInfo& first = job.tasks[range->second.first];
  const auto output = parts.size() > 1 ? static_cast<uint32_t>(ParseNumber(parts[1])) : 0;
  return {id, first.first_output + output, range->second.count, first.output_count};
}

// "coll C=m:0", "coll C=1/m:0", "coll C=data/NAME", "coll C=data/NAME/FIRST*COUNT".
void SchedulerNames::AddCollection(Job& job, JobId id, const Words& words, Batch& batch) {
  for (const auto& [name, value] : words.pairs()) {
    const auto parts = Split(value, '/');
    Batch::Collection c;
    if (parts[0] == "data") {
      c.dataset = parts.at(1);
      if (parts.size() > 2) {
        const auto range = Split(parts[2], '*');
        c.first = static_cast<Ordinal>(ParseNumber(range[0]));
        c.count = static_cast<uint32_t>(ParseNumber(range.at(1)));
      }
    } else {
      const scheduler::ObjectRange range = ParseObjects(value, id);
      c = {range.first, range.count, range.stride, parts.size() > 1 ? range.job : 0};
    }
    job.collections[name] = static_cast<uint32_t>(job.collections.size());
    batch.collections.push_back(std::move(c));
  }
}

Batch::Edge SchedulerNames::ParseEdge(const Job& job, JobId id, std::string text,
                                      uint32_t parts_total) const {
  Batch::Edge edge;
  edge.parts_total = parts_total;
  const size_t bracket = text.find('[');
  if (bracket != std::string::npos) {
    edge.parts = ParseParts(text.substr(bracket));
    text = text.substr(0, bracket);
  }
  auto collection = job.collections.find(text);
  if (collection != job.collections.end()) {
    edge.source = collection->second | scheduler::kCollectionBit;
    return edge;
  }
  const ObjectId object = ParseObject(text);
  if (object.job != id) throw ScenarioError{StrCat(text, " is of another job")};
  edge.source = object.ordinal;
  return edge;
}

uint16_t SchedulerNames::Shape(Job& job, const Words& words, Batch& batch) {
  Batch::Shape spec = Batch::Shape::Of(ParseResources(words, 1000));
  spec.variants[0].cluster = ParsePools(words.Get("cluster"));
  if (words.Has("alt")) {  // CPUS or CPUS/MEM
    const Words other(StrCat("x cpus=", Split(words.Get("alt"), '/').at(0)));
    Resources need = ParseResources(other, 1000);
    if (Split(words.Get("alt"), '/').size() > 1)
      need.memory_bytes = ParseBytesOf(Split(words.Get("alt"), '/')[1]);
    spec.variants.push_back({need, {}});
  }
  for (const std::string& name : Split(words.Get("on"), ','))
    spec.workers.push_back(static_cast<uint32_t>(WorkerNamed(name).identity));
  std::sort(spec.workers.begin(), spec.workers.end());
  spec.hosts = ParseNumbers(words.Get("hosts"));
  spec.attributes = ParseNumbers(words.Get("attrs"));
  spec.preferred = words.Get("rule") == "preferred";
  spec.fail_fast = words.Get("rule") == "fail_fast";
  spec.needs_time_ns = words.Duration("needs", 0);
  auto it = std::find(job.shapes.begin(), job.shapes.end(), spec);
  if (it == job.shapes.end()) {
    job.shapes.push_back(spec);
    batch.shapes.push_back(spec);
    return static_cast<uint16_t>(job.shapes.size() - 1);
  }
  return static_cast<uint16_t>(it - job.shapes.begin());
}

uint16_t SchedulerNames::Option(Job& job, const Words& words, Batch& batch) {
  Batch::Options o;
  o.retries = static_cast<uint32_t>(words.Number("retries", 0));
  o.backoff_ns = words.Duration("backoff", 0);
  o.time_limit_ns = words.Duration("limit", 0);
  const std::string priority = words.Get("prio", "0");
  const bool minus = priority[0] == '-';
  o.priority =
      static_cast<int32_t>(ParseNumber(minus ? priority.substr(1) : priority)) * (minus ? -1 : 1);
  o.crash_limit = static_cast<uint32_t>(words.Number("crash", 0));
  o.expect_ns = words.Duration("expect", 0);
  o.expect_bytes = words.Bytes("ebytes", 0);
  if (words.Has("on_class")) {
    o.retry_on = 0;
    for (const std::string& name : Split(words.Get("on_class"), ',')) {
      o.retry_on |=
          name == "lost" ? Batch::kRetryLost : 1u << static_cast<uint32_t>(ParseFailureClass(name));
    }
  }
  for (uint32_t code : ParseNumbers(words.Get("on_exit")))
    o.retry_exit_codes.push_back(static_cast<int32_t>(code));
  o.impure = words.Flag("impure");
  o.put = words.Flag("put");
  o.replicas = static_cast<uint32_t>(words.Number("copies", 0));
  o.straggler_milli = static_cast<uint32_t>(words.Number("straggler", 0));
  auto same = std::find(job.options.begin(), job.options.end(), o);
  if (same != job.options.end()) return static_cast<uint16_t>(same - job.options.begin());
  job.options.push_back(o);
  batch.options.push_back(o);
  return static_cast<uint16_t>(job.options.size() - 1);
}

TaskId SchedulerNames::ParseTask(std::string_view text) const {
  auto it = tasks_.find(text);
  if (it == tasks_.end()) throw ScenarioError{StrCat("there is no task ", text)};
  return it->second;
}

AttemptRef SchedulerNames::ParseAttempt(std::string_view text, std::string_view worker) const {
  const size_t hash = text.find('#');
  AttemptRef ref;
  ref.task = ParseTask(text.substr(0, hash));
  if (hash != std::string_view::npos) {
    ref.attempt = ParseAttemptId(text.substr(hash + 1));
    return ref;
  }
  auto own = last_attempt_of_.find({ref.task, std::string(worker.substr(0, worker.find('/')))});
  if (own != last_attempt_of_.end()) {
    ref.attempt = own->second;
    return ref;
  }
  auto it = last_attempt_.find(ref.task);
  if (it == last_attempt_.end()) throw ScenarioError{StrCat(text, " was never assigned")};
  ref.attempt = it->second;
  return ref;
}

ObjectId SchedulerNames::ParseObject(std::string_view text) const {
  const size_t dot = text.find('.');
  const TaskId task = ParseTask(text.substr(0, dot));
  const auto output =
      dot == std::string_view::npos ? 0 : static_cast<uint32_t>(ParseNumber(text.substr(dot + 1)));
  const TaskInfo& info = Info(task);
  if (output >= info.output_count)
    throw ScenarioError{StrCat(info.name, " has ", info.output_count, " outputs")};
  return {task.job, info.first_output + output};
}

ObjectVersion SchedulerNames::ParseVersion(std::string_view text) const {
  const size_t hash = text.find('#');
  const ObjectId object = ParseObject(text.substr(0, hash));
  if (hash != std::string_view::npos) return {object, ParseAttemptId(text.substr(hash + 1))};
  const TaskId producer = {object.job, jobs_.at(object.job).producer[object.ordinal]};
  auto it = last_attempt_.find(producer);
  if (it == last_attempt_.end()) throw ScenarioError{StrCat(text, " was never made")};
  return {object, it->second};
}

uint32_t SchedulerNames::OutputCount(TaskId task) const { return Info(task).output_count; }

Ordinal SchedulerNames::FirstOutput(TaskId task) const { return Info(task).first_output; }

const SchedulerNames::TaskInfo& SchedulerNames::Info(TaskId task) const {
  return jobs_.at(task.job).tasks.at(task.ordinal);
}

std::string SchedulerNames::TextOf(TaskId task) const {
  auto job = jobs_.find(task.job);
  if (job == jobs_.end() || task.ordinal >= job->second.tasks.size()) return ToString(task);
  return job->second.tasks[task.ordinal].name;
}
std::string SchedulerNames::TextOf(const AttemptRef& ref) const {
  return StrCat(TextOf(ref.task), ref.attempt == 0 ? "" : StrCat("#", Text(ref.attempt)));
}
std::string SchedulerNames::TextOf(ObjectId object) const {
  auto job = jobs_.find(object.job);
  if (job == jobs_.end() || object.ordinal >= job->second.producer.size()) return ToString(object);
  const TaskInfo& info = job->second.tasks[job->second.producer[object.ordinal]];
  return StrCat(info.name, ".", object.ordinal - info.first_output);
}
std::string SchedulerNames::TextOf(const ObjectVersion& id) const {
  return StrCat(TextOf(id.object), "#", Text(id.version));
}

SchedulerNames::Worker& SchedulerNames::WorkerNamed(std::string_view name) {
  auto [it, fresh] = workers_.try_emplace(std::string(name));
  if (fresh) {
    it->second.identity = workers_.size();
    it->second.incarnation = 1;
  }
  return it->second;
}

uint64_t SchedulerNames::NewStream(std::string_view name) {
  Worker& worker = WorkerNamed(name);
  const uint64_t stream = next_stream_++;
  worker.streams.push_back(stream);
  streams_[stream] = {std::string(name), static_cast<uint32_t>(worker.streams.size())};
  return stream;
}

uint64_t SchedulerNames::StreamOf(std::string_view text) const {
  const size_t slash = text.find('/');
  auto it = workers_.find(text.substr(0, slash));
  if (it == workers_.end()) throw ScenarioError{StrCat("worker ", text, " said no hello")};
  if (slash == std::string_view::npos) return it->second.streams.back();
  const uint64_t number = ParseNumber(text.substr(slash + 1));
  if (number == 0 || number > it->second.streams.size())
    throw ScenarioError{StrCat("there is no stream ", text)};
  return it->second.streams[number - 1];
}

WorkerId SchedulerNames::ParseWorkerId(std::string_view name) const {
  auto it = workers_.find(name);
  if (it == workers_.end()) throw ScenarioError{StrCat("there is no worker ", name)};
  return it->second.id;
}

void SchedulerNames::Welcomed(uint64_t stream, WorkerId id) {
  const std::string& name = streams_.at(stream).first;
  WorkerNamed(name).id = id;
  ids_[id] = name;
}

std::string SchedulerNames::StreamText(uint64_t stream) const {
  auto it = streams_.find(stream);
  if (it == streams_.end()) return StrCat("stream", stream);
  const auto& [name, number] = it->second;
  return workers_.at(name).streams.size() == number ? name : StrCat(name, "/", number);
}

std::string SchedulerNames::TextOf(WorkerId id) const {
  auto it = ids_.find(id);
  return it == ids_.end() ? ToString(id) : it->second;
}

}  // namespace taskd::scenario
