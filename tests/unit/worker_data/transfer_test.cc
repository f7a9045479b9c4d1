// What a transfer does when the wire, the disk or the host is not as usual.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "taskd/v1/data.grpc.pb.h"
#include "tests/unit/worker_data/cutting_relay.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/data/data_server.h"
#include "worker/data/fetcher.h"

namespace taskd::worker {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

constexpr uint64_t kMiB = 1 << 20;

LocalKey Object(uint32_t ordinal, AttemptId version = 7, PartRange parts = {}) {
  return {{{1, ordinal}, version}, parts};
}

std::string Pattern(uint64_t bytes, uint32_t seed) {
  std::string text(bytes, '\0');
  for (size_t i = 0; i < text.size(); ++i)
    text[i] = static_cast<char>((i * 2654435761u + seed) >> 11);
  return text;
}

// A worker's store and data service.
class Holder {
 public:
  explicit Holder(DataServer::Options options = {}) {
    options.worker_key = "wk";
    options.client_key = "ck";
    auto started = DataServer::Start(store, std::move(options));
    TASKD_CHECK(started.ok());
    server = *std::move(started);
  }
  void Put(const LocalKey& key, const std::vector<std::string>& parts) {
    auto writer = store.NewWriter();
    for (const std::string& part : parts) {
      TASKD_CHECK(writer->Append(part).ok());
      if (parts.size() > 1) writer->EndPart();
    }
    TASKD_CHECK(store.Commit(key, std::move(writer)).ok());
  }

  TempDir dir;
  std::vector<ObjectVersion> lost;
  Store store{{dir.path()}, [this](ObjectVersion id) { lost.push_back(id); }};
  std::unique_ptr<DataServer> server;
};

// A worker's store and fetcher.
class Asker {
 public:
  explicit Asker(Fetcher::Options options = {}) : fetcher_(store, WithDone(std::move(options))) {}

  std::vector<FetchStatus> Fetch(const std::string& address, const std::vector<LocalKey>& items) {
    fetcher_.Start(++fetch_, address, items);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return done_.fetch == fetch_; });
    std::vector<FetchStatus> statuses;
    for (const auto& item : done_.items) statuses.push_back(item.status);
    return statuses;
  }
  std::string Text(const LocalKey& key) {
    auto reader = store.Get(key);
    if (!reader.ok()) return reader.status().ToString();
    std::string text;
    absl::Status read = reader->Stream({0, reader->meta().size_bytes, 0, 0}, [&](auto bytes) {
      text += bytes;
      return absl::OkStatus();
    });
    return read.ok() ? text : read.ToString();
  }
  Fetcher::Totals totals() const { return fetcher_.totals(); }

  TempDir dir;
  Store store{{dir.path()}, [](ObjectVersion) {}};

 private:
  Fetcher::Options WithDone(Fetcher::Options options) {
    options.key = "wk";
    options.done = [this](event::FetchDone done) {
      std::lock_guard lock(mutex_);
      done_ = std::move(done);
      changed_.notify_all();
    };
    return options;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  event::FetchDone done_;
  FetchId fetch_ = 0;
  Fetcher fetcher_;
};

Fetcher::Options BytesOnly() {
  Fetcher::Options options;
  options.take_files = false;
  options.take_compressed = false;
  return options;
}

uint64_t Inode(const Store& store, const std::string& folder) {
  EXPECT_EQ(store.totals().objects, 1u);
  struct stat s = {};
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    stat(entry.path().c_str(), &s);
  return s.st_ino;
}

std::string Digits(uint64_t bytes) {
  std::string text;
  for (uint64_t i = 1; text.size() < bytes; ++i) text += std::to_string(i * i * 2654435761u);
  text.resize(bytes);
  return text;
}

