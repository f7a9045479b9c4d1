// The worker core under a scenario. The README of this folder lists the lines.
#include "common/base/names.h"
#include "common/base/text.h"
#include "tests/scenarios/driver.h"
#include "worker/core/worker_core.h"

namespace taskd::worker {

class Values {};  // a scenario has no bytes

}  // namespace taskd::worker

namespace taskd::scenario {
namespace {

using namespace taskd::worker;  // NOLINT: every name of the core's events and actions

constexpr std::string_view kActions[] = {
    "inventory", "inventory_done", "started", "outcome", "added",       "lost",
    "fetch",     "cancel_fetch",   "exec",    "kill",    "release",     "drop",
    "drop_all",  "stopped",        "submit",  "yield",   "resume_exec", "release_submission",
    "spill",     "empty",          "values"};
constexpr std::string_view kEvents[] = {
    "session", "down",   "assign", "retract",  "cancel", "free",  "ack",    "fetched", "done",
    "failed",  "killed", "lost",   "shutdown", "submit", "yield", "answer", "resume",  "spilled"};
constexpr std::string_view kSpillResults[] = {"ok", "failed", "gone"};
constexpr std::string_view kStatus[] = {"ok", "missing", "busy", "io_error", "unreachable"};

// "t3", "t3#2", "2.t3#2": job 1 and try 1 unless said.
AttemptRef ParseAttempt(std::string_view text) {
  AttemptRef ref;
  ref.task.job = 1;
  ref.attempt = MakeAttemptId(1, 1);
  const size_t hash = text.find('#');
  if (hash != std::string_view::npos) {
    ref.attempt = ParseAttemptId(text.substr(hash + 1));
    text = text.substr(0, hash);
  }
  const size_t dot = text.find('.');
  if (dot != std::string_view::npos) {
    ref.task.job = static_cast<JobId>(ParseNumber(text.substr(0, dot)));
    text.remove_prefix(dot + 1);
  }
  if (text.empty() || text[0] != 't')
    throw ScenarioError{StrCat("'", text, "' is not a task; write t3 or 2.t3#4")};
  ref.task.ordinal = static_cast<Ordinal>(ParseNumber(text.substr(1)));
  return ref;
}

std::string JobText(JobId job) { return job == 1 ? "" : StrCat(job, "."); }
std::string TextOf(const AttemptRef& ref) {
  return StrCat(JobText(ref.task.job), "t", ref.task.ordinal, "#", Text(ref.attempt));
}

// "o5", "o5#2", "2.o5#3".
ObjectVersion ParseObject(std::string_view text) {
  const size_t o = text.find('o');
  if (o == std::string_view::npos)
    throw ScenarioError{StrCat("'", text, "' is not an object; write o3 or 2.o3#4")};
  AttemptRef ref = ParseAttempt(StrCat(text.substr(0, o), "t", text.substr(o + 1)));
  return {{ref.task.job, ref.task.ordinal}, ref.attempt};
}

std::string TextOf(const ObjectVersion& id) {
  return StrCat(JobText(id.object.job), "o", id.object.ordinal,
                id.version == MakeAttemptId(1, 1) ? "" : StrCat("#", Text(id.version)));
}

// "w3" is w3.1.
WorkerId ParseWorker(std::string_view text) {
  if (text.empty() || text[0] != 'w')
    throw ScenarioError{StrCat("'", text, "' is not a worker; write w3 or w3.2")};
  const auto parts = Split(text.substr(1), '.');
  WorkerId id;
  id.slot = static_cast<uint16_t>(ParseNumber(parts[0]));
  id.generation = parts.size() > 1 ? static_cast<uint16_t>(ParseNumber(parts[1])) : 1;
  return id;
}

std::string TextOf(WorkerId id) {
  return id.generation == 1 ? StrCat("w", id.slot) : StrCat("w", id.slot, ".", id.generation);
}

template <typename Items, typename F>
std::string Join(const Items& items, std::string_view separator, F text) {
  std::string out;
  for (const auto& item : items)
    out += StrCat(out.empty() ? std::string_view() : separator, text(item));
  return out;
}

class WorkerDriver : public Driver {
 public:
  explicit WorkerDriver(const Words& words) : core_(MakeConfig(words)) {
    for (auto name : kActions) coverage_[StrCat("action ", name)] = 0;
    for (auto name : kEvents) coverage_[StrCat("event ", name)] = 0;
    for (auto name : kSpillResults) coverage_[StrCat("spill ", name)] = 0;
    for (auto name : kStatus) coverage_[StrCat("fetch ", name)] = 0;
    for (uint8_t i = 1; i < 7; ++i) coverage_[StrCat("end ", Name(static_cast<AttemptEnd>(i)))] = 0;
  }

