// The whole daemon in this process, with a worker and clients that speak the protocol by hand.
#include "scheduler/shell/daemon.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <filesystem>
#include <mutex>

#include "common/base/limits.h"
#include "common/io/files.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "common/rpc/stream_session.h"
#include "taskd/v1/admin.grpc.pb.h"
#include "taskd/v1/client_session.grpc.pb.h"
#include "taskd/v1/worker_session.grpc.pb.h"
#include "tests/unit/scheduler_shell/graphs.h"

namespace taskd::scheduler {
namespace {

using testing::HasSubstr;

// Keeps what comes in until the test takes it.
template <class Out, class In>
class Mailbox : public rpc::SessionHandler<Out, In> {
 public:
  void OnStart(std::shared_ptr<rpc::StreamSession<Out, In>>) override {}
  bool OnMessage(In& message) override {
    std::lock_guard lock(mutex_);
    messages_.push_back(std::move(message));
    message.Clear();
    changed_.notify_all();
    return true;
  }
  void OnClosed(const grpc::Status& status) override {
    std::lock_guard lock(mutex_);
    status_ = status;
    closed_ = true;
    changed_.notify_all();
  }
  // The next message; an empty one when the stream ended.
  In Next() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60),
                                  [this] { return closed_ || !messages_.empty(); }));
    if (messages_.empty()) return {};
    In message = std::move(messages_.front());
    messages_.pop_front();
    return message;
  }
  grpc::Status AwaitClosed() {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), [this] { return closed_; }));
    return status_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<In> messages_;
  grpc::Status status_;
  bool closed_ = false;
};

using WorkerBox = Mailbox<v1::WorkerToScheduler, v1::SchedulerToWorker>;
using ClientBox = Mailbox<v1::ClientToScheduler, v1::SchedulerToClient>;
using WorkerEnd = rpc::StreamSession<v1::WorkerToScheduler, v1::SchedulerToWorker>;
using ClientEnd = rpc::StreamSession<v1::ClientToScheduler, v1::SchedulerToClient>;

class DaemonTest : public testing::Test {
 protected:
  void SetUp() override {
    dir_ = testing::TempDir() + "taskd_shell_XXXXXX";
    ASSERT_NE(mkdtemp(dir_.data()), nullptr);
    DaemonOptions options;
    options.dir = dir_;
    options.ready_file = dir_ + "/ready";
    auto daemon = Daemon::Start(options);
    ASSERT_TRUE(daemon.ok()) << daemon.status();
    daemon_ = *std::move(daemon);
    access_ = *io::ReadAccessFile(dir_);
    channel_ = rpc::MakeChannel(daemon_->address(), rpc::ChannelClass::kControl);
    admin_ = v1::Admin::NewStub(channel_);
    workers_ = v1::WorkerSession::NewStub(channel_);
    clients_ = v1::ClientSession::NewStub(channel_);
  }
  void TearDown() override {
    daemon_.reset();  // while sessions are open
    for (auto& box : boxes_) box();
    std::filesystem::remove_all(dir_);
  }

  std::shared_ptr<WorkerEnd> OpenWorker(std::shared_ptr<WorkerBox> box, const std::string& key) {
    boxes_.push_back([box] { box->AwaitClosed(); });
    return rpc::ConnectStream<v1::WorkerToScheduler, v1::SchedulerToWorker>(
        key, box,
        [&](auto* context, auto* reactor) { workers_->async()->Connect(context, reactor); });
  }
  std::shared_ptr<ClientEnd> OpenClient(std::shared_ptr<ClientBox> box, const std::string& key) {
    boxes_.push_back([box] { box->AwaitClosed(); });
    return rpc::ConnectStream<v1::ClientToScheduler, v1::SchedulerToClient>(
        key, box,
        [&](auto* context, auto* reactor) { clients_->async()->Connect(context, reactor); });
  }

