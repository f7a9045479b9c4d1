// The scheduler core under a scenario. The README of this folder lists the lines.
#include <map>
#include <memory>
#include <optional>
#include <variant>
#include <vector>

#include "common/base/names.h"
#include "common/base/text.h"
#include "scheduler/core/scheduler_core.h"
#include "tests/scenarios/driver.h"
#include "tests/scenarios/scheduler_answers.h"
#include "tests/scenarios/scheduler_names.h"

namespace taskd::scenario {
namespace {

using namespace taskd::scheduler;  // NOLINT: every name of the core's events and actions

// "refuse" is not among them: it takes 65,535 workers.
constexpr std::string_view kActions[] = {
    "welcome", "close_stream", "assign", "retract", "cancel",  "free",      "ack",
    "drain",   "reply",        "job",    "object",  "journal", "forgotten", "resume"};
constexpr std::string_view kEvents[] = {
    "hello",        "inventory",   "inventory_done", "started", "finish", "fail",       "cancelled",
    "retracted",    "refused",     "stuck",          "added",   "lost",   "beat",       "goodbye",
    "close",        "drain",       "open",           "batch",   "seal",   "cancel_job", "wants",
    "cancel_tasks", "retry_tasks", "forget_job",     "gone",    "back",   "publish",    "drop",
    "restart",      "submit",      "yield"};
constexpr std::string_view kRecords[] = {"",       "open",          "batch",       "seal",
                                         "finish", "final_failure", "cancel",      "retry",
                                         "forget", "cancel_tasks",  "retry_tasks", "publish",
                                         "drop",   "start",         "submit",      "discard"};
constexpr uint32_t kAllStates = 0xFFFFFFFFu;
constexpr uint32_t kSampled = 1000;  // tasks of a job looked at after each step

class SchedulerDriver : public Driver {
 public:
  explicit SchedulerDriver(const Words& words)
      : config_(MakeConfig(words)), core_(std::make_unique<SchedulerCore>(config_)) {
    journal_.push_back({{.kind = action::RecordKind::kStart, .number = config_.start_count}, {}});
    for (auto name : kActions) coverage_[StrCat("action ", name)] = 0;
    for (auto name : kEvents) coverage_[StrCat("event ", name)] = 0;
    for (uint8_t i = 1; i <= 7; ++i)
      coverage_[StrCat("end ", Name(static_cast<AttemptEnd>(i)))] = 0;
    for (uint8_t i = 1; i <= 6; ++i)
      coverage_[StrCat("task ", Name(static_cast<TaskState>(i)))] = 0;
    for (uint8_t i = 1; i <= static_cast<uint8_t>(kLastWaitReason); ++i) {
      const auto reason = static_cast<WaitReason>(i);
      if (reason != WaitReason::kJobOpen && reason != WaitReason::kSuspect)
        coverage_[StrCat("reason ", Name(reason))] = 0;  // of jobs, not of tasks
    }
    for (uint8_t i = 1; i <= 6; ++i)
      coverage_[StrCat("worker ", Name(static_cast<WorkerState>(i)))] = 0;
    for (uint8_t i = 1; i <= 5; ++i) coverage_[StrCat("job ", Name(static_cast<JobState>(i)))] = 0;
  }

  void Input(std::string_view line) override {
    const size_t colon = line.find(": ");
    const bool batch = (line.rfind("batch", 0) == 0 || line.rfind("submit", 0) == 0) &&
                       colon != std::string_view::npos;
    const Words words(batch ? line.substr(0, colon) : line);
    if (batch) {
      const JobId job = names_.JobOf(words);
      if (words[0] == "submit") {  // submit w1 a job=2 early: b; c in=b.0
        const AttemptRef attempt = names_.ParseAttempt(words[2], words[1]);
        const auto n = static_cast<uint32_t>(words.Number("n", names_.Batches(job)));
        events_.push_back(event::SubmitFromTask{next_token_++, names_.StreamOf(words[1]), attempt,
                                                n, words.Flag("early"),
                                                names_.ParseBatch(job, line.substr(colon + 2))});
        Met("event", "submit");
        return;
      }
      const auto number = static_cast<uint32_t>(words.Number("n", names_.Batches(job)));
      events_.push_back(event::AddBatch{next_token_++, job, number,
                                        names_.ParseBatch(job, line.substr(colon + 2))});
      Met("event", "batch");
      return;
    }
    if (words[0] == "restart") return Restart(words);
    if (!FromWorker(words) && !FromClient(words))
      throw ScenarioError{StrCat("no such event: ", words[0])};
    Met("event", words[0] == "worker" ? "hello" : words[0] == "rebatch" ? "batch" : words[0]);
  }