  void Input(std::string_view line) override {
    const Words words(line);
    const std::string& verb = words[0];
    Parse(verb, words);
    Met("event", verb);
  }

  uint64_t Step(uint64_t now_ns, uint32_t budget, std::vector<std::string>& out) override {
    std::vector<Action> actions;
    wake_ = core_.Step(now_ns, events_, budget, actions);
    events_.clear();
    for (const Action& action : actions) {
      std::string text =
          std::visit([this](const auto& a) { return this->TextOfAction(a); }, action);
      Met("action", text.substr(0, text.find(' ')));
      out.push_back(std::move(text));
    }
    return wake_;
  }

  std::string Ask(std::string_view question) override {
    if (question == "wake") return wake_ == kNever ? "never" : TimeText(wake_);
    const Counters& c = core_.counters();
    if (question == "attempts")
      return StrCat("fetching=", c.fetching, " queued=", c.queued, " running=", c.running);
    if (question == "store") return StrCat("replicas=", c.replicas, " bytes=", c.replica_bytes);
    if (question == "memory")
      return StrCat("memory=", c.memory_bytes, " disk=", c.disk_bytes, " spilled=", c.spilled,
                    " failed=", c.spills_failed);
    if (question == "unacked") return StrCat(c.outcomes_unacked);
    if (question == "fetched") return StrCat(c.fetched_bytes);
    throw ScenarioError{StrCat("no such question: ", question,
                               " (wake, attempts, store, memory, unacked, fetched)")};
  }

  std::string Validate() const override { return core_.Validate(); }

 private:
  static Config MakeConfig(const Words& words) {
    Config config;
    config.capacity = ParseResources(words, 4000);
    if (!words.Has("mem")) config.capacity.memory_bytes = uint64_t{1} << 30;
    config.store_bytes = words.Bytes("store", 0);
    config.fetches_total = static_cast<uint32_t>(words.Number("fetches", limits::kFetchesTotal));
    config.fetches_per_peer =
        static_cast<uint32_t>(words.Number("per_peer", limits::kFetchesPerPeer));
    return config;
  }

  SessionId SessionOf(const Words& words) const { return words.Number("s", session_); }

  void Parse(const std::string& verb, const Words& words) {
    const SessionId session = SessionOf(words);
    if (verb == "session") {
      session_ = std::max(session_, ParseNumber(words[1]));
      events_.push_back(event::SessionUp{ParseNumber(words[1]), ParseWorker(words[2]),
                                         words.Flag("other_cluster")});
    } else if (verb == "down") {
      events_.push_back(event::SessionDown{ParseNumber(words[1])});
    } else if (verb == "assign") {
      events_.push_back(ParseAssign(session, words));
    } else if (verb == "retract") {
      events_.push_back(event::Retract{session, ParseAttempt(words[1])});
    } else if (verb == "cancel") {
      events_.push_back(event::Cancel{session, ParseAttempt(words[1])});
    } else if (verb == "free") {
      events_.push_back(event::Free{session, ParseObject(words[1])});
    } else if (verb == "gather") {
      const std::string input = words[1];
      events_.push_back(event::Gather{session, ParseInput(input), CameAlong(input)});
    } else if (verb == "ack") {
      events_.push_back(event::AckOutcomes{session, ParseNumber(words[1])});
    } else if (verb == "fetched") {
      events_.push_back(ParseFetchDone(words));
    } else if (verb == "done" || verb == "failed" || verb == "killed") {
      events_.push_back(ParseExecDone(verb, words));
    } else if (verb == "lost") {
      events_.push_back(event::ReplicaLost{ParseObject(words[1])});
    } else if (verb == "spilled") {
      events_.push_back(ParseSpilled(words));
    } else if (verb == "submit") {
      events_.push_back(event::ExecSubmit{ParseAttempt(words[1]), words.Flag("early")});
    } else if (verb == "answer") {  // answer t1 0 taken
      events_.push_back(event::SubmitAnswered{session, ParseAttempt(words[1]),
                                              static_cast<uint32_t>(ParseNumber(words[2])),
                                              words.Flag("taken")});
    } else if (verb == "yield") {
      event::ExecYield yield{ParseAttempt(words[1]), {}};
      for (uint32_t i = 2; i < words.size(); ++i)
        yield.awaits.push_back(ParseObject(words[i]).object);
      events_.push_back(std::move(yield));
    } else if (verb == "resume") {
      events_.push_back(event::Resume{session, ParseAttempt(words[1])});
    } else if (verb == "shutdown") {
      events_.push_back(event::Shutdown{});
    } else {
      throw ScenarioError{StrCat("no such event: ", verb)};
    }
  }

