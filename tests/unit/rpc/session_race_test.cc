// The session's own state machine between two ends that are joined by a queue and threads in place
// of gRPC: every instruction is ours, so the thread sanitizer sees all of it (gRPC's libraries are
// not built with it).
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "common/rpc/stream_session.h"

namespace taskd::rpc {
namespace {

// Stands for a protobuf message.
struct Words {
  std::vector<uint32_t> words;
  void Clear() { words.clear(); }
};

// Runs what is posted on two threads, as gRPC runs reactions.
class Pool {
 public:
  Pool() {
    for (int i = 0; i < 2; ++i) threads_.emplace_back([this] { Run(); });
  }
  ~Pool() {
    {
      std::lock_guard lock(mutex_);
      stop_ = true;
    }
    changed_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void Post(std::function<void()> work) {
    std::lock_guard lock(mutex_);
    work_.push_back(std::move(work));
    changed_.notify_one();
  }

 private:
  void Run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return stop_ || !work_.empty(); });
      if (work_.empty()) return;
      auto work = std::move(work_.front());
      work_.pop_front();
      lock.unlock();
      work();
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> work_;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

using Session = StreamSession<Words, Words>;

// One call: two ends, each with one read and one write at a time, like gRPC's.
class FakeCall {
 public:
  explicit FakeCall(Pool* pool) : pool_(pool) {}

  class End final : public internal::Transport<Words, Words> {
   public:
    End(FakeCall* call, bool server) : call_(call), server_(server) {}
    void StartReading(Words* message) override { call_->Read(this, message); }
    void StartWriting(const Words* message) override { call_->Write(this, *message); }
    void EndWriting(const grpc::Status& status) override { call_->EndWriting(this, status); }
    void CancelCall() override { call_->Cancel(); }
    void ReleaseHold() override { call_->Release(this); }

    std::shared_ptr<Session> session;

   private:
    friend class FakeCall;
    FakeCall* call_;
    const bool server_;
    Words* reading_ = nullptr;
    std::deque<Words> arrived_;
    bool peer_ended_ = false;  // nothing more will arrive
    int outstanding_ = 0;      // reactions to come
    bool released_ = false, finished_ = false, done_ = false;
  };

  End client{this, false}, server{this, true};

 private:
  End& Other(End* end) { return end->server_ ? client : server; }

  // All of these are called with the lock held.
  void React(End* end, std::function<void(Session&)> reaction) {
    ++end->outstanding_;
    pool_->Post([this, end, session = end->session, reaction = std::move(reaction)] {
      reaction(*session);
      std::lock_guard lock(mutex_);
      --end->outstanding_;
      MaybeDone(end);
    });
  }
  void Deliver(End* end) {
    if (end->reading_ == nullptr) return;
    if (cancelled_ || (end->arrived_.empty() && (end->peer_ended_ || end->finished_))) {
      end->reading_ = nullptr;
      React(end, [](Session& session) { session.ReadDone(false); });
    } else if (!end->arrived_.empty()) {
      *std::exchange(end->reading_, nullptr) = std::move(end->arrived_.front());
      end->arrived_.pop_front();
      React(end, [](Session& session) { session.ReadDone(true); });
    }
  }
  void MaybeDone(End* end) {
    bool over = end->server_ ? end->finished_ : end->released_;
    if (!over || end->outstanding_ > 0 || end->reading_ != nullptr || end->done_) return;
    end->done_ = true;
    grpc::Status status = cancelled_ ? grpc::Status::CANCELLED : status_;
    pool_->Post([session = end->session, status] { session->Done(status); });
  }

  // The sessions call these with their own lock held.
  void Read(End* end, Words* message) {
    std::lock_guard lock(mutex_);
    EXPECT_EQ(end->reading_, nullptr);
    EXPECT_FALSE(end->done_);
    EXPECT_FALSE(end->server_ && end->finished_);
    end->reading_ = message;
    Deliver(end);
  }
  void Write(End* end, const Words& message) {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(end->done_);
    EXPECT_FALSE(end->server_ && end->finished_);
    bool ok = !cancelled_ && !server.finished_;
    if (ok) Other(end).arrived_.push_back(message);
    Deliver(&Other(end));
    React(end, [ok](Session& session) { session.WriteDone(ok); });
  }
  void EndWriting(End* end, const grpc::Status& status) {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(end->finished_) << "finished twice";
    end->finished_ = true;
    if (end->server_) status_ = status;
    Other(end).peer_ended_ = true;
    Deliver(&Other(end));
    if (end->server_) Deliver(end);
    MaybeDone(end);
  }
  void Cancel() {
    std::lock_guard lock(mutex_);
    if (cancelled_ || server.finished_) return;
    cancelled_ = true;
    React(&server, [](Session& session) { session.Cancelled(); });
    Deliver(&client);
    Deliver(&server);
  }
  void Release(End* end) {
    std::lock_guard lock(mutex_);
    EXPECT_FALSE(end->released_);
    end->released_ = true;
    MaybeDone(end);
  }