  static v1::WorkerToScheduler Hello(const std::string& name, uint64_t identity) {
    v1::WorkerToScheduler message;
    v1::WorkerHello* hello = message.mutable_hello();
    hello->set_protocol(limits::kProtocolVersion);
    hello->set_name(name);
    hello->set_identity(identity);
    hello->set_incarnation(identity + 1);
    hello->mutable_capacity()->set_cpus_milli(2000);
    hello->mutable_capacity()->set_memory_bytes(1 << 30);
    hello->set_host("here");
    hello->set_data_address("127.0.0.1:1");
    return message;
  }
  template <class Session, class Message>
  static void Send(Session& session, const Message& message) {
    session.Send(message.ByteSizeLong(), 0, [&](Message& out) { out.MergeFrom(message); });
    // Requests of clients are a oneof: one a message. Waiting for the reply keeps them apart.
  }
  // A request of a client and its reply; other messages that come first are kept in `others`.
  v1::Reply Call(ClientEnd& session, ClientBox& box, v1::ClientToScheduler request) {
    request.set_token(++token_);
    Send(session, request);
    for (;;) {
      v1::SchedulerToClient answer = box.Next();
      for (const v1::JobUpdate& job : answer.jobs()) jobs_.push_back(job);
      for (const v1::ObjectUpdate& object : answer.objects()) objects_.push_back(object);
      for (const v1::Reply& reply : answer.replies()) {
        if (reply.token() == token_) return reply;
      }
      if (answer.ByteSizeLong() == 0) return {};
    }
  }
  std::shared_ptr<ClientEnd> HelloClient(std::shared_ptr<ClientBox> box, uint64_t client_id = 0) {
    auto session = OpenClient(box, access_.client_key);
    v1::ClientToScheduler hello;
    hello.mutable_hello()->set_protocol(limits::kProtocolVersion);
    hello.mutable_hello()->set_client_id(client_id);
    Send(*session, hello);
    EXPECT_EQ(box->Next().welcome().cluster_id(), daemon_->cluster_id());
    return session;
  }
  JobId SubmitSmallGraph(ClientEnd& session, ClientBox& box) {
    v1::ClientToScheduler request;
    request.mutable_open()->set_submission_id("0123456789abcdef");
    request.mutable_open()->set_name("small");
    v1::Reply opened = Call(session, box, request);
    EXPECT_FALSE(opened.has_failure()) << opened.failure().message();
    request.mutable_batch()->set_job(opened.job());
    request.mutable_batch()->set_frame(Frame(SmallGraph().SerializeAsString()));
    v1::Reply batch = Call(session, box, request);
    EXPECT_FALSE(batch.has_failure()) << batch.failure().message();
    request.mutable_seal()->set_job(opened.job());
    request.mutable_seal()->set_batches(1);
    v1::Reply sealed = Call(session, box, request);
    EXPECT_FALSE(sealed.has_failure()) << sealed.failure().message();
    return opened.job();
  }

  // What becomes of an open job.
  v1::JobInfo AskJob(JobId job) {
    v1::JobInfo info;
    v1::GetJobRequest get;
    get.set_job(job);
    EXPECT_TRUE(Ask(&v1::Admin::Stub::GetJob, get, &info).ok());
    return info;
  }
  v1::ClientToScheduler OpenRequest(const std::string& submission_id, bool ephemeral = false) {
    v1::ClientToScheduler request;
    request.mutable_open()->set_submission_id(submission_id);
    request.mutable_open()->set_ephemeral(ephemeral);
    return request;
  }

  template <class Request, class Response>
  grpc::Status Ask(grpc::Status (v1::Admin::Stub::*method)(grpc::ClientContext*, const Request&,
                                                           Response*),
                   const Request& request, Response* response, std::string key = "") {
    grpc::ClientContext context;
    rpc::AddKey(context, key.empty() ? access_.client_key : key);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(60));
    return (admin_.get()->*method)(&context, request, response);
  }

  std::string dir_;
  std::unique_ptr<Daemon> daemon_;
  io::AccessFile access_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::Admin::Stub> admin_;
  std::unique_ptr<v1::WorkerSession::Stub> workers_;
  std::unique_ptr<v1::ClientSession::Stub> clients_;
  std::vector<std::function<void()>> boxes_;
  std::vector<v1::JobUpdate> jobs_;
  std::vector<v1::ObjectUpdate> objects_;
  uint64_t token_ = 0;
};

