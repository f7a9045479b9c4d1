#include "scheduler/shell/task_intake.h"

#include <utility>

#include "common/base/text.h"
#include "common/io/clock.h"
#include "common/rpc/wire.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {

void TaskIntake::Submit(StreamId stream, std::vector<Submission> submissions, Answer answer,
                        std::function<void()> then) {
  auto kept = std::make_shared<std::vector<Submission>>(std::move(submissions));
  uint64_t bytes = 0;
  for (const Submission& submission : *kept) bytes += submission.frame.size();
  intake_->Do(
      [this, stream, kept, answer = std::move(answer), then = std::move(then)] {
        for (const Submission& submission : *kept) Take(stream, submission, answer);
        then();
      },
      bytes);
}

void TaskIntake::Take(StreamId stream, const Submission& submission, const Answer& answer) {
  ChildPtr& child = children_[submission.attempt];
  if (child == nullptr) {
    child = std::make_shared<Child>();
    child->record = std::make_shared<JobRecord>(HeaderFor(submission.attempt.task));
  }
  const ChildPtr of = child;
  absl::StatusOr<std::shared_ptr<const Batch>> batch = Check(*of, submission);
  // The core hears of it either way: a finish that counts on the batch must fail.
  Post(stream, submission, batch.ok() ? *batch : std::make_shared<const Batch>(),
       std::string(ToStd(batch.status().message())), of, answer);
}

absl::StatusOr<std::shared_ptr<const Batch>> TaskIntake::Check(Child& child,
                                                               const Submission& submission) {
  const uint32_t number = submission.number;
  const std::string name = StrCat("batch ", number, " of what the task submits");
  const size_t batches = child.first_objects.size();
  if (number > batches)
    return absl::FailedPreconditionError(StrCat(name, " came before batch ", batches));
  if (number < batches) {
    auto untaken = child.untaken.find(number);
    return untaken == child.untaken.end() ? std::make_shared<const Batch>() : untaken->second;
  }
  absl::StatusOr<std::string> text = Decompress(submission.frame);
  if (!text.ok()) return text.status();
  v1::GraphBatch parsed;
  if (!parsed.ParseFromString(*text))
    return absl::InvalidArgumentError(StrCat(name, " is damaged: it is no GraphBatch"));
  Child::Graph& graph = child.graphs[submission.graph];
  if (parsed.number() != graph.batches) {
    return absl::InvalidArgumentError(StrCat(name, " says that it is batch ", parsed.number(),
                                             " of its graph, of which ", graph.batches,
                                             " have come"));
  }
  const GraphTables::Rows before = child.tables.rows();
  if (absl::Status s = graph.numbers.Renumber(before, child.job, parsed); !s.ok()) return s;
  parsed.set_number(number);
  absl::StatusOr<GraphTables::Checked> checked = child.tables.Check(parsed);
  if (!checked.ok()) return checked.status();
  absl::Status added =
      child.record->Add(parsed, std::move(checked->bodies), std::move(checked->args));
  if (!added.ok()) return added;
  child.tables.Commit();
  graph.numbers.Commit(before, child.tables.rows());
  ++graph.batches;
  child.first_objects.push_back(before.objects);
  return child.untaken[number] = std::make_shared<const Batch>(std::move(checked->batch));
}

void TaskIntake::Post(StreamId stream, const Submission& submission,
                      std::shared_ptr<const Batch> batch, std::string refused,
                      const ChildPtr& child, const Answer& answer) {
  const auto items = static_cast<uint32_t>(1 + batch->tasks.size() + batch->edges.size());
  auto make = [this, stream, batch = std::move(batch), refused = std::move(refused),
               record = child->record, attempt = submission.attempt, number = submission.number,
               early = submission.early](Token token) {
    asked_.emplace(token, record);
    return event::SubmitFromTask{token, stream, attempt, number, early, *batch, refused};
  };
  auto about = std::make_shared<Submission>(
      Submission{submission.attempt, submission.number, submission.early, {}, submission.graph});
  const std::vector<Ordinal>& firsts = child->first_objects;
  const Ordinal first = about->number < firsts.size() ? firsts[about->number] : 0;
  auto on_reply = [this, child, about, answer, first](const action::Reply& reply,
                                                      const SchedulerCore&, uint64_t) {
    asked_.erase(reply.token);
    const bool taken = reply.code == 0;
    intake_->Do(
        [this, child, about, taken, job = reply.job] {
          taken ? OnTaken(child, about->attempt, about->number, job)
                : OnRefused(child, about->attempt);
        },
        0);
    if (!about->early) return;
    answer(*about, reply.job, first,
           taken ? absl::OkStatus()
                 : absl::Status(static_cast<absl::StatusCode>(reply.code), reply.message));
  };
  if (!loop_->Request(std::move(make), std::move(on_reply), items)) loop_->WaitForRoom();
}

void TaskIntake::OnTaken(const ChildPtr& child, AttemptRef attempt, uint32_t number, JobId job) {
  child->untaken.erase(number);
  child->job = job;
  auto known = children_.find(attempt);
  if (known == children_.end() || known->second != child) return;
  if (jobs_->Forgotten(job)) {
    children_.erase(known);
  } else {
    of_job_.emplace(job, attempt);
  }
}

// Sent again, it is checked again.
void TaskIntake::OnRefused(const ChildPtr& child, AttemptRef attempt) {
  auto known = children_.find(attempt);
  if (child->job == 0 && known != children_.end() && known->second == child) children_.erase(known);
}

void TaskIntake::Forget(JobId job) {
  auto it = of_job_.lower_bound({job, {}});
  while (it != of_job_.end() && it->first == job) {
    children_.erase(it->second);
    it = of_job_.erase(it);
  }
}

void TaskIntake::OnActions(uint64_t, const SchedulerCore&, std::span<Action> actions) {
  for (const Action& action : actions) {
    if (auto* record = std::get_if<action::Journal>(&action)) {
      if (record->kind != action::RecordKind::kSubmit || record->number != 0) continue;
      auto asked = asked_.find(record->token);
      if (asked != asked_.end()) jobs_->Adopt(record->job, asked->second);
    } else if (auto* gone = std::get_if<action::JobForgotten>(&action)) {
      intake_->Do([this, job = gone->job] { Forget(job); }, 0);
    }
  }
}

// Named by the task that submits, below the name of its job, of which the end stays when that is long (tasks
// that submit themselves). Of the same owner.
JobHeader TaskIntake::HeaderFor(TaskId parent) const {
  constexpr size_t kShown = limits::kJobNameBytes / 4;  // a byte may be spelled by four
  std::optional<JobHeader> above = jobs_->Header(parent.job);
  std::string name = jobs_->TaskKey(parent);
  if (above) name = StrCat(above->name, "/", name);
  if (name.size() > kShown) name = StrCat("...", name.substr(name.size() - kShown + 3));
  return {0, rpc::MessageText(name), above ? above->owner : "", io::WallMs()};
}

}  // namespace taskd::scheduler
