#include "worker/shell/dialogs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskd/v1/graph.pb.h"
#include "taskd/v1/worker_session.pb.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/shell/values.h"

namespace taskd::worker {
namespace {

using testing::HasSubstr;

const AttemptRef kAttempt{{1, 2}, 3};
constexpr SessionId kSession = 7;

class DialogsTest : public testing::Test {
 protected:
  DialogsTest() {
    dialogs_.SetSocket("unix:/work/task.socket");
    auto body = std::make_shared<v1::Body>();
    body->mutable_command()->set_sh("true");
    body->add_outputs()->set_name("o");
    body->add_outputs()->set_name("p");
    request_.body = body;
    dialogs_.Begin(kAttempt, request_);
  }

  // Index of its answer.
  size_t Ask(TaskRequest request, bool by_token = false) {
    answers_.emplace_back();
    TaskAsked asked{kAttempt, std::move(request),
                    [this, i = answers_.size() - 1](TaskAnswer answer) {
                      ASSERT_FALSE(answers_[i].has_value());
                      answers_[i] = std::move(answer);
                    }};
    if (by_token) asked.who = request_.access->token;
    dialogs_.OnAsked(asked, events_);
    return answers_.size() - 1;
  }
  bool Answered(size_t i) const { return answers_[i].has_value(); }
  absl::Status StatusOf(size_t i) const {
    return Answered(i) ? answers_[i]->status : absl::UnknownError("no answer");
  }

  void Receive(const v1::SchedulerToWorker& message) {
    dialogs_.OnMessage(kSession, message, events_);
  }
  void ReceiveAnswer(uint32_t number, JobId job, bool refused = false) {
    v1::SchedulerToWorker message;
    v1::SubmissionAnswer* answer = message.add_submission_answers();
    answer->mutable_attempt()->set_job(1);
    answer->mutable_attempt()->set_ordinal(2);
    answer->mutable_attempt()->set_attempt(3);
    answer->set_number(number);
    answer->set_job(job);
    if (refused) {
      answer->mutable_failure()->set_code(3);
      answer->mutable_failure()->set_message("no graph");
    }
    Receive(message);
  }
  void ReceiveWhere(uint64_t token, ObjectVersion id, const std::string& value = "") {
    v1::SchedulerToWorker message;
    v1::ObjectFound* found = message.add_found();
    found->set_token(token);
    found->mutable_where()->set_job(id.object.job);
    found->mutable_where()->set_object(id.object.ordinal);
    found->mutable_where()->set_version(id.version);
    found->mutable_where()->set_size_bytes(5);
    found->mutable_where()->add_holders(WorkerId{4, 1}.packed());
    found->mutable_where()->set_value(value);
    found->mutable_where()->set_value_crc32c(7);
    Receive(message);
  }
  template <typename E>
  const E* Last() const {
    return events_.empty() ? nullptr : std::get_if<E>(&events_.back());
  }