  // "+o5~20@w2": its bytes came along.
  static ValuesRef CameAlong(std::string_view input) {
    return input.starts_with('+') ? std::make_shared<const Values>() : nullptr;
  }

  // assign t1 cpus=2 prio=5 order=3 out=2 first=10 in=o5:100@w2/w3,+o6 in[2]=o7@w2
  event::Assign ParseAssign(SessionId session, const Words& words) {
    event::Assign event = {session, {}};
    Assignment& a = event.assignment;
    a.attempt = ParseAttempt(words[1]);
    a.need = ParseResources(words, 1000);
    const std::string priority = words.Get("prio", "0");
    const bool minus = priority[0] == '-';
    a.priority =
        static_cast<int32_t>(ParseNumber(minus ? priority.substr(1) : priority)) * (minus ? -1 : 1);
    a.order = words.Number("order", a.attempt.task.ordinal);
    if (words.Has("next"))
      a.next_use = words.Get("next") == "none" ? kNoUse : words.Number("next", 0);
    a.output_count = static_cast<uint32_t>(words.Number("out", 1));
    a.first_output = static_cast<Ordinal>(words.Number("first", a.attempt.task.ordinal));
    for (const auto& [key, value] : words.pairs()) {
      if (key.rfind("in", 0) != 0) continue;
      InputEdge edge;
      edge.slot = static_cast<uint32_t>(a.edges.size());
      edge.first = static_cast<uint32_t>(a.objects.size());
      edge.parts = ParseParts(std::string_view(key).substr(2));
      for (const std::string& text : Split(value, ',')) {
        if (ValuesRef came = CameAlong(text); came != nullptr) {
          event.values = came;
          event.valued.push_back(static_cast<uint32_t>(a.objects.size()));
        }
        a.objects.push_back(ParseInput(text));
      }
      edge.count = static_cast<uint32_t>(a.objects.size()) - edge.first;
      a.edges.push_back(edge);
    }
    return event;
  }

  static InputObject ParseInput(std::string_view text) {
    InputObject input;
    if (text.starts_with('+')) text.remove_prefix(1);
    input.size_bytes = 100;
    const size_t at = text.find('@');
    if (at != std::string_view::npos) {
      uint32_t i = 0;
      for (const std::string& holder : Split(text.substr(at + 1), '/')) {
        if (i == input.holders.size()) throw ScenarioError{"at most 4 holders"};
        input.holders[i++] = ParseWorker(holder);
      }
      text = text.substr(0, at);
    }
    const size_t size = text.find('~');
    if (size != std::string_view::npos) {
      input.size_bytes = ParseBytesOf(text.substr(size + 1));
      text = text.substr(0, size);
    }
    input.id = ParseObject(text);
    return input;
  }

