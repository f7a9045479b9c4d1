// An attempt whose body is a function:
//
//   files pool: what the runner needs -> reactor: a runner of that kind, or files pool: a new one -> reactor: the task
//   is sent, logs, time limit, kill, the answer -> done; by the files pool where files are to be taken over or removed
//
// As in command_run.cc each step owns the attempt while it runs, and Kill sets a flag. When an attempt is stopped its
// runner goes with it.
#include "worker/exec/run.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/cleanup/cleanup.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/io/files.h"
#include "taskd/v1/graph.pb.h"
#include "worker/exec/runner_pool.h"
#include "worker/exec/runner_task.h"
#include "worker/store/work_dir.h"

namespace taskd::worker {
namespace {

using runner::DoneMessage;
using runner::FailedMessage;
using runner::FrameType;
using runner::OutgoingFrame;

FailureClass ClassOf(runner::TaskError error) {
  switch (error) {
    case runner::TaskError::kFailed:
      return FailureClass::kExit;
    case runner::TaskError::kCannotStart:
      return FailureClass::kCannotStart;
    case runner::TaskError::kBadBody:
      return FailureClass::kBadBody;
    case runner::TaskError::kOutputMissing:
      return FailureClass::kOutputMissing;
    case runner::TaskError::kStore:
      return FailureClass::kStore;
  }
  return FailureClass::kBadBody;
}

class RunnerRun : public Run,
                  public Runner::Client,
                  public std::enable_shared_from_this<RunnerRun> {
 public:
  RunnerRun(ExecContext& context, RunnerPool& pool, std::shared_ptr<const ExecRequest> request,
            CpuList cpus)
      : context_(context), pool_(pool), request_(std::move(request)), cpus_(std::move(cpus)) {}

  void Start() override {
    log_ = context_.logs.Open(request_->assignment.attempt);
    context_.files.Post([self = shared_from_this()] { self->Prepare(); });
  }

  void Kill() override {
    killed_ = true;
    context_.reactor.Post([self = shared_from_this()] {
      if (self->runner_ != nullptr) self->Terminate();
    });
  }

 private:
  // --- files pool: before ---

  void Prepare() {
    if (ExecError e = RunnerTask::Make(context_, *request_, task_); !e.ok())
      return Finish(FailedDone(*request_, std::move(e)));
    context_.reactor.Post([self = shared_from_this()] { self->FindRunner(); });
  }

  void StartRunner() {
    std::shared_ptr<Runner> started;
    if (ExecError e = pool_.Start(task_.spec(), started); !e.ok())
      return Finish(FailedDone(*request_, std::move(e)));
    context_.reactor.Post([self = shared_from_this(), started] {
      self->pool_.Attach(started);
      self->Give(started);
    });
  }

  // --- reactor: while it runs ---

  void FindRunner() {
    if (killed_) return Finish(CancelledDone(*request_));
    if (std::shared_ptr<Runner> idle = pool_.Take(task_.spec().key)) return Give(std::move(idle));
    pool_.MakeRoom();
    context_.files.Post([self = shared_from_this()] { self->StartRunner(); });
  }

  void Give(std::shared_ptr<Runner> given) {
    if (killed_) {
      pool_.GiveBack(given);
      return Finish(CancelledDone(*request_));
    }
    runner_ = std::move(given);
    runner_->SetClient(shared_from_this());
    if (context_.pins.on()) runner_->RunOn(cpus_.empty() ? context_.pins.all() : cpus_);
    start_ns_ = MonotonicNs();
    kernel_kills_ = context_.memory.KernelKillsLately();
    if (const uint64_t limit = request_->assignment.time_limit_ns; limit != 0) {
      limit_timer_ = context_.reactor.AddTimer(start_ns_ + limit, [self = shared_from_this()] {
        self->timed_out_ = true;
        self->Terminate();
      });
    }
    if (const uint64_t limit = request_->assignment.need.memory_bytes; limit != 0) {
      context_.memory.Add(
          runner_->pid(), limit + task_.shared_bytes(), [self = shared_from_this()](uint64_t used) {
            self->context_.reactor.Post([self, used] { self->OnTooMuchMemory(used); });
          });
    }
    SendTask();
  }

  void SendTask() {
    const uint64_t code = task_.code_id();
    frames_ = task_.Frames(code != 0 && runner_->HasCode(code));
    if (code != 0) runner_->NoteCode(code);
    for (; sent_ < frames_.size(); ++sent_) {
      const OutgoingFrame::Result result = frames_[sent_].Send(runner_->socket(), false);
      if (result == OutgoingFrame::Result::kBroken) return;  // OnEnd comes
      if (result == OutgoingFrame::Result::kSent) continue;
      sending_ = true;
      context_.files.Post([self = shared_from_this(), to = runner_] { self->SendRest(*to); });
      return;
    }
  }

  // Files pool. A runner that reads nothing is hung, or stopped.
  void SendRest(const Runner& to) {
    OutgoingFrame::Result result = OutgoingFrame::Result::kSent;
    for (; sent_ < frames_.size() && result == OutgoingFrame::Result::kSent; ++sent_)
      result = frames_[sent_].Send(to.socket(), true);
    sending_ = false;
    if (result != OutgoingFrame::Result::kFull) return;
    context_.reactor.Post([self = shared_from_this()] {
      if (self->runner_ == nullptr) return;
      self->broken_ = StrCat("it took nothing for ", FormatDuration(limits::kRunnerStallNs));
      self->runner_->Kill();
    });
  }

  void OnTooMuchMemory(uint64_t used_bytes) {
    if (runner_ == nullptr) return;
    used_bytes_ = used_bytes;
    runner_->Kill();
  }

  void Terminate() {
    if (runner_ == nullptr || std::exchange(terminating_, true)) return;
    const uint64_t grace_ns = context_.grace_ns;
    if (grace_ns == 0) return runner_->Kill();
    runner_->Terminate();
    grace_timer_ = context_.reactor.AddTimer(MonotonicNs() + grace_ns, [self = shared_from_this()] {
      if (self->runner_ != nullptr) self->runner_->Kill();
    });
  }

  void OnLog(bool is_out, std::string_view bytes) override {
    is_out ? log_->AppendOut(bytes) : log_->AppendErr(bytes);
  }

  void OnBroken(const std::string& error) override {
    broken_ = StrCat(error, " came from it; what a task prints goes to its stdout, and descriptor ",
                     runner::kRunnerSocket, " is not its own");
  }

  void OnFrame(runner::FrameStream::Frame frame) override {
    if (answered_) return;  // it is being killed
    std::string error;
    if (frame.header.type == FrameType::kProgress) {
      runner::DecodeProgress(frame.payload, progress_milli_, error);
    } else if (frame.header.type == FrameType::kDone || frame.header.type == FrameType::kFailed) {
      return OnAnswer(std::move(frame));
    } else if (std::optional<TaskRequest> request = ReadRequest(frame, error)) {
      if (std::holds_alternative<PutRequest>(*request)) return KeepPut(std::move(frame));
      return Ask(*std::move(request));
    } else if (frame.header.type == FrameType::kDelegate) {
      runner::DelegateMessage delegate;
      if (runner::DecodeDelegate(frame.payload, delegate, error))
        delegated_[delegate.output] = delegate.ordinal;
    } else if (error.empty()) {
      error = "a frame that only workers send";
    }
    if (error.empty()) return;
    OnBroken(error);
    runner_->Kill();
  }

  // What the function asks for. `error`: it is damaged, or came before the answer to the one before.
  std::optional<TaskRequest> ReadRequest(const runner::FrameStream::Frame& frame,
                                         std::string& error) const {
    std::optional<TaskRequest> request;
    if (frame.header.type == FrameType::kSubmit) {
      runner::SubmitMessage submit;
      if (runner::DecodeSubmit(frame.payload, submit, error))
        request = SubmitRequest{submit.early, std::string(submit.frame), submit.graph};
    } else if (frame.header.type == FrameType::kAwait) {
      std::vector<runner::ObjectName> names;
      AwaitRequest await;
      if (runner::DecodeAwait(frame.payload, names, error)) {
        for (const runner::ObjectName& name : names)
          await.objects.push_back({name.job, name.ordinal});
        request = std::move(await);
      }
    } else if (frame.header.type == FrameType::kGet) {
      runner::ObjectName name;
      if (runner::DecodeGet(frame.payload, name, error))
        request = GetRequest{{name.job, name.ordinal}};
    } else if (frame.header.type == FrameType::kPut) {
      runner::PutMessage put;
      if (runner::DecodePut(frame.payload, put, error)) request = PutRequest{};
    }
    if (!request || !asking_) return request;
    error = "a second request before the answer to the first";
    return std::nullopt;
  }

  void KeepPut(runner::FrameStream::Frame frame) {
    asking_ = true;
    context_.files.Post([self = shared_from_this(),
                         frame = std::make_shared<runner::FrameStream::Frame>(std::move(frame))] {
      std::string error;
      runner::PutMessage put;
      runner::DecodePut(frame->payload, put, error);
      absl::StatusOr<std::string> token = self->KeepPut(put);
      self->context_.reactor.Post([self, token = std::move(token)] {
        if (token.ok()) return self->Ask(PutRequest{.token = *token});
        self->SendAnswer(std::make_shared<TaskAnswer>(TaskAnswer{token.status()}));
      });
    });
  }

  absl::StatusOr<std::string> KeepPut(const runner::PutMessage& put) {
    if (context_.puts == nullptr)
      return absl::UnimplementedError("this worker takes nothing that is put");
    const LocalKey key = context_.puts->NewKey();
    const std::string path = StrCat(task_.output_folder(), "/", runner::kPutFile);
    absl::StatusOr<StoredOutput> kept =
        put.in_file ? AdoptFrom(path, key, {}) : context_.store.Put(key, std::string(put.bytes));
    if (put.in_file) unlink(path.c_str());  // one that was copied is still in the way of the next
    if (!kept.ok()) return kept.status();
    return context_.puts->Keep(key, MonotonicNs());
  }

  void Ask(TaskRequest request) {
    asking_ = true;
    auto answered = [weak = weak_from_this()](TaskAnswer answer) {
      auto self = weak.lock();
      if (self == nullptr) return;
      // A file on disk is read for its checksum first.
      auto kept = std::make_shared<TaskAnswer>(std::move(answer));
      self->context_.files.Post([self, kept] { self->CheckAnswer(kept); });
    };
    if (context_.ask)
      return context_.ask(request_->assignment.attempt, std::move(request), answered);
    answered({absl::UnimplementedError("this worker takes no requests of functions")});
  }

  // Files pool.
  void CheckAnswer(const std::shared_ptr<TaskAnswer>& answer) {
    if (answer->object) {
      absl::Status sound = context_.store.MakeMappable({answer->id, {}}, *answer->object);
      if (sound.code() == absl::StatusCode::kDataLoss) context_.store.ReportLost(answer->id);
      if (!sound.ok()) *answer = {sound};
    }
    context_.reactor.Post([self = shared_from_this(), answer] { self->SendAnswer(answer); });
  }

  void SendAnswer(const std::shared_ptr<TaskAnswer>& answer) {
    if (runner_ == nullptr || answered_) return;
    runner::AnswerMessage message;
    if (!answer->status.ok()) message.error = ToStd(answer->status.message());
    if (!answer->status.ok() && message.error.empty()) message.error = "refused without a reason";
    message.job = answer->job;
    message.ordinal = answer->first_object;
    std::vector<int> fds;
    if (answer->object && answer->object->in_file()) {
      message.in_file = true;
      message.range = {answer->object->entry().offset, answer->object->meta().size_bytes};
      fds.push_back(answer->object->fd());
    } else if (answer->object) {
      message.bytes = answer->object->entry().bytes;
    }
    asking_ = false;
    auto frame = std::make_shared<OutgoingFrame>(FrameType::kAnswer, runner::EncodeAnswer(message),
                                                 std::move(fds));
    if (frame->Send(runner_->socket(), false) != OutgoingFrame::Result::kFull) return;
    sending_ = true;
    context_.files.Post([self = shared_from_this(), to = runner_, frame, answer] {
      frame->Send(to->socket(), true);  // OnEnd comes if it is broken
      self->sending_ = false;
    });
  }

  void OnAnswer(runner::FrameStream::Frame frame) {
    answer_ = std::move(frame);
    std::string error;
    const bool done = answer_.header.type == FrameType::kDone;
    if (!(done ? runner::DecodeDone(answer_.payload, done_, error)
               : runner::DecodeFailed(answer_.payload, failed_, error))) {
      OnBroken(error);
      return runner_->Kill();
    }
    left_ = done ? done_.left : failed_.left;
    answered_ = true;
    // What it left running ends with it, and holds the attempt's resources until then. Who answers before the last
    // byte of the task was sent would get the rest with the next one.
    if (terminating_ || used_bytes_ != 0 || left_.processes || sending_) return runner_->Kill();
    const std::shared_ptr<Runner> back = runner_;
    Detach();
    pool_.GiveBack(back);
    Conclude();
  }

  void OnEnd(int wait_status) override {
    wait_status_ = wait_status;
    if (!answered_) left_.folders = true;
    Detach();
    Conclude();
  }

  void Detach() {
    run_ns_ = MonotonicNs() - start_ns_;
    context_.memory.Remove(runner_->pid());
    context_.reactor.CancelTimer(limit_timer_);
    context_.reactor.CancelTimer(grace_timer_);
    runner_->ReadLogs();
    was_killed_ = killed_;
    greeted_ = runner_->greeted();
    runner_ = nullptr;
  }

  // --- after: on the reactor's thread, until there are files to be touched ---

  void Conclude() {
    if (was_killed_) return Finish(CancelledDone(*request_, run_ns_));
    if (used_bytes_ != 0)
      return Finish(Explained(TooMuchMemoryDone(*request_, What(), used_bytes_, false, run_ns_)));
    if (timed_out_) return Finish(Explained(Timeout()));
    if (!answered_) return Finish(Explained(NoAnswer()));
    if (answer_.header.type == FrameType::kFailed) return Finish(Explained(Failed()));
    bool files = false;
    for (const DoneMessage::Output& output : done_.outputs)
      files = files || output.in_file || output.bytes.size() > limits::kHeapObjectBytes;
    if (!files) return Collect();
    context_.files.Post([self = shared_from_this()] { self->Collect(); });
  }

  void Collect() {
    const Assignment& a = request_->assignment;
    event::ExecDone done;
    done.attempt = a.attempt;
    done.run_ns = run_ns_;
    if (done_.outputs.size() != a.output_count) {
      return Finish(FailedDone(
          *request_,
          BadBody(StrCat(What(), " made ", done_.outputs.size(), " outputs, not ", a.output_count)),
          run_ns_));
    }
    for (uint32_t i = 0; i < a.output_count; ++i) {
      if (auto to = delegated_.find(i); to != delegated_.end()) {
        done.outputs.emplace_back().delegated = to->second;
        continue;
      }
      absl::StatusOr<StoredOutput> info = Keep(i);
      if (info.ok()) {
        done.outputs.push_back(*info);
        continue;
      }
      for (uint32_t kept = 0; kept < i; ++kept) context_.store.Drop(OutputKey(a, kept));
      return Finish(
          FailedDone(*request_,
                     {FailureClass::kStore,
                      StrCat("output '", request_->body->outputs(static_cast<int>(i)).name(),
                             "' cannot be kept: ", ToStd(info.status().message()))},
                     run_ns_));
    }
    Finish(std::move(done));
  }

  absl::StatusOr<StoredOutput> Keep(uint32_t index) {
    const DoneMessage::Output& output = done_.outputs[index];
    const LocalKey key = OutputKey(request_->assignment, index);
    const uint32_t parts = request_->body->outputs(static_cast<int>(index)).parts();
    if (output.part_ends.size() != parts)
      return absl::OutOfRangeError(StrCat("it came in ", output.part_ends.size(), " parts"));
    if (!output.in_file)
      return context_.store.Put(key, std::string(output.bytes), output.part_ends);
    return AdoptFrom(StrCat(task_.output_folder(), "/", index), key, output.part_ends);
  }

  // By user code: whatever stands there must be a file of its own.
  absl::StatusOr<StoredOutput> AdoptFrom(const std::string& path, const LocalKey& key,
                                         const std::vector<uint64_t>& part_ends) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) return io::ErrnoStatus("open", path, errno);
    absl::Cleanup closer = [&] { close(fd); };
    struct stat s;
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
      return absl::FailedPreconditionError(StrCat(path, " is no regular file"));
    return context_.store.Adopt(key, fd, path, part_ends);
  }

