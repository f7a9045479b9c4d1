// taskctl object put: the bytes go straight to a worker, then a job is submitted whose tasks stand for them there. Inside
// of a task its own worker takes them, and they are of the job below the task's own.
#include "cli/taskctl/object_put.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <set>

#include "cli/client/client_session.h"
#include "cli/client/connection.h"
#include "cli/client/task_socket.h"
#include "cli/client/tgraph.h"
#include "cli/client/worker_data.h"
#include "cli/taskctl/interrupt.h"
#include "cli/taskctl/job_flags.h"
#include "cli/taskctl/jobs.h"
#include "cli/taskctl/output.h"
#include "cli/taskctl/progress.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/graph/name_syntax.h"
#include "common/graph/put_batch.h"
#include "common/io/clock.h"
#include "common/io/files.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::cli {
namespace {

struct PutOptions {
  std::vector<std::string> files;
  std::string worker;
  std::string dataset;
  JobFlags job;
  bool outside = false;
};

struct PutFile {
  std::string name;
  std::string path;  // "-": stdin
};

std::string NameOfFile(std::string_view path) {
  if (path == "-") return "stdin";
  std::string name(path.substr(path.rfind('/') + 1));
  std::replace_if(
      name.begin(), name.end(),
      [](unsigned char c) { return (std::isalnum(c) == 0 || c > 127) && c != '_'; }, '_');
  return name.empty() || std::isdigit(static_cast<unsigned char>(name[0])) ? "_" + name : name;
}

absl::Status CheckFile(const std::string& path) {
  struct stat s;
  if (path == "-") return absl::OkStatus();
  if (stat(path.c_str(), &s) != 0) return io::ErrnoStatus("read", path, errno);
  if (S_ISDIR(s.st_mode))
    return absl::InvalidArgumentError(StrCat(path, " is a folder: put the files in it"));
  return absl::OkStatus();
}

// "FILE" or "NAME=FILE".
absl::StatusOr<std::vector<PutFile>> ParseFiles(const std::vector<std::string>& words) {
  std::vector<PutFile> files;
  std::set<std::string> names;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const bool named = equals != std::string::npos && graph::IsIdentifier(word.substr(0, equals));
    PutFile file{named ? word.substr(0, equals) : NameOfFile(word),
                 named ? word.substr(equals + 1) : word};
    if (!names.insert(file.name).second) {
      return absl::InvalidArgumentError(
          StrCat("two files would be named '", file.name, "': name them, as in NAME=", file.path));
    }
    if (absl::Status status = CheckFile(file.path); !status.ok()) return status;
    files.push_back(std::move(file));
  }
  return files;
}

// Closes what it opened.
class Input {
 public:
  static absl::StatusOr<std::unique_ptr<Input>> Open(const std::string& path) {
    auto input = std::make_unique<Input>();
    if (path != "-") {
      input->fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
      if (input->fd_ < 0) return io::ErrnoStatus("open", path, errno);
    }
    struct stat s;
    if (fstat(input->fd_, &s) != 0) return io::ErrnoStatus("stat", path, errno);
    input->path_ = path;
    input->size_ = S_ISREG(s.st_mode) ? static_cast<uint64_t>(s.st_size) : 0;
    return input;
  }
  ~Input() {
    if (fd_ > STDERR_FILENO) close(fd_);
  }

  uint64_t size() const { return size_; }  // 0: not known
  absl::StatusOr<std::string> Read(size_t most) {
    std::string bytes(most, '\0');
    ssize_t n;
    do {
      n = read(fd_, bytes.data(), most);
    } while (n < 0 && errno == EINTR);
    if (n < 0) return io::ErrnoStatus("read", path_, errno);
    bytes.resize(static_cast<size_t>(n));
    return bytes;
  }

 private:
  int fd_ = STDIN_FILENO;
  std::string path_;
  uint64_t size_ = 0;
};

std::string Reference(const v1::ObjectRef& object) {
  return StrCat(object.job(), ":", object.ordinal());
}

ListWriter MakeWriter(Context& context) {
  return ListWriter(context, "objects",
                    {{"OBJECT"},
                     {"JOB", Column::kRight},
                     {"NAME", Column::kLeft, true},
                     {"SIZE", Column::kRight},
                     {"WORKERS", Column::kLeft, true}});
}

void Add(ListWriter& writer, const v1::ObjectInfo& object) {
  std::string workers;
  for (const std::string& name : object.workers())
    workers += StrCat(workers.empty() ? "" : ", ", name);
  writer.Add(object, Reference(object.object()),
             {Reference(object.object()), StrCat(object.object().job()), object.name(),
              FormatBytes(object.size_bytes()), workers});
}