TEST_F(DaemonTest, AJobRunsToItsEnd) {
  auto worker_box = std::make_shared<WorkerBox>();
  auto worker = OpenWorker(worker_box, access_.worker_key);
  Send(*worker, Hello("w", 5));
  v1::SchedulerToWorker welcome = worker_box->Next();
  ASSERT_TRUE(welcome.has_welcome());
  EXPECT_EQ(welcome.welcome().cluster_id(), daemon_->cluster_id());
  v1::WorkerToScheduler ready;
  ready.set_inventory_done(true);
  Send(*worker, ready);

  auto client_box = std::make_shared<ClientBox>();
  auto client = HelloClient(client_box);
  JobId job = SubmitSmallGraph(*client, *client_box);
  v1::ClientToScheduler request;
  request.mutable_subscribe()->set_job(job);
  EXPECT_FALSE(Call(*client, *client_box, request).has_failure());
  v1::ObjectRef* want = request.mutable_wants()->add_objects();
  want->set_job(job);
  want->set_ordinal(3);
  EXPECT_FALSE(Call(*client, *client_box, request).has_failure());

  // Finish whatever is assigned, until all four tasks are.
  int finished = 0, bodies = 0;
  std::map<std::string, std::string> args;
  while (finished < 4) {
    v1::SchedulerToWorker orders = worker_box->Next();
    ASSERT_NE(orders.ByteSizeLong(), 0u);
    bodies += orders.bodies_size();
    v1::WorkerToScheduler report;
    for (const v1::Assignment& assignment : orders.assignments()) {
      args[assignment.key()] = assignment.args();
      v1::Outcome* outcome = report.add_outcomes();
      outcome->set_sequence(++finished);
      *outcome->mutable_attempt() = assignment.attempt();
      outcome->set_end(v1::ATTEMPT_FINISHED);
      outcome->add_outputs()->set_size_bytes(10);
      *report.add_started() = assignment.attempt();
    }
    if (report.outcomes_size() > 0) Send(*worker, report);
  }
  EXPECT_EQ(bodies, 2);  // each one once, whatever the number of tasks
  EXPECT_EQ(args, (std::map<std::string, std::string>{
                      {"map[0]", "a"}, {"map[1]", "bb"}, {"map[2]", "ccc"}, {"sum", ""}}));

  while (jobs_.empty() || jobs_.back().state() != v1::JOB_DONE || objects_.empty()) {
    v1::SchedulerToClient update = client_box->Next();
    ASSERT_NE(update.ByteSizeLong(), 0u);
    for (const auto& j : update.jobs()) jobs_.push_back(j);
    for (const auto& o : update.objects()) objects_.push_back(o);
  }
  EXPECT_EQ(jobs_.back().done(), 4u);
  EXPECT_EQ(jobs_.back().total(), 4u);
  EXPECT_THAT(objects_.back().data_addresses(), testing::ElementsAre("127.0.0.1:1"));
  EXPECT_EQ(objects_.back().size_bytes(), 10u);

  // Said at once to who asks later.
  auto late_box = std::make_shared<ClientBox>();
  auto late = HelloClient(late_box);
  objects_.clear();
  EXPECT_FALSE(Call(*late, *late_box, request).has_failure());
  while (objects_.empty()) {
    v1::SchedulerToClient update = late_box->Next();
    ASSERT_NE(update.ByteSizeLong(), 0u);
    for (const auto& o : update.objects()) objects_.push_back(o);
  }

  v1::TaskList tasks;
  v1::ListTasksRequest list;
  list.set_job(job);
  list.set_pattern("map[*]");
  list.set_limit(2);
  ASSERT_TRUE(Ask(&v1::Admin::Stub::ListTasks, list, &tasks).ok());
  ASSERT_EQ(tasks.tasks_size(), 2);
  EXPECT_EQ(tasks.tasks(1).key(), "map[1]");
  EXPECT_EQ(tasks.tasks(1).worker(), "w");
  list.set_cursor(tasks.next_cursor());
  tasks.Clear();
  ASSERT_TRUE(Ask(&v1::Admin::Stub::ListTasks, list, &tasks).ok());
  EXPECT_EQ(tasks.tasks_size(), 1);
  EXPECT_EQ(tasks.next_cursor(), 0u);
  v1::TaskExplanation explanation;
  v1::ExplainTaskRequest explain;
  *explain.mutable_task() = tasks.tasks(0).task();
  ASSERT_TRUE(Ask(&v1::Admin::Stub::ExplainTask, explain, &explanation).ok());
  EXPECT_THAT(explanation.summary(), HasSubstr("map[2] is done: it ran"));
}

