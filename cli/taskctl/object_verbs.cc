// taskctl object get | list | await | put
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <thread>

#include "cli/client/client_session.h"
#include "cli/client/connection.h"
#include "cli/client/sink.h"
#include "cli/client/worker_data.h"
#include "cli/taskctl/inside_task.h"
#include "cli/taskctl/interrupt.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/json.h"
#include "cli/taskctl/object_put.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/progress.h"
#include "cli/taskctl/selectors.h"
#include "cli/taskctl/tasks.h"
#include "cli/taskctl/verbs.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/clock.h"

namespace taskd::cli {
namespace {

constexpr uint64_t kHolderNs =
    60'000'000'000;  // while every named holder fails; a lost one is known by then
constexpr auto kHolderPause = std::chrono::milliseconds(200);

struct GetOptions {
  std::string job;
  std::string name;
  std::string file;
  std::string part;
  std::string range;
  std::string timeout;
};

// The options, checked.
struct Wish {
  client::FetchSpec spec;
  bool has_part = false;
  uint32_t part = 0;
  uint64_t deadline_ns = client::kNoDeadline;
};

absl::StatusOr<Wish> ParseWish(const GetOptions& options) {
  Wish wish;
  if (!options.part.empty()) {
    std::optional<Ordinal> part = ParseOrdinal("@" + options.part);
    if (!part || *part == kNoOrdinal)
      return absl::InvalidArgumentError(
          StrCat("--part ", options.part, " is not the number of a part: 0, 1, 2 ..."));
    wish.has_part = true;
    wish.part = *part;
  }
  if (!options.range.empty()) {
    absl::StatusOr<ByteRange> range = ParseByteRange(options.range);
    if (!range.ok()) return range.status();
    wish.spec.offset = range->offset;
    wish.spec.length = range->length;
  }
  if (!options.timeout.empty()) {
    absl::StatusOr<uint64_t> timeout = ParseDuration(options.timeout);
    if (!timeout.ok()) return timeout.status();
    wish.deadline_ns = io::NowNs() + *timeout;
  }
  return wish;
}

// Turns the name into an object and, perhaps, a part of it.
absl::Status ResolveWish(client::Connection& connection, const GetOptions& options, Wish* wish) {
  absl::StatusOr<JobId> job = ResolveOneJob(connection, options.job);
  if (!job.ok()) return job.status();
  absl::StatusOr<v1::ResolvedName> resolved = ResolveName(connection, *job, options.name);
  if (!resolved.ok()) return resolved.status();
  if (!resolved->is_object()) {
    return absl::InvalidArgumentError(StrCat("'", options.name,
                                             "' is a task: name one of its outputs, as in ",
                                             ShellQuote(options.name + ".NAME")));
  }
  if (resolved->has_part() && wish->has_part) {
    return absl::InvalidArgumentError(
        StrCat("'", options.name, "' names a part already: leave out --part"));
  }
  if (resolved->has_part()) {
    wish->has_part = true;
    wish->part = resolved->part();
  }
  if (wish->has_part) wish->spec.parts = {wish->part, wish->part + 1};
  wish->spec.object = {resolved->object().job(), resolved->object().ordinal()};
  return absl::OkStatus();
}

// Tells what a wait is for, and refuses one that cannot end.
absl::Status CheckComing(Context& context, client::Connection& connection, const std::string& name,
                         ObjectId object, bool& available) {
  v1::GetObjectRequest request;
  request.mutable_object()->set_job(object.job);
  request.mutable_object()->set_ordinal(object.ordinal);
  absl::StatusOr<v1::ObjectInfo> info = connection.GetObject(request);
  if (!info.ok()) return info.status();
  available = info->available();
  if (available) return absl::OkStatus();
  std::string state = ShortName(*v1::TaskState_descriptor()->FindValueByNumber(
      v1::TaskState_IsValid(info->producer_state()) ? info->producer_state()
                                                    : v1::TASK_STATE_UNSPECIFIED));
  if (info->producer_state() == v1::TASK_FAILED || info->producer_state() == v1::TASK_CANCELLED) {
    std::string task = name.substr(0, name.rfind('.'));
    absl::Status status(
        info->producer_state() == v1::TASK_FAILED ? absl::StatusCode::kInternal
                                                  : absl::StatusCode::kCancelled,
        StrCat("'", name, "' was not made: its task ",
               state == "failed" ? "has failed" : "was cancelled", "; see `taskctl task explain ",
               object.job, " ", ShellQuote(task), "`"));
    return status;
  }
  Note(context, info->producer_state() == v1::TASK_DONE
                    ? StrCat("'", name, "' was freed: it is made again")
                    : StrCat("waiting for '", name, "': its task is ", state));
  return absl::OkStatus();
}

// Wants the object, fetches it, and starts over while its holders fail.
absl::StatusOr<client::FetchResult> Fetch(client::ClientSession& session, Wish wish,
                                          client::ObjectFetch& fetch) {
  const ObjectId object = wish.spec.object;
  for (uint64_t give_up = 0;;) {
    absl::StatusOr<v1::ObjectUpdate> update = session.AwaitObject(object, wish.deadline_ns);
    if (!update.ok()) return update.status();
    wish.spec.version = update->version();
    if (update->has_behind())
      wish.spec.object = {update->behind().job(), update->behind().ordinal()};
    wish.spec.addresses = {update->data_addresses().begin(), update->data_addresses().end()};
    absl::StatusOr<client::FetchResult> result = fetch.From(wish.spec);
    if (result.ok() || !absl::IsUnavailable(result.status())) return result;
    uint64_t now = io::NowNs();
    if (give_up == 0) give_up = now + kHolderNs;
    if (now >= give_up || now >= wish.deadline_ns) return result;
    std::this_thread::sleep_for(
        kHolderPause);  // until the scheduler, too, has seen that the holder is gone
  }
}

void PrintFetched(const Context& context, const std::string& name, const std::string& file,
                  const Wish& wish, const client::FetchResult& result) {
  if (context.format == OutputFormat::kJson) {
    PrintOut(StrCat("{\"name\":", JsonString(name), ",\"job\":", wish.spec.object.job,
                    ",\"object\":", wish.spec.object.ordinal, ",\"version\":", result.version,
                    ",\"size_bytes\":", result.size_bytes, ",\"file\":", JsonString(file), "}\n"));
  } else {
    Note(context, StrCat("wrote ", FormatBytes(result.size_bytes), " to ", file));
  }
}

// What `object get` needs for one object after the other.
class Getter {
 public:
  Getter(Context& context, client::Connection& connection)
      : context_(context), connection_(connection), session_(connection, {}) {}