// The one of that name, else the one with most room.
absl::StatusOr<v1::WorkerInfo> ChooseWorker(client::Connection& connection,
                                            const std::string& name) {
  absl::StatusOr<v1::WorkerList> list = connection.ListWorkers({});
  if (!list.ok()) return list.status();
  const v1::WorkerInfo* best = nullptr;
  const auto room = [](const v1::WorkerInfo& w) {
    if (w.store_budget_bytes() == 0) return ~uint64_t{0};
    return w.store_budget_bytes() - std::min(w.store_budget_bytes(), w.store_bytes());
  };
  for (const v1::WorkerInfo& worker : list->workers()) {
    if (worker.state() != v1::WORKER_UP || (!name.empty() && worker.name() != name)) continue;
    if (best == nullptr || room(worker) > room(*best)) best = &worker;
  }
  if (best != nullptr) return *best;
  return absl::NotFoundError(
      name.empty()
          ? "no worker is up: `taskctl worker list` shows what there is"
          : StrCat("no worker '", name, "' is up: `taskctl worker list` shows those that are"));
}

absl::StatusOr<std::string> Upload(Context& context, client::Connection& connection,
                                   const v1::WorkerInfo& worker, const PutFile& file) {
  absl::StatusOr<std::unique_ptr<Input>> input = Input::Open(file.path);
  if (!input.ok()) return input.status();
  ByteProgress progress(STDERR_FILENO, context.format != OutputFormat::kTable);
  uint64_t sent = 0;
  return client::PutBytes(worker.data_address(), connection.access().client_key, [&](size_t most) {
    absl::StatusOr<std::string> bytes = (*input)->Read(most);
    if (bytes.ok()) sent += bytes->size();
    progress.Update(io::NowNs(), sent, std::max(sent, (*input)->size()));
    return bytes;
  });
}

absl::StatusOr<JobId> SubmitPut(client::ClientSession& session, const PutOptions& options,
                                const v1::WorkerInfo& worker,
                                const std::vector<graph::PutPiece>& pieces) {
  absl::StatusOr<std::string> frame = client::CompressBatch(graph::PutBatch(worker.name(), pieces));
  if (!frame.ok()) return frame.status();
  client::Submission submission;
  submission.name = "put";
  submission.owner = UserName();
  if (absl::Status s = Apply(options.job, &submission); !s.ok()) return s;
  submission.follow = true;
  submission.batches = 1;
  submission.frame = [&](uint32_t) { return frame; };
  return session.Submit(std::move(submission));
}

absl::StatusOr<v1::JobInfo> AwaitEnd(client::Connection& connection, client::ClientSession& session,
                                     JobId job) {
  if (absl::Status s = session.Follow({job}, [](const v1::JobUpdate*) {}); !s.ok()) return s;
  absl::StatusOr<v1::JobInfo> info = GetJob(connection, job);
  if (info.ok() && info->failed() > 0) return absl::InternalError(FailureText(*info));
  return info;
}

absl::Status Publish(client::Connection& connection, const std::string& name, JobId job) {
  v1::PublishDatasetRequest request;
  request.set_name(name);
  request.set_job(job);
  request.set_objects("put[*].v");
  return connection.PublishDataset(request).status();
}

void PutOutside(Context& context, const PutOptions& options, const std::vector<PutFile>& files) {
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  absl::StatusOr<v1::WorkerInfo> worker = ChooseWorker(**connection, options.worker);
  if (!worker.ok()) return context.Fail(worker.status());
  std::vector<graph::PutPiece> pieces;
  for (const PutFile& file : files) {
    absl::StatusOr<std::string> token = Upload(context, **connection, *worker, file);
    if (!token.ok()) return context.Fail(token.status());
    pieces.push_back({file.name, *std::move(token)});
  }
  InterruptGuard guard;
  client::ClientSession session(**connection, {});
  InterruptAction action(guard, [&] { session.Interrupt(); });
  absl::StatusOr<JobId> job = SubmitPut(session, options, *worker, pieces);
  if (!job.ok()) return context.Fail(job.status());
  absl::StatusOr<v1::JobInfo> ended = AwaitEnd(**connection, session, *job);
  if (!ended.ok()) return context.Fail(ended.status());
  if (!options.dataset.empty()) {
    absl::Status published = Publish(**connection, options.dataset, *job);
    if (!published.ok()) return context.Fail(published);
  }
  ListWriter writer = MakeWriter(context);
  absl::Status listed = ForEachObject(**connection, *job, "", [&](const v1::ObjectInfo& object) {
    Add(writer, object);
    return true;
  });
  if (!listed.ok()) return context.Fail(listed);
  writer.End("");
}