  uint64_t Step(uint64_t now_ns, uint32_t budget, std::vector<std::string>& out) override {
    std::vector<Action> actions;
    now_ns_ = now_ns;
    for (const Event& any : events_) {
      std::visit(
          [&](const auto& e) {
            if constexpr (requires { e.token; }) requests_.emplace(e.token, any);
          },
          any);
    }
    wake_ = core_->Step(now_ns, events_, budget, actions);
    events_.clear();
    for (const Action& action : actions) {
      if (const auto* record = std::get_if<action::Journal>(&action)) {
        journal_.push_back({*record, {}});
        if (record->token != 0) journal_.back().request = requests_.at(record->token);
      }
      std::string text =
          std::visit([this](const auto& a) { return this->TextOfAction(a); }, action);
      Met("action", text.substr(0, text.find(' ')));
      out.push_back(std::move(text));
    }
    Sample();
    return wake_;
  }

  std::string Ask(std::string_view question) override {
    if (question == "wake") return wake_ == kNever ? "never" : TimeText(wake_);
    return AskScheduler(*core_, names_, Words(question));
  }
  std::string Validate() const override { return core_->Validate(); }

 private:
  static Config MakeConfig(const Words& words) {
    Config config;
    config.start_count = static_cast<uint32_t>(words.Number("start", 1));
    config.rerun_after_closed_ns = words.Duration("rerun_after", config.rerun_after_closed_ns);
    config.silent_ns = words.Duration("silent", config.silent_ns);
    config.forget_after_ns = words.Duration("forget_after", config.forget_after_ns);
    config.quarantine_ns = words.Duration("quarantine", config.quarantine_ns);
    config.client_lease_ns = words.Duration("client_lease", config.client_lease_ns);
    config.ended_jobs_kept =
        static_cast<uint32_t>(words.Number("ended_jobs", config.ended_jobs_kept));
    config.forgotten_jobs_kept =
        static_cast<uint32_t>(words.Number("forgotten_jobs", config.forgotten_jobs_kept));
    config.early_fetch_ns = words.Duration("early_fetch", config.early_fetch_ns);
    config.lookahead_ns = words.Duration("lookahead", config.lookahead_ns);
    return config;
  }

  // A new core reads the journal but for its last `lose` records. No stream lives on.
  void Restart(const Words& words) {
    journal_.resize(journal_.size() - words.Number("lose", 0));
    ++config_.start_count;
    core_ = std::make_unique<SchedulerCore>(config_);
    for (const Entry& entry : journal_) {
      std::optional<Event> request = entry.request;
      const absl::Status status =
          core_->Restore(now_ns_, entry.record, request ? &*request : nullptr);
      if (!status.ok()) throw ScenarioError{std::string(status.message())};
    }
    journal_.push_back({{.kind = action::RecordKind::kStart, .number = config_.start_count}, {}});
    Met("event", "restart");
  }

  // Every state and reason that a user could see now counts as met; Explain must answer for every
  // task.
  void Sample() {
    for (const WorkerView& w : core_->ListWorkers()) Met("worker", Name(w.state));
    JobId next_job = 0;
    for (JobId id : core_->ListJobs(0, kSampled, &next_job)) {
      Met("job", Name(core_->GetJob(id)->state));
      Ordinal next = 0;
      for (const TaskView& t : core_->ListTasks(id, kAllStates, 0, kSampled, &next)) {
        Met("task", Name(t.state));
        const auto explanation = core_->Explain(t.task);
        if (!explanation) throw ScenarioError{StrCat("nothing explains ", names_.TextOf(t.task))};
        const WaitReason reason = explanation->task.reason;
        if (reason != WaitReason::kNone) Met("reason", Name(reason));
      }
    }
    for (uint8_t i = 1; i <= 7; ++i) {
      if (core_->counters().attempts_ended[i] > 0) Met("end", Name(static_cast<AttemptEnd>(i)));
    }
  }

