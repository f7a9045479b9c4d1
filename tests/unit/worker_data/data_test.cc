// The data service and the fetcher against each other over loopback.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/client_context.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <condition_variable>
#include <fstream>
#include <mutex>

#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "taskd/v1/data.grpc.pb.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/data/data_server.h"
#include "worker/data/fetcher.h"

namespace taskd::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

LocalKey Key(uint32_t ordinal, PartRange parts = {}) { return {{{1, ordinal}, 7}, parts}; }
const std::string kBig(3 * limits::kChunkBytes + 17, 'b');

struct Node {
  TempDir dir;
  std::vector<ObjectVersion> lost;
  Store store{{dir.path()}, [this](ObjectVersion id) { lost.push_back(id); }};

  void Put(uint32_t ordinal, const std::string& bytes) {
    ASSERT_TRUE(store.Put(Key(ordinal), bytes).ok());
  }
  void PutParts(uint32_t ordinal, const std::vector<std::string>& parts) {
    auto writer = store.NewWriter();
    for (const std::string& part : parts) {
      ASSERT_TRUE(writer->Append(part).ok());
      writer->EndPart();
    }
    ASSERT_TRUE(store.Commit(Key(ordinal), std::move(writer)).ok());
  }
  std::string Text(const LocalKey& key, PartRange parts = {}) {
    auto reader = store.Get(key);
    if (!reader.ok()) return reader.status().ToString();
    auto range = reader->Locate(parts);
    if (!range.ok()) return range.status().ToString();
    std::string out(range->length, '\0');
    EXPECT_TRUE(reader->Read(range->offset, out.data(), out.size()).ok());
    return out;
  }
};

// A log of which the second half comes while it is followed.
class TwoTexts : public LogReader {
 public:
  bool Next(LogText& news, uint64_t) override {
    if (std::exchange(begun_, true)) {
      news = {"more", "", false, false};
      return false;
    }
    news = {"out text", "err text", false, true};
    return true;
  }

 private:
  bool begun_ = false;
};

class DataTest : public testing::Test {
 protected:
  void Serve(uint32_t streams = limits::kServedFetches) {
    DataServer::Options options;
    options.worker_key = "wk";
    options.client_key = "ck";
    options.streams = streams;
    options.followers = 1;
    options.open_log = [](const AttemptRef& a) -> std::unique_ptr<LogReader> {
      return a.task.ordinal == 5 ? std::make_unique<TwoTexts>() : nullptr;
    };
    auto server = DataServer::Start(holder_.store, std::move(options));
    ASSERT_TRUE(server.ok()) << server.status();
    server_ = *std::move(server);
  }

  void MakeFetcher(const std::string& key = "wk", uint64_t stall_ns = limits::kFetchStallNs,
                   bool take_files = false) {
    Fetcher::Options options;
    options.key = key;
    options.stall_ns = stall_ns;
    options.take_files = take_files;
    options.take_compressed = false;  // bytes are counted
    options.done = [this](event::FetchDone done) {
      std::lock_guard lock(mutex_);
      done_.push_back(std::move(done));
      changed_.notify_all();
    };
    fetcher_ = std::make_unique<Fetcher>(reader_.store, std::move(options));
  }

  event::FetchDone Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !done_.empty(); });
    event::FetchDone done = std::move(done_.front());
    done_.erase(done_.begin());
    return done;
  }

  std::vector<FetchStatus> Fetch(const std::vector<LocalKey>& items,
                                 const std::string& address = "") {
    if (fetcher_ == nullptr) MakeFetcher();
    fetcher_->Start(++fetch_, address.empty() ? server_->address() : address, items);
    last_ = Wait();
    EXPECT_EQ(last_.fetch, fetch_);
    std::vector<FetchStatus> statuses;
    for (const auto& item : last_.items) statuses.push_back(item.status);
    return statuses;
  }

  // One item as a client asks for it: status and bytes.
  std::pair<v1::FetchStatus, std::string> Ask(const v1::FetchItem& item) {
    auto stub = v1::Data::NewStub(rpc::MakeChannel(server_->address(), rpc::ChannelClass::kData));
    grpc::ClientContext context;
    rpc::AddKey(context, "ck");
    v1::FetchRequest request;
    *request.add_items() = item;
    auto stream = stub->Fetch(&context, request);
    v1::FetchChunk chunk;
    std::string bytes;
    while (stream->Read(&chunk)) bytes += chunk.data();
    EXPECT_TRUE(stream->Finish().ok());
    return {chunk.status(), bytes};
  }

  Node holder_, reader_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<event::FetchDone> done_;
  std::unique_ptr<DataServer> server_;
  std::unique_ptr<Fetcher> fetcher_;
  FetchId fetch_ = 0;
  event::FetchDone last_;
};