  // fetched 3 ok ok:500 ok:500:disk missing: one word an item, in the order of the request
  event::FetchDone ParseFetchDone(const Words& words) {
    event::FetchDone done;
    done.fetch = ParseNumber(words[1]);
    for (uint32_t i = 2; i < words.size(); ++i) {
      const auto parts = Split(words[i], ':');
      event::FetchDone::Item item;
      uint8_t status = 0;
      while (status < 5 && kStatus[status] != parts[0]) ++status;
      if (status == 5) throw ScenarioError{StrCat("no such fetch status: ", parts[0])};
      Met("fetch", kStatus[status]);
      item.status = static_cast<FetchStatus>(status);
      if (item.status == FetchStatus::kOk) {
        item.size_bytes = parts.size() > 1 ? ParseBytesOf(parts[1]) : 100;
        item.crc32c = kUsualCrc;
        item.on_disk = parts.size() > 2 && parts[2] == "disk";
      }
      done.items.push_back(item);
    }
    return done;
  }

  // spilled 1 ok failed gone: one word an item
  event::Spilled ParseSpilled(const Words& words) {
    event::Spilled spilled{ParseNumber(words[1]), {}};
    for (uint32_t i = 2; i < words.size(); ++i) {
      const auto result = std::find(std::begin(kSpillResults), std::end(kSpillResults), words[i]);
      if (result == std::end(kSpillResults))
        throw ScenarioError{StrCat("no such end of spilling: ", words[i])};
      Met("spill", words[i]);
      spilled.results.push_back(
          static_cast<event::Spilled::Result>(result - std::begin(kSpillResults)));
    }
    return spilled;
  }