  void Interrupt() {
    interrupted_ = true;
    session_.Interrupt();
  }

  // `file` empty or "-": stdout. False: it failed, and that is said.
  bool Get(const std::string& name, const std::string& file, const Wish& wish) {
    const bool to_file = !file.empty() && file != "-";
    bool available = false;
    absl::Status status = CheckComing(context_, connection_, name, wish.spec.object, available);
    if (status.ok() && !available) status = AwaitInside({wish.spec.object});
    if (!status.ok()) return Fail(status);
    absl::StatusOr<std::unique_ptr<client::Sink>> sink =
        to_file ? client::MakeFileSink(file) : client::MakeDescriptorSink(STDOUT_FILENO);
    if (!sink.ok()) return context_.Fail(kExitUsage, sink.status()), false;
    ByteProgress progress(STDERR_FILENO, !to_file || context_.format != OutputFormat::kTable);
    client::ObjectFetch fetch(
        connection_.access().client_key, **sink, interrupted_,
        [&](uint64_t bytes, uint64_t total) { progress.Update(io::NowNs(), bytes, total); });
    absl::StatusOr<client::FetchResult> result = Fetch(session_, wish, fetch);
    progress.Finish();
    if (absl::IsOutOfRange(result.status())) {
      return context_.Fail(kExitNotFound, absl::NotFoundError(StrCat(
                                              "'", name, "': ", ToStd(result.status().message())))),
             false;
    }
    if (absl::IsDeadlineExceeded(result.status())) {
      return Fail(absl::DeadlineExceededError(
          StrCat("'", name, "' was not there in time; see `taskctl job show ", wish.spec.object.job,
                 "`")));
    }
    if (!result.ok()) return Fail(result.status());
    if (to_file) PrintFetched(context_, name, file, wish, *result);
    return true;
  }

