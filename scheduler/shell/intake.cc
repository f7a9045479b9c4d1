#include "scheduler/shell/intake.h"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "common/base/hash.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {
namespace {

// Frames that wait; four of the largest.
constexpr uint64_t kQueueBytes = 4 * uint64_t{limits::kFrameBytes};
// Of a batch, decompressed, that is checked where it comes in: some 20 us of work.
constexpr uint64_t kSmallBytes = 4096;

absl::Status Damaged(std::string_view what) {
  return absl::InvalidArgumentError(StrCat("a damaged batch: ", what, "; compile the graph again"));
}

}  // namespace

absl::StatusOr<std::string> Decompress(std::string_view frame) {
  if (frame.size() > limits::kFrameBytes) {
    return absl::InvalidArgumentError(StrCat("a batch of ", frame.size(), " bytes; at most ",
                                             limits::kFrameBytes,
                                             " are allowed: send smaller ones"));
  }
  // Kept, and no more cleared than is said to come (a hint only): a small job waits for both.
  thread_local const std::unique_ptr<ZSTD_DCtx, size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                                &ZSTD_freeDCtx);
  ZSTD_DCtx_reset(context.get(), ZSTD_reset_session_only);
  uint64_t piece = std::min<uint64_t>(ZSTD_getFrameContentSize(frame.data(), frame.size()),
                                      ZSTD_DStreamOutSize());  // what is not known is larger
  std::string text;
  ZSTD_inBuffer in{frame.data(), frame.size(), 0};
  for (;; piece = ZSTD_DStreamOutSize()) {
    size_t old = text.size();
    text.resize(old + piece);
    ZSTD_outBuffer out{text.data() + old, text.size() - old, 0};
    size_t result = ZSTD_decompressStream(context.get(), &out, &in);
    text.resize(old + out.pos);
    if (ZSTD_isError(result)) return Damaged(ZSTD_getErrorName(result));
    if (text.size() > limits::kBatchBytes) {
      return absl::InvalidArgumentError(StrCat("a batch of more than ", limits::kBatchBytes,
                                               " bytes when decompressed: send smaller ones"));
    }
    if (result == 0) break;
    if (in.pos == in.size && out.pos < out.size) return Damaged("it is cut off");
  }
  if (in.pos != in.size) return Damaged("bytes follow after its end");
  return text;
}

Intake::Intake(JobStore* jobs, CoreLoop* loop)
    : jobs_(jobs), loop_(loop), ranker_(std::make_unique<Ranker>([this](event::SetRanks ranks) {
        SendRanks(std::move(ranks));
      })) {}

Intake::~Intake() { Stop(); }

void Intake::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Intake::Stop() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  not_empty_.notify_one();
  if (thread_.joinable()) thread_.join();
  {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [this] { return !working_; });
  }
  ranker_.reset();
}

bool Intake::Submit(JobId job, uint32_t number, std::string frame, Done done) {
  uint64_t bytes = frame.size();
  return Enqueue(Submission{job, number, std::move(frame), std::move(done)}, bytes);
}

bool Intake::Seal(JobId job, uint32_t batches, Done done) {
  return Enqueue(Sealing{job, batches, std::move(done)}, 0);
}

void Intake::Do(std::function<void()> work, uint64_t bytes) { Enqueue(std::move(work), bytes); }

void Intake::Forget(JobId job) { Enqueue(Forgetting{job}, 0); }

bool Intake::Enqueue(Item item, uint64_t bytes) {
  {
    std::lock_guard lock(mutex_);
    if (working_ || stop_ || !queue_.empty() || !IsForHere(item)) {
      queue_.emplace_back(std::move(item), bytes);
      queued_bytes_ += bytes;
      if (!working_) not_empty_.notify_one();
      return queued_bytes_ < kQueueBytes;
    }
    working_ = true;
    may_wait_ = false;
  }
  std::visit([this](auto& request) { this->Take(request); }, item);
  std::lock_guard lock(mutex_);
  working_ = false;
  may_wait_ = true;
  if (stop_ || !queue_.empty()) not_empty_.notify_all();
  return true;
}

// A busy core goes on meanwhile.
bool Intake::IsForHere(const Item& item) const {
  if (!loop_->nearly_idle()) return false;
  if (std::holds_alternative<Sealing>(item)) return true;
  auto* submission = std::get_if<Submission>(&item);
  if (submission == nullptr) return false;
  const std::string& frame = submission->frame;
  // What is not known is larger; what is wrong is as small as it says.
  return frame.size() <= kSmallBytes &&
         ZSTD_getFrameContentSize(frame.data(), frame.size()) <= kSmallBytes;
}

void Intake::WhenRoom(std::function<void()> resume) {
  {
    std::lock_guard lock(mutex_);
    if (queued_bytes_ >= kQueueBytes) {
      waiting_for_room_.push_back(std::move(resume));
      return;
    }
  }
  resume();
}

void Intake::Run() {
  for (;;) {
    Item item;
    std::vector<std::function<void()>> resumed;
    {
      std::unique_lock lock(mutex_);
      not_empty_.wait(lock, [this] { return stop_ || (!working_ && !queue_.empty()); });
      if (stop_) return;
      working_ = true;
      item = std::move(queue_.front().first);
      queued_bytes_ -= queue_.front().second;
      queue_.pop_front();
      if (queued_bytes_ < kQueueBytes) resumed.swap(waiting_for_room_);
    }
    for (auto& resume : resumed) resume();
    std::visit([this](auto& request) { this->Take(request); }, item);
    std::lock_guard lock(mutex_);
    working_ = false;
  }
}

