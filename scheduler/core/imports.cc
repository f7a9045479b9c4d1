// Inputs that are objects of other jobs, and datasets: names for objects that outlive whoever made
// them.
//
// An import is a collection whose members are of another job. Its members' job knows it as an
// importer, tells it what it would tell a consumer, and is not forgotten by itself while the
// importing job is known. While that is open it wants the members as it wants objects of its own. A command may forget it when no importing job goes on; then the import is
// dead for good. A task that ends by an import is its own culprit: blame stays within a job.
#include <algorithm>
#include <utility>

#include "common/base/text.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {

constexpr uint32_t kInvalid = 3, kNotFound = 5, kAlreadyExists = 6;  // gRPC status codes

// "" or what is wrong with it.
std::string CheckRange(const Job* job, const ObjectRange& range) {
  if (job == nullptr || job->forgetting)
    return StrCat("there is no job ", range.job, ", or it was forgotten");
  if (range.count == 0 || range.stride == 0 || range.last() >= job->objects.size()) {
    return StrCat("job ", range.job, " has ", job->objects.size(), " objects, not ", range.count,
                  " from ", range.first, " on in steps of ", range.stride);
  }
  return "";
}

OrdinalRange Ordinals(const ObjectRange& range) { return {range.first, range.count, range.stride}; }

// The dataset's objects that are asked for; a range of no objects: it has not so many.
ObjectRange Within(const ObjectRange& dataset, const Batch::Collection& asked) {
  if (asked.count == 0) return dataset;
  const ObjectRange numbers{0, asked.first, asked.count, std::max<uint32_t>(asked.stride, 1)};
  if (numbers.last() >= dataset.count) return {dataset.job};
  return {dataset.job, dataset.first + asked.first * dataset.stride, asked.count,
          numbers.stride * dataset.stride};
}

}  // namespace

std::string State::ResolveImports(const Job& job, Batch& batch) const {
  for (size_t i = 0; i < batch.collections.size(); ++i) {
    Batch::Collection& c = batch.collections[i];
    ObjectRange range{c.job, c.first, c.count, c.stride};
    if (!c.dataset.empty()) {
      auto dataset = datasets.find(c.dataset);
      if (dataset == datasets.end()) return StrCat("there is no dataset ", c.dataset);
      range = Within(dataset->second, c);
      if (range.count == 0) {
        return StrCat("dataset ", c.dataset, " has ", dataset->second.count, " objects, not ",
                      c.count, " from ", c.first, " on in steps of ", c.stride);
      }
    }
    if (range.job == 0) continue;
    if (range.count > limits::kImportObjects) {
      return StrCat("collection ", job.collections.size() + i, " has ", range.count,
                    " objects of another job; at most ", limits::kImportObjects,
                    " can be read at once: cut it into several");
    }
    const Job* other = FindJob(range.job);
    std::string wrong = range.job == job.id ? "it is of the job itself: name it without a job"
                                            : CheckRange(other, range);
    if (wrong.empty() && c.dataset.empty() && other->family->share.owner != job.family->share.owner)
      wrong = StrCat("job ", range.job, " has another owner: have it published as a dataset");
    if (!wrong.empty()) return StrCat("collection ", job.collections.size() + i, ": ", wrong);
    c = {range.first, range.count, range.stride, range.job, {}};
  }
  return "";
}

void State::AppendImport(Job& job, const Batch::Collection& from) {
  Job& owner = *jobs[from.job];
  CollectionRec record{
      .first = from.first, .count = from.count, .stride = from.stride, .job = from.job};
  for (uint32_t i = 0; i < from.count; ++i) {
    const Ordinal member = from.first + i * from.stride;
    owner.objects[member].exported = true;
    CountMember(record, member, owner.objects[member].presence, +1);
    AcquireObject(owner, member);
    MakeIfWanted(owner, member);
  }
  record.presence = CollectionPresence(record);
  record.held = true;
  record.live_consumers = 1;
  const uint32_t index = static_cast<uint32_t>(job.collections.size());
  owner.importers[++owner.last_importer] = {job.id, index};
  job.imports.push_back({index, owner.last_importer});
  job.collections.push_back(record);
  if (owner.family != job.family) CountOutside(owner, +1);
}

// Tells the newest importer below a key, and says which that was; 0: there is none. Importers that
// come while a change is told have counted it already.
uint32_t State::TellImporter(Job& job, Ordinal object, uint32_t below, Presence before,
                             Presence after) {
  auto it = job.importers.lower_bound(below);
  if (it == job.importers.begin()) return 0;
  const auto& [key, importer] = *--it;
  Job& reader = *jobs[importer.job];
  if (reader.collections[importer.collection].Has(object))
    MemberChanged(reader, importer.collection, object, before, after);
  return key;
}

