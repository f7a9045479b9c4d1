// The link against a scheduler of a few lines.
#include "worker/shell/scheduler_link.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/io/access_file.h"
#include "common/io/clock.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "taskd/v1/worker_session.grpc.pb.h"
#include "tests/unit/worker_store/temp_dir.h"

namespace taskd::worker {
namespace {

using ::testing::HasSubstr;

// Answers each hello with `answer`, then reads until the worker ends the stream.
class FakeScheduler final : public v1::WorkerSession::Service {
 public:
  grpc::Status Connect(
      grpc::ServerContext* context,
      grpc::ServerReaderWriter<v1::SchedulerToWorker, v1::WorkerToScheduler>* stream) override {
    if (grpc::Status s = rpc::CheckKey(*context, {"wk"}); !s.ok()) return s;
    v1::WorkerToScheduler message;
    if (!stream->Read(&message)) return grpc::Status::OK;
    {
      std::lock_guard lock(mutex);
      hello = message.hello();
    }
    stream->Write(answer);
    while (stream->Read(&message)) {
      std::lock_guard lock(mutex);
      heartbeats += message.has_heartbeat() ? 1 : 0;
      goodbye = goodbye || message.goodbye();
      outcomes += message.outcomes_size();
      started += message.started_size();
    }
    return grpc::Status::OK;
  }

  std::mutex mutex;
  v1::SchedulerToWorker answer;
  v1::WorkerHello hello;
  int heartbeats = 0, outcomes = 0, started = 0;
  bool goodbye = false;
};

class SchedulerLinkTest : public testing::Test {
 protected:
  SchedulerLinkTest() {
    scheduler_.answer.mutable_welcome()->set_protocol(limits::kProtocolVersion);
    scheduler_.answer.mutable_welcome()->set_cluster_id("c1");
    scheduler_.answer.mutable_welcome()->set_worker(WorkerId{3, 1}.packed());
  }
  ~SchedulerLinkTest() override {
    link_.reset();
    if (running_.server != nullptr) rpc::StopServer(*running_.server, 0);
  }

  void Serve() {
    grpc::Service* services[] = {&scheduler_};
    auto running = rpc::StartServer("127.0.0.1:0", rpc::ChannelClass::kControl, services);
    ASSERT_TRUE(running.ok()) << running.status();
    running_ = *std::move(running);
    WriteAccess("wk");
  }

  void WriteAccess(const std::string& key) {
    ASSERT_TRUE(io::WriteAccessFile(dir_.path(), {"c1", {running_.address}, "ck", key}).ok());
  }

  void MakeLink() {
    SchedulerLink::Options options;
    options.access_dir = dir_.path();
    options.name = "w";
    options.identity = 5;
    options.incarnation = 6;
    options.capacity = {2000, 1 << 20};
    link_ = std::make_unique<SchedulerLink>(std::move(options), inbox_);
  }

  // Drives the link as the daemon does, until `until` holds.
  void Drive(const std::function<bool()>& until) {
    while (!until()) {
      const uint64_t wake = link_->OnTime(io::NowNs(), {});
      for (InboxItem& item : inbox_->Take(std::min(wake, io::NowNs() + 10'000'000))) {
        if (auto* message = std::get_if<SessionMessage>(&item)) {
          if (auto up = link_->OnMessage(*message, io::NowNs())) ups_.push_back(*up);
        } else if (auto* closed = std::get_if<SessionClosed>(&item)) {
          ++closed_;
          if (auto down = link_->OnClosed(*closed, io::NowNs())) downs_.push_back(*down);
        }
      }
    }
  }