  event::ExecDone Timeout() const {
    event::ExecDone done = TimeoutDone(*request_, run_ns_);
    if (progress_milli_ != 0)
      done.message += StrCat("; it said that it had done ", progress_milli_ / 10, " %");
    return done;
  }

  // The process ended, or said what no runner says.
  event::ExecDone NoAnswer() const {
    if (!broken_.empty()) {
      return FailedDone(*request_,
                        {FailureClass::kExit, StrCat(What(), " was killed in the middle of ",
                                                     task_.function(), ": ", broken_)},
                        run_ns_);
    }
    event::ExecDone done = ExitDone(*request_, What(), wait_status_,
                                    context_.memory.KernelKills() != kernel_kills_, run_ns_);
    if (!greeted_ && done.failure != FailureClass::kOutOfMemory) {
      done.failure = FailureClass::kCannotStart;
      done.exit_code = 0;
      done.message += " before it could take a task";
      return done;
    }
    done.message += StrCat(" in the middle of ", task_.function());
    if (WIFEXITED(wait_status_)) done.message += ": a function returns, and does not exit";
    return done;
  }

  event::ExecDone Failed() const {
    event::ExecDone done = FailedDone(
        *request_,
        {ClassOf(failed_.error), std::string(failed_.message.substr(0, limits::kMessageBytes))},
        run_ns_);
    if (done.failure == FailureClass::kExit) done.exit_code = failed_.code;
    if (failed_.exception.size() <= limits::kExceptionBytes) done.exception = failed_.exception;
    return done;
  }

