// Client and server stream sessions against each other in one process, over loopback.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/base/text.h"
#include "common/rpc/channels.h"
#include "common/rpc/errors.h"
#include "common/rpc/stream_session.h"
#include "taskd/v1/worker_session.grpc.pb.h"

namespace taskd::rpc {
namespace {

using Up = v1::WorkerToScheduler;
using Down = v1::SchedulerToWorker;
using ClientStream = StreamSession<Up, Down>;
using ServerStream = StreamSession<Down, Up>;

constexpr char kKey[] = "the key";

// Records what a session delivers; waits are for events, with a generous end so that a hang fails.
template <class Out, class In>
class Recorder : public SessionHandler<Out, In> {
 public:
  using Session = StreamSession<Out, In>;

  void OnStart(std::shared_ptr<Session> session) override {
    std::lock_guard lock(mutex_);
    session_ = std::move(session);
    changed_.notify_all();
  }
  bool OnMessage(In& message) override {
    std::lock_guard lock(mutex_);
    ++messages_;
    bool read_on = on_message ? on_message(message, *session_) : true;
    changed_.notify_all();
    return read_on;
  }
  void OnDrained() override {
    std::lock_guard lock(mutex_);
    ++drained_;
    changed_.notify_all();
  }
  void OnClosed(const grpc::Status& status) override {
    std::lock_guard lock(mutex_);
    ++closed_;
    status_ = status;
    session_ = nullptr;
    changed_.notify_all();
  }

  std::shared_ptr<Session> session() {
    std::lock_guard lock(mutex_);
    return session_;
  }
  void Await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), condition)) << "timed out";
  }
  void AwaitClosed() {
    Await([this] { return closed_ > 0; });
  }
  grpc::Status status() {
    std::lock_guard lock(mutex_);
    return status_;
  }
  int closed() {
    std::lock_guard lock(mutex_);
    return closed_;
  }
  int messages() {
    std::lock_guard lock(mutex_);
    return messages_;
  }

  std::function<bool(In&, Session&)>
      on_message;                  // set before the stream opens; called under the lock
  std::vector<uint32_t> ordinals;  // for on_message to fill

  std::mutex mutex_;
  std::condition_variable changed_;
  std::shared_ptr<Session> session_;
  grpc::Status status_;
  int closed_ = 0, messages_ = 0, drained_ = 0;
};

using ClientSide = Recorder<Up, Down>;
using ServerSide = Recorder<Down, Up>;

class TestService final : public v1::WorkerSession::CallbackService {
 public:
  grpc::ServerBidiReactor<Up, Down>* Connect(grpc::CallbackServerContext* context) override {
    if (grpc::Status status = CheckKey(*context, {kKey}); !status.ok())
      return RefuseStream<Down, Up>(status);
    std::shared_ptr<ServerSide> handler;
    {
      std::lock_guard lock(mutex);
      handler = make();
      accepted.push_back(handler);
    }
    changed.notify_all();
    return AcceptStream<Down, Up>(context, handler);
  }

  // The n-th accepted stream, once it has started.
  std::shared_ptr<ServerSide> Accepted(size_t n) {
    std::shared_ptr<ServerSide> handler;
    {
      std::unique_lock lock(mutex);
      EXPECT_TRUE(
          changed.wait_for(lock, std::chrono::seconds(60), [&] { return accepted.size() > n; }));
      handler = accepted[n];
    }
    handler->Await([&] { return handler->session_ != nullptr || handler->closed_ > 0; });
    return handler;
  }

  std::function<std::shared_ptr<ServerSide>()> make = [] { return std::make_shared<ServerSide>(); };
  std::mutex mutex;
  std::condition_variable changed;
  std::vector<std::shared_ptr<ServerSide>> accepted;
};

class SessionTest : public testing::Test {
 protected:
  void SetUp() override { Serve("127.0.0.1:0"); }