  TempDir dir_;
  FakeScheduler scheduler_;
  rpc::RunningServer running_;
  std::shared_ptr<Inbox> inbox_ = std::make_shared<Inbox>();
  std::unique_ptr<SchedulerLink> link_;
  std::vector<event::SessionUp> ups_;
  std::vector<event::SessionDown> downs_;
  int closed_ = 0;
};

TEST_F(SchedulerLinkTest, SaysHelloBeatsAndSaysGoodbye) {
  Serve();
  MakeLink();
  Drive([&] { return link_->up(); });
  ASSERT_EQ(ups_.size(), 1u);
  EXPECT_EQ(ups_[0].worker, (WorkerId{3, 1}));
  EXPECT_FALSE(ups_[0].other_cluster);
  EXPECT_EQ(scheduler_.hello.name(), "w");
  EXPECT_EQ(scheduler_.hello.cluster_id(), "");
  EXPECT_EQ(scheduler_.hello.capacity().cpus_milli(), 2000u);
  for (uint32_t i = 0; i < 10; ++i) {  // one message: a start does not cut the batch
    link_->Send(action::SendStarted{ups_[0].session, {{1, i}, 1}});
    link_->Send(action::SendOutcome{ups_[0].session, {}}, {});
    link_->Send(action::SendOutcome{ups_[0].session + 1, {}}, {});  // of another stream: dropped
  }
  link_->Flush(io::NowNs(), false);
  Drive([&] {
    std::lock_guard lock(scheduler_.mutex);
    return scheduler_.heartbeats > 0 && scheduler_.outcomes == 10 && scheduler_.started == 10;
  });
  link_->Goodbye();
  Drive([&] { return closed_ > 0; });
  EXPECT_TRUE(scheduler_.goodbye);
  EXPECT_EQ(link_->OnTime(io::NowNs(), {}), ~uint64_t{0});  // and does not come back
}

TEST_F(SchedulerLinkTest, ReportsOfABusyWorkerGatherForAMoment) {
  constexpr uint64_t kAtOnce = ~uint64_t{0};
  Serve();
  MakeLink();
  Drive([&] { return link_->up(); });
  const SessionId session = ups_[0].session;
  const auto counts = [&] {
    std::lock_guard lock(scheduler_.mutex);
    return std::pair(scheduler_.started, scheduler_.outcomes);
  };
  const auto outcome = [&](AttemptEnd end) {
    action::SendOutcome a{session, {}};
    a.outcome.end = end;
    link_->Send(a, {});
  };
  const uint64_t now_ns = io::NowNs();
  link_->Send(action::SendStarted{session, {{1, 1}, 1}});
  const uint64_t at_ns = link_->Flush(now_ns, true);
  EXPECT_GT(at_ns, now_ns);
  EXPECT_LT(at_ns, now_ns + 1'000'000'000);
  outcome(AttemptEnd::kFinished);
  EXPECT_EQ(link_->Flush(at_ns - 1, true), at_ns);
  EXPECT_EQ(link_->Flush(at_ns, true), kAtOnce);
  Drive([&] { return counts() == std::pair(1, 1); });
  // Not when there is little to do, nor together with what does not wait.
  outcome(AttemptEnd::kFinished);
  EXPECT_EQ(link_->Flush(now_ns, false), kAtOnce);
  outcome(AttemptEnd::kFailed);
  EXPECT_EQ(link_->Flush(now_ns, true), kAtOnce);
  outcome(AttemptEnd::kFinished);
  link_->Send(action::SendReplicaLost{session, {{1, 1}, 1}});
  EXPECT_EQ(link_->Flush(now_ns, true), kAtOnce);
  Drive([&] { return counts() == std::pair(1, 4); });
  EXPECT_EQ(link_->Flush(now_ns, true), kAtOnce);  // there is nothing
}

TEST_F(SchedulerLinkTest, ComesBackToTheSameOrAnotherCluster) {
  Serve();
  MakeLink();
  Drive([&] { return ups_.size() == 1; });
  rpc::StopServer(*running_.server, 0);
  Drive([&] { return downs_.size() == 1; });
  EXPECT_EQ(downs_[0].session, ups_[0].session);
  Serve();  // a new address, in a new access file
  Drive([&] { return ups_.size() == 2; });
  EXPECT_FALSE(ups_[1].other_cluster);
  EXPECT_GT(ups_[1].session, ups_[0].session);
  EXPECT_EQ(scheduler_.hello.cluster_id(), "c1");
  rpc::StopServer(*running_.server, 0);
  scheduler_.answer.mutable_welcome()->set_cluster_id("c2");
  Serve();
  Drive([&] { return ups_.size() == 3; });
  EXPECT_TRUE(ups_[2].other_cluster);
}

TEST_F(SchedulerLinkTest, KeepsTryingWhileNobodyAnswers) {
  running_.address = "127.0.0.1:1";
  WriteAccess("wk");
  MakeLink();
  Drive([&] { return closed_ >= 2; });
  EXPECT_TRUE(link_->fatal().ok());
  EXPECT_TRUE(ups_.empty());
  Serve();
  Drive([&] { return link_->up(); });
}

TEST_F(SchedulerLinkTest, AWrongKeyIsFatal) {
  Serve();
  WriteAccess("wrong");
  MakeLink();
  Drive([&] { return !link_->fatal().ok(); });
  EXPECT_EQ(link_->fatal().code(), absl::StatusCode::kUnauthenticated);
}

TEST_F(SchedulerLinkTest, OtherProtocolsAndRefusalsAreFatal) {
  scheduler_.answer.mutable_welcome()->set_protocol(99);
  Serve();
  MakeLink();
  Drive([&] { return !link_->fatal().ok(); });
  EXPECT_THAT(std::string(link_->fatal().message()), HasSubstr("protocol 99"));

  scheduler_.answer.Clear();
  scheduler_.answer.mutable_refusal()->mutable_failure()->set_code(
      grpc::StatusCode::FAILED_PRECONDITION);
  scheduler_.answer.mutable_refusal()->mutable_failure()->set_message("speaks protocol 1");
  MakeLink();
  Drive([&] { return !link_->fatal().ok(); });
  EXPECT_THAT(std::string(link_->fatal().message()), HasSubstr("speaks protocol 1"));
}

TEST_F(SchedulerLinkTest, ATakenNameIsTriedAgain) {
  scheduler_.answer.Clear();
  scheduler_.answer.mutable_refusal()->mutable_failure()->set_code(
      grpc::StatusCode::ALREADY_EXISTS);
  Serve();
  MakeLink();
  Drive([&] { return !scheduler_.hello.name().empty(); });
  EXPECT_TRUE(link_->fatal().ok());
}

}  // namespace
}  // namespace taskd::worker