Ordinal State::CulpritFor(const Job& job, Ordinal ordinal, uint32_t source) const {
  const ObjectId dead = DeadBehind(job, source);
  return dead.job == job.id ? CulpritOfTask(job, job.objects[dead.ordinal].producer) : ordinal;
}

FailureView State::ImportFailure(const Job& job, Ordinal ordinal, uint32_t source) const {
  FailureView failure{.task = {job.id, ordinal},
                      .attempt = job.tasks[ordinal].last_attempt,
                      .failure = FailureClass::kInputFailed};
  const ObjectId dead = DeadBehind(job, source);
  const Job* owner = FindJob(dead.job);
  if (owner == nullptr) {
    failure.message = "an input is of a job that was forgotten";
  } else {
    failure.message =
        StrCat("object ", ToString(dead), " of another job will not be made: see task ",
               ToString(TaskId{owner->id, owner->objects[dead.ordinal].producer}));
  }
  return failure;
}

std::string State::WhoReads(const Job& job) const {
  if (job.datasets > 0) {
    for (const auto& [name, objects] : datasets) {
      if (objects.job == job.id) return StrCat("dataset ", name, " is of it: drop that first");
    }
  }
  for (const auto& [key, importer] : job.importers) {
    if (!jobs[importer.job]->ended)
      return StrCat("job ", importer.job, " reads its objects: wait for it, or cancel it first");
  }
  if (!job.is_root() || job.family->outside_wants == 0) return "";
  for (JobId child : job.family->children) {
    if (std::string who = WhoReads(*jobs[child]); !who.empty())
      return StrCat("job ", child, " was submitted by a task of it: ", who);
  }
  return "";
}

// The importing job is sealed: from now on only its tasks want the members.
void State::LetGoImport(Job& job, const Import& import) {
  if (!std::exchange(job.collections[import.collection].held, false)) return;
  ReleaseSource(job, import.collection | kCollectionBit);
}

// The importing job is forgotten.
void State::EndImport(Job& job, const Import& import) {
  CollectionRec& c = job.collections[import.collection];
  Job* owner = MembersOf(job, c);
  c.job = kNoJob;
  c.behind = {};
  if (owner == nullptr) return;
  owner->importers.erase(import.key);
  if (owner->family != job.family) CountOutside(*owner, -1);
}

// The job whose objects they are is forgotten.
void State::CutImporter(Job& job) {
  const Importer importer = job.importers.begin()->second;
  job.importers.erase(job.importers.begin());
  Job& reader = *jobs[importer.job];
  CollectionRec& c = reader.collections[importer.collection];
  c.job = kNoJob;
  c.missing = c.away = 0;
  c.dead = c.count;
  CollectionMayHaveChanged(reader, importer.collection);
}

void State::On(event::PublishDataset& e) {
  if (e.name.empty() || e.name.size() > limits::kDatasetNameBytes) {
    return Answer(e.token, kInvalid,
                  StrCat("a dataset has a name of 1 to ", limits::kDatasetNameBytes, " bytes"));
  }
  Job* job = FindJob(e.objects.job);
  if (job != nullptr && !job->is_root() && job->child != ChildState::kAccepted) {
    return Answer(e.token, kNotFound,
                  StrCat("dataset ", e.name, ": the task that submitted job ", job->id,
                         " has not succeeded"));
  }
  if (std::string wrong = CheckRange(job, e.objects); !wrong.empty())
    return Answer(e.token, kNotFound, StrCat("dataset ", e.name, ": ", wrong));
  auto [known, fresh] = datasets.try_emplace(e.name, e.objects);
  if (!fresh && known->second != e.objects) {
    return Answer(e.token, kAlreadyExists,
                  StrCat("there is a dataset ", e.name, " of job ", known->second.job,
                         ": drop it first, or take another name"),
                  known->second.job);
  }
  if (fresh) {
    ++job->datasets;
    CountOutside(*job, +1);
    Enqueue(WalkOf(WorkKind::kHoldDataset, job->id, Ordinals(e.objects)));
    Emit(action::Journal{
        .kind = action::RecordKind::kPublishDataset, .job = job->id, .token = e.token});
  }
  Answer(e.token, 0, "", job->id);
}

void State::On(event::DropDataset& e) {
  auto known = datasets.find(e.name);
  if (known == datasets.end())
    return Answer(e.token, kNotFound, StrCat("there is no dataset ", e.name));
  const ObjectRange objects = known->second;
  Job& job = *jobs[objects.job];
  datasets.erase(known);
  Emit(action::Journal{.kind = action::RecordKind::kDropDataset, .job = job.id, .token = e.token});
  Enqueue(WalkOf(WorkKind::kLetGoDataset, job.id, Ordinals(objects)));
  --job.datasets;
  CountOutside(job, -1);
  ForgetIfDiscarded(job);
  Answer(e.token, 0, "", job.id);
}

}  // namespace taskd::scheduler