 private:
  bool Fail(const absl::Status& status) {
    context_.Fail(status);
    return false;
  }

  Context& context_;
  client::Connection& connection_;
  client::ClientSession session_;
  std::atomic<bool> interrupted_ = false;
};

// An object's name as that of a file: "map[3].p" is one, what has slashes is not.
std::string FileName(std::string_view name) {
  std::string file = Printable(name);
  std::replace(file.begin(), file.end(), '/', '_');
  return file;
}

// All that the name says, each as a file of the folder. What fails is said, and the others follow.
void GetMany(Context& context, client::Connection& connection, Getter& getter,
             const GetOptions& options, const Wish& wish) {
  absl::StatusOr<JobId> job = ResolveOneJob(connection, options.job);
  if (!job.ok()) return context.Fail(job.status());
  std::vector<std::pair<std::string, ObjectId>> objects;
  absl::Status status =
      ForEachObject(connection, *job, options.name, [&](const v1::ObjectInfo& object) {
        objects.emplace_back(object.name(),
                             ObjectId{object.object().job(), object.object().ordinal()});
        return true;
      });
  if (!status.ok()) return context.Fail(status);
  std::error_code error;
  std::filesystem::create_directories(options.file, error);
  if (error) {
    return context.Fail(
        kExitUsage, absl::InvalidArgumentError(
                        StrCat("cannot make the folder ", options.file, ": ", error.message())));
  }
  for (const auto& [name, object] : objects) {
    Wish one = wish;
    one.spec.object = object;
    const std::string file =
        StrCat(options.file, options.file.ends_with('/') ? "" : "/", FileName(name));
    if (!getter.Get(name, file, one) && context.exit_code == kExitInterrupted) return;
  }
}

void Get(Context& context, const GetOptions& options) {
  absl::StatusOr<Wish> wish = ParseWish(options);
  if (!wish.ok()) return context.Fail(kExitUsage, wish.status());
  InterruptGuard guard;
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  Getter getter(context, **connection);
  InterruptAction action(guard, [&] { getter.Interrupt(); });
  std::error_code error;
  if (options.file.ends_with('/') || std::filesystem::is_directory(options.file, error)) {
    if (wish->has_part) {
      return context.Fail(kExitUsage,
                          absl::InvalidArgumentError(
                              "--part is of one object: name it, and a file with --out-file"));
    }
    return GetMany(context, **connection, getter, options, *wish);
  }
  absl::Status status = ResolveWish(**connection, options, &*wish);
  if (!status.ok()) return context.Fail(status);
  getter.Get(options.name, options.file, *wish);
}

struct ListOptions {
  std::string job;
  std::string pattern;
  uint64_t limit = 1000;
};

std::string StateOf(const v1::ObjectInfo& object) {
  if (object.available()) return "available";
  if (object.producer_state() == v1::TASK_DONE) return object.version() == 0 ? "lost" : "freed";
  if (object.producer_state() == v1::TASK_FAILED || object.producer_state() == v1::TASK_CANCELLED)
    return NameOf(object.producer_state());
  return "to come";
}

void List(Context& context, const ListOptions& options) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<JobId> job = ResolveOneJob(**connection, options.job);
  if (!job.ok()) return context.Fail(job.status());
  ListWriter writer(context, "objects",
                    {{"OBJECT", Column::kLeft, true},
                     {"STATE"},
                     {"SIZE", Column::kRight},
                     {"WORKERS", Column::kLeft, true}});
  bool more = false;
  absl::Status status =
      ForEachObject(**connection, *job, options.pattern, [&](const v1::ObjectInfo& object) {
        more = options.limit != 0 && writer.count() == options.limit;
        if (more) return false;
        std::string workers;
        for (const std::string& name : object.workers())
          workers += StrCat(workers.empty() ? "" : ", ", name);
        writer.Add(object, object.name(),
                   {object.name(), StateCell(StateOf(object)),
                    object.version() == 0 ? "" : FormatBytes(object.size_bytes()), workers});
        return true;
      });
  if (!status.ok()) return context.Fail(status);
  writer.End(options.pattern.empty() ? "the job has no objects" : "no object matches");
  if (more) Note(context, StrCat("the first ", writer.count(), " objects; --limit 0 shows all"));
}

struct AwaitOptions {
  std::string job;
  std::vector<std::string> names;
};

// Outside of tasks one after the other is as good as all at once.
absl::Status AwaitAll(client::Connection& connection, client::ClientSession& session,
                      const AwaitOptions& options) {
  absl::StatusOr<JobId> job = ResolveOneJob(connection, options.job);
  if (!job.ok()) return job.status();
  std::vector<ObjectId> objects;
  for (const std::string& name : options.names) {
    absl::StatusOr<v1::ResolvedName> resolved = ResolveName(connection, *job, name);
    if (!resolved.ok()) return resolved.status();
    if (!resolved->is_object())
      return absl::InvalidArgumentError(StrCat("'", name, "' is a task: name one of its outputs"));
    objects.push_back({resolved->object().job(), resolved->object().ordinal()});
  }
  if (absl::Status status = AwaitInside(objects); !status.ok()) return status;
  for (ObjectId object : objects) {
    absl::StatusOr<v1::ObjectUpdate> update = session.AwaitObject(object);
    if (!update.ok()) return update.status();
  }
  return absl::OkStatus();
}

void Await(Context& context, const AwaitOptions& options) {
  InterruptGuard guard;
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  client::ClientSession session(**connection, {});
  InterruptAction action(guard, [&] { session.Interrupt(); });
  absl::Status status = AwaitAll(**connection, session, options);
  if (!status.ok()) context.Fail(status);
}

}  // namespace

