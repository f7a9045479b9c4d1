#include "common/graph/job_names.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::graph {
namespace {

// Element `i` of a column: empty is 0 for all, one element is the same for all.
template <typename Column>
uint32_t At(const Column& column, uint64_t i) {
  if (column.size() == 0) return 0;
  if (column.size() == 1) return column.Get(0);
  return i < static_cast<uint64_t>(column.size()) ? column.Get(static_cast<int>(i)) : ~uint32_t{0};
}

absl::Status Bad(const v1::GraphBatch& batch, std::string_view what) {
  return absl::InvalidArgumentError(StrCat("batch ", batch.number(), ": ", what));
}

}  // namespace

// What a batch adds, gathered apart so that a refused batch changes nothing.
class JobNames::Addition {
 public:
  Addition(const JobNames& job, const v1::GraphBatch& batch)
      : job_(job), batch_(batch), task_(job.task_count_), object_(job.object_count_) {}

  absl::Status Read() {
    for (const v1::Template& definition : batch_.templates()) {
      if (auto s = ReadTemplate(definition); !s.ok()) return s;
    }
    for (const v1::Body& body : batch_.bodies()) {
      std::vector<std::string>& outputs = outputs_.emplace_back();
      for (const v1::OutputSlot& slot : body.outputs()) outputs.push_back(slot.name());
    }
    for (const v1::TaskRun& run : batch_.runs()) {
      if (auto s = ReadRun(run); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  void ApplyTo(JobNames& job) {
    for (auto& names : templates_) job.templates_.push_back(std::move(names));
    for (auto& outputs : outputs_) job.outputs_of_body_.push_back(std::move(outputs));
    job.template_by_name_.insert(by_name_.begin(), by_name_.end());
    job.task_by_key_.insert(task_by_key_.begin(), task_by_key_.end());
    job.spans_of_template_.resize(job.templates_.size());
    for (const Span& span : spans_) job.AddSpan(span);
    for (Keys& keys : keys_) job.keys_.push_back(std::move(keys));
    job.task_count_ = static_cast<uint32_t>(task_);
    job.object_count_ = static_cast<uint32_t>(object_);
  }

 private:
  absl::Status ReadTemplate(const v1::Template& definition) {
    auto names = TemplateNames::Create(definition);
    if (!names.ok()) return Bad(batch_, ToStd(names.status().message()));
    auto index = static_cast<uint32_t>(job_.templates_.size() + templates_.size());
    if (job_.template_by_name_.contains(names->name()) ||
        !by_name_.emplace(names->name(), index).second) {
      return Bad(batch_, StrCat("there are two templates named '", names->name(), "'"));
    }
    templates_.push_back(*std::move(names));
    return absl::OkStatus();
  }

  const TemplateNames& TemplateAt(uint32_t i) const {
    return i < job_.templates_.size() ? job_.templates_[i] : templates_[i - job_.templates_.size()];
  }
  // The first row of the template that no run has named yet.
  uint32_t& NextRow(uint32_t template_index) {
    uint32_t stored = 0;
    if (template_index < job_.spans_of_template_.size() &&
        !job_.spans_of_template_[template_index].empty()) {
      const Span& last = job_.spans_[job_.spans_of_template_[template_index].back()];
      stored = last.row + last.count;
    }
    return next_row_.emplace(template_index, stored).first->second;
  }

  absl::Status ReadRun(const v1::TaskRun& run) {
    if (run.template_index() >= job_.templates_.size() + templates_.size()) {
      return Bad(batch_, "a run names a template that does not exist");
    }
    const TemplateNames& names = TemplateAt(run.template_index());
    if (uint64_t{run.first()} + run.count() > names.task_count()) {
      return Bad(batch_, StrCat("a run goes beyond the tasks of template '", names.name(), "'"));
    }
    uint32_t& next = NextRow(run.template_index());
    if (run.first() < next)
      return Bad(batch_, StrCat("tasks of template '", names.name(), "' come twice or backwards"));
    next = run.first() + run.count();
    const bool keyed =
        names.axis_count() == 0 && names.task_count() > 1 && batch_.key_size_size() > 0;
    if (keyed) keys_.push_back({static_cast<Ordinal>(task_), {}, {}});
    for (uint32_t row = run.first(); row < next; ++row) {
      if (auto s = ReadTask(run, row); !s.ok()) return s;
      if (!keyed) continue;
      if (auto s = ReadKey(); !s.ok()) return s;
    }
    return absl::OkStatus();
  }

  absl::Status ReadTask(const v1::TaskRun& run, uint32_t row) {
    const uint32_t body = At(batch_.body(), task_ - job_.task_count_);
    const size_t known = job_.outputs_of_body_.size();
    if (body >= known + outputs_.size())
      return Bad(batch_, "a task names a body that does not exist");
    if (row == run.first() || spans_.back().body != body) {
      size_t count =
          body < known ? job_.outputs_of_body_[body].size() : outputs_[body - known].size();
      spans_.push_back({static_cast<Ordinal>(task_), static_cast<Ordinal>(object_),
                        run.template_index(), row, 0, body, static_cast<uint32_t>(count)});
    }
    ++spans_.back().count;
    ++task_;
    object_ += spans_.back().output_count;
    if (task_ > limits::kTasksPerJob || object_ > limits::kTasksPerJob) {
      return Bad(batch_, "too many tasks or objects for one job");
    }
    return absl::OkStatus();
  }

  // The key of the task that ReadTask has just taken.
  absl::Status ReadKey() {
    uint32_t size = At(batch_.key_size(), key_index_++);
    if (size > limits::kKeyBytes || key_offset_ + size > batch_.keys().size()) {
      return Bad(batch_, "the keys column is too short, or a key is too long");
    }
    std::string key = batch_.keys().substr(key_offset_, size);
    key_offset_ += size;
    if (job_.task_by_key_.contains(key) ||
        !task_by_key_.emplace(key, static_cast<Ordinal>(task_ - 1)).second) {
      return Bad(batch_, StrCat("there are two tasks with the key '", key, "'"));
    }
    keys_.back().bytes += key;
    keys_.back().ends.push_back(static_cast<uint32_t>(keys_.back().bytes.size()));
    return absl::OkStatus();
  }

  const JobNames& job_;
  const v1::GraphBatch& batch_;
  uint64_t task_, object_;
  std::vector<TemplateNames> templates_;
  absl::flat_hash_map<std::string, uint32_t> by_name_;
  std::vector<std::vector<std::string>> outputs_;
  std::vector<Span> spans_;
  std::vector<Keys> keys_;
  absl::flat_hash_map<std::string, Ordinal> task_by_key_;
  absl::flat_hash_map<uint32_t, uint32_t> next_row_;
  uint64_t key_index_ = 0, key_offset_ = 0;
};

absl::Status JobNames::AddBatch(const v1::GraphBatch& batch) {
  auto fits = [](int size, uint64_t tasks) {
    return size <= 1 || static_cast<uint64_t>(size) == tasks;
  };
  uint64_t tasks = 0;
  for (const v1::TaskRun& run : batch.runs()) tasks += run.count();
  if (tasks > limits::kTasksPerBatch) {
    return Bad(batch, StrCat("it has ", tasks, " tasks; the limit is ", limits::kTasksPerBatch));
  }
  if (!fits(batch.body_size(), tasks)) return Bad(batch, "the body column has a wrong length");
  if (batch.key_size_size() > 1 && static_cast<uint64_t>(batch.key_size_size()) > tasks) {
    return Bad(batch, "the key_size column is too long");
  }
  Addition addition(*this, batch);
  if (auto s = addition.Read(); !s.ok()) return s;
  addition.ApplyTo(*this);
  return absl::OkStatus();
}

// A span that only continues the last one is merged, so that memory follows the templates, not the
// batches.
void JobNames::AddSpan(const Span& span) {
  if (!spans_.empty()) {
    Span& last = spans_.back();
    if (last.template_index == span.template_index && last.body == span.body &&
        last.row + last.count == span.row) {
      last.count += span.count;
      return;
    }
  }
  spans_of_template_[span.template_index].push_back(static_cast<uint32_t>(spans_.size()));
  spans_.push_back(span);
}

const JobNames::Span* JobNames::SpanOfTask(Ordinal task) const {
  if (task >= task_count_) return nullptr;
  auto after = std::upper_bound(spans_.begin(), spans_.end(), task,
                                [](Ordinal value, const Span& span) { return value < span.task; });
  return &*(after - 1);
}

const JobNames::Span* JobNames::SpanOfObject(Ordinal object) const {
  if (object >= object_count_) return nullptr;
  // Spans without outputs share their first object with the next span, which is the one to find.
  auto after =
      std::upper_bound(spans_.begin(), spans_.end(), object,
                       [](Ordinal value, const Span& span) { return value < span.object; });
  return &*(after - 1);
}

std::string_view JobNames::ExplicitKey(Ordinal task) const {
  auto after = std::upper_bound(keys_.begin(), keys_.end(), task,
                                [](Ordinal value, const Keys& keys) { return value < keys.task; });
  if (after == keys_.begin()) return {};
  const Keys& keys = *(after - 1);
  uint32_t i = task - keys.task;
  if (i >= keys.ends.size()) return {};
  uint32_t start = i == 0 ? 0 : keys.ends[i - 1];
  return std::string_view(keys.bytes).substr(start, keys.ends[i] - start);
}

std::string JobNames::TaskKey(Ordinal task) const {
  const Span* span = SpanOfTask(task);
  if (span == nullptr) return StrCat("task ", task);
  std::string_view explicit_key = ExplicitKey(task);
  if (!explicit_key.empty()) return std::string(explicit_key);
  return templates_[span->template_index].Key(span->row + (task - span->task));
}

std::string JobNames::ObjectName(Ordinal object) const {
  const Span* span = SpanOfObject(object);
  if (span == nullptr) return StrCat("object ", object);
  uint32_t at = object - span->object;
  std::string_view output = outputs_of_body_[span->body][at % span->output_count];
  return StrCat(TaskKey(span->task + at / span->output_count), ".", output);
}

Ordinal JobNames::ProducerOf(Ordinal object) const {
  const Span* span = SpanOfObject(object);
  return span == nullptr ? kNoOrdinal : span->task + (object - span->object) / span->output_count;
}

Ordinal JobNames::FirstOutput(Ordinal task) const {
  const Span* span = SpanOfTask(task);
  return span == nullptr ? kNoOrdinal : span->object + (task - span->task) * span->output_count;
}

absl::StatusOr<uint32_t> JobNames::FindTemplate(std::string_view name) const {
  auto at = template_by_name_.find(ToAbsl(name));
  if (at != template_by_name_.end()) return at->second;
  std::vector<std::string> names;
  for (const TemplateNames& t : templates_) names.push_back(t.name());
  return absl::NotFoundError(
      StrCat("there is no task '", name, "' in this job", DidYouMean(name, names)));
}

absl::StatusOr<std::vector<Run>> JobNames::TasksOfRows(uint32_t template_index,
                                                       const std::vector<Run>& rows) const {
  std::vector<Run> tasks;
  for (const Run& run : rows) {
    // Rows of one span are neighbours, so a progression of rows stays one of tasks inside a span.
    uint64_t row = run.first, end = run.first + uint64_t{run.count} * run.stride;
    for (uint32_t index : spans_of_template_[template_index]) {
      const Span& span = spans_[index];
      uint64_t span_end = uint64_t{span.row} + span.count;
      if (row < span.row) row += (span.row - row + run.stride - 1) / run.stride * run.stride;
      if (row >= end || row >= span_end) continue;
      uint64_t last = std::min(end, span_end);
      auto count = static_cast<uint32_t>((last - row + run.stride - 1) / run.stride);
      tasks.push_back(
          {span.task + static_cast<uint32_t>(row - span.row), count, count == 1 ? 1 : run.stride});
      row += uint64_t{count} * run.stride;
    }
  }
  return tasks;
}

absl::StatusOr<std::vector<Run>> JobNames::Select(const ParsedName& name) const {
  auto template_index = FindTemplate(name.template_name);
  if (!template_index.ok()) return template_index.status();
  const TemplateNames& names = templates_[*template_index];
  if (names.axis_count() == 0 && names.task_count() > 1 && name.selectors.size() == 1 &&
      !name.selectors[0].all) {
    std::string key = StrCat(name.template_name, "[", name.selectors[0].value, "]");
    for (uint32_t row = 0; row < names.task_count(); ++row) {  // people ask this, not programs
      if (names.Key(row) == key) return TasksOfRows(*template_index, {{row, 1, 1}});
    }
  }
  auto rows = names.Match(name.selectors);
  if (!rows.ok()) return rows.status();
  return TasksOfRows(*template_index, *rows);
}

absl::StatusOr<std::vector<Run>> JobNames::MatchTasks(std::string_view pattern) const {
  if (pattern.empty()) {
    if (task_count_ == 0) return std::vector<Run>();
    return std::vector<Run>{{0, task_count_, 1}};
  }
  if (auto key = task_by_key_.find(ToAbsl(pattern)); key != task_by_key_.end()) {
    return std::vector<Run>{{key->second, 1, 1}};
  }
  auto name = ParseName(pattern);
  if (!name.ok()) return name.status();
  if (!name->output.empty()) {
    return absl::InvalidArgumentError(
        StrCat("'", pattern, "' names objects; tasks are named without '.", name->output, "'"));
  }
  return Select(*name);
}

absl::StatusOr<std::vector<Run>> JobNames::MatchObjects(std::string_view pattern) const {
  auto name = ParseName(pattern);
  if (!name.ok()) return name.status();
  auto tasks = Select(*name);
  if (!tasks.ok()) return tasks.status();
  std::vector<Run> objects;
  for (const Run& run : *tasks) {
    for (uint32_t i = 0; i < run.count;) {
      Ordinal task = run.first + i * run.stride;
      const Span& span = *SpanOfTask(task);
      const std::vector<std::string>& outputs = outputs_of_body_[span.body];
      auto at = std::find(outputs.begin(), outputs.end(), name->output);
      if (at == outputs.end()) {
        std::string list;
        for (const std::string& output : outputs) list += StrCat(list.empty() ? "" : ", ", output);
        return absl::NotFoundError(StrCat("'", name->template_name, "' has no output '",
                                          name->output, "'", DidYouMean(name->output, outputs),
                                          list.empty() ? "; it has none" : "; it has ", list));
      }
      uint32_t count =
          std::min(run.count - i, (span.task + span.count - 1 - task) / run.stride + 1);
      auto slot = static_cast<uint32_t>(at - outputs.begin());
      objects.push_back({span.object + (task - span.task) * span.output_count + slot, count,
                         count == 1 ? 1 : run.stride * span.output_count});
      i += count;
    }
  }
  return objects;
}

absl::StatusOr<NamedThing> JobNames::Resolve(std::string_view text) const {
  NamedThing thing;
  if (auto key = task_by_key_.find(ToAbsl(text)); key != task_by_key_.end()) {
    thing.task = key->second;
    return thing;
  }
  auto name = ParseName(text);
  if (!name.ok()) return name.status();
  auto tasks = Select(*name);
  if (!tasks.ok()) return tasks.status();
  if (tasks->empty()) {
    return absl::NotFoundError(StrCat(
        "'", text, "' is not in this job: that combination is excluded, or not submitted yet"));
  }
  if (tasks->size() > 1 || tasks->front().count > 1) {
    uint64_t count = 0;
    for (const Run& run : *tasks) count += run.count;
    return absl::InvalidArgumentError(StrCat(
        "'", text, "' names ", count, " tasks; name one, like ", TaskKey(tasks->front().first)));
  }
  thing.task = tasks->front().first;
  if (name->output.empty()) return thing;
  auto objects = MatchObjects(text);
  if (!objects.ok()) return objects.status();
  thing.is_object = true;
  thing.object = objects->front().first;
  thing.has_parts = name->has_parts && !name->parts.whole();
  thing.parts = name->parts;
  return thing;
}

}  // namespace taskd::graph