  bool FromWorker(const Words& words);
  bool FromClient(const Words& words);
  Inventory ParseInventory(const Words& words);
  Outcome ParseOutcome(const Words& words);
  BadHolder ParseBadHolder(const std::string& text);
  Replica ParseReplica(const std::string& text);

  std::string TextOfAction(const action::Welcome& a);
  std::string TextOfAction(const action::Assign& a);
  std::string TextOfAction(const action::Reply& a);
  std::string TextOfAction(const action::Journal& a);
  std::string TextOfAction(const action::Refuse& a) {
    return StrCat("refuse ", names_.StreamText(a.stream), " ", Quoted(a.reason));
  }
  std::string TextOfAction(const action::CloseStream& a) {
    return "close_stream " + names_.StreamText(a.stream);
  }
  std::string TextOfAction(const action::Retract& a) {
    return StrCat("retract ", names_.StreamText(a.stream), " ", names_.TextOf(a.attempt));
  }
  std::string TextOfAction(const action::Cancel& a) {
    return StrCat("cancel ", names_.StreamText(a.stream), " ", names_.TextOf(a.attempt));
  }
  std::string TextOfAction(const action::Resume& a) {
    return StrCat("resume ", names_.StreamText(a.stream), " ", names_.TextOf(a.attempt));
  }
  std::string TextOfAction(const action::Free& a) {
    return StrCat("free ", names_.StreamText(a.stream), " ", names_.TextOf(a.object));
  }
  std::string TextOfAction(const action::AckOutcomes& a) {
    return StrCat("ack ", names_.StreamText(a.stream), " ", a.sequence);
  }
  std::string TextOfAction(const action::Drain& a) {
    return "drain " + names_.StreamText(a.stream);
  }
  std::string TextOfAction(const action::Retire& a) {
    return "retire " + names_.StreamText(a.stream);
  }
  std::string TextOfAction(const action::Gather& a) {
    return StrCat("gather ", names_.StreamText(a.stream), " ", names_.TextOf(a.object.id), "~",
                  a.object.size_bytes, "@", HoldersText(names_, a.object.holders));
  }
  std::string TextOfAction(const action::JobChanged& a) { return StrCat("job ", a.job); }
  std::string TextOfAction(const action::JobForgotten& a) { return StrCat("forgotten ", a.job); }
  std::string TextOfAction(const action::ObjectChanged& a) {
    return "object " + names_.TextOf(a.object);
  }

