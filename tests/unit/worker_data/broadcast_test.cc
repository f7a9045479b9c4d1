// One object for many workers: who asks where, and who waits for whom.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "common/base/text.h"
#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "taskd/v1/data.grpc.pb.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/data/data_server.h"
#include "worker/data/fetcher.h"
#include "worker/data/receivers.h"

namespace taskd::worker {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr uint64_t kBytes = 64 << 20;  // more than what flow control lets through unread
constexpr char kNobody[] = "127.0.0.1:1";

LocalKey Object(uint32_t ordinal) { return {{{1, ordinal}, 7}, {}}; }

// Store, data service and fetcher of a worker.
class Node {
 public:
  Node() {
    DataServer::Options serve;
    serve.worker_key = "wk";
    serve.client_key = "ck";
    serve.in_flight = &in_flight;
    auto started = DataServer::Start(store, std::move(serve));
    TASKD_CHECK(started.ok());
    server = *std::move(started);
    Fetcher::Options fetch;
    fetch.key = "wk";
    fetch.take_files = false;
    fetch.take_compressed = false;  // bytes are counted
    fetch.address = address();
    fetch.in_flight = &in_flight;
    fetch.done = [this](const event::FetchDone& done) {
      std::lock_guard lock(mutex_);
      done_ = done;
      changed_.notify_all();
    };
    fetcher = std::make_unique<Fetcher>(store, std::move(fetch));
  }

  const std::string& address() const { return server->address(); }
  void Put(uint32_t ordinal, uint64_t bytes) {
    ASSERT_TRUE(store.Put(Object(ordinal), std::string(bytes, 'x')).ok());
  }
  FetchStatus Fetch(const Node& from, uint32_t ordinal) {
    fetcher->Start(1, from.address(), {Object(ordinal)});
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_.fetch == 1; });
    return done_.items.at(0).status;
  }
  uint64_t SizeOf(uint32_t ordinal) const { return store.SizeOf(Object(ordinal)).value_or(0); }

  TempDir dir;
  Store store{{dir.path()}, [](ObjectVersion) { FAIL(); }};
  InFlight in_flight;
  std::unique_ptr<DataServer> server;
  std::unique_ptr<Fetcher> fetcher;

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  event::FetchDone done_;
};

// A reader that takes one message at a time.
class Reader {
 public:
  Reader(const Node& node, const std::string& key, const std::string& own_address, uint32_t ordinal)
      : stub_(v1::Data::NewStub(rpc::MakeChannel(node.address(), rpc::ChannelClass::kData))) {
    rpc::AddKey(context_, key);
    v1::FetchRequest request;
    request.set_address(own_address);
    v1::FetchItem* item = request.add_items();
    item->set_job(1);
    item->set_object(ordinal);
    item->set_version(7);
    stream_ = stub_->Fetch(&context_, request);
  }
  ~Reader() {
    context_.TryCancel();
    stream_->Finish();
  }
  v1::FetchChunk Next() {
    v1::FetchChunk chunk;
    EXPECT_TRUE(stream_->Read(&chunk));
    return chunk;
  }
  v1::FetchChunk NextIfAny() {
    v1::FetchChunk chunk;
    return stream_->Read(&chunk) ? chunk : v1::FetchChunk();
  }

 private:
  std::unique_ptr<v1::Data::Stub> stub_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<v1::FetchChunk>> stream_;
};

// A maker that sends its object to as many as it does at once, who read no further.
class BroadcastTest : public testing::Test {
 protected:
  void Occupy(const std::string& one, const std::string& other) {
    maker_.Put(1, kBytes);
    for (const std::string& address : {one, other}) {
      readers_.push_back(std::make_unique<Reader>(maker_, "wk", address, 1));
      ASSERT_EQ(readers_.back()->Next().status(), v1::FETCH_OK);
    }
  }

  Node maker_, asker_;
  std::vector<std::unique_ptr<Reader>> readers_;
};

