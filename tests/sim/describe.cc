#include "tests/sim/describe.h"

#include <type_traits>
#include <variant>

#include "common/base/hash.h"
#include "common/base/names.h"
#include "common/base/text.h"

namespace taskd::sim {
namespace {

// A sink sees the fields of a value in order: one writes text, the other a hash. `Walk` names the
// fields once.
struct TextSink {
  std::string out;
  void Name(const char* name) { out += StrCat(out.empty() ? "" : " ", name); }
  void Add(uint64_t v) { out += StrCat(" ", v); }
  void Add(const std::string& v) { out += StrCat(" \"", v, "\""); }
  void Add(TaskId v) { out += StrCat(" ", ToString(v)); }
  void Add(ObjectId v) { out += StrCat(" ", ToString(v)); }
  void Add(AttemptRef v) { out += StrCat(" ", ToString(v)); }
  void Add(WorkerId v) { out += StrCat(" ", ToString(v)); }
  void Add(ObjectVersion v) { out += StrCat(" ", ToString(v.object), "#", v.version); }
  void Add(AttemptEnd v) { out += StrCat(" ", taskd::Name(v)); }
  void Add(FailureClass v) { out += v == FailureClass::kNone ? "" : StrCat(" ", taskd::Name(v)); }
  void Add(PartRange v) { out += v.whole() ? "" : StrCat(" [", v.lo, ",", v.hi, ")"); }
};

struct HashSink {
  uint64_t hash;
  void Name(const char* name) { hash = HashBytes(hash, name); }
  void Add(uint64_t v) { hash = HashCombine(hash, v); }
  void Add(const std::string& v) { hash = HashBytes(hash, v); }
  void Add(TaskId v) { Add(uint64_t{v.job} << 32 | v.ordinal); }
  void Add(ObjectId v) { Add(uint64_t{v.job} << 32 | v.ordinal); }
  void Add(AttemptRef v) { Add(v.task), Add(uint64_t{v.attempt}); }
  void Add(WorkerId v) { Add(uint64_t{v.packed()}); }
  void Add(ObjectVersion v) { Add(v.object), Add(uint64_t{v.version}); }
  void Add(AttemptEnd v) { Add(static_cast<uint64_t>(v)); }
  void Add(FailureClass v) { Add(static_cast<uint64_t>(v)); }
  void Add(PartRange v) { Add(uint64_t{v.lo} << 32 | v.hi); }
};

template <typename S>
void Add(S& s, const Replica& r) {
  s.Add(r.id), s.Add(r.size_bytes), s.Add(uint64_t{r.crc32c});
}
template <typename S>
void Add(S& s, const AttemptRef& a) {
  s.Add(a);
}
template <typename S>
void Add(S& s, const ObjectVersion& v) {
  s.Add(v);
}
template <typename S>
void Add(S& s, const ObjectId& v) {
  s.Add(v);
}
template <typename S>
void Add(S& s, const worker::LocalKey& k) {
  s.Add(k.id), s.Add(k.parts);
}
template <typename S>
void Add(S& s, const worker::UnitShare& u) {
  s.Add(uint64_t{u.pool}), s.Add(uint64_t{u.unit}), s.Add(uint64_t{u.milli});
}
template <typename S>
void Add(S& s, const worker::event::FetchDone::Item& i) {
  s.Add(static_cast<uint64_t>(i.status)), s.Add(i.size_bytes), s.Add(uint64_t{i.crc32c}),
      s.Add(uint64_t{i.on_disk});
}
template <typename S>
void Add(S& s, const OutputInfo& o) {
  s.Add(o.size_bytes), s.Add(uint64_t{o.crc32c}), s.Add(uint64_t{o.delegated});
}
template <typename S>
void Add(S& s, const worker::StoredOutput& o) {
  Add(s, static_cast<const OutputInfo&>(o)), s.Add(uint64_t{o.on_disk});
}
template <typename S>
void Add(S& s, const worker::event::Spilled::Result& r) {
  s.Add(static_cast<uint64_t>(r));
}
template <typename S>
void Add(S& s, const scheduler::OrdinalRange& r) {
  s.Add(uint64_t{r.first}), s.Add(uint64_t{r.count}), s.Add(uint64_t{r.stride});
}
template <typename S>
void Add(S& s, const BadHolder& b) {
  s.Add(b.id), s.Add(b.worker), s.Add(uint64_t{b.missing});
}

template <typename S>
void Add(S& s, const InputObject& o) {
  s.Name("input"), s.Add(o.id), s.Add(o.size_bytes);
  for (WorkerId h : o.holders) {
    if (h) s.Add(h);
  }
}

template <typename S, typename Items>
void List(S& s, const char* name, const Items& items) {
  if (items.empty()) return;
  s.Name(name);
  for (const auto& item : items) Add(s, item);
}

template <typename S>
void Add(S& s, const Outcome& o) {
  s.Add(o.sequence), s.Add(o.attempt), s.Add(o.end), s.Add(o.failure),
      s.Add(static_cast<uint64_t>(o.exit_code));
  s.Add(o.message), s.Add(o.run_ns), s.Add(o.fetched_bytes);
  List(s, "outputs", o.outputs);
  List(s, "bad", o.bad_holders);
}

template <typename S>
void Add(S& s, const GatherFailure& f) {
  s.Add(f.object);
  List(s, "bad", f.bad_holders);
}

template <typename S>
void Add(S& s, const Inventory& i) {
  List(s, "replicas", i.replicas);
  List(s, "assigned", i.assigned);
  List(s, "running", i.running);
}

template <typename S>
void Add(S& s, const Assignment& a) {
  s.Add(a.attempt), s.Add(uint64_t{a.body}), s.Add(uint64_t{a.need.cpus_milli}),
      s.Add(a.need.memory_bytes);
  s.Add(static_cast<uint64_t>(static_cast<int64_t>(a.priority))), s.Add(a.order), s.Add(a.next_use),
      s.Add(a.time_limit_ns);
  s.Add(uint64_t{a.first_output}), s.Add(uint64_t{a.output_count});
  for (const InputEdge& e : a.edges) {
    s.Name("edge"), s.Add(uint64_t{e.slot}), s.Add(uint64_t{e.first}), s.Add(uint64_t{e.count}),
        s.Add(e.parts);
  }
  for (const InputObject& o : a.objects) Add(s, o);
}

// Every event and action is described by one overload; a missing one does not compile.
namespace sa = scheduler::action;
namespace se = scheduler::event;
namespace wa = worker::action;
namespace we = worker::event;

template <typename S>
void Walk(S& s, const sa::Welcome& a) {
  s.Name("Welcome"), s.Add(a.stream), s.Add(a.worker);
}
template <typename S>
void Walk(S& s, const sa::Refuse& a) {
  s.Name("Refuse"), s.Add(a.stream), s.Add(a.reason);
}
template <typename S>
void Walk(S& s, const sa::CloseStream& a) {
  s.Name("CloseStream"), s.Add(a.stream);
}
template <typename S>
void Walk(S& s, const sa::Assign& a) {
  s.Name("Assign"), s.Add(a.stream), Add(s, a.assignment);
}
template <typename S>
void Walk(S& s, const sa::Retract& a) {
  s.Name("Retract"), s.Add(a.stream), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const sa::Cancel& a) {
  s.Name("Cancel"), s.Add(a.stream), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const sa::Free& a) {
  s.Name("Free"), s.Add(a.stream), s.Add(a.object);
}
template <typename S>
void Walk(S& s, const sa::AckOutcomes& a) {
  s.Name("AckOutcomes"), s.Add(a.stream), s.Add(a.sequence);
}
template <typename S>
void Walk(S& s, const sa::Drain& a) {
  s.Name("Drain"), s.Add(a.stream);
}
template <typename S>
void Walk(S& s, const sa::Resume& a) {
  s.Name("Resume"), s.Add(a.stream), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const sa::Retire& a) {
  s.Name("Retire"), s.Add(a.stream);
}
template <typename S>
void Walk(S& s, const sa::Gather& a) {
  s.Name("Gather"), s.Add(a.stream), Add(s, a.object);
}
template <typename S>
void Walk(S& s, const sa::Reply& a) {
  s.Name("Reply"), s.Add(a.token), s.Add(uint64_t{a.code}), s.Add(a.message),
      s.Add(uint64_t{a.job});
  s.Add(uint64_t{a.next_batch});
}
template <typename S>
void Walk(S& s, const sa::JobChanged& a) {
  s.Name("JobChanged"), s.Add(uint64_t{a.job});
}
template <typename S>
void Walk(S& s, const sa::JobForgotten& a) {
  s.Name("JobForgotten"), s.Add(uint64_t{a.job});
}
template <typename S>
void Walk(S& s, const sa::ObjectChanged& a) {
  s.Name("ObjectChanged"), s.Add(a.object);
}
template <typename S>
void Walk(S& s, const sa::Journal& a) {
  s.Name("Journal"), s.Add(static_cast<uint64_t>(a.kind)), s.Add(TaskId{a.job, a.number});
  s.Add(uint64_t{a.attempt}), s.Add(a.failure);
  List(s, "outputs", a.outputs);
  List(s, "tasks", a.tasks);
}

template <typename S>
void Walk(S& s, const se::WorkerHello& e) {
  s.Name("WorkerHello"), s.Add(e.stream), s.Add(e.identity), s.Add(e.incarnation),
      s.Add(uint64_t{e.host});
}
template <typename S>
void Walk(S& s, const se::WorkerInventory& e) {
  s.Name("WorkerInventory"), s.Add(e.stream), Add(s, e.chunk);
}
template <typename S>
void Walk(S& s, const se::InventoryDone& e) {
  s.Name("InventoryDone"), s.Add(e.stream);
}
template <typename S>
void Walk(S& s, const se::WorkerReport& e) {
  s.Name("WorkerReport"), s.Add(e.stream);
  List(s, "started", e.started);
  List(s, "outcome", e.outcomes);
  List(s, "added", e.replicas_added);
  List(s, "lost", e.replicas_lost);
  List(s, "not gathered", e.gathers_failed);
}
template <typename S>
void Walk(S& s, const se::WorkerGoodbye& e) {
  s.Name("WorkerGoodbye"), s.Add(e.stream);
}
template <typename S>
void Walk(S& s, const se::WorkerClosed& e) {
  s.Name("WorkerClosed"), s.Add(e.stream);
}
template <typename S>
void Walk(S& s, const se::DrainWorker& e) {
  s.Name("DrainWorker"), s.Add(e.token), s.Add(e.worker), s.Add(uint64_t{e.retire});
}
template <typename S>
void Walk(S& s, const se::SetPool& e) {
  s.Name("SetPool"), s.Add(e.token), s.Add(uint64_t{e.pool}), s.Add(uint64_t{e.capacity_milli});
}
template <typename S>
void Walk(S& s, const se::OpenJob& e) {
  s.Name("OpenJob"), s.Add(e.token), s.Add(e.submission_lo);
}
template <typename S>
void Walk(S& s, const se::AddBatch& e) {
  s.Name("AddBatch"), s.Add(e.token), s.Add(uint64_t{e.job}), s.Add(uint64_t{e.number});
  s.Name("tasks"), s.Add(uint64_t{e.batch.tasks.size()});
}
template <typename S>
void Walk(S& s, const se::SealJob& e) {
  s.Name("SealJob"), s.Add(e.token), s.Add(uint64_t{e.job});
}
template <typename S>
void Walk(S& s, const se::SetRanks& e) {
  s.Name("SetRanks"), s.Add(uint64_t{e.job}), s.Add(uint64_t{e.first});
  for (uint32_t rank : e.rank) s.Add(uint64_t{rank});
  for (uint32_t tail : e.tail) s.Add(uint64_t{tail});
}
template <typename S>
void Walk(S& s, const se::CancelJob& e) {
  s.Name("CancelJob"), s.Add(e.token), s.Add(uint64_t{e.job});
}
template <typename S>
void Walk(S& s, const se::CancelTasks& e) {
  s.Name("CancelTasks"), s.Add(e.token), s.Add(uint64_t{e.job}), List(s, "tasks", e.tasks);
}
template <typename S>
void Walk(S& s, const se::ClientGone& e) {
  s.Name("ClientGone"), s.Add(e.client), s.Add(e.for_good);
}
template <typename S>
void Walk(S& s, const se::ClientBack& e) {
  s.Name("ClientBack"), s.Add(e.client);
}
template <typename S>
void Walk(S& s, const se::ForgetJob& e) {
  s.Name("ForgetJob"), s.Add(e.token), s.Add(uint64_t{e.job});
}
template <typename S>
void Walk(S& s, const se::RetryTasks& e) {
  s.Name("RetryTasks"), s.Add(e.token), s.Add(uint64_t{e.job});
  s.Add(uint64_t{e.cancelled_too}), List(s, "tasks", e.tasks);
}
template <typename S>
void Walk(S& s, const se::PublishDataset& e) {
  s.Name("PublishDataset"), s.Add(e.token), s.Add(uint64_t{e.objects.job});
  s.Add(uint64_t{e.objects.first}), s.Add(uint64_t{e.objects.count});
  s.Add(uint64_t{e.objects.stride});
}
template <typename S>
void Walk(S& s, const se::SubmitFromTask& e) {
  s.Name("SubmitFromTask"), s.Add(e.token), s.Add(e.stream), s.Add(e.attempt);
  s.Add(uint64_t{e.number}), s.Add(uint64_t{e.early}), s.Add(uint64_t{e.batch.tasks.size()});
}
template <typename S>
void Walk(S& s, const se::YieldAttempt& e) {
  s.Name("YieldAttempt"), s.Add(e.stream), s.Add(e.attempt), List(s, "awaits", e.awaits);
}
template <typename S>
void Walk(S& s, const se::DropDataset& e) {
  s.Name("DropDataset"), s.Add(e.token);
}
template <typename S>
void Walk(S& s, const se::SetWants& e) {
  s.Name("SetWants"), s.Add(e.client), List(s, "objects", e.objects);
}

template <typename S>
void Walk(S& s, const wa::SendInventory& a) {
  s.Name("SendInventory"), s.Add(a.session), Add(s, a.chunk);
}
template <typename S>
void Walk(S& s, const wa::SendInventoryDone& a) {
  s.Name("SendInventoryDone"), s.Add(a.session);
}
template <typename S>
void Walk(S& s, const wa::SendStarted& a) {
  s.Name("SendStarted"), s.Add(a.session), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const wa::SendOutcome& a) {
  s.Name("SendOutcome"), s.Add(a.session), Add(s, a.outcome);
}
template <typename S>
void Walk(S& s, const wa::SendReplicaAdded& a) {
  s.Name("SendReplicaAdded"), s.Add(a.session), Add(s, a.replica);
}
template <typename S>
void Walk(S& s, const wa::SendReplicaLost& a) {
  s.Name("SendReplicaLost"), s.Add(a.session), s.Add(a.object);
}
template <typename S>
void Walk(S& s, const wa::SendGatherFailed& a) {
  s.Name("SendGatherFailed"), s.Add(a.session), Add(s, a.failure);
}
template <typename S>
void Walk(S& s, const wa::SendSubmit& a) {
  s.Name("SendSubmit"), s.Add(a.session), s.Add(a.attempt), s.Add(uint64_t{a.number});
}
template <typename S>
void Walk(S& s, const wa::SendYield& a) {
  s.Name("SendYield"), s.Add(a.session), s.Add(a.attempt), List(s, "awaits", a.awaits);
}
template <typename S>
void Walk(S& s, const wa::ResumeExec& a) {
  s.Name("ResumeExec"), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const wa::ReleaseSubmission& a) {
  s.Name("ReleaseSubmission"), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const wa::StartFetch& a) {
  s.Name("StartFetch"), s.Add(a.fetch), s.Add(a.peer), List(s, "items", a.items);
}
template <typename S>
void Walk(S& s, const wa::CancelFetch& a) {
  s.Name("CancelFetch"), s.Add(a.fetch);
}
template <typename S>
void Walk(S& s, const wa::StartExec& a) {
  s.Name("StartExec"), s.Add(a.attempt);
  List(s, "units", a.units);
}
template <typename S>
void Walk(S& s, const wa::KillExec& a) {
  s.Name("KillExec"), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const wa::ReleaseAttempt& a) {
  s.Name("ReleaseAttempt"), s.Add(a.attempt);
}
template <typename S>
void Walk(S& s, const wa::PutValues& a) {
  s.Name("PutValues"), s.Add(a.fetch), List(s, "items", a.items);
}
template <typename S>
void Walk(S& s, const wa::Spill& a) {
  s.Name("Spill"), s.Add(a.spill), List(s, "items", a.items);
}
template <typename S>
void Walk(S& s, const wa::Drop& a) {
  s.Name("Drop"), Add(s, a.key);
}
template <typename S>
void Walk(S& s, const wa::DropAll&) {
  s.Name("DropAll");
}
template <typename S>
void Walk(S& s, const wa::Stopped&) {
  s.Name("Stopped");
}

template <typename S>
void Walk(S& s, const we::SessionUp& e) {
  s.Name("SessionUp"), s.Add(e.session), s.Add(e.worker), s.Add(uint64_t{e.other_cluster});
}
template <typename S>
void Walk(S& s, const we::SessionDown& e) {
  s.Name("SessionDown"), s.Add(e.session);
}
template <typename S>
void Walk(S& s, const we::Assign& e) {
  s.Name("Assign"), s.Add(e.session), Add(s, e.assignment);
  for (uint32_t at : e.valued) s.Name("valued"), s.Add(uint64_t{at});
}
template <typename S>
void Walk(S& s, const we::Retract& e) {
  s.Name("Retract"), s.Add(e.session), s.Add(e.attempt);
}
template <typename S>
void Walk(S& s, const we::Cancel& e) {
  s.Name("Cancel"), s.Add(e.session), s.Add(e.attempt);
}
template <typename S>
void Walk(S& s, const we::Free& e) {
  s.Name("Free"), s.Add(e.session), s.Add(e.object);
}
template <typename S>
void Walk(S& s, const we::Gather& e) {
  s.Name("Gather"), s.Add(e.session), Add(s, e.object);
  if (e.values != nullptr) s.Name("valued");
}
template <typename S>
void Walk(S& s, const we::AckOutcomes& e) {
  s.Name("AckOutcomes"), s.Add(e.session), s.Add(e.sequence);
}
template <typename S>
void Walk(S& s, const we::FetchDone& e) {
  s.Name("FetchDone"), s.Add(e.fetch), List(s, "items", e.items);
}
template <typename S>
void Walk(S& s, const we::ExecDone& e) {
  s.Name("ExecDone"), s.Add(e.attempt), s.Add(e.end), s.Add(e.failure),
      List(s, "outputs", e.outputs);
}
template <typename S>
void Walk(S& s, const we::Spilled& e) {
  s.Name("Spilled"), s.Add(e.spill), List(s, "results", e.results);
}
template <typename S>
void Walk(S& s, const we::ExecSubmit& e) {
  s.Name("ExecSubmit"), s.Add(e.attempt), s.Add(uint64_t{e.early});
}
template <typename S>
void Walk(S& s, const we::ExecYield& e) {
  s.Name("ExecYield"), s.Add(e.attempt), List(s, "awaits", e.awaits);
}
template <typename S>
void Walk(S& s, const we::SubmitAnswered& e) {
  s.Name("SubmitAnswered"), s.Add(e.session), s.Add(e.attempt), s.Add(uint64_t{e.number});
  s.Add(uint64_t{e.taken});
}
template <typename S>
void Walk(S& s, const we::Resume& e) {
  s.Name("Resume"), s.Add(e.session), s.Add(e.attempt);
}
template <typename S>
void Walk(S& s, const we::ReplicaLost& e) {
  s.Name("ReplicaLost"), s.Add(e.object);
}
template <typename S>
void Walk(S& s, const we::Shutdown&) {
  s.Name("Shutdown");
}

template <typename V>
std::string Text(const V& value) {
  TextSink sink;
  std::visit([&sink](const auto& v) { Walk(sink, v); }, value);
  return sink.out;
}
template <typename V>
uint64_t Hash(uint64_t seed, const V& value) {
  HashSink sink{seed};
  std::visit([&sink](const auto& v) { Walk(sink, v); }, value);
  return sink.hash;
}

}  // namespace

std::string Describe(const scheduler::Event& event) { return Text(event); }
std::string Describe(const scheduler::Action& action) { return Text(action); }
std::string Describe(const worker::Event& event) { return Text(event); }
std::string Describe(const worker::Action& action) { return Text(action); }

uint64_t HashOf(uint64_t seed, const scheduler::Action& action) { return Hash(seed, action); }
uint64_t HashOf(uint64_t seed, const worker::Action& action) { return Hash(seed, action); }

}  // namespace taskd::sim