TEST_F(DataTest, BringsObjectsOfEverySize) {
  holder_.Put(1, "");
  holder_.Put(2, "small");
  holder_.Put(3, kBig);
  holder_.PutParts(4, {"", "a", kBig, "", "z", ""});
  Serve();
  EXPECT_THAT(Fetch({Key(1), Key(2), Key(3), Key(4)}),
              ElementsAre(FetchStatus::kOk, FetchStatus::kOk, FetchStatus::kOk, FetchStatus::kOk));
  EXPECT_EQ(reader_.Text(Key(1)), "");
  EXPECT_EQ(reader_.Text(Key(2)), "small");
  EXPECT_EQ(reader_.Text(Key(3)), kBig);
  EXPECT_EQ(reader_.Text(Key(4), {1, 3}), "a" + kBig);
  EXPECT_EQ(reader_.Text(Key(4), {4, 6}), "z");
  EXPECT_EQ(last_.items[2].size_bytes, kBig.size());
  EXPECT_EQ(server_->totals().served_bytes, 5 + 2 * kBig.size() + 2);
  EXPECT_EQ(fetcher_->totals().fetched_bytes, server_->totals().served_bytes);
}

TEST_F(DataTest, BringsPartsAsObjectsOfTheirOwnAndPassesThemOn) {
  holder_.PutParts(1, {"a", "bb", kBig, "d"});
  Serve();
  EXPECT_THAT(Fetch({Key(1, {1, 3}), Key(1, {3, 4})}),
              ElementsAre(FetchStatus::kOk, FetchStatus::kOk));
  EXPECT_EQ(reader_.Text(Key(1, {1, 3})), "bb" + kBig);
  EXPECT_EQ(reader_.Text(Key(1, {1, 3}), {0, 1}), "bb");
  EXPECT_EQ(reader_.Text(Key(1, {3, 4})), "d");
  EXPECT_FALSE(reader_.store.Contains(Key(1)));
}

TEST_F(DataTest, EachItemFailsAlone) {
  holder_.Put(1, "one");
  holder_.PutParts(2, {"a", "b"});
  holder_.Put(3, kBig);
  ASSERT_EQ(unlink((holder_.dir.path() + "/0").c_str()), 0);  // of object 3
  holder_.Put(4, "four");
  Serve();
  EXPECT_THAT(Fetch({Key(9), Key(2, {1, 5}), Key(3), Key(4), Key(1)}),
              ElementsAre(FetchStatus::kMissing, FetchStatus::kIoError, FetchStatus::kIoError,
                          FetchStatus::kOk, FetchStatus::kOk));
  EXPECT_THAT(holder_.lost, ElementsAre(Key(3).id));
  EXPECT_EQ(reader_.Text(Key(1)), "one");
}

