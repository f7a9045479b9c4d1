#include "cli/client/client_session.h"

#include <gmock/gmock.h>

#include <future>
#include <map>

#include "absl/cleanup/cleanup.h"
#include "common/io/clock.h"
#include "tests/unit/taskctl/fake_cluster.h"

namespace taskd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

// What a scheduler has of one job, and how it takes the messages of a submission.
struct Intake {
  std::mutex mutex;
  std::string submission_id;
  std::map<uint32_t, std::string> batches;
  uint32_t sealed = 0;
  bool takes_whole = false;  // jobs of one batch, in one message
  uint32_t next() { return static_cast<uint32_t>(batches.size()); }

  // Handles one request. False: none of a submission.
  bool Handle(ServerStream& stream, const v1::ClientToScheduler& request) {
    std::lock_guard lock(mutex);
    if (request.has_open()) {
      submission_id = request.open().submission_id();
      if (takes_whole && !request.open().whole_frame().empty()) {
        batches[0] = request.open().whole_frame();
        sealed = 1;
      }
      Answer(stream, request, [&](v1::Reply& reply) {
        reply.set_job(7);
        reply.set_next_batch(next());
      });
    } else if (request.has_batch()) {
      batches[request.batch().number()] = request.batch().frame();
      Answer(stream, request);
    } else if (request.has_seal()) {
      sealed = request.seal().batches();
      Answer(stream, request);
    } else {
      return false;
    }
    return true;
  }
};

void SendJob(ServerStream& stream, uint32_t job, v1::JobState state, uint64_t done) {
  v1::SchedulerToClient message;
  v1::JobUpdate* update = message.add_jobs();
  update->set_job(job);
  update->set_state(state);
  update->set_done(done);
  stream.Write(message);
}

class ClientSessionTest : public testing::Test {
 protected:
  // The scheduler follows `script` until what this returns goes: before all that the script uses.
  [[nodiscard]] auto Serve(SessionScript script) {
    scheduler_.script = std::move(script);
    return absl::Cleanup([this] { scheduler_.Stop(); });
  }
  void Open() {
    auto opened = Connection::Open(scheduler_.dir());
    ASSERT_TRUE(opened.ok()) << opened.status();
    connection_ = *std::move(opened);
    ClientSession::Options options;
    options.note = [this](std::string_view text) { notes_ += std::string(text) + "\n"; };
    session_ = std::make_unique<ClientSession>(*connection_, options);
  }
  Submission Batches(uint32_t count) {
    Submission submission;
    submission.name = "test";
    submission.batches = count;
    submission.frame = [](uint32_t number) -> absl::StatusOr<std::string> {
      return "frame " + std::to_string(number);
    };
    return submission;
  }

  FakeScheduler scheduler_;
  std::unique_ptr<Connection> connection_;
  std::unique_ptr<ClientSession> session_;
  std::string notes_;
};

TEST_F(ClientSessionTest, SubmitsAllBatchesInOrderAndSeals) {
  Intake intake;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    while (stream.Read(&request)) EXPECT_TRUE(intake.Handle(stream, request));
    return grpc::Status::OK;
  });
  Open();
  JobId opened = 0;
  auto job = session_->Submit(Batches(20), [&](JobId id) { opened = id; });
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(*job, 7u);
  EXPECT_EQ(opened, 7u);
  std::lock_guard lock(intake.mutex);
  EXPECT_EQ(intake.batches.size(), 20u);
  EXPECT_EQ(intake.batches[19], "frame 19");
  EXPECT_EQ(intake.sealed, 20u);
  EXPECT_EQ(intake.submission_id.size(), 16u);
}