  // done t1 size=100,200:disk run=1s | failed t1 exit=3 class=exit msg="..." | killed t1
  static event::ExecDone ParseExecDone(const std::string& verb, const Words& words) {
    event::ExecDone done;
    done.attempt = ParseAttempt(words[1]);
    done.run_ns = words.Duration("run", 1'000'000'000);
    done.message = words.Get("msg");
    if (verb == "done") {
      for (const std::string& size : Split(words.Get("size", "100"), ',')) {
        if (size.starts_with('>')) {  // delegated
          done.outputs.push_back({{.delegated = static_cast<Ordinal>(std::stoul(size.substr(1)))}});
        } else {
          const auto parts = Split(size, ':');
          done.outputs.push_back(
              {{ParseBytesOf(parts[0]), kUsualCrc}, parts.size() > 1 && parts[1] == "disk"});
        }
      }
    } else if (verb == "failed") {
      done.end = AttemptEnd::kFailed;
      done.failure = ParseFailureClass(words.Get("class", "exit"));
      done.exit_code = static_cast<int32_t>(words.Number("exit", 1));
    } else {
      done.end = AttemptEnd::kCancelled;
    }
    return done;
  }

  static std::string TextOfAction(const action::SendInventory& a) {
    std::string out = StrCat("inventory s", a.session);
    if (!a.chunk.replicas.empty()) {
      out += " have=" + Join(a.chunk.replicas, ",", [](const Replica& r) {
               return StrCat(TextOf(r.id), ":", SizeText(r.size_bytes, r.crc32c));
             });
    }
    auto refs = [](const AttemptRef& r) { return TextOf(r); };
    if (!a.chunk.assigned.empty()) out += " assigned=" + Join(a.chunk.assigned, ",", refs);
    if (!a.chunk.running.empty()) out += " running=" + Join(a.chunk.running, ",", refs);
    return out;
  }
  static std::string TextOfAction(const action::SendInventoryDone& a) {
    return StrCat("inventory_done s", a.session);
  }
  static std::string TextOfAction(const action::SendStarted& a) {
    return StrCat("started s", a.session, " ", TextOf(a.attempt));
  }
  std::string TextOfAction(const action::SendOutcome& a) {
    const Outcome& o = a.outcome;
    Met("end", Name(o.end));
    std::string out = StrCat("outcome s", a.session, " seq=", o.sequence, " ", TextOf(o.attempt),
                             " ", Name(o.end));
    if (o.failure != FailureClass::kNone) out += StrCat(" ", Name(o.failure));
    if (o.exit_code != 0) out += StrCat(" exit=", o.exit_code);
    if (o.run_ns != 0) out += StrCat(" run=", TimeText(o.run_ns));
    if (o.fetched_bytes != 0) out += StrCat(" fetched=", o.fetched_bytes);
    if (!o.outputs.empty()) {
      out += " out=" + Join(o.outputs, ",", OutputText);
    }
    if (o.submitted != 0) out += StrCat(" submitted=", o.submitted);
    if (!o.bad_holders.empty()) {
      out += " bad=" + Join(o.bad_holders, ",", [](const BadHolder& b) {
               return StrCat(TextOf(b.id), "@", TextOf(b.worker), b.missing ? ":missing" : "");
             });
    }
    if (!o.message.empty()) out += " " + Quoted(o.message);
    return out;
  }
  static std::string TextOfAction(const action::SendReplicaAdded& a) {
    return StrCat("added s", a.session, " ", TextOf(a.replica.id), ":",
                  SizeText(a.replica.size_bytes, a.replica.crc32c));
  }
  static std::string TextOfAction(const action::SendReplicaLost& a) {
    return StrCat("lost s", a.session, " ", TextOf(a.object));
  }
  static std::string TextOfAction(const action::SendGatherFailed& a) {
    return StrCat("not_gathered s", a.session, " ", TextOf(a.failure.object),
                  " bad=", Join(a.failure.bad_holders, ",", [](const BadHolder& b) {
                    return StrCat(TextOf(b.worker), b.missing ? ":missing" : "");
                  }));
  }
  static std::string TextOfAction(const action::StartFetch& a) {
    return StrCat(
        "fetch ", a.fetch, " ", TextOf(a.peer), " ",
        Join(a.items, " ", [](const LocalKey& k) { return TextOf(k.id) + Text(k.parts); }));
  }
  static std::string TextOfAction(const action::CancelFetch& a) {
    return StrCat("cancel_fetch ", a.fetch);
  }
  static std::string TextOfAction(const action::StartExec& a) {
    return StrCat("exec ", TextOf(a.attempt),
                  a.units.empty() ? "" : " units=", Join(a.units, ",", [](const UnitShare& u) {
                    return StrCat(u.pool, ":", u.unit, u.milli == 1000 ? "" : StrCat("/", u.milli));
                  }));
  }
  static std::string TextOfAction(const action::KillExec& a) { return "kill " + TextOf(a.attempt); }
  static std::string TextOfAction(const action::ReleaseAttempt& a) {
    return "release " + TextOf(a.attempt);
  }
  static std::string TextOfAction(const action::SendSubmit& a) {
    return StrCat("submit s", a.session, " ", TextOf(a.attempt), " n=", a.number,
                  a.early ? " early" : "");
  }
  static std::string TextOfAction(const action::SendYield& a) {
    return StrCat("yield s", a.session, " ", TextOf(a.attempt), " ",
                  Join(a.awaits, " ", [](ObjectId id) {
                    return TextOf(ObjectVersion{id, MakeAttemptId(1, 1)});
                  }));
  }
  static std::string TextOfAction(const action::ResumeExec& a) {
    return "resume_exec " + TextOf(a.attempt);
  }
  static std::string TextOfAction(const action::ReleaseSubmission& a) {
    return "release_submission " + TextOf(a.attempt);
  }
  static std::string TextOfAction(const action::PutValues& a) {
    return StrCat(a.values == nullptr ? "empty " : StrCat("values ", a.fetch, " "),
                  Join(a.items, " ", [](const LocalKey& k) { return TextOf(k.id); }));
  }
  static std::string TextOfAction(const action::Spill& a) {
    return StrCat("spill ", a.spill, " ", Join(a.items, " ", [](const LocalKey& k) {
                    return TextOf(k.id) + Text(k.parts);
                  }));
  }
  static std::string TextOfAction(const action::Drop& a) {
    return StrCat("drop ", TextOf(a.key.id), Text(a.key.parts));
  }
  static std::string TextOfAction(const action::DropAll&) { return "drop_all"; }
  static std::string TextOfAction(const action::Stopped&) { return "stopped"; }

  WorkerCore core_;
  std::vector<Event> events_;
  SessionId session_ = 0;
  uint64_t wake_ = kNever;
};

}  // namespace

std::unique_ptr<Driver> MakeWorkerDriver(const Words& config) {
  return std::make_unique<WorkerDriver>(config);
}

}  // namespace taskd::scenario