  Pool* pool_;
  std::mutex mutex_;
  bool cancelled_ = false;
  grpc::Status status_;
};

class Collector : public SessionHandler<Words, Words> {
 public:
  explicit Collector(uint32_t pause_every) : pause_every_(pause_every) {}
  void OnStart(std::shared_ptr<Session>) override {}
  bool OnMessage(Words& message) override {
    std::lock_guard lock(mutex_);
    words_.insert(words_.end(), message.words.begin(), message.words.end());
    changed_.notify_all();
    return pause_every_ == 0 || ++messages_ % pause_every_ != 0;
  }
  void OnClosed(const grpc::Status&) override {
    std::lock_guard lock(mutex_);
    ++closed_;
    changed_.notify_all();
  }
  void Await(const std::function<bool()>& condition) {
    std::unique_lock lock(mutex_);
    ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(60), condition)) << "timed out";
  }
  bool AwaitClosed(Session& session) {
    // Someone resumes it, as the core's queue does.
    std::unique_lock lock(mutex_);
    for (int i = 0; closed_ == 0 && i < 60'000; ++i) {
      lock.unlock();
      session.Resume();
      lock.lock();
      changed_.wait_for(lock, std::chrono::milliseconds(1), [this] { return closed_ > 0; });
    }
    return closed_ == 1;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  const uint32_t pause_every_;
  uint32_t messages_ = 0;
  std::vector<uint32_t> words_;
  int closed_ = 0;
};

enum class How { kClientCloses, kServerCloses, kClientCancels, kServerCancels, kBoth };

void RunRound(How how, uint32_t pause_every, uint32_t writes_before) {
  Pool pool;
  FakeCall call(&pool);
  auto client_handler = std::make_shared<Collector>(0);
  auto server_handler = std::make_shared<Collector>(pause_every);
  auto client = std::make_shared<Session>(client_handler, false);
  auto server = std::make_shared<Session>(server_handler, true);
  call.client.session = client;
  call.server.session = server;
  server->Start(&call.server);
  client->Start(&call.client);

  std::atomic<uint32_t> sent = 0;
  std::vector<std::thread> threads;
  auto write = [&](Session& session, uint32_t first) {
    for (uint32_t i = first; session.Send(4, i % 3, [&](Words& out) { out.words.push_back(i); });
         ++i) {
      if (&session == client.get()) sent.fetch_add(1);
      session.outbox_bytes();
      std::this_thread::yield();
    }
  };
  threads.emplace_back([&] { write(*client, 0); });
  threads.emplace_back([&] { write(*client, 1u << 30); });
  threads.emplace_back([&] { write(*server, 0); });
  threads.emplace_back([&] {
    while (sent < writes_before) std::this_thread::yield();
    if (how == How::kClientCloses || how == How::kBoth) client->Close();
    if (how == How::kServerCloses || how == How::kBoth)
      server->Close(grpc::Status(grpc::StatusCode::ABORTED, "x"));
    if (how == How::kClientCancels) client->Cancel();
    if (how == How::kServerCancels) server->Cancel();
  });
  EXPECT_TRUE(server_handler->AwaitClosed(*server));
  EXPECT_TRUE(client_handler->AwaitClosed(*client));
  for (std::thread& thread : threads) thread.join();
  if (how == How::kClientCloses) {
    EXPECT_EQ(server_handler->words_.size(), sent.load());
  }
  uint32_t next[2] = {0, 1u << 30};  // each writer's words in order, without a gap
  for (uint32_t word : server_handler->words_) EXPECT_EQ(word, next[word >> 30]++);
  EXPECT_EQ(client->outbox_bytes(), 0u);
  EXPECT_EQ(server->outbox_bytes(), 0u);
}

TEST(SessionRace, EveryWayToEndWhileEverybodyWrites) {
  uint32_t round = 0;
  for (How how : {How::kClientCloses, How::kServerCloses, How::kClientCancels, How::kServerCancels,
                  How::kBoth}) {
    for (uint32_t pause_every : {0u, 1u, 3u}) {
      for (uint32_t writes_before : {0u, 1u, 50u, 300u}) {
        SCOPED_TRACE(testing::Message()
                     << "round " << round++ << ", way " << static_cast<int>(how));
        RunRound(how, pause_every, writes_before);
      }
    }
  }
}

}  // namespace
}  // namespace taskd::rpc