// Results move from a drained worker to another one: their values go along if their maker sent them whole.
class ValuesDaemonTest : public DaemonTest, public testing::WithParamInterface<std::string> {};

TEST_P(ValuesDaemonTest, RideWithGathers) {
  const std::string value = GetParam();
  auto open = [this](const std::string& name, uint64_t identity) {
    auto box = std::make_shared<WorkerBox>();
    auto worker = OpenWorker(box, access_.worker_key);
    Send(*worker, Hello(name, identity));
    EXPECT_TRUE(box->Next().has_welcome());
    v1::WorkerToScheduler ready;
    ready.set_inventory_done(true);
    Send(*worker, ready);
    return std::pair(box, worker);
  };
  auto [maker_box, maker] = open("maker", 5);
  auto client_box = std::make_shared<ClientBox>();
  auto client = HelloClient(client_box);
  v1::ClientToScheduler request;
  request.mutable_open()->set_submission_id("0123456789abcdef");
  const JobId job = Call(*client, *client_box, request).job();
  v1::GraphBatch graph = SmallGraph();
  request.mutable_batch()->set_job(job);
  request.mutable_batch()->set_frame(Frame(graph.SerializeAsString()));
  EXPECT_FALSE(Call(*client, *client_box, request).has_failure());
  v1::ObjectRef* want = request.mutable_wants()->add_objects();
  want->set_job(job);
  want->set_ordinal(3);
  EXPECT_FALSE(Call(*client, *client_box, request).has_failure());
  for (int finished = 0; finished < 4;) {
    v1::SchedulerToWorker orders = maker_box->Next();
    ASSERT_NE(orders.ByteSizeLong(), 0u);
    v1::WorkerToScheduler report;
    for (const v1::Assignment& assignment : orders.assignments()) {
      EXPECT_EQ(assignment.value_at_size(), 0) << "it has them itself";
      v1::Outcome* outcome = report.add_outcomes();
      outcome->set_sequence(++finished);
      outcome->set_first_output(assignment.first_output());
      *outcome->mutable_attempt() = assignment.attempt();
      outcome->set_end(v1::ATTEMPT_FINISHED);
      v1::OutputInfo* output = outcome->add_outputs();
      output->set_size_bytes(10);
      output->set_crc32c(77);
      output->set_value(value);
    }
    if (report.outcomes_size() > 0) Send(*maker, report);
  }
  auto [taker_box, taker] = open("taker", 60);
  v1::DrainWorkerRequest drain;
  v1::WorkerInfo worker;
  drain.set_name("maker");
  ASSERT_TRUE(Ask(&v1::Admin::Stub::DrainWorker, drain, &worker).ok());
  v1::SchedulerToWorker orders;
  while (orders.gathers_size() == 0) {
    orders = taker_box->Next();
    ASSERT_NE(orders.ByteSizeLong(), 0u);
  }
  EXPECT_EQ(orders.gathers(0).job(), job);
  const bool whole = value.size() == 10;
  EXPECT_EQ(orders.gathers(0).value(), whole ? value : "");
  EXPECT_EQ(orders.gathers(0).value_crc32c(), whole ? 77u : 0u);
}

INSTANTIATE_TEST_SUITE_P(WholeAndNot, ValuesDaemonTest,
                         testing::Values("0123456789", "shorter", ""));