// What is not a file of a name is copied to one first.
absl::StatusOr<ObjectId> PutInside(client::TaskSocket& task, const PutFile& file) {
  std::error_code error;
  if (file.path != "-") return task.Put(std::filesystem::absolute(file.path, error), file.name);
  std::string path = StrCat(std::filesystem::current_path(error).string(), "/.put.XXXXXX");
  const int fd = mkstemp(path.data());
  if (fd < 0) return io::ErrnoStatus("make", path, errno);
  absl::StatusOr<std::unique_ptr<Input>> input = Input::Open(file.path);
  absl::Status status = input.status();
  while (status.ok()) {
    absl::StatusOr<std::string> bytes = (*input)->Read(limits::kChunkBytes);
    status = bytes.status();
    if (!status.ok() || bytes->empty()) break;
    status = io::WriteAll(fd, *bytes, path);
  }
  close(fd);
  absl::StatusOr<ObjectId> object = ObjectId{};
  if (status.ok()) object = task.Put(path, file.name);
  unlink(path.c_str());
  if (!status.ok()) return status;
  return object;
}

void PutInside(Context& context, client::TaskSocket& task, const PutOptions& options,
               const std::vector<PutFile>& files) {
  if (!options.worker.empty() || !options.dataset.empty() || options.job.name || options.job.ttl) {
    return context.Fail(
        kExitUsage, absl::InvalidArgumentError(
                        "inside of a task its own worker keeps what is put, for the job below it: "
                        "leave these flags out, or give --outside"));
  }
  absl::StatusOr<std::unique_ptr<client::Connection>> connection =
      client::Connection::Open(context.dir);
  if (!connection.ok()) return context.Fail(connection.status());
  ListWriter writer = MakeWriter(context);
  for (const PutFile& file : files) {
    absl::StatusOr<ObjectId> put = PutInside(task, file);
    if (!put.ok()) return context.Fail(put.status());
    v1::GetObjectRequest request;
    request.mutable_object()->set_job(put->job);
    request.mutable_object()->set_ordinal(put->ordinal);
    absl::StatusOr<v1::ObjectInfo> object = (*connection)->GetObject(request);
    if (!object.ok()) return context.Fail(object.status());
    Add(writer, *object);
  }
  writer.End("");
}

void Put(Context& context, const PutOptions& options) {
  absl::StatusOr<std::vector<PutFile>> files = ParseFiles(options.files);
  if (!files.ok()) return context.Fail(kExitUsage, files.status());
  std::unique_ptr<client::TaskSocket> task = client::TaskSocket::FromEnvironment();
  if (task != nullptr && !options.outside) return PutInside(context, *task, options, *files);
  PutOutside(context, options, *files);
}

}  // namespace

void AddObjectPut(CLI::App& object, Context& context) {
  auto options = std::make_shared<PutOptions>();
  CLI::App* put = object.add_subcommand(
      "put", "Send files to a worker as objects that graphs can read; prints them as JOB:NUMBER");
  put->add_option("FILE", options->files,
                  "A file, or NAME=FILE; - is stdin. Its object is put[NAME].v of the job")
      ->required();
  put->add_option("-w,--worker", options->worker,
                  "To this worker (default: the one with most room)")
      ->type_name("NAME");
  put->add_option("--dataset", options->dataset,
                  "Publish them under this name: graphs read {dataset: NAME}")
      ->type_name("NAME");
  put->add_option("-n,--name", options->job.name, "Name of the job (default: put)")
      ->type_name("NAME");
  put->add_option("--ttl", options->job.ttl,
                  "Forget them so long after nobody wants them, as in 1h")
      ->type_name("TIME");
  put->add_flag("--outside", options->outside,
                "Inside of a task: as a job of its own, which the task's end does not touch");
  put->footer(
      "\nWhat was put is lost with its last copy: nothing makes it again.\n"
      "\nExamples:\n  ref=$(taskctl object put genome.fa -q) && taskctl run map.yaml -D ref=$ref\n"
      "  taskctl object put *.fastq --dataset reads\n  make-table | taskctl object put table=-");
  put->callback([&context, options] { Put(context, *options); });
}

}  // namespace taskd::cli