  TempDir dir_;
  Store store_{{dir_.path()}, [](ObjectVersion) {}};
  Dialogs dialogs_{store_, "w1", "/home/me/.taskd"};
  ExecRequest request_;
  std::vector<Event> events_;
  std::vector<std::optional<TaskAnswer>> answers_;
};

TEST_F(DialogsTest, ProcessesOfCommandsGetTheirWayIn) {
  ASSERT_NE(request_.access, nullptr);
  EXPECT_EQ(request_.access->dir, "/home/me/.taskd");
  EXPECT_EQ(request_.access->socket, "unix:/work/task.socket");
  EXPECT_EQ(request_.access->token.size(), 32u);
  ExecRequest other = request_;
  dialogs_.Begin({{1, 3}, 4}, other);
  EXPECT_NE(other.access->token, request_.access->token);
}

TEST_F(DialogsTest, FunctionsThatWaitAreCounted) {
  auto body = std::make_shared<v1::Body>();
  body->mutable_python()->set_function("f");
  const auto begin = [&](uint32_t ordinal) {
    ExecRequest request;
    request.body = body;
    dialogs_.Begin({{1, ordinal}, 1}, request);
  };
  const auto await = [&](AttemptRef attempt) {
    TaskAsked asked{attempt, AwaitRequest{{{1, 5}}}, [](TaskAnswer) {}};
    dialogs_.OnAsked(asked, events_);
  };
  for (uint32_t ordinal : {10, 11, 12}) begin(ordinal);
  await({{1, 10}, 1});
  await({{1, 10}, 1});  // refused: it waits
  await({{1, 11}, 1});
  await(kAttempt);  // a command
  EXPECT_EQ(dialogs_.waiting_functions(), 2u);
  dialogs_.Resumed({{1, 10}, 1});
  dialogs_.Resumed({{1, 12}, 1});  // does not wait
  dialogs_.Resumed(kAttempt);
  EXPECT_EQ(dialogs_.waiting_functions(), 1u);
  dialogs_.Release({{1, 10}, 1});
  dialogs_.Release({{1, 11}, 1});  // it was killed
  EXPECT_EQ(dialogs_.waiting_functions(), 0u);
  begin(13);
  TaskAsked get{AttemptRef{{1, 13}, 1}, GetRequest{{1, 6}}, [](TaskAnswer) {}};
  dialogs_.OnAsked(get, events_);
  EXPECT_EQ(dialogs_.waiting_functions(), 0u);  // it may be there
  v1::SchedulerToWorker message;
  message.add_found()->set_token(dialogs_.TakeLookups().front().token);
  Receive(message);  // it is to come
  EXPECT_EQ(dialogs_.waiting_functions(), 1u);
  dialogs_.Resumed({{1, 13}, 1});
  EXPECT_EQ(dialogs_.waiting_functions(), 0u);
}

TEST_F(DialogsTest, HeldBatchesStayUntilTheyAreReleased) {
  EXPECT_TRUE(StatusOf(Ask(SubmitRequest{false, "one"})).ok());
  EXPECT_TRUE(StatusOf(Ask(SubmitRequest{false, "two"}, true)).ok());
  ASSERT_EQ(events_.size(), 2u);
  EXPECT_FALSE(std::get<event::ExecSubmit>(events_[1]).early);
  dialogs_.Release(kAttempt);  // it has ended, and its outcome is not acknowledged
  EXPECT_EQ(dialogs_.SubmittedBy({kSession, kAttempt, 0, false}).frame, "one");
  EXPECT_EQ(dialogs_.SubmittedBy({kSession, kAttempt, 1, false}).frame, "two");
  EXPECT_FALSE(StatusOf(Ask(SubmitRequest{false, "three"}, true)).ok());
  dialogs_.ReleaseSubmission(kAttempt);
  EXPECT_ANY_THROW(dialogs_.SubmittedBy({kSession, kAttempt, 0, false}));
}

TEST_F(DialogsTest, HeldBatchesHaveALimit) {
  const std::string frame(limits::kFrameBytes, 'x');
  for (uint64_t i = 0; i < limits::kHeldBytes / limits::kFrameBytes; ++i)
    ASSERT_TRUE(StatusOf(Ask(SubmitRequest{false, frame})).ok()) << i;
  EXPECT_THAT(std::string(StatusOf(Ask(SubmitRequest{false, "x"})).message()),
              HasSubstr("submit early"));
  EXPECT_FALSE(StatusOf(Ask(SubmitRequest{false, frame + "x"})).ok());
}

TEST_F(DialogsTest, WhatIsPutIsSubmittedEarly) {
  const size_t first = Ask(PutRequest{"a token"});
  const Dialogs::Submitted& submitted = dialogs_.SubmittedBy({kSession, kAttempt, 0, true});
  EXPECT_EQ(submitted.graph, ~0u);
  EXPECT_FALSE(submitted.frame.empty());
  const std::string frame = submitted.frame;
  EXPECT_FALSE(Answered(first));
  ReceiveAnswer(0, 9);
  EXPECT_TRUE(StatusOf(first).ok());
  const size_t graph = Ask(SubmitRequest{true, "a graph"});
  EXPECT_EQ(dialogs_.SubmittedBy({kSession, kAttempt, 1, true}).graph, 0u);
  ReceiveAnswer(1, 9, true);
  EXPECT_FALSE(StatusOf(graph).ok());
  Ask(PutRequest{"a token"});  // the next of its own graph
  EXPECT_NE(dialogs_.SubmittedBy({kSession, kAttempt, 1, true}).frame, frame);
  EXPECT_THAT(std::string(StatusOf(Ask(SubmitRequest{false, "held"})).message()),
              HasSubstr("either early or held"));
}

TEST_F(DialogsTest, WhoHoldsAGraphPutsNothingAndHoldsNoOther) {
  EXPECT_TRUE(StatusOf(Ask(SubmitRequest{false, "one", 3})).ok());
  EXPECT_TRUE(StatusOf(Ask(SubmitRequest{false, "more of it", 3})).ok());
  EXPECT_THAT(std::string(StatusOf(Ask(SubmitRequest{false, "another", 4})).message()),
              HasSubstr("holds one graph"));
  EXPECT_THAT(std::string(StatusOf(Ask(PutRequest{"a token"})).message()),
              HasSubstr("a task that puts submits early"));
}

TEST_F(DialogsTest, EarlyBatchesWaitForTheirOwnAnswer) {
  const size_t first = Ask(SubmitRequest{true, "one"});
  EXPECT_FALSE(Answered(first));
  EXPECT_EQ(dialogs_.SubmittedBy({kSession, kAttempt, 0, true}).frame, "one");
  EXPECT_THAT(std::string(StatusOf(Ask(SubmitRequest{true, "two"})).message()),
              HasSubstr("no answer yet"));
  ReceiveAnswer(1, 9);  // of another one
  EXPECT_FALSE(Answered(first));
  ReceiveAnswer(0, 9);
  EXPECT_TRUE(StatusOf(first).ok());
  EXPECT_EQ(answers_[first]->job, 9u);
  const size_t second = Ask(SubmitRequest{true, "two"});
  ReceiveAnswer(0, 9);  // said again
  EXPECT_FALSE(Answered(second));
  ReceiveAnswer(1, 0, true);
  EXPECT_THAT(std::string(StatusOf(second).message()), HasSubstr("no graph"));
  EXPECT_FALSE(Last<event::SubmitAnswered>()->taken);
  const size_t third = Ask(SubmitRequest{true, "three"});  // takes the refused one's number
  ReceiveAnswer(1, 9);
  EXPECT_TRUE(StatusOf(third).ok());
  EXPECT_THAT(std::string(StatusOf(Ask(SubmitRequest{false, "held"})).message()),
              HasSubstr("early or held"));
}

TEST_F(DialogsTest, OneWaitAtATime) {
  EXPECT_TRUE(StatusOf(Ask(AwaitRequest{})).ok());
  EXPECT_TRUE(events_.empty());
  const size_t wait = Ask(AwaitRequest{{{5, 0}, {5, 1}}});
  ASSERT_NE(Last<event::ExecYield>(), nullptr);
  EXPECT_EQ(Last<event::ExecYield>()->awaits.size(), 2u);
  EXPECT_THAT(std::string(StatusOf(Ask(AwaitRequest{{{5, 0}}})).message()),
              HasSubstr("waits already"));
  EXPECT_FALSE(Answered(wait));
  dialogs_.Resumed(kAttempt);
  EXPECT_TRUE(StatusOf(wait).ok());
  dialogs_.Resumed(kAttempt);  // nobody waits
}

TEST_F(DialogsTest, OutputsAreDelegatedByName) {
  EXPECT_TRUE(StatusOf(Ask(DelegateRequest{"p", 17}, true)).ok());
  EXPECT_EQ(request_.access->Delegated(1), 17u);
  EXPECT_EQ(request_.access->Delegated(0), kNoOrdinal);
  EXPECT_THAT(std::string(StatusOf(Ask(DelegateRequest{"q", 17}, true)).message()),
              HasSubstr("no output 'q'; it has o, p"));
}

TEST_F(DialogsTest, AnObjectThatIsHere) {
  const ObjectVersion id{{5, 1}, 8};
  ASSERT_TRUE(store_.Put({id, {}}, "bytes").ok());
  const size_t get = Ask(GetRequest{{5, 1}});
  const std::vector<LookupMessage> lookups = dialogs_.TakeLookups();
  ASSERT_EQ(lookups.size(), 1u);
  EXPECT_EQ(lookups[0].object, (ObjectId{5, 1}));
  ReceiveWhere(lookups[0].token, id);
  ASSERT_TRUE(StatusOf(get).ok());
  EXPECT_EQ(answers_[get]->object->entry().bytes, "bytes");
  EXPECT_EQ(answers_[get]->id, id);
  EXPECT_TRUE(events_.empty());
}

TEST_F(DialogsTest, AnObjectThatIsElsewhereIsGathered) {
  const ObjectVersion id{{5, 1}, 8};
  const size_t get = Ask(GetRequest{{5, 1}});
  ReceiveWhere(dialogs_.TakeLookups()[0].token, id);
  ASSERT_NE(Last<event::Gather>(), nullptr);
  EXPECT_EQ(Last<event::Gather>()->object.holders[0], (WorkerId{4, 1}));
  EXPECT_EQ(Last<event::Gather>()->values, nullptr);
  dialogs_.OnReplica({{5, 2}, 8}, 0);
  EXPECT_FALSE(Answered(get));
  ASSERT_TRUE(store_.Put({id, {}}, "bytes").ok());
  dialogs_.OnReplica(id, 0);
  EXPECT_TRUE(StatusOf(get).ok());
}

TEST_F(DialogsTest, TheValueOfASmallObjectComesWithItsPlace) {
  const ObjectVersion id{{5, 1}, 8};
  Ask(GetRequest{{5, 1}});
  ReceiveWhere(dialogs_.TakeLookups()[0].token, id, "value");
  ASSERT_NE(Last<event::Gather>(), nullptr);
  ASSERT_NE(Last<event::Gather>()->values, nullptr);
  EXPECT_EQ(Last<event::Gather>()->values->Find(id)->bytes, "value");
  EXPECT_EQ(Last<event::Gather>()->values->Find(id)->crc32c, 7u);
}

TEST_F(DialogsTest, AGetThatFailsLooksAgainUntilItGivesUp) {
  const ObjectVersion id{{5, 1}, 8};
  const size_t get = Ask(GetRequest{{5, 1}});
  uint64_t now_ns = 0;
  for (uint64_t i = 0; i < limits::kTaskGetTries; ++i) {
    ASSERT_FALSE(Answered(get));
    const std::vector<LookupMessage> lookups = dialogs_.TakeLookups();
    ASSERT_EQ(lookups.size(), 1u) << i;
    ReceiveWhere(lookups[0].token, id);
    dialogs_.OnGatherFailed(id, now_ns);
    if (Answered(get)) break;
    EXPECT_TRUE(dialogs_.TakeLookups().empty());
    now_ns = dialogs_.wake_ns();
    dialogs_.OnTime(now_ns);
  }
  EXPECT_THAT(std::string(StatusOf(get).message()), HasSubstr("from any worker"));
}

// Its file has vanished: the store says so to the core, after that has answered the gather.
TEST_F(DialogsTest, WhatCannotBeReadIsLookedForAgain) {
  const ObjectVersion id{{5, 1}, 8};
  const size_t get = Ask(GetRequest{{5, 1}});
  ReceiveWhere(dialogs_.TakeLookups()[0].token, id);
  dialogs_.OnReplica(id, 100);
  EXPECT_FALSE(Answered(get));
  EXPECT_TRUE(dialogs_.TakeLookups().empty());
  dialogs_.OnTime(dialogs_.wake_ns());
  EXPECT_EQ(dialogs_.TakeLookups().size(), 1u);
}

TEST_F(DialogsTest, AFreeOrANewStreamStartsAGetAnew) {
  const ObjectVersion id{{5, 1}, 8};
  const size_t get = Ask(GetRequest{{5, 1}});
  const uint64_t token = dialogs_.TakeLookups()[0].token;
  dialogs_.OnSessionUp();
  EXPECT_EQ(dialogs_.TakeLookups().size(), 1u);
  ReceiveWhere(token, id);
  v1::SchedulerToWorker message;
  v1::Replica* freed = message.add_frees();
  freed->set_job(5);
  freed->set_object(1);
  freed->set_version(8);
  Receive(message);
  EXPECT_EQ(dialogs_.TakeLookups().size(), 1u);
  EXPECT_FALSE(Answered(get));
}

TEST_F(DialogsTest, AGetWaitsForWhatIsToCome) {
  const size_t get = Ask(GetRequest{{5, 1}});
  v1::SchedulerToWorker message;
  message.add_found()->set_token(dialogs_.TakeLookups()[0].token);
  Receive(message);
  ASSERT_NE(Last<event::ExecYield>(), nullptr);
  EXPECT_EQ(Last<event::ExecYield>()->awaits, (std::vector<ObjectId>{{5, 1}}));
  dialogs_.OnSessionUp();  // the core says it again
  EXPECT_TRUE(dialogs_.TakeLookups().empty());
  dialogs_.Resumed(kAttempt);
  const std::vector<LookupMessage> lookups = dialogs_.TakeLookups();
  ASSERT_EQ(lookups.size(), 1u);
  message.mutable_found(0)->set_token(lookups[0].token);
  message.mutable_found(0)->mutable_failure()->set_code(9);
  message.mutable_found(0)->mutable_failure()->set_message("its task failed");
  Receive(message);
  EXPECT_THAT(std::string(StatusOf(get).message()), HasSubstr("its task failed"));
}

TEST_F(DialogsTest, AGetThatWaitsHoldsWhatOthersOfItsTaskRead) {
  Ask(GetRequest{{5, 1}});
  Ask(GetRequest{{5, 2}});
  const std::vector<LookupMessage> lookups = dialogs_.TakeLookups();
  ReceiveWhere(lookups[1].token, {{5, 2}, 8});
  v1::SchedulerToWorker message;
  message.add_found()->set_token(lookups[0].token);
  Receive(message);
  ASSERT_NE(Last<event::ExecYield>(), nullptr);
  EXPECT_EQ(Last<event::ExecYield>()->awaits, (std::vector<ObjectId>{{5, 1}, {5, 2}}));
}

TEST_F(DialogsTest, WhoHasEndedIsNotAnswered) {
  const size_t get = Ask(GetRequest{{5, 1}});
  const size_t wait = Ask(AwaitRequest{{{5, 0}}});
  dialogs_.Release(kAttempt);
  dialogs_.Resumed(kAttempt);
  ReceiveWhere(1, {{5, 1}, 8});
  EXPECT_FALSE(Answered(get));
  EXPECT_FALSE(Answered(wait));
  EXPECT_THAT(std::string(StatusOf(Ask(AwaitRequest{{{5, 0}}}, true)).message()),
              HasSubstr("no running task with this token"));
}

}  // namespace
}  // namespace taskd::worker