TEST_F(DaemonTest, QuestionsAboutWhatIsNotThere) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);
  JobId job = SubmitSmallGraph(*client, *box);
  v1::JobInfo info;
  v1::GetJobRequest get;
  get.set_job(99);
  EXPECT_EQ(Ask(&v1::Admin::Stub::GetJob, get, &info).error_code(), grpc::StatusCode::NOT_FOUND);
  v1::CancelJobRequest cancel;
  cancel.set_job(99);
  EXPECT_EQ(Ask(&v1::Admin::Stub::CancelJob, cancel, &info).error_code(),
            grpc::StatusCode::NOT_FOUND);
  v1::ResolveNameRequest resolve;
  v1::ResolvedName name;
  resolve.set_job(job);
  resolve.set_name("mapp[1]");
  grpc::Status status = Ask(&v1::Admin::Stub::ResolveName, resolve, &name);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status.error_message(), HasSubstr("map"));
  resolve.set_name("map[1].p[2]");
  ASSERT_TRUE(Ask(&v1::Admin::Stub::ResolveName, resolve, &name).ok());
  EXPECT_EQ(name.object().ordinal(), 1u);
  EXPECT_TRUE(name.has_part());
  EXPECT_EQ(name.part(), 2u);
  v1::DrainWorkerRequest drain;
  v1::WorkerInfo worker;
  drain.set_name("nobody");
  EXPECT_EQ(Ask(&v1::Admin::Stub::DrainWorker, drain, &worker).error_code(),
            grpc::StatusCode::NOT_FOUND);
  v1::ExplainTaskRequest explain;
  v1::TaskExplanation explanation;
  explain.mutable_task()->set_job(job);
  ASSERT_TRUE(Ask(&v1::Admin::Stub::ExplainTask, explain, &explanation).ok());
  EXPECT_THAT(explanation.summary(), HasSubstr("no worker is connected"));
}

TEST_F(DaemonTest, CancelAndStatus) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);
  v1::CancelJobRequest cancel;
  cancel.set_job(SubmitSmallGraph(*client, *box));
  v1::JobInfo info;
  ASSERT_TRUE(Ask(&v1::Admin::Stub::CancelJob, cancel, &info).ok());
  EXPECT_EQ(info.state(), v1::JOB_CANCELLED);
  EXPECT_EQ(info.name(), "small");
  v1::ClusterStatus status;
  ASSERT_TRUE(Ask(&v1::Admin::Stub::GetStatus, v1::GetStatusRequest(), &status).ok());
  EXPECT_EQ(status.cluster_id(), daemon_->cluster_id());
  EXPECT_EQ(status.metrics_address(), daemon_->metrics_address());
  EXPECT_EQ(status.jobs_total(), 1u);
}

TEST_F(DaemonTest, OnlyTheRightKeyOpensEachDoor) {
  auto worker_box = std::make_shared<WorkerBox>();
  OpenWorker(worker_box, access_.client_key);
  EXPECT_EQ(worker_box->AwaitClosed().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  auto client_box = std::make_shared<ClientBox>();
  OpenClient(client_box, access_.worker_key);
  EXPECT_EQ(client_box->AwaitClosed().error_code(), grpc::StatusCode::UNAUTHENTICATED);
  v1::ClusterStatus status;
  EXPECT_EQ(Ask(&v1::Admin::Stub::GetStatus, v1::GetStatusRequest(), &status, "wrong").error_code(),
            grpc::StatusCode::UNAUTHENTICATED);
}

TEST_F(DaemonTest, WorkersThatMayNotJoinAreToldWhy) {
  struct Case {
    std::function<void(v1::WorkerToScheduler&)> damage;
    const char* message;
  };
  auto first_box = std::make_shared<WorkerBox>();
  auto first = OpenWorker(first_box, access_.worker_key);
  Send(*first, Hello("first", 5));
  ASSERT_TRUE(first_box->Next().has_welcome());
  for (const Case& c : std::vector<Case>{
           {[](auto& m) { m.mutable_hello()->set_protocol(9); },
            "speaks protocol 9, this scheduler (version 0.1.0) speaks protocol 1"},
           {[](auto& m) { m.mutable_hello()->clear_name(); }, "no name"},
           {[](auto& m) { m.mutable_hello()->clear_capacity(); }, "no cpus"},
           {[](auto& m) { m.mutable_hello()->set_name("first"); }, "another worker named 'first'"},
           {[](auto& m) {
              m.clear_hello();
              m.set_goodbye(true);
            },
            "must be its hello"}}) {
    auto box = std::make_shared<WorkerBox>();
    auto session = OpenWorker(box, access_.worker_key);
    v1::WorkerToScheduler hello = Hello("w", 77);
    c.damage(hello);
    Send(*session, hello);
    EXPECT_THAT(box->Next().refusal().failure().message(), HasSubstr(c.message));
    EXPECT_FALSE(box->AwaitClosed().ok());
  }
}

TEST_F(DaemonTest, MalformedReportsEndTheStreamOnly) {
  auto box = std::make_shared<WorkerBox>();
  auto session = OpenWorker(box, access_.worker_key);
  Send(*session, Hello("w", 5));
  ASSERT_TRUE(box->Next().has_welcome());
  v1::WorkerToScheduler report;
  report.add_outcomes();
  Send(*session, report);
  EXPECT_EQ(box->AwaitClosed().error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  v1::ClusterStatus status;
  EXPECT_TRUE(Ask(&v1::Admin::Stub::GetStatus, v1::GetStatusRequest(), &status).ok());
}

TEST_F(DaemonTest, ClientsGetErrorsForBadRequests) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);
  v1::ClientToScheduler request;
  request.mutable_open()->set_submission_id("short");
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("16 bytes"));
  request.mutable_batch()->set_job(42);
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("there is no job 42"));
  request.mutable_subscribe()->set_job(42);
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("there is no job 42"));
  request.mutable_wants()->add_objects()->set_job(42);
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("there is no object"));
  request.clear_request();
  EXPECT_THAT(Call(*client, *box, request).failure().message(),
              HasSubstr("does not know the request"));
  request.mutable_hello();
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("hello was said"));

  auto old_box = std::make_shared<ClientBox>();
  auto old = OpenClient(old_box, access_.client_key);
  v1::ClientToScheduler hello;
  hello.mutable_hello()->set_protocol(9);
  Send(*old, hello);
  EXPECT_THAT(old_box->AwaitClosed().error_message(), HasSubstr("speaks protocol 9"));
}