  struct Entry {
    action::Journal record;
    std::optional<Event> request;
  };
  Config config_;
  std::unique_ptr<SchedulerCore> core_;
  std::vector<Entry> journal_;
  std::map<Token, Event> requests_;
  uint64_t now_ns_ = 0;
  SchedulerNames names_;
  std::vector<Event> events_;
  Token next_token_ = 1;
  uint64_t wake_ = kNever;
};

// --- Events

bool SchedulerDriver::FromWorker(const Words& words) {
  const std::string& verb = words[0];
  if (verb == "hello" || verb == "worker") {
    SchedulerNames::Worker& worker = names_.WorkerNamed(words[1]);
    const uint64_t incarnation = words.Number("inc", worker.incarnation);
    if (incarnation != worker.incarnation) worker.next_sequence = 1;
    worker.incarnation = incarnation;
    const uint64_t stream = names_.NewStream(words[1]);
    Resources capacity = ParseResources(words, 4000);
    if (!words.Has("mem")) capacity.memory_bytes = uint64_t{1} << 30;
    events_.push_back(
        event::WorkerHello{stream, worker.identity, incarnation, capacity,
                           static_cast<uint32_t>(words.Number("host", worker.identity)),
                           static_cast<uint32_t>(worker.identity), ParseNumbers(words.Get("attrs")),
                           words.Duration("ends", 0), words.Bytes("store", 0)});
    if (verb == "worker") events_.push_back(event::InventoryDone{stream});
    return true;
  }
  if (words.size() < 2) return false;
  auto stream = [&] { return names_.StreamOf(words[1]); };
  event::WorkerReport report;
  if (verb == "inventory") {
    events_.push_back(event::WorkerInventory{stream(), ParseInventory(words)});
  } else if (verb == "inventory_done") {
    events_.push_back(event::InventoryDone{stream()});
  } else if (verb == "yield") {  // yield w1 a b.0 c.0
    event::YieldAttempt yield{stream(), names_.ParseAttempt(words[2], words[1]), {}};
    for (uint32_t i = 3; i < words.size(); ++i)
      yield.awaits.push_back(names_.ParseObject(words[i]));
    events_.push_back(std::move(yield));
  } else if (verb == "goodbye") {
    events_.push_back(event::WorkerGoodbye{stream()});
  } else if (verb == "close") {
    events_.push_back(event::WorkerClosed{stream()});
  } else if (verb == "drain") {
    events_.push_back(
        event::DrainWorker{next_token_++, names_.ParseWorkerId(words[1]), words.Flag("retire")});
  } else if (verb == "started" || verb == "added" || verb == "lost" || verb == "not_gathered" ||
             verb == "beat") {
    report.stream = stream();
    for (uint32_t i = 2; i < words.size(); ++i) {
      if (verb == "started") report.started.push_back(names_.ParseAttempt(words[i], words[1]));
      if (verb == "added") report.replicas_added.push_back(ParseReplica(words[i]));
      if (verb == "lost") report.replicas_lost.push_back(names_.ParseVersion(words[i]));
      if (verb == "not_gathered") {
        const BadHolder bad = ParseBadHolder(words[i]);
        report.gathers_failed.push_back({bad.id, {bad}});
      }
    }
    events_.push_back(std::move(report));
  } else if (verb == "finish" || verb == "fail" || verb == "cancelled" || verb == "retracted" ||
             verb == "refused" || verb == "stuck") {
    report.stream = stream();
    report.outcomes.push_back(ParseOutcome(words));
    events_.push_back(std::move(report));
  } else {
    return false;
  }
  return true;
}

bool SchedulerDriver::FromClient(const Words& words) {
  const std::string& verb = words[0];
  const JobId job = names_.JobOf(words);
  if (verb == "open") {
    const std::string priority = words.Get("prio", "0");
    const bool minus = priority[0] == '-';
    const auto value =
        static_cast<int32_t>(ParseNumber(minus ? priority.substr(1) : priority)) * (minus ? -1 : 1);
    const Token token = next_token_++;
    event::OpenJob open{token, 0, words.Number("id", token), value, words.Duration("ttl", 0)};
    open.owner = static_cast<uint32_t>(words.Number("owner", 0));
    open.weight = static_cast<uint32_t>(words.Number("weight", open.weight));
    open.max_running = static_cast<uint32_t>(words.Number("max", 0));
    if (words.Has("client")) open.client = ParseNumber(words.Get("client").substr(1));
    events_.push_back(open);
  } else if (verb == "rebatch") {  // a batch that is not the next one, without content
    events_.push_back(
        event::AddBatch{next_token_++, job, static_cast<uint32_t>(words.Number("n", 0)), {}});
  } else if (verb == "seal") {
    const auto batches = static_cast<uint32_t>(words.Has("batches") ? words.Number("batches", 0)
                                                                    : names_.Batches(job));
    events_.push_back(event::SealJob{next_token_++, job, batches});
  } else if (verb == "ranks") {  // a=RANK or a=RANK/TAIL
    for (const auto& [name, value] : words.pairs()) {
      const auto numbers = Split(value, '/');
      const TaskId task = names_.ParseTask(name);
      events_.push_back(event::SetRanks{
          task.job,
          task.ordinal,
          {static_cast<uint32_t>(ParseNumber(numbers[0]))},
          {numbers.size() > 1 ? static_cast<uint32_t>(ParseNumber(numbers[1])) : 0u}});
    }
  } else if (verb == "pool") {  // pool 7 2
    events_.push_back(event::SetPool{next_token_++, static_cast<uint16_t>(ParseNumber(words[1])),
                                     static_cast<uint32_t>(ParseNumber(words[2])) * 1000});
  } else if (verb == "gone" || verb == "back") {
    const ClientId client = ParseNumber(words[1].substr(1));
    if (verb == "gone")
      events_.push_back(event::ClientGone{client, words.size() > 2 && words[2] == "for_good"});
    if (verb == "back") events_.push_back(event::ClientBack{client});
  } else if (verb == "publish") {  // publish NAME 1/m:0
    events_.push_back(
        event::PublishDataset{next_token_++, words[1], names_.ParseObjects(words[2], job)});
  } else if (verb == "drop") {
    events_.push_back(event::DropDataset{next_token_++, words[1]});
  } else if (verb == "forget_job") {
    events_.push_back(event::ForgetJob{next_token_++, job});
  } else if (verb == "cancel_job") {
    events_.push_back(event::CancelJob{next_token_++, job});
  } else if (verb == "cancel_tasks" || verb == "retry_tasks") {  // "retry_tasks cancelled a b*3"
    std::vector<OrdinalRange> tasks;
    bool cancelled_too = false;
    JobId of = job;
    for (uint32_t i = 1; i < words.size(); ++i) {
      if (words[i] == "cancelled") {
        cancelled_too = true;
        continue;
      }
      const auto by = Split(words[i], '/');  // m0*3/2: m0, m2, m4
      const auto parts = Split(by[0], '*');
      const TaskId first = names_.ParseTask(parts[0]);
      tasks.push_back({first.ordinal,
                       parts.size() > 1 ? static_cast<uint32_t>(ParseNumber(parts[1])) : 1,
                       by.size() > 1 ? static_cast<uint32_t>(ParseNumber(by[1])) : 1});
      of = first.job;
    }
    if (verb == "cancel_tasks") events_.push_back(event::CancelTasks{next_token_++, of, tasks});
    if (verb == "retry_tasks")
      events_.push_back(event::RetryTasks{next_token_++, of, tasks, cancelled_too});
  } else if (verb == "wants") {
    event::SetWants wants;
    wants.client = ParseNumber(words[1].substr(1));
    for (uint32_t i = 2; i < words.size(); ++i)
      wants.objects.push_back(names_.ParseObject(words[i]));
    events_.push_back(std::move(wants));
  } else {
    return false;
  }
  return true;
}

// "a.0#1~100"
Replica SchedulerDriver::ParseReplica(const std::string& text) {
  const auto parts = Split(text, '~');
  return {names_.ParseVersion(parts[0]), parts.size() > 1 ? ParseBytesOf(parts[1]) : 100,
          kUsualCrc};
}

Inventory SchedulerDriver::ParseInventory(const Words& words) {
  Inventory out;
  for (const auto& [key, value] : words.pairs()) {
    for (const std::string& item : Split(value, ',')) {
      if (key == "have") out.replicas.push_back(ParseReplica(item));
      if (key == "assigned") out.assigned.push_back(names_.ParseAttempt(item, words[1]));
      if (key == "running") out.running.push_back(names_.ParseAttempt(item, words[1]));
    }
  }
  return out;
}

// finish w1 a size=100,200 run=1s | fail w1 a exit=3 msg="..." | stuck w1 b bad=a.0@w2:missing |
// retracted w1 a
// a.0@w2 or a.0@w2:missing
BadHolder SchedulerDriver::ParseBadHolder(const std::string& text) {
  const auto parts = Split(text, ':');
  const auto at = Split(parts[0], '@');
  if (at.size() != 2) throw ScenarioError{"write bad=a.0@w2 or bad=a.0@w2:missing"};
  return {names_.ParseVersion(at[0]), names_.ParseWorkerId(at[1]), parts.size() > 1};
}

Outcome SchedulerDriver::ParseOutcome(const Words& words) {
  const std::string& verb = words[0];
  Outcome o;
  SchedulerNames::Worker& worker = names_.WorkerNamed(Split(words[1], '/')[0]);
  o.sequence = words.Has("seq") ? words.Number("seq", 0) : worker.next_sequence++;
  o.attempt = names_.ParseAttempt(words[2], words[1]);
  o.message = words.Get("msg");
  if (verb == "finish") {
    o.run_ns = words.Duration("run", 10'000'000);
    o.first_output = names_.FirstOutput(o.attempt.task);
    o.submitted = static_cast<uint32_t>(words.Number("submitted", 0));
    const auto sizes = Split(words.Get("size"), ',');
    for (uint32_t i = 0; i < names_.OutputCount(o.attempt.task); ++i) {
      if (i < sizes.size() && sizes[i].starts_with('>')) {  // delegated
        o.outputs.push_back({.delegated = names_.ParseObject(sizes[i].substr(1)).ordinal});
      } else {
        o.outputs.push_back({i < sizes.size() ? ParseBytesOf(sizes[i]) : 100, kUsualCrc});
      }
    }
  } else if (verb == "fail") {
    o.end = AttemptEnd::kFailed;
    o.failure = ParseFailureClass(words.Get("class", "exit"));
    o.exit_code = static_cast<int32_t>(words.Number("exit", 1));
    o.run_ns = words.Duration("run", 10'000'000);
  } else if (verb == "stuck") {
    o.end = AttemptEnd::kStuck;
    for (const std::string& text : Split(words.Get("bad"), ','))
      o.bad_holders.push_back(ParseBadHolder(text));
  } else {
    o.end = verb == "cancelled" ? AttemptEnd::kCancelled
            : verb == "refused" ? AttemptEnd::kRefused
                                : AttemptEnd::kRetracted;
  }
  return o;
}

// --- Actions

std::string SchedulerDriver::TextOfAction(const action::Welcome& a) {
  names_.Welcomed(a.stream, a.worker);
  return StrCat("welcome ", names_.StreamText(a.stream), " ", ToString(a.worker));
}

std::string SchedulerDriver::TextOfAction(const action::Assign& a) {
  const Assignment& t = a.assignment;
  names_.Assigned(a.stream, t.attempt);
  std::string out = StrCat("assign ", names_.StreamText(a.stream), " ", names_.TextOf(t.attempt));
  if (t.body != 0) out += StrCat(" body=", t.body);
  if (t.need.cpus_milli != 1000) out += StrCat(" cpus_milli=", t.need.cpus_milli);
  if (t.need.memory_bytes != 0) out += StrCat(" mem=", t.need.memory_bytes);
  out += PoolsText(t.need);
  if (t.priority != 0) out += StrCat(" prio=", t.priority);
  if (t.time_limit_ns != 0) out += StrCat(" limit=", TimeText(t.time_limit_ns));
  if (t.next_use == kNoUse) out += " next=none";
  // The rank of the reader.
  if (t.next_use < kUnknownUse) out += StrCat(" next=", t.next_use & 0x7FFFFFFF);
  for (const InputEdge& edge : t.edges) {
    out += StrCat(" in", Text(edge.parts), "=");
    for (uint32_t i = edge.first; i < edge.first + edge.count; ++i) {
      const InputObject& o = t.objects.at(i);
      out += StrCat(i == edge.first ? "" : ",", names_.TextOf(o.id), "~", o.size_bytes, "@",
                    HoldersText(names_, o.holders));
    }
  }
  return out;
}

std::string SchedulerDriver::TextOfAction(const action::Reply& a) {
  if (a.code != 0) return StrCat("reply ", a.token, " code=", a.code, " ", Quoted(a.message));
  if (a.job != 0 && core_->GetJob(a.job)) names_.JobOpened(a.job);
  return StrCat("reply ", a.token, " ok", a.job != 0 ? StrCat(" job=", a.job) : "",
                a.next_batch != 0 ? StrCat(" next=", a.next_batch) : "",
                a.message.empty() ? "" : " " + Quoted(a.message));
}

std::string SchedulerDriver::TextOfAction(const action::Journal& a) {
  std::string out = StrCat("journal ", kRecords[static_cast<uint8_t>(a.kind)], " job=", a.job);
  switch (a.kind) {
    case action::RecordKind::kFinish:
    case action::RecordKind::kFinalFailure:
    case action::RecordKind::kRetry:
      out += " " + names_.TextOf(AttemptRef{{a.job, a.number}, a.attempt});
      break;
    case action::RecordKind::kCancelTasks:
    case action::RecordKind::kRetryTasks:
      if (a.number != 0) out += " cancelled";
      for (const OrdinalRange& range : a.tasks) {
        out += " " + names_.TextOf(TaskId{a.job, range.first});
        if (range.count != 1) out += StrCat("*", range.count);
        if (range.stride != 1) out += StrCat("/", range.stride);
      }
      break;
    case action::RecordKind::kSubmit:
    case action::RecordKind::kBatch:
    case action::RecordKind::kSeal:
      out += StrCat(" n=", a.number);
      break;
    default:
      break;
  }
  if (a.failure != FailureClass::kNone) out += StrCat(" ", Name(a.failure));
  for (uint32_t i = 0; i < a.outputs.size(); ++i) {
    out += (i == 0 ? " out=" : ",") + OutputText(a.outputs[i]);
  }
  return out;
}

}  // namespace

std::unique_ptr<Driver> MakeSchedulerDriver(const Words& config) {
  return std::make_unique<SchedulerDriver>(config);
}

}  // namespace taskd::scenario