TEST_F(BroadcastTest, TheNextOneIsSentToAReceiver) {
  Node receiver;
  receiver.Put(1, kBytes);
  Occupy(receiver.address(), kNobody);
  EXPECT_EQ(asker_.Fetch(maker_, 1), FetchStatus::kOk);
  EXPECT_EQ(asker_.SizeOf(1), kBytes);
  EXPECT_EQ(maker_.server->totals().sent_elsewhere, 1u);
  EXPECT_EQ(receiver.server->totals().served_bytes, kBytes);
  EXPECT_LT(maker_.server->totals().served_bytes, kBytes);
  EXPECT_EQ(asker_.fetcher->totals().relayed_items, 1u);
}

TEST_F(BroadcastTest, ReceiversThatHaveNothingLeadBackToTheMaker) {
  Node receiver;  // its fetch was called off
  Occupy(kNobody, receiver.address());
  EXPECT_EQ(asker_.Fetch(maker_, 1), FetchStatus::kOk);
  EXPECT_EQ(asker_.SizeOf(1), kBytes);
  EXPECT_EQ(maker_.server->totals().sent_elsewhere, 1u);
  EXPECT_EQ(asker_.fetcher->totals().relayed_items, 0u);
}

TEST_F(BroadcastTest, SmallObjectsAreSentToWhoAsks) {
  Occupy(kNobody, kNobody);
  maker_.Put(2, limits::kRelayedBytes - 1);
  const Reader one(maker_, "wk", kNobody, 2), other(maker_, "wk", kNobody, 2);
  EXPECT_EQ(asker_.Fetch(maker_, 2), FetchStatus::kOk);
  EXPECT_EQ(maker_.server->totals().sent_elsewhere, 0u);
}

TEST_F(BroadcastTest, AClientIsToldOfNobodyAndNobodyIsToldOfIt) {
  Occupy("127.0.0.1:2", "127.0.0.1:3");
  EXPECT_EQ(Reader(maker_, "ck", "127.0.0.1:4", 1).Next().status(), v1::FETCH_OK);
  const v1::FetchChunk answer = Reader(maker_, "wk", "127.0.0.1:5", 1).Next();
  EXPECT_EQ(answer.status(), v1::FETCH_BUSY);
  EXPECT_THAT(answer.holders(), ElementsAre("127.0.0.1:2", "127.0.0.1:3"));
}

TEST_F(BroadcastTest, WhoAsksForWhatIsOnItsWayWaits) {
  asker_.in_flight.Add({Object(1)});
  Reader reader(asker_, "wk", kNobody, 1);
  EXPECT_EQ(reader.Next().status(), v1::FETCH_WAIT);
  asker_.Put(1, 100);
  asker_.in_flight.Remove({Object(1)});
  v1::FetchChunk chunk = reader.Next();
  while (chunk.status() == v1::FETCH_WAIT) chunk = reader.Next();
  EXPECT_EQ(chunk.status(), v1::FETCH_OK);
  EXPECT_EQ(chunk.data(), std::string(100, 'x'));
  EXPECT_TRUE(chunk.last());
}

TEST_F(BroadcastTest, WhatDoesNotComeAfterAllIsMissing) {
  asker_.in_flight.Add({Object(1)});
  Reader reader(asker_, "wk", kNobody, 1);
  EXPECT_EQ(reader.Next().status(), v1::FETCH_WAIT);
  asker_.in_flight.Remove({Object(1)});
  v1::FetchChunk chunk = reader.Next();
  while (chunk.status() == v1::FETCH_WAIT) chunk = reader.Next();
  EXPECT_EQ(chunk.status(), v1::FETCH_MISSING);
}

TEST_F(BroadcastTest, AClientDoesNotWait) {
  asker_.in_flight.Add({Object(1)});
  EXPECT_EQ(Reader(asker_, "ck", "", 1).Next().status(), v1::FETCH_MISSING);
  EXPECT_EQ(Reader(asker_, "wk", "", 1).Next().status(), v1::FETCH_MISSING);
}