TEST_F(DaemonTest, AJobOfOneBatchIsOneMessage) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);
  v1::ClientToScheduler request = OpenRequest("0123456789abcdef");
  request.mutable_open()->set_whole_frame(Frame(SmallGraph().SerializeAsString()));
  request.mutable_open()->set_subscribe(true);
  const v1::Reply whole = Call(*client, *box, request);
  ASSERT_FALSE(whole.has_failure()) << whole.failure().message();
  EXPECT_EQ(whole.next_batch(), 1u);
  ASSERT_EQ(jobs_.size(), 1u);  // with the reply
  EXPECT_EQ(jobs_[0].job(), whole.job());
  EXPECT_EQ(jobs_[0].total(), 4u);
  EXPECT_EQ(jobs_[0].state(), v1::JOB_RUNNING);  // sealed
  const v1::Reply again = Call(*client, *box, request);
  EXPECT_FALSE(again.has_failure()) << again.failure().message();
  EXPECT_EQ(again.job(), whole.job());
  EXPECT_EQ(AskJob(whole.job()).total(), 4u);
}

TEST_F(DaemonTest, WhatIsWrongWithAJobOfOneMessageIsSaidOnce) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);
  v1::ClientToScheduler request = OpenRequest("0123456789abcdef");
  request.mutable_open()->set_subscribe(true);
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("subscribed to apart"));
  request.mutable_open()->set_whole_frame("no frame");
  EXPECT_THAT(Call(*client, *box, request).failure().message(), HasSubstr("a damaged batch"));
  EXPECT_TRUE(jobs_.empty());
  // The next answer is the next request's, and the job may still become whole.
  request.mutable_open()->set_whole_frame(Frame(SmallGraph().SerializeAsString()));
  const v1::Reply whole = Call(*client, *box, request);
  EXPECT_FALSE(whole.has_failure()) << whole.failure().message();
  ASSERT_EQ(jobs_.size(), 1u);
  EXPECT_EQ(jobs_[0].total(), 4u);
}