TEST_F(DataTest, DamageOnTheHoldersDiskIsFoundAndReported) {
  holder_.Put(1, kBig);
  const std::string file = holder_.dir.path() + "/0";
  struct stat s;
  ASSERT_EQ(stat(file.c_str(), &s), 0);
  {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(1000);
    f.put('X');
  }
  const timespec times[2] = {s.st_atim, s.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  Serve();
  EXPECT_THAT(Fetch({Key(1)}), ElementsAre(FetchStatus::kIoError));
  EXPECT_THAT(holder_.lost, ElementsAre(Key(1).id));
  EXPECT_FALSE(reader_.store.Contains(Key(1)));
  EXPECT_TRUE(std::filesystem::is_empty(reader_.dir.path()));
}

TEST_F(DataTest, AThousandSmallObjectsInOneRequest) {
  std::vector<LocalKey> keys;
  for (uint32_t i = 1; i <= limits::kFetchItems; ++i) {
    holder_.Put(i, std::to_string(i));
    keys.push_back(Key(i));
  }
  Serve();
  Fetch(keys);
  for (uint32_t i = 1; i <= limits::kFetchItems; ++i)
    ASSERT_EQ(reader_.Text(Key(i)), std::to_string(i));
}

TEST_F(DataTest, PeersThatAreNotThere) {
  Serve();
  MakeFetcher();
  const std::string address = server_->address();
  server_.reset();
  EXPECT_THAT(Fetch({Key(1), Key(2)}, address),
              ElementsAre(FetchStatus::kUnreachable, FetchStatus::kUnreachable));
  fetcher_->Start(77, "", {Key(1)});
  EXPECT_EQ(Wait().items[0].status, FetchStatus::kUnreachable);
}

TEST_F(DataTest, AWrongKeyOpensNothing) {
  holder_.Put(1, "secret");
  Serve();
  MakeFetcher("wrong");
  EXPECT_THAT(Fetch({Key(1)}), ElementsAre(FetchStatus::kUnreachable));
  EXPECT_EQ(server_->totals().served_bytes, 0u);
}

TEST_F(DataTest, BusyAboveTheLimit) {
  holder_.Put(1, "x");
  Serve(/*streams=*/0);
  EXPECT_THAT(Fetch({Key(1), Key(2)}), ElementsAre(FetchStatus::kBusy, FetchStatus::kBusy));
}

// Accepts connections and says nothing, as a stopped process does.
class SilentPeer {
 public:
  SilentPeer() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    TASKD_CHECK(bind(fd_, reinterpret_cast<sockaddr*>(&address), size) == 0 && listen(fd_, 8) == 0);
    TASKD_CHECK(getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
  }
  ~SilentPeer() { close(fd_); }
  std::string address() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_;
  uint16_t port_;
};

TEST_F(DataTest, ASilentPeerIsGivenUp) {
  SilentPeer peer;
  MakeFetcher("wk", /*stall_ns=*/50'000'000);
  EXPECT_THAT(Fetch({Key(1)}, peer.address()), ElementsAre(FetchStatus::kUnreachable));
}

TEST_F(DataTest, CancelAndDestructionAnswer) {
  SilentPeer peer;
  MakeFetcher();
  fetcher_->Start(1, peer.address(), {Key(1)});
  fetcher_->Cancel(1);
  EXPECT_EQ(Wait().fetch, 1u);
  fetcher_->Cancel(1);  // harmless
  fetcher_->Start(2, peer.address(), {Key(1)});
  fetcher_.reset();
  EXPECT_EQ(Wait().items[0].status, FetchStatus::kUnreachable);
}

TEST_F(DataTest, ClientsMayAskForAnyVersionAndForRanges) {
  holder_.PutParts(1, {"abc", "defgh"});
  Serve();
  v1::FetchItem item;
  item.set_job(1);
  item.set_object(1);
  EXPECT_EQ(Ask(item), std::pair(v1::FETCH_OK, std::string("abcdefgh")));
  item.set_offset(2);
  item.set_length(3);
  EXPECT_EQ(Ask(item), std::pair(v1::FETCH_OK, std::string("cde")));
  item.set_part_lo(1);
  item.set_part_hi(2);
  EXPECT_EQ(Ask(item), std::pair(v1::FETCH_OK, std::string("fgh")));
  item.set_length(100);
  EXPECT_EQ(Ask(item), std::pair(v1::FETCH_OK, std::string("fgh")));
  item.set_offset(6);
  EXPECT_EQ(Ask(item), std::pair(v1::FETCH_BAD_RANGE, std::string()));
  item.set_version(3);
  EXPECT_EQ(Ask(item), std::pair(v1::FETCH_MISSING, std::string()));
}

TEST_F(DataTest, Logs) {
  Serve();
  auto stub = v1::Data::NewStub(rpc::MakeChannel(server_->address(), rpc::ChannelClass::kData));
  const auto ask = [&](uint32_t ordinal, bool stderr_only, std::string& text, bool follow = false) {
    grpc::ClientContext context;
    rpc::AddKey(context, "ck");
    v1::LogRequest request;
    request.mutable_attempt()->set_job(1);
    request.mutable_attempt()->set_ordinal(ordinal);
    request.mutable_attempt()->set_attempt(1);
    request.set_stderr_only(stderr_only);
    request.set_follow(follow);
    auto stream = stub->Log(&context, request);
    v1::LogChunk chunk;
    while (stream->Read(&chunk))
      text += (chunk.is_stderr() ? "2:" : "1:") + chunk.data() + (chunk.truncated() ? "! " : " ");
    return stream->Finish();
  };
  std::string text;
  EXPECT_TRUE(ask(5, false, text).ok());
  EXPECT_EQ(text, "1:out text 2:err text! ");
  text.clear();
  EXPECT_TRUE(ask(5, true, text).ok());
  EXPECT_EQ(text, "2:err text! ");
  text.clear();
  EXPECT_TRUE(ask(5, false, text, true).ok());
  EXPECT_EQ(text, "1:out text 2:err text! 1:more ");
  const grpc::Status missing = ask(6, false, text);
  EXPECT_EQ(missing.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(missing.error_message(), HasSubstr("1@6#1"));
}

TEST_F(DataTest, ATakenPortIsNamed) {
  Serve();
  DataServer::Options options;
  options.listen = server_->address();
  auto second = DataServer::Start(holder_.store, std::move(options));
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()), HasSubstr(server_->address()));
}

}  // namespace
}  // namespace taskd::worker