  void Serve(const std::string& listen) {
    grpc::Service* services[] = {&service_};
    auto server = StartServer(listen, ChannelClass::kControl, services);
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
    channel_ = MakeChannel(server_.address, ChannelClass::kControl);
    stub_ = v1::WorkerSession::NewStub(channel_);
  }

  void TearDown() override {
    for (auto& client : clients_) {
      if (auto session = client->session()) session->Cancel();
      client->AwaitClosed();
    }
    if (server_.server != nullptr) StopServer(*server_.server, 1000);
    for (auto& handler : service_.accepted) EXPECT_EQ(handler->closed(), 1);
  }

  std::shared_ptr<ClientStream> Open(std::shared_ptr<ClientSide> handler,
                                     std::string_view key = kKey) {
    clients_.push_back(handler);
    return ConnectStream<Up, Down>(key, handler, [&](auto* context, auto* reactor) {
      stub_->async()->Connect(context, reactor);
    });
  }

  TestService service_;
  RunningServer server_;
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::WorkerSession::Stub> stub_;
  std::vector<std::shared_ptr<ClientSide>> clients_;
};

constexpr uint64_t kItemBytes = 16;

bool SendOrdinal(ClientStream& session, uint32_t ordinal) {
  return session.Send(kItemBytes, 0, [&](Up& out) { out.add_started()->set_ordinal(ordinal); });
}

std::shared_ptr<ServerSide> Collector() {
  auto handler = std::make_shared<ServerSide>();
  handler->on_message = [h = handler.get()](Up& message, ServerStream&) {
    for (const auto& ref : message.started()) h->ordinals.push_back(ref.ordinal());
    return true;
  };
  return handler;
}

std::vector<uint32_t> UpTo(uint32_t count) {
  std::vector<uint32_t> numbers(count);
  for (uint32_t i = 0; i < count; ++i) numbers[i] = i;
  return numbers;
}

TEST_F(SessionTest, KeepsTheOrderAndBatchesUnderLoad) {
  constexpr uint32_t kItems = 50'000;
  service_.make = Collector;
  auto session = Open(std::make_shared<ClientSide>());
  for (uint32_t i = 0; i < kItems; ++i) ASSERT_TRUE(SendOrdinal(*session, i));
  auto server = service_.Accepted(0);
  server->Await([&] { return server->ordinals.size() >= kItems; });
  EXPECT_EQ(server->ordinals, UpTo(kItems));
  EXPECT_LT(server->messages(), static_cast<int>(kItems));
}

TEST_F(SessionTest, BothDirectionsAtOnce) {
  constexpr uint32_t kRounds = 2'000;
  service_.make = [] {
    auto handler = std::make_shared<ServerSide>();
    handler->on_message = [](Up& message, ServerStream& session) {
      session.Send(kItemBytes, 0, [&](Down& out) {
        for (const auto& ref : message.started()) *out.add_retracts() = ref;
      });
      return true;
    };
    return handler;
  };
  auto client = std::make_shared<ClientSide>();
  client->on_message = [c = client.get()](Down& message, ClientStream&) {
    for (const auto& ref : message.retracts()) c->ordinals.push_back(ref.ordinal());
    return true;
  };
  auto session = Open(client);
  for (uint32_t i = 0; i < kRounds; ++i) ASSERT_TRUE(SendOrdinal(*session, i));
  client->Await([&] { return client->ordinals.size() >= kRounds; });
  EXPECT_EQ(client->ordinals, UpTo(kRounds));
}

TEST_F(SessionTest, WhatIsNotFlushedGathers) {
  service_.make = Collector;
  auto session = Open(std::make_shared<ClientSide>());
  ASSERT_TRUE(SendOrdinal(*session, 0));
  auto server = service_.Accepted(0);
  server->Await([&] { return server->messages_ == 1; });
  session->Send(1 << 20, 0,
                [](Up& out) { out.add_submissions()->set_frame(std::string(1 << 20, 'x')); });
  session->Add(kItemBytes, 0, [](Up& out) { out.add_started()->set_ordinal(1); });
  server->Await([&] { return server->messages_ == 2; });
  ASSERT_TRUE(SendOrdinal(*session, 2));
  server->Await([&] { return server->ordinals.size() == 3; });
  EXPECT_EQ(server->ordinals, UpTo(3));
  EXPECT_EQ(server->messages(), 3);
}