TEST_F(DaemonTest, AJobIsWhatItWasOpenedAsFirst) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box, 7);
  v1::ClientToScheduler request = OpenRequest("0123456789abcdef", true);
  v1::OpenJob* open = request.mutable_open();
  open->set_owner("me");
  open->set_weight(300);
  open->set_max_running(4);
  open->set_ttl_ns(5'000'000'000);
  JobId job = Call(*client, *box, request).job();
  open->set_owner("other");
  open->set_weight(1);
  open->set_max_running(9);
  open->set_ttl_ns(0);
  open->set_ephemeral(false);  // this one is as it is said last
  EXPECT_EQ(Call(*client, *box, request).job(), job);
  v1::JobInfo info = AskJob(job);
  EXPECT_EQ(info.owner(), "me");
  EXPECT_EQ(info.weight(), 300u);
  EXPECT_EQ(info.max_running(), 4u);
  EXPECT_EQ(info.ttl_ms(), 5000u);
  EXPECT_FALSE(info.ephemeral());
  EXPECT_EQ(AskJob(Call(*client, *box, OpenRequest("0123456789abcdeg")).job()).weight(), 100u);
}

TEST_F(DaemonTest, WrongOptionsOfAJobAreNamed) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);  // without an id
  struct Case {
    std::function<void(v1::OpenJob&)> damage;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{
           {[](auto& o) { o.set_weight(10'001); }, "weight is 10001; it is at most 10000"},
           {[](auto& o) { o.set_ttl_ns(~0ull); }, "it is at most 87600 h 0 m"},
           {[](auto& o) { o.set_owner(std::string(300, 'x')); }, "owner has 300 bytes"},
           {[](auto& o) { o.set_name(std::string(300, 'x')); }, "name has 300 bytes"},
           {[](auto& o) { o.set_ephemeral(true); }, "gives its id in its hello"}}) {
    v1::ClientToScheduler request = OpenRequest("0123456789abcdef");
    c.damage(*request.mutable_open());
    v1::Reply reply = Call(*client, *box, request);
    EXPECT_EQ(reply.failure().code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(reply.failure().message(), HasSubstr(c.says));
  }
  EXPECT_EQ(AskJob(Call(*client, *box, OpenRequest("0123456789abcdef")).job()).state(),
            v1::JOB_OPEN);
}

TEST_F(DaemonTest, OfTwoStreamsOfAClientTheNewerSpeaks) {
  auto first_box = std::make_shared<ClientBox>(), second_box = std::make_shared<ClientBox>();
  auto first = HelloClient(first_box, 7);
  JobId job = Call(*first, *first_box, OpenRequest("0123456789abcdef", true)).job();
  auto second = HelloClient(second_box, 7);
  grpc::Status status = first_box->AwaitClosed();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status.error_message(), HasSubstr("newer connection"));
  // That the older one ended is no leaving of the client, and what the newer one says is.
  EXPECT_TRUE(AskJob(job).ephemeral());
  EXPECT_EQ(AskJob(job).state(), v1::JOB_OPEN);
  v1::ClientToScheduler goodbye;
  goodbye.mutable_goodbye();
  Send(*second, goodbye);
  EXPECT_TRUE(second_box->AwaitClosed().ok());
  EXPECT_EQ(AskJob(job).state(), v1::JOB_CANCELLED);
}

TEST_F(DaemonTest, AForgottenJobIsAnsweredForWithoutACrash) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box);
  JobId job = SubmitSmallGraph(*client, *box);
  v1::JobInfo info;
  v1::CancelJobRequest cancel;
  cancel.set_job(job);
  ASSERT_TRUE(Ask(&v1::Admin::Stub::CancelJob, cancel, &info).ok());
  v1::ForgetJobRequest forget;
  forget.set_job(job);
  ASSERT_TRUE(Ask(&v1::Admin::Stub::ForgetJob, forget, &info).ok());
  while (!info.forgotten()) info = AskJob(job);
  EXPECT_EQ(info.name(), "small");
  EXPECT_EQ(info.cancelled(), 4u);

  // The same submission again: it is known, and over.
  EXPECT_EQ(SubmitSmallGraph(*client, *box), job);
  v1::ClientToScheduler request;
  request.mutable_subscribe()->set_job(job);
  EXPECT_FALSE(Call(*client, *box, request).has_failure());
  request.mutable_wants()->add_objects()->set_job(job);
  EXPECT_FALSE(Call(*client, *box, request).has_failure());
  while (objects_.empty()) {
    v1::SchedulerToClient update = box->Next();
    ASSERT_NE(update.ByteSizeLong(), 0u);
    for (const auto& o : update.objects()) objects_.push_back(o);
  }
  EXPECT_THAT(objects_[0].failure().message(), HasSubstr("was forgotten"));
  v1::ListTasksRequest list;
  list.set_job(job);
  v1::TaskList tasks;
  EXPECT_THAT(Ask(&v1::Admin::Stub::ListTasks, list, &tasks).error_message(),
              HasSubstr("was forgotten"));
  v1::ExplainTaskRequest explain;
  explain.mutable_task()->set_job(job);
  v1::TaskExplanation explanation;
  EXPECT_THAT(Ask(&v1::Admin::Stub::ExplainTask, explain, &explanation).error_message(),
              HasSubstr("was forgotten"));
  v1::CancelTasksRequest some;
  some.set_job(job);
  some.set_pattern("map[*]");
  EXPECT_THAT(Ask(&v1::Admin::Stub::CancelTasks, some, &info).error_message(),
              HasSubstr("was forgotten"));
}