void AddObjectCommands(CLI::App& app, Context& context) {
  CLI::App* object = app.add_subcommand("object", "List, read and put results");
  object->require_subcommand(1);
  auto options = std::make_shared<GetOptions>();
  CLI::App* get = object->add_subcommand("get",
                                         "Write an object to stdout or a file; waits for one that "
                                         "is not made yet, and has a freed one made again");
  get->add_option("JOB", options->job, "3 or last")->required();
  get->add_option("NAME", options->name,
                  "As in top.words, 'merge[3].c', or 'map[3].p[2]' for its part 2")
      ->required();
  get->add_option(
      "-O,--out-file", options->file,
      "Write to this file, which appears when it is complete (default: stdout); a FOLDER/ gets all "
      "objects that NAME matches, as in 'merge[*].c'");
  get->add_option("-p,--part", options->part, "One part of it: 0, 1, 2 ...");
  get->add_option("-r,--range", options->range,
                  "Bytes a to b, both included, as in 0-99; a- for all from a on");
  get->add_option("-t,--timeout", options->timeout,
                  "Give up waiting for it after this time (exit code 5), as in 30s");
  get->footer(
      "\nExamples:\n  taskctl object get last top.words\n  taskctl object get 3 'merge[3].c' -O "
      "merge-3.txt\n"
      "  taskctl object get 3 'map[3].p' --part 2 | sort | head\n  taskctl object get 3 big.bin "
      "--range 0-1023 | xxd\n  taskctl object get 3 'merge[*].c' -O results/");
  get->callback([&context, options] { Get(context, *options); });

  auto listed = std::make_shared<ListOptions>();
  CLI::App* list = object->add_subcommand("list", "Objects of a job: how large, and where");
  list->add_option("JOB", listed->job, "3 or last")->required();
  list->add_option("PATTERN", listed->pattern, "Only these, as in 'merge[*].c'");
  list->add_option("-n,--limit", listed->limit, "At most so many; 0: all")->capture_default_str();
  list->footer(
      "\nExamples:\n  taskctl object list last\n  taskctl object list 3 'map[*].p' -o json");
  list->callback([&context, listed] { List(context, *listed); });

  auto awaited = std::make_shared<AwaitOptions>();
  CLI::App* await = object->add_subcommand(
      "await",
      "Wait until objects are there; a task that waits so gives its cpus to others meanwhile");
  await->add_option("JOB", awaited->job, "3 or last")->required();
  await->add_option("NAME", awaited->names, "As in top.words or 'merge[3].c'")->required();
  await->footer(
      "\nExamples:\n  job=$(taskctl submit --early part.yaml -q) && taskctl object await $job "
      "sum.v");
  await->callback([&context, awaited] { Await(context, *awaited); });
  AddObjectPut(*object, context);
}

}  // namespace taskd::cli