TEST_F(SessionTest, AFallingRankStartsAnotherMessage) {
  service_.make = [] {
    auto handler = std::make_shared<ServerSide>();
    handler->on_message = [h = handler.get()](Up& message, ServerStream&) {
      // One number a message: its lost and its added replicas.
      h->ordinals.push_back(
          static_cast<uint32_t>(10 * message.replicas_lost_size() + message.replicas_added_size()));
      return true;
    };
    return handler;
  };
  auto session = Open(std::make_shared<ClientSide>());
  constexpr uint32_t kAdded = 5, kLost = 6;
  session->Add(1, kLost, [](Up& out) { out.add_replicas_lost(); });
  session->Add(1, kAdded,
               [](Up& out) { out.add_replicas_added(); });  // after the loss: may not join it
  session->Add(1, kLost, [](Up& out) { out.add_replicas_lost(); });  // joins
  session->Add(1, 0, [](Up& out) { out.add_replicas_added(); });     // joins wherever
  session->Flush();
  auto server = service_.Accepted(0);
  server->Await([&] { return server->ordinals.size() >= 2; });
  EXPECT_THAT(server->ordinals, testing::ElementsAre(10, 12));
}

TEST_F(SessionTest, LargeOutboxesAreCutIntoMessages) {
  service_.make = [] {
    auto handler = std::make_shared<ServerSide>();
    handler->on_message = [h = handler.get()](Up& message, ServerStream&) {
      h->ordinals.push_back(static_cast<uint32_t>(message.outcomes_size()));
      return true;
    };
    return handler;
  };
  auto session = Open(std::make_shared<ClientSide>());
  constexpr uint32_t kItems = 64;
  std::string text(limits::kFlushBytes / 4, 'x');
  for (uint32_t i = 0; i < kItems; ++i) {
    session->Add(text.size(), 0, [&](Up& out) { out.add_outcomes()->set_message(text); });
  }
  EXPECT_EQ(session->outbox_bytes(), kItems * text.size());
  session->Flush();
  auto server = service_.Accepted(0);
  server->Await([&] { return server->ordinals.size() >= kItems / 4; });
  EXPECT_THAT(server->ordinals, testing::Each(4u));
}

// A reader that stops holds the writer's bytes back; nothing is lost or reordered when it goes on.
TEST_F(SessionTest, BackPressure) {
  constexpr uint32_t kItems = 200;
  service_.make = [] {
    auto handler = std::make_shared<ServerSide>();
    handler->on_message = [h = handler.get()](Up& message, ServerStream&) {
      for (const auto& outcome : message.outcomes())
        h->ordinals.push_back(static_cast<uint32_t>(outcome.sequence()));
      return false;
    };
    return handler;
  };
  auto session = Open(std::make_shared<ClientSide>());
  std::string text(256 << 10, 'x');
  for (uint32_t i = 0; i < kItems; ++i) {
    ASSERT_TRUE(session->Send(text.size(), 0, [&](Up& out) {
      out.add_outcomes()->set_sequence(i);
      out.mutable_outcomes(out.outcomes_size() - 1)->set_message(text);
    }));
  }
  auto server = service_.Accepted(0);
  server->Await([&] { return server->messages_ == 1; });
  // 50 MB were sent and the windows are far smaller.
  EXPECT_GT(session->outbox_bytes(), uint64_t{10} << 20);
  EXPECT_EQ(server->messages(), 1);
  for (int seen = 1;; ++seen) {
    server->Await([&] { return server->messages_ == seen; });
    {
      std::lock_guard lock(server->mutex_);
      if (server->ordinals.size() == kItems) break;
    }
    server->session()->Resume();
  }
  EXPECT_EQ(server->ordinals, UpTo(kItems));
}