TEST_F(BroadcastTest, AServerThatStopsLetsGoOfWhoWaits) {
  asker_.in_flight.Add({Object(1)});
  auto reader = std::make_unique<Reader>(asker_, "wk", kNobody, 1);
  EXPECT_EQ(reader->Next().status(), v1::FETCH_WAIT);
  asker_.server.reset();  // or the test does not end
  v1::FetchChunk chunk = reader->NextIfAny();
  while (chunk.status() == v1::FETCH_WAIT) chunk = reader->NextIfAny();
  EXPECT_EQ(chunk.status(), v1::FETCH_OK);  // nothing more
  EXPECT_FALSE(chunk.last());
}

// However they meet: nobody gets wrong bytes, nobody fails.
TEST_F(BroadcastTest, ManyAtOnce) {
  constexpr uint32_t kReaders = 12;
  maker_.Put(1, kBytes / 16);
  std::vector<std::unique_ptr<Node>> nodes;
  for (uint32_t i = 0; i < kReaders; ++i) nodes.push_back(std::make_unique<Node>());
  std::vector<FetchStatus> statuses(kReaders);
  std::vector<std::thread> threads;
  for (uint32_t i = 0; i < kReaders; ++i)
    threads.emplace_back([&, i] { statuses[i] = nodes[i]->Fetch(maker_, 1); });
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(statuses, Each(FetchStatus::kOk));
  uint64_t served = maker_.server->totals().served_bytes;
  for (const auto& node : nodes) {
    EXPECT_EQ(node->SizeOf(1), kBytes / 16);
    served += node->server->totals().served_bytes;
  }
  EXPECT_EQ(served, kReaders * kBytes / 16);
}

TEST(ReceiversTest, TwoAtOnceAndTheOthersInTurn) {
  Receivers receivers;
  std::vector<std::string> others;
  EXPECT_TRUE(receivers.Admit(Object(1), "a", others));
  EXPECT_TRUE(receivers.Admit(Object(1), "b", others));
  for (const char* first : {"a", "b", "a", "b"}) {
    ASSERT_FALSE(receivers.Admit(Object(1), "z", others));
    EXPECT_EQ(others.front(), first);
    EXPECT_EQ(others.size(), 2u);
  }
  EXPECT_TRUE(receivers.Admit(Object(2), "z", others));  // of each object
  receivers.Done(Object(1));
  EXPECT_TRUE(receivers.Admit(Object(1), "c", others));
  ASSERT_FALSE(receivers.Admit(Object(1), "z", others));
  EXPECT_EQ(others.front(), "c");  // nobody was sent there yet
}

TEST(ReceiversTest, NobodyIsSentToItself) {
  Receivers receivers;
  std::vector<std::string> others;
  EXPECT_TRUE(receivers.Admit(Object(1), "a", others));
  EXPECT_TRUE(receivers.Admit(Object(1), "a", others));  // its stream broke, and we do not know yet
  EXPECT_TRUE(receivers.Admit(Object(1), "a", others));
  EXPECT_THAT(receivers.Others(Object(1), "a"), IsEmpty());
  EXPECT_THAT(receivers.Others(Object(1), "b"), ElementsAre("a"));
  EXPECT_THAT(receivers.Others(Object(2), "b"), IsEmpty());
}

TEST(ReceiversTest, ItKeepsAFew) {
  Receivers receivers;
  std::vector<std::string> others;
  for (uint32_t i = 0; i <= limits::kReceiversKept; ++i) {
    ASSERT_TRUE(receivers.Admit(Object(0), StrCat("r", i), others));
    receivers.Done(Object(0));
  }
  EXPECT_EQ(receivers.Others(Object(0), "z").front(), "r1");
  for (uint32_t i = 1; i <= limits::kReceivedKept; ++i) {
    ASSERT_TRUE(receivers.Admit(Object(i), "a", others));
    if (i > 1) receivers.Done(Object(i));
  }
  EXPECT_THAT(receivers.Others(Object(0), "z"), IsEmpty());
  receivers.Done(Object(1));  // still there: it is being sent
}

}  // namespace
}  // namespace taskd::worker