absl::StatusOr<Intake::JobState*> Intake::Find(JobId job) {
  if (jobs_->Find(job) == nullptr) {
    return absl::NotFoundError(
        StrCat("there is no job ", job, "; open it first (OpenJob answers with its number)"));
  }
  return &states_[job];
}

void Intake::Take(Submission& submission) {
  if (jobs_->Forgotten(submission.job)) {
    return PostToCore(
        [job = submission.job, number = submission.number](Token token) {
          return event::AddBatch{token, job, number, {}};
        },
        std::move(submission.done), 1);
  }
  auto state = Find(submission.job);
  if (!state.ok()) return submission.done(state.status());
  auto text = Decompress(submission.frame);
  if (!text.ok()) return submission.done(text.status());
  uint64_t hash = HashBytes(0, *text);
  auto repeated = IsRepeated(**state, submission, hash);
  if (!repeated.ok()) return submission.done(repeated.status());
  if (*repeated) return submission.done(absl::OkStatus());
  auto checked = Accept(**state, submission, *text);
  if (!checked.ok()) return submission.done(checked.status());
  (*state)->hashes.push_back(hash);
  Batch* batch = &checked->batch;
  ranker_->Add(submission.job, *batch, checked->ranked);
  auto items = static_cast<uint32_t>(1 + batch->tasks.size() + batch->edges.size());
  // A std::function must be copyable, an event need not be copied: the batch waits behind a
  // pointer.
  auto kept = std::make_shared<Batch>(std::move(*batch));
  PostToCore(
      [kept, job = submission.job, number = submission.number](Token token) {
        return event::AddBatch{token, job, number, std::move(*kept)};
      },
      std::move(submission.done), items);
}

absl::StatusOr<bool> Intake::IsRepeated(const JobState& state, const Submission& submission,
                                        uint64_t hash) {
  std::string name = StrCat("batch ", submission.number, " of job ", submission.job);
  if (submission.number < state.hashes.size()) {
    if (state.hashes[submission.number] == hash) return true;
    return absl::AlreadyExistsError(
        StrCat(name,
               " was accepted before with other contents; submit a changed graph "
               "as a new job (a new submission id)"));
  }
  if (state.sealed)
    return absl::FailedPreconditionError(StrCat(name, " comes after the job was sealed"));
  if (submission.number > state.hashes.size()) {
    return absl::FailedPreconditionError(
        StrCat(name, " came before batch ", state.hashes.size(), "; send them in order"));
  }
  return false;
}

absl::StatusOr<GraphTables::Checked> Intake::Accept(JobState& state, const Submission& submission,
                                                    const std::string& text) {
  v1::GraphBatch parsed;
  if (!parsed.ParseFromString(text)) return Damaged("it is no GraphBatch");
  if (parsed.number() != submission.number) {
    return absl::InvalidArgumentError(
        StrCat("batch ", submission.number, " says that it is batch ", parsed.number()));
  }
  auto checked = state.tables.Check(parsed);
  if (!checked.ok()) return checked.status();
  auto record = jobs_->Find(submission.job);
  absl::Status added = record->Add(parsed, std::move(checked->bodies), std::move(checked->args));
  if (!added.ok()) return added;
  state.tables.Commit();
  return std::move(*checked);
}

void Intake::Take(Forgetting& forgetting) {
  states_.erase(forgetting.job);
  ranker_->Forget(forgetting.job);
  jobs_->Forget(forgetting.job);
}

void Intake::Take(Sealing& sealing) {
  auto post = [this, &sealing] {
    PostToCore(
        [job = sealing.job, batches = sealing.batches](Token token) {
          return event::SealJob{token, job, batches};
        },
        std::move(sealing.done), 1);
  };
  if (jobs_->Forgotten(sealing.job)) return post();
  auto state = Find(sealing.job);
  if (!state.ok()) return sealing.done(state.status());
  if (sealing.batches != (*state)->hashes.size()) {
    return sealing.done(absl::FailedPreconditionError(
        StrCat("job ", sealing.job, " cannot be sealed with ", sealing.batches, " batches: it has ",
               (*state)->hashes.size())));
  }
  bool first = !std::exchange((*state)->sealed, true);
  post();
  if (first) ranker_->Seal(sealing.job);
}

void Intake::SendRanks(event::SetRanks ranks) {
  auto items = static_cast<uint32_t>(ranks.rank.size());
  if (!loop_->Post(std::move(ranks), items)) loop_->WaitForRoom();
}

void Intake::PostToCore(std::function<Event(Token)> make, Done done, uint32_t items) {
  auto on_reply = [done = std::move(done)](const action::Reply& reply, const SchedulerCore&,
                                           uint64_t) {
    done(reply.code == 0 ? absl::OkStatus()
                         : absl::Status(static_cast<absl::StatusCode>(reply.code), reply.message));
  };
  const bool room = loop_->Request(std::move(make), std::move(on_reply), items);
  if (!room && may_wait_) loop_->WaitForRoom();
}

}  // namespace taskd::scheduler