TEST_F(ClientSessionTest, AGraphOfOneBatchIsOneMessage) {
  Intake intake;
  intake.takes_whole = true;
  std::vector<v1::ClientToScheduler> requests;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    while (stream.Read(&request)) {
      requests.push_back(request);
      intake.Handle(stream, request);
      if (request.open().subscribe()) {
        SendJob(stream, 7, v1::JOB_RUNNING, 0);
        SendJob(stream, 7, v1::JOB_DONE, 1);
      }
    }
    return grpc::Status::OK;
  });
  Open();
  Submission submission = Batches(1);
  submission.follow = true;
  auto job = session_->Submit(submission);
  ASSERT_TRUE(job.ok()) << job.status();
  v1::JobUpdate last;
  absl::Status status = session_->Follow({*job}, [&](const v1::JobUpdate* update) {
    if (update != nullptr) last = *update;
  });
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(last.state(), v1::JOB_DONE);
  session_.reset();
  scheduler_.Stop();
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(intake.batches[0], "frame 0");
}

TEST_F(ClientSessionTest, NewsOfAJobThatIsFollowedLaterAreKept) {
  Intake intake;
  intake.takes_whole = true;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    while (stream.Read(&request)) {
      if (!intake.Handle(stream, request)) Answer(stream, request);
      if (request.open().subscribe()) SendJob(stream, 7, v1::JOB_DONE, 1);
      if (request.has_subscribe()) SendJob(stream, 8, v1::JOB_DONE, 1);
    }
    return grpc::Status::OK;
  });
  Open();
  Submission submission = Batches(1);
  submission.follow = true;
  ASSERT_TRUE(session_->Submit(submission).ok());
  std::vector<uint32_t> told;
  const auto tell = [&](const v1::JobUpdate* update) {
    if (update != nullptr) told.push_back(update->job());
  };
  ASSERT_TRUE(session_->Follow({8}, tell).ok());
  ASSERT_TRUE(session_->Follow({7}, tell).ok());
  EXPECT_THAT(told, ElementsAre(8, 7));
}

TEST_F(ClientSessionTest, KeepsAFewBatchesInFlightAndNoMore) {
  std::promise<uint32_t> before_any_reply;
  Intake intake;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    std::vector<v1::ClientToScheduler> held;
    while (stream.Read(&request)) {
      if (!request.has_batch()) {
        intake.Handle(stream, request);
        continue;
      }
      held.push_back(request);
      // Nothing is answered before the window is full: a client that waits for each reply would
      // hang here.
      if (held.size() < 4) continue;
      if (held.size() == 4) before_any_reply.set_value(static_cast<uint32_t>(held.size()));
      intake.Handle(stream, held[held.size() - 4]);
      if (held.size() == 10) {
        for (size_t i = held.size() - 3; i < held.size(); ++i) intake.Handle(stream, held[i]);
      }
    }
    return grpc::Status::OK;
  });
  Open();
  auto job = session_->Submit(Batches(10));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(before_any_reply.get_future().get(), 4u);
  EXPECT_EQ(intake.batches.size(), 10u);
}

TEST_F(ClientSessionTest, GoesOnWithTheNextBatchAfterABrokenStream) {
  Intake intake;
  std::vector<std::string> ids;
  std::vector<uint32_t> resumed;
  auto serving = Serve([&](uint32_t number, ServerStream& stream) {
    v1::ClientToScheduler request;
    uint32_t seen = 0;
    while (stream.Read(&request)) {
      if (request.has_batch() && number < 3 && ++seen > 5)
        return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
      if (request.has_batch() && seen <= 1 && number > 1)
        resumed.push_back(request.batch().number());
      if (request.has_open()) ids.push_back(request.open().submission_id());
      intake.Handle(stream, request);
    }
    return grpc::Status::OK;
  });
  Open();
  auto job = session_->Submit(Batches(20));
  ASSERT_TRUE(job.ok()) << job.status();
  EXPECT_EQ(scheduler_.streams(), 3u);
  EXPECT_EQ(intake.batches.size(), 20u);
  EXPECT_EQ(intake.sealed, 20u);
  ASSERT_EQ(ids.size(), 3u);
  EXPECT_EQ(ids[0], ids[2]);
  EXPECT_EQ(resumed.front(), 5u);
}