TEST(CompressionTest, ASlowLinkTakesFewerBytes) {
  Holder holder;
  const std::string text = Digits(32 * kMiB);
  holder.Put(Object(1), {text});
  // It breaks among compressed chunks.
  CuttingRelay relay(holder.server->address(), {16 * kMiB}, 20 * kMiB);
  Fetcher::Options fetch;
  fetch.take_files = false;
  Asker asker(std::move(fetch));
  EXPECT_THAT(asker.Fetch(relay.address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.Text(Object(1)) == text, true);
  EXPECT_GT(asker.totals().resumed_bytes, 8 * kMiB);
  const DataServer::Totals totals = holder.server->totals();
  EXPECT_GT(totals.saved_bytes, kMiB);
  EXPECT_GT(totals.packed_bytes, totals.saved_bytes);
  EXPECT_LT(asker.totals().fetched_bytes, text.size() - kMiB);
}

TEST(CompressionTest, OnlyWhereBothSidesWantIt) {
  const std::string text = Digits(24 * kMiB);
  for (const bool server_wants : {false, true}) {
    DataServer::Options options;
    options.compress = server_wants;
    Holder holder(std::move(options));
    holder.Put(Object(1), {text});
    CuttingRelay relay(holder.server->address(), {}, 60 * kMiB);
    Fetcher::Options fetch;
    fetch.take_files = false;
    fetch.take_compressed = !server_wants;
    Asker asker(std::move(fetch));
    EXPECT_THAT(asker.Fetch(relay.address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
    EXPECT_EQ(asker.totals().fetched_bytes, text.size());
  }
}

TEST(ResumeTest, ABrokenStreamGoesOnAtTheSamePeer) {
  Holder holder;
  const std::string small = Pattern(100, 1), big = Pattern(8 * kMiB, 2);
  holder.Put(Object(1), {small});
  holder.Put(Object(2), {big});
  holder.Put(Object(3), {"", big.substr(0, kMiB), "x", big.substr(kMiB)});
  for (const uint32_t ordinal : {2u, 3u}) {
    CuttingRelay relay(holder.server->address(), {3 * kMiB});
    Asker asker(BytesOnly());
    EXPECT_THAT(asker.Fetch(relay.address(), {Object(1), Object(ordinal)}), Each(FetchStatus::kOk));
    EXPECT_EQ(asker.Text(Object(1)), small);
    EXPECT_EQ(asker.Text(Object(ordinal)).size(), 8 * kMiB + (ordinal == 3 ? 1 : 0));
    EXPECT_EQ(asker.Text(Object(ordinal)) == big, ordinal == 2);
    EXPECT_GE(asker.totals().resumed_bytes, kMiB);
    EXPECT_EQ(asker.totals().fetched_bytes, small.size() + 8 * kMiB + (ordinal == 3 ? 1 : 0));
    EXPECT_EQ(asker.totals().partial_bytes, 0u);
  }
  EXPECT_TRUE(holder.lost.empty());
}

// What an asker has after two broken streams from one holder. How much that is depends on how much gRPC had handed on
// when it saw the end.
class PartialTest : public testing::Test {
 protected:
  void BreakTwice(Asker& asker) {
    holder_.Put(Object(1), {big_});
    // gRPC may have made a connection of which nothing came: those behind it are cut, too.
    CuttingRelay relay(holder_.server->address(), {3 * kMiB, 2 * kMiB, 2 * kMiB, 2 * kMiB});
    EXPECT_THAT(asker.Fetch(relay.address(), {Object(1)}), ElementsAre(FetchStatus::kUnreachable));
  }

  const std::string big_ = Pattern(8 * kMiB, 2);
  Holder holder_, other_;
};

TEST_F(PartialTest, AnotherHolderGoesOn) {
  Asker asker(BytesOnly());
  BreakTwice(asker);
  EXPECT_GE(asker.totals().partial_bytes, kMiB);
  other_.Put(Object(1), {big_});
  EXPECT_THAT(asker.Fetch(other_.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.Text(Object(1)), big_);
  EXPECT_EQ(asker.totals().fetched_bytes, big_.size());
  EXPECT_EQ(asker.totals().partial_bytes, 0u);
  EXPECT_EQ(CountFiles(asker.dir.path()), 1u);
}

TEST_F(PartialTest, StaysForTheHolderAfterTheNext) {
  Asker asker(BytesOnly());
  BreakTwice(asker);
  const uint64_t partial_bytes = asker.totals().partial_bytes;
  EXPECT_GE(partial_bytes, kMiB);
  EXPECT_THAT(asker.Fetch(other_.server->address(), {Object(1)}),
              ElementsAre(FetchStatus::kMissing));
  EXPECT_EQ(asker.totals().partial_bytes, partial_bytes);
  EXPECT_THAT(asker.Fetch(holder_.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.Text(Object(1)), big_);
  EXPECT_EQ(asker.totals().fetched_bytes, big_.size());
}

TEST_F(PartialTest, AnotherVersionNeverGoesOn) {
  Asker asker(BytesOnly());
  BreakTwice(asker);
  const uint64_t before = asker.totals().resumed_bytes;
  const std::string remade = Pattern(8 * kMiB, 3);
  other_.Put(Object(1, /*version=*/8), {remade});
  EXPECT_THAT(asker.Fetch(other_.server->address(), {Object(1, 8)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.Text(Object(1, 8)), remade);
  EXPECT_EQ(asker.totals().resumed_bytes, before);
}

// Bodies are deterministic, or should be: the checksum of the whole decides.
TEST_F(PartialTest, OtherBytesOfTheSameVersionAreFetchedWhole) {
  Asker asker(BytesOnly());
  BreakTwice(asker);
  const std::string differs = Pattern(8 * kMiB, 3);
  other_.Put(Object(1), {differs});
  EXPECT_THAT(asker.Fetch(other_.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.Text(Object(1)), differs);
}

TEST_F(PartialTest, AnotherSizeIsFetchedWhole) {
  Asker asker(BytesOnly());
  BreakTwice(asker);
  const std::string longer = Pattern(9 * kMiB, 3);
  other_.Put(Object(1), {longer});
  EXPECT_THAT(asker.Fetch(other_.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.Text(Object(1)), longer);
}

TEST_F(PartialTest, IsBounded) {
  Fetcher::Options options = BytesOnly();
  options.partial_bytes = kMiB;
  Asker asker(std::move(options));
  BreakTwice(asker);
  EXPECT_EQ(asker.totals().partial_bytes, 0u);
  EXPECT_EQ(CountFiles(asker.dir.path()), 0u);
}

// The part that was not sent again is damaged, or the one that was: nobody knows, so all is sent.
TEST_F(PartialTest, DamageIsFoundInWhatGoesOn) {
  Asker asker(BytesOnly());
  BreakTwice(asker);
  other_.Put(Object(1), {big_});
  const std::string file = other_.dir.path() + "/0";
  struct stat s;
  ASSERT_EQ(stat(file.c_str(), &s), 0);
  {
    std::fstream f(file, std::ios::in | std::ios::out | std::ios::binary);
    f.seekp(7 * kMiB);
    f.put('X');
  }
  const timespec times[2] = {s.st_atim, s.st_mtim};
  ASSERT_EQ(utimensat(AT_FDCWD, file.c_str(), times, 0), 0);
  EXPECT_THAT(asker.Fetch(other_.server->address(), {Object(1)}),
              ElementsAre(FetchStatus::kIoError));
  EXPECT_THAT(other_.lost, ElementsAre(Object(1).id));
  EXPECT_EQ(CountFiles(asker.dir.path()), 0u);
}

TEST(SameHostTest, FilesAreLinked) {
  Holder holder;
  const std::string big = Pattern(kMiB, 1);
  holder.Put(Object(1), {big});
  Asker asker;
  EXPECT_THAT(asker.Fetch(holder.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(asker.totals().fetched_bytes, 0u);
  EXPECT_EQ(asker.totals().linked_bytes, kMiB);
  EXPECT_EQ(holder.server->totals().served_bytes, 0u);
  EXPECT_EQ(holder.server->totals().named_bytes, kMiB);
  EXPECT_EQ(Inode(asker.store, asker.dir.path()), Inode(holder.store, holder.dir.path()));
  holder.store.Drop(Object(1));
  EXPECT_EQ(asker.Text(Object(1)), big);
  asker.store.Drop(Object(1));
  EXPECT_EQ(CountFiles(asker.dir.path()), 0u);
}

TEST(SameHostTest, WithPartsAndOthersThatAreSent) {
  Holder holder;
  const std::string big = Pattern(kMiB, 1);
  holder.Put(Object(1), {"small"});
  holder.Put(Object(2), {"", big, "x"});
  holder.Put(Object(3), {big + "3"});
  holder.Put(Object(4, 7, {1, 3}), {"a", big});
  Asker asker;
  EXPECT_THAT(asker.Fetch(holder.server->address(), {Object(1), Object(2), Object(2, 7, {1, 2}),
                                                     Object(9), Object(3), Object(4, 7, {1, 3})}),
              ElementsAre(FetchStatus::kOk, FetchStatus::kOk, FetchStatus::kOk,
                          FetchStatus::kMissing, FetchStatus::kOk, FetchStatus::kOk));
  EXPECT_EQ(asker.totals().fetched_bytes, 5 + kMiB);  // the small one, and one part of a larger one
  EXPECT_EQ(asker.totals().linked_bytes, 3 * kMiB + 3);
  EXPECT_EQ(asker.Text(Object(2)), big + "x");
  EXPECT_EQ(asker.Text(Object(2, 7, {1, 2})), big);
  auto reader = asker.store.Get(Object(2));
  ASSERT_TRUE(reader.ok());
  EXPECT_EQ(reader->meta().part_ends, (std::vector<uint64_t>{0, kMiB, kMiB + 1}));
  auto range = reader->Locate({1, 3});
  ASSERT_TRUE(range.ok());
  EXPECT_TRUE(reader->Stream(*range, [](std::string_view) { return absl::OkStatus(); }).ok());
}

TEST(SameHostTest, BytesWhenOneSideDoesNotWantFiles) {
  DataServer::Options bytes_only;
  bytes_only.name_files = false;
  Holder sends(std::move(bytes_only)), names;
  const std::string big = Pattern(kMiB, 1);
  sends.Put(Object(1), {big});
  names.Put(Object(1), {big});
  Asker takes, wants_bytes(BytesOnly());
  EXPECT_THAT(takes.Fetch(sends.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_THAT(wants_bytes.Fetch(names.server->address(), {Object(1)}),
              ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(takes.totals().fetched_bytes, kMiB);
  EXPECT_EQ(wants_bytes.totals().fetched_bytes, kMiB);
}

// A store file that cannot be linked is sent: here one that is not private, as no store file is.
TEST(SameHostTest, BytesWhenItCannotBeLinked) {
  Holder holder;
  std::vector<LocalKey> keys;
  for (uint32_t i = 1; i <= 5; ++i) {
    holder.Put(Object(i), {Pattern(kMiB, i)});
    keys.push_back(Object(i));
  }
  for (const auto& entry : std::filesystem::directory_iterator(holder.dir.path()))
    ASSERT_EQ(chmod(entry.path().c_str(), 0640), 0);
  Asker asker;
  EXPECT_THAT(asker.Fetch(holder.server->address(), keys), Each(FetchStatus::kOk));
  EXPECT_EQ(asker.totals().fetched_bytes, 5 * kMiB);
  EXPECT_EQ(asker.totals().linked_bytes, 0u);
  for (uint32_t i = 1; i <= 5; ++i) EXPECT_EQ(asker.Text(Object(i)), Pattern(kMiB, i));
  // Such a peer is not asked for names any more.
  const uint64_t named = holder.server->totals().named_bytes;
  asker.store.DropAll();
  EXPECT_THAT(asker.Fetch(holder.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
  EXPECT_EQ(holder.server->totals().named_bytes, named);
}

std::unique_ptr<v1::Data::Stub> StubOf(const Holder& holder) {
  return v1::Data::NewStub(rpc::MakeChannel(holder.server->address(), rpc::ChannelClass::kData));
}

v1::FetchRequest RequestOf(uint32_t ordinal) {
  v1::FetchRequest request;
  v1::FetchItem* item = request.add_items();
  item->set_job(1);
  item->set_object(ordinal);
  return request;
}

TEST(ServingTest, AReaderThatDoesNotReadIsSentLittle) {
  Holder holder;
  constexpr uint64_t kSize = 192 * kMiB;
  auto writer = holder.store.NewWriter();
  const std::string block = Pattern(kMiB, 1);
  for (uint64_t i = 0; i < kSize / kMiB; ++i) ASSERT_TRUE(writer->Append(block).ok());
  ASSERT_TRUE(holder.store.Commit(Object(1), std::move(writer)).ok());
  auto stub = StubOf(holder);
  grpc::ClientContext context;
  rpc::AddKey(context, "ck");
  auto stream = stub->Fetch(&context, RequestOf(1));
  v1::FetchChunk chunk;
  ASSERT_TRUE(stream->Read(&chunk));
  // Until windows and socket buffers are full; it could go on to the end.
  uint64_t served = 0;
  for (int quiet = 0; quiet < 10; ++quiet) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (served != holder.server->totals().served_bytes) quiet = 0;
    served = holder.server->totals().served_bytes;
  }
  EXPECT_LT(served, kSize / 2);
  uint64_t got = chunk.data().size();
  while (stream->Read(&chunk)) got += chunk.data().size();
  EXPECT_TRUE(stream->Finish().ok());
  EXPECT_EQ(got, kSize);
}

TEST(ServingTest, BusyAboveTheLimitOfOneConnection) {
  DataServer::Options options;
  options.streams_per_peer = 1;
  Holder holder(std::move(options));
  holder.Put(Object(1), {Pattern(64 * kMiB, 1)});
  auto stub = StubOf(holder), other = StubOf(holder);
  const auto ask = [](v1::Data::Stub& from) {
    grpc::ClientContext context;
    rpc::AddKey(context, "ck");
    auto stream = from.Fetch(&context, RequestOf(1));
    v1::FetchChunk chunk;
    EXPECT_TRUE(stream->Read(&chunk));
    context.TryCancel();
    stream->Finish();
    return chunk.status();
  };
  grpc::ClientContext context;
  rpc::AddKey(context, "ck");
  auto held = stub->Fetch(&context, RequestOf(1));
  v1::FetchChunk chunk;
  ASSERT_TRUE(held->Read(&chunk));
  EXPECT_EQ(ask(*stub), v1::FETCH_BUSY);
  EXPECT_EQ(ask(*other), v1::FETCH_OK);
  context.TryCancel();
  held->Finish();
}

TEST(ServingTest, AsManyPartsAsThereMayBe) {
  Holder holder;
  auto writer = holder.store.NewWriter();
  for (uint32_t i = 0; i < limits::kPartsPerObject; ++i) {
    ASSERT_TRUE(writer->Append("p").ok());
    writer->EndPart();
  }
  ASSERT_TRUE(holder.store.Commit(Object(1), std::move(writer)).ok());
  Asker links, reads(BytesOnly());
  for (Asker* asker : {&links, &reads}) {
    EXPECT_THAT(asker->Fetch(holder.server->address(), {Object(1)}), ElementsAre(FetchStatus::kOk));
    auto reader = asker->store.Get(Object(1));
    ASSERT_TRUE(reader.ok());
    EXPECT_EQ(reader->meta().part_ends.size(), limits::kPartsPerObject);
  }
  EXPECT_EQ(links.totals().linked_bytes, limits::kPartsPerObject);
}

TEST(ServingTest, ARequestThatIsNone) {
  Holder holder;
  auto channel = rpc::MakeChannel(holder.server->address(), rpc::ChannelClass::kData);
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  rpc::AddKey(context, "ck");
  grpc::CompletionQueue queue;
  auto call = stub.PrepareCall(&context, "/taskd.v1.Data/Fetch", &queue);
  const auto await = [&queue] {
    void* tag = nullptr;
    bool ok = false;
    return queue.Next(&tag, &ok) && ok;
  };
  call->StartCall(nullptr);
  ASSERT_TRUE(await());
  grpc::Slice garbage("\xFF\xFF\xFF", 3);
  call->WriteLast(grpc::ByteBuffer(&garbage, 1), grpc::WriteOptions(), nullptr);
  await();
  grpc::Status status;
  call->Finish(&status, nullptr);
  await();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  queue.Shutdown();
}

}  // namespace
}  // namespace taskd::worker