TEST_F(SessionTest, ResumeBeforeTheHandlerReturnsIsNotLost) {
  constexpr uint32_t kItems = 500;
  service_.make = [] {
    auto handler = std::make_shared<ServerSide>();
    handler->on_message = [h = handler.get()](Up& message, ServerStream& session) {
      for (const auto& ref : message.started()) h->ordinals.push_back(ref.ordinal());
      session.Resume();
      return false;
    };
    return handler;
  };
  auto session = Open(std::make_shared<ClientSide>());
  for (uint32_t i = 0; i < kItems; ++i) ASSERT_TRUE(SendOrdinal(*session, i));
  auto server = service_.Accepted(0);
  server->Await([&] { return server->ordinals.size() == kItems; });
}

TEST_F(SessionTest, TheClientsCloseDeliversWhatWasAdded) {
  constexpr uint32_t kItems = 20'000;
  service_.make = Collector;
  auto client = std::make_shared<ClientSide>();
  auto session = Open(client);
  for (uint32_t i = 0; i < kItems; ++i) ASSERT_TRUE(SendOrdinal(*session, i));
  session->Close();
  EXPECT_FALSE(SendOrdinal(*session, kItems));
  client->AwaitClosed();
  EXPECT_TRUE(client->status().ok()) << client->status().error_message();
  auto server = service_.Accepted(0);
  server->AwaitClosed();
  EXPECT_TRUE(server->status().ok());
  EXPECT_EQ(server->ordinals, UpTo(kItems));
}

TEST_F(SessionTest, TheServersCloseDeliversWhatWasAddedThenItsStatus) {
  constexpr uint32_t kItems = 1000;
  service_.make = [] {
    auto handler = std::make_shared<ServerSide>();
    handler->on_message = [](Up&, ServerStream& session) {
      for (uint32_t i = 0; i < kItems; ++i) {
        session.Send(kItemBytes, 0, [&](Down& out) { out.add_retracts()->set_ordinal(i); });
      }
      session.Close(grpc::Status(grpc::StatusCode::ABORTED, "enough"));
      return true;
    };
    return handler;
  };
  auto client = std::make_shared<ClientSide>();
  client->on_message = [c = client.get()](Down& message, ClientStream&) {
    for (const auto& ref : message.retracts()) c->ordinals.push_back(ref.ordinal());
    return true;
  };
  auto session = Open(client);
  SendOrdinal(*session, 0);
  client->AwaitClosed();
  EXPECT_EQ(client->ordinals, UpTo(kItems));
  EXPECT_EQ(client->status().error_code(), grpc::StatusCode::ABORTED);
  EXPECT_EQ(client->status().error_message(), "enough");
}

TEST_F(SessionTest, ABrokenStreamComesBack) {
  service_.make = Collector;
  auto first = std::make_shared<ClientSide>();
  SendOrdinal(*Open(first), 1);
  auto server = service_.Accepted(0);
  server->Await([&] { return server->ordinals.size() == 1; });
  server->session()->Cancel();
  first->AwaitClosed();
  EXPECT_EQ(first->status().error_code(), grpc::StatusCode::CANCELLED);
  server->AwaitClosed();

  auto second = std::make_shared<ClientSide>();
  SendOrdinal(*Open(second), 2);
  auto again = service_.Accepted(1);
  again->Await([&] { return again->ordinals.size() == 1; });
}