TEST_F(ClientSessionTest, ARefusedBatchIsTheSchedulersText) {
  Intake intake;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    while (stream.Read(&request)) {
      if (request.has_batch()) {
        Answer(stream, request, [](v1::Reply& reply) {
          reply.mutable_failure()->set_code(grpc::StatusCode::INVALID_ARGUMENT);
          reply.mutable_failure()->set_message("task 5 reads an object that does not exist");
        });
      } else {
        intake.Handle(stream, request);
      }
    }
    return grpc::Status::OK;
  });
  Open();
  auto job = session_->Submit(Batches(2));
  EXPECT_TRUE(absl::IsInvalidArgument(job.status()));
  EXPECT_THAT(TextOf(job.status()), HasSubstr("task 5 reads an object"));
  EXPECT_EQ(scheduler_.streams(), 1u);  // no second try
}

// A scheduler that answers subscriptions with `updates`, one stream after the other.
TEST_F(ClientSessionTest, FollowsJobsUntilEachHasEnded) {
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    for (int i = 0; i < 2 && stream.Read(&request); ++i) Answer(stream, request);
    SendJob(stream, 1, v1::JOB_RUNNING, 5);
    SendJob(stream, 2, v1::JOB_FAILED, 6);
    SendJob(stream, 9, v1::JOB_DONE, 6);  // nobody asked
    SendJob(stream, 1, v1::JOB_DONE, 10);
    stream.Read(&request);
    return grpc::Status::OK;
  });
  Open();
  std::map<uint32_t, v1::JobState> last;
  absl::Status status = session_->Follow({1, 2}, [&](const v1::JobUpdate* update) {
    if (update != nullptr) last[update->job()] = update->state();
  });
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_THAT(last, ElementsAre(testing::Pair(1, v1::JOB_DONE), testing::Pair(2, v1::JOB_FAILED)));
}

TEST_F(ClientSessionTest, SubscribesAgainAfterABrokenStream) {
  auto serving = Serve([&](uint32_t number, ServerStream& stream) {
    v1::ClientToScheduler request;
    stream.Read(&request);
    EXPECT_EQ(request.subscribe().job(), 4u);
    Answer(stream, request);
    SendJob(stream, 4, number == 1 ? v1::JOB_RUNNING : v1::JOB_DONE, number);
    if (number == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
    stream.Read(&request);
    return grpc::Status::OK;
  });
  Open();
  absl::Status status = session_->Follow({4}, [](const v1::JobUpdate*) {});
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(scheduler_.streams(), 2u);
}

TEST_F(ClientSessionTest, AnotherClusterDoesNotKnowTheJob) {
  scheduler_.cluster_id = [](uint32_t number) { return number == 1 ? "cluster-a" : "cluster-b"; };
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    stream.Read(&request);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
  });
  Open();
  absl::Status status = session_->Follow({4}, [](const v1::JobUpdate*) {});
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(TextOf(status), HasSubstr("does not know job 4 any more"));
}

TEST_F(ClientSessionTest, TheDeadlineEndsAWaitAndTheTicksComeBefore) {
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    stream.Read(&request);
    Answer(stream, request);
    stream.Read(&request);
    return grpc::Status::OK;
  });
  Open();
  uint32_t ticks = 0;
  auto count = [&](const v1::JobUpdate* update) { ticks += update == nullptr ? 1 : 0; };
  absl::Status status = session_->Follow({1}, count, io::NowNs() + 100'000'000, 10'000'000);
  EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  EXPECT_GT(ticks, 0u);
}

TEST_F(ClientSessionTest, AnInterruptEndsEveryCall) {
  std::promise<void> subscribed;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    stream.Read(&request);
    Answer(stream, request);
    subscribed.set_value();
    stream.Read(&request);
    return grpc::Status::OK;
  });
  Open();
  std::thread other([&] {
    subscribed.get_future().wait();
    session_->Interrupt();
  });
  EXPECT_TRUE(absl::IsAborted(session_->Follow({1}, [](const v1::JobUpdate*) {})));
  other.join();
  EXPECT_TRUE(absl::IsAborted(session_->Submit(Batches(1)).status()));
  EXPECT_EQ(scheduler_.streams(), 1u);
}