TEST_F(DaemonTest, JobsAreListedBothWays) {
  auto box = std::make_shared<ClientBox>();
  auto client = HelloClient(box, 7);
  std::vector<JobId> jobs;
  for (char c = 'a'; c < 'g'; ++c)
    jobs.push_back(Call(*client, *box, OpenRequest(std::string(16, c))).job());
  v1::JobInfo info;
  for (JobId job : {jobs[1], jobs[4]}) {
    v1::CancelJobRequest cancel;
    cancel.set_job(job);
    ASSERT_TRUE(Ask(&v1::Admin::Stub::CancelJob, cancel, &info).ok());
  }
  v1::ForgetJobRequest forget;
  forget.set_job(jobs[1]);
  while (Ask(&v1::Admin::Stub::ForgetJob, forget, &info).error_code() ==
         grpc::StatusCode::FAILED_PRECONDITION) {
  }
  auto listed = [&](bool newest_first, uint32_t limit, std::vector<v1::JobState> states) {
    v1::ListJobsRequest request;
    request.set_limit(limit);
    request.set_newest_first(newest_first);
    for (v1::JobState state : states) request.add_states(state);
    std::vector<JobId> ids;
    do {
      v1::JobList page;
      EXPECT_TRUE(Ask(&v1::Admin::Stub::ListJobs, request, &page).ok());
      EXPECT_LE(page.jobs_size(), static_cast<int>(limit));
      for (const v1::JobInfo& job : page.jobs()) ids.push_back(job.job());
      request.set_cursor(page.next_cursor());
    } while (request.cursor() != 0);
    return ids;
  };
  using testing::ElementsAre;
  for (uint32_t limit : {1, 2, 4, 100}) {
    EXPECT_THAT(listed(false, limit, {}), ElementsAre(1, 2, 3, 4, 5, 6));
    EXPECT_THAT(listed(true, limit, {}), ElementsAre(6, 5, 4, 3, 2, 1));
    EXPECT_THAT(listed(true, limit, {v1::JOB_CANCELLED}), ElementsAre(5, 2));
    EXPECT_THAT(listed(false, limit, {v1::JOB_OPEN, v1::JOB_CANCELLED}),
                ElementsAre(1, 2, 3, 4, 5, 6));
  }
}

TEST_F(DaemonTest, ASecondSchedulerOrATakenPortIsRefusedAndKeysAreKept) {
  DaemonOptions options;
  options.dir = dir_;
  auto second = Daemon::Start(options);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr("already serves"));
  options.dir = dir_ + "/other";
  options.listen = daemon_->address();
  EXPECT_EQ(Daemon::Start(options).status().code(), absl::StatusCode::kAlreadyExists);

  std::string cluster = daemon_->cluster_id();
  EXPECT_TRUE(std::filesystem::exists(dir_ + "/ready"));
  daemon_.reset();
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/ready"));
  options.dir = dir_;
  options.listen = "127.0.0.1:0";
  auto again = Daemon::Start(options);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_NE((*again)->cluster_id(), cluster);
  EXPECT_EQ(io::ReadAccessFile(dir_)->worker_key, access_.worker_key);
}

}  // namespace
}  // namespace taskd::scheduler