  std::string_view What() const { return task_.spec().what; }

  event::ExecDone Explained(event::ExecDone done) const {
    return WithStderr(std::move(done), *log_);
  }

  void Finish(event::ExecDone done) {
    if (left_.folders) {
      context_.files.Post([folder = task_.folder(), outputs = task_.output_folder()] {
        RemoveTree(folder);
        RemoveTree(outputs);
      });
    }
    context_.logs.Close(request_->assignment.attempt);
    context_.done(std::move(done));
  }

  ExecContext& context_;
  RunnerPool& pool_;
  const std::shared_ptr<const ExecRequest> request_;
  const CpuList cpus_;
  std::shared_ptr<AttemptLog> log_;
  std::atomic<bool> killed_{false};

  RunnerTask task_;
  std::vector<OutgoingFrame> frames_;
  size_t sent_ = 0;
  std::atomic<bool> sending_{false};  // by the files pool
  std::shared_ptr<Runner> runner_;    // while it has the task
  uint64_t start_ns_ = 0, run_ns_ = 0;
  Reactor::Timer limit_timer_, grace_timer_;
  uint64_t used_bytes_ = 0;    // of memory, when that was too much
  uint64_t kernel_kills_ = 0;  // before the start
  bool terminating_ = false, timed_out_ = false, was_killed_ = false, answered_ = false;
  bool greeted_ = false;
  bool asking_ = false;                    // it waits for an answer
  std::map<uint32_t, Ordinal> delegated_;  // outputs
  std::string broken_;                     // what it said that no runner says
  uint32_t progress_milli_ = 0;
  int wait_status_ = 0;
  runner::FrameStream::Frame answer_;  // that done_ and failed_ point into
  DoneMessage done_;
  FailedMessage failed_;
  runner::Leftovers left_;
};

}  // namespace

std::shared_ptr<Run> MakeRunnerRun(ExecContext& context, RunnerPool& pool,
                                   std::shared_ptr<const ExecRequest> request, CpuList cpus) {
  return std::make_shared<RunnerRun>(context, pool, std::move(request), std::move(cpus));
}

}  // namespace taskd::worker