TEST_F(ClientSessionTest, AwaitsAnObject) {
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    stream.Read(&request);
    EXPECT_EQ(request.wants().objects(0).ordinal(), 3u);
    Answer(stream, request);
    v1::SchedulerToClient message;
    v1::ObjectUpdate* update = message.add_objects();
    *update->mutable_object() = request.wants().objects(0);
    update->set_version(17);
    update->add_data_addresses("127.0.0.1:1");
    stream.Write(message);
    // The second call wants one more object, which cannot come.
    stream.Read(&request);
    EXPECT_EQ(request.wants().objects_size(), 2);
    Answer(stream, request);
    update->clear_data_addresses();
    update->mutable_object()->set_ordinal(4);
    update->mutable_failure()->set_code(grpc::StatusCode::INTERNAL);
    update->mutable_failure()->set_message("its task failed");
    stream.Write(message);
    stream.Read(&request);
    return grpc::Status::OK;
  });
  Open();
  auto update = session_->AwaitObject({1, 3});
  ASSERT_TRUE(update.ok()) << update.status();
  EXPECT_EQ(update->version(), 17u);
  EXPECT_THAT(TextOf(session_->AwaitObject({1, 4}).status()), HasSubstr("its task failed"));
}

TEST_F(ClientSessionTest, IsTheSameClientOnEachStreamAndSaysGoodbyeWhenItHasALease) {
  std::promise<bool> goodbye;
  auto serving = Serve([&](uint32_t number, ServerStream& stream) {
    v1::ClientToScheduler request;
    stream.Read(&request);
    if (number == 1) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "broken");
    Answer(stream, request);
    v1::SchedulerToClient message;
    *message.add_objects()->mutable_object() = request.wants().objects(0);
    message.mutable_objects(0)->add_data_addresses("127.0.0.1:1");
    stream.Write(message);
    goodbye.set_value(stream.Read(&request) && request.has_goodbye());
    return grpc::Status::OK;
  });
  Open();
  ASSERT_TRUE(session_->AwaitObject({1, 3}).ok());
  session_.reset();
  EXPECT_TRUE(goodbye.get_future().get());
  auto hellos = scheduler_.hellos();
  ASSERT_EQ(hellos.size(), 2u);
  EXPECT_NE(hellos[0].client_id(), 0u);
  EXPECT_EQ(hellos[0].client_id(), hellos[1].client_id());
}

TEST_F(ClientSessionTest, AJobIsOpenedAsItIsSaid) {
  v1::OpenJob open;
  Intake intake;
  auto serving = Serve([&](uint32_t, ServerStream& stream) {
    v1::ClientToScheduler request;
    while (stream.Read(&request) && !request.has_goodbye()) {
      if (request.has_open()) open = request.open();
      intake.Handle(stream, request);
    }
    return grpc::Status::OK;
  });
  Open();
  Submission submission = Batches(1);
  submission.owner = "me";
  submission.priority = -3;
  submission.weight = 50;
  submission.max_running = 4;
  submission.ttl_ns = 5;
  submission.ephemeral = true;
  ASSERT_TRUE(session_->Submit(submission).ok());
  session_.reset();
  EXPECT_EQ(open.owner(), "me");
  EXPECT_EQ(open.priority(), -3);
  EXPECT_EQ(open.weight(), 50u);
  EXPECT_EQ(open.max_running(), 4u);
  EXPECT_EQ(open.ttl_ns(), 5u);
  EXPECT_TRUE(open.ephemeral());
}

TEST_F(ClientSessionTest, AnotherProtocolIsRefusedByName) {
  Open();
  scheduler_.protocol = 99;
  auto serving = Serve([](uint32_t, ServerStream&) { return grpc::Status::OK; });
  absl::Status status = session_->Submit(Batches(1)).status();
  EXPECT_THAT(TextOf(status), HasSubstr("speaks protocol 99"));
}

}  // namespace
}  // namespace taskd::client