TEST_F(SessionTest, AServerThatStopsAndReturnsIsFoundAgain) {
  service_.make = Collector;
  auto first = std::make_shared<ClientSide>();
  SendOrdinal(*Open(first), 1);
  service_.Accepted(0)->Await([&] { return service_.accepted[0]->ordinals.size() == 1; });
  std::string address = server_.address;
  service_.Accepted(0)->session()->Cancel();
  StopServer(*server_.server, 1000);
  server_.server.reset();
  first->AwaitClosed();
  Serve(address);
  auto second = std::make_shared<ClientSide>();
  SendOrdinal(*Open(second), 2);
  auto again = service_.Accepted(1);
  again->Await([&] { return again->ordinals.size() == 1; });
}

TEST_F(SessionTest, TheClientLeavesWhileItIsPaused) {
  auto client = std::make_shared<ClientSide>();
  client->on_message = [](Down&, ClientStream&) { return false; };
  auto session = Open(client);
  auto server = service_.Accepted(0);
  std::string text(1 << 20, 'x');
  for (int i = 0; i < 20; ++i) {
    server->session()->Send(text.size(), 0, [&](Down& out) {
      out.add_bodies()->mutable_definition()->mutable_command()->set_sh(text);
    });
  }
  client->Await([&] { return client->messages_ == 1; });
  session->Close();
  client->AwaitClosed();
  EXPECT_EQ(client->messages(), 1);
}

// Many threads write while either end closes or breaks the stream: nothing crashes, and both ends
// learn of it once.
TEST_F(SessionTest, ClosingDuringWrites) {
  service_.make = Collector;
  for (int round = 0; round < 24; ++round) {
    auto client = std::make_shared<ClientSide>();
    auto session = Open(client);
    std::vector<std::thread> writers;
    std::atomic<uint32_t> sent = 0;
    for (int t = 0; t < 3; ++t) {
      writers.emplace_back([&] {
        while (SendOrdinal(*session, 7)) {
          sent.fetch_add(1);
          std::this_thread::yield();  // the sessions' own threads want the lock, too
        }
      });
    }
    auto server = service_.Accepted(round);
    server->Await([&] { return server->messages_ >= 1 + round % 5; });
    auto server_session = server->session();
    switch (round % 4) {
      case 0:
        session->Close();
        break;
      case 1:
        session->Cancel();
        break;
      case 2:
        server_session->Close(grpc::Status(grpc::StatusCode::ABORTED, "x"));
        break;
      case 3:
        server_session->Cancel();
        break;
    }
    for (std::thread& writer : writers) writer.join();
    client->AwaitClosed();
    server->AwaitClosed();
    EXPECT_EQ(client->closed(), 1);
    EXPECT_EQ(server->closed(), 1);
    EXPECT_EQ(client->status().ok(), round % 4 == 0) << round << client->status().error_message();
    if (round % 4 == 0) {
      EXPECT_EQ(server->ordinals.size(), sent.load());
    }
    EXPECT_EQ(session->outbox_bytes(), 0u);
    session->Close();  // harmless on a stream that is gone, like every other call
    session->Cancel();
    session->Resume();
    session->Flush();
  }
}

TEST_F(SessionTest, AWrongKeyIsRefused) {
  for (std::string_view key : {"another key", "the kez", "the key longer"}) {
    auto client = std::make_shared<ClientSide>();
    SendOrdinal(*Open(client, key), 1);
    client->AwaitClosed();
    EXPECT_EQ(client->status().error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_THAT(client->status().error_message(), testing::HasSubstr("access.yaml"));
  }
  EXPECT_TRUE(service_.accepted.empty());
}

TEST_F(SessionTest, APeerThatIsNotThereShowsAtOnce) {
  StopServer(*server_.server, 0);
  server_.server.reset();
  auto client = std::make_shared<ClientSide>();
  auto session = Open(client);
  client->AwaitClosed();
  absl::Status status = FromGrpc(client->status(), StrCat("the scheduler at ", server_.address));
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(status.message()), testing::AllOf(testing::HasSubstr(server_.address),
                                                            testing::HasSubstr("is it running")));
  EXPECT_FALSE(SendOrdinal(*session, 1));
}

}  // namespace
}  // namespace taskd::rpc
