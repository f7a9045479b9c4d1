#include "cli/client/worker_data.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/base/crc32c.h"
#include "common/io/files.h"
#include "tests/unit/taskctl/fake_cluster.h"

namespace taskd::client {
namespace {

using testing::HasSubstr;

constexpr std::string_view kKey = "the-client-key";
const std::atomic<bool> kNotInterrupted = false;

// Sends `bytes`, or those that the item goes on with, in chunks of 3, then `crc` (that of all bytes
// unless given).
grpc::Status SendBytes(const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer,
                       std::string_view bytes, std::optional<uint32_t> crc = {},
                       uint32_t version = 1) {
  for (size_t at = item.resume() ? item.offset() : 0;; at += 3) {
    v1::FetchChunk chunk;
    chunk.set_version(version);
    chunk.set_size_bytes(bytes.size());
    chunk.set_data(std::string(bytes.substr(at, 3)));
    if (at + 3 >= bytes.size()) {
      chunk.set_last(true);
      chunk.set_crc32c(crc.value_or(Crc32c(bytes)));
    }
    writer.Write(chunk);
    if (chunk.last()) return grpc::Status::OK;
  }
}

FakeWorker::FetchScript Whole(std::string bytes) {
  return [bytes](const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer) {
    return SendBytes(item, writer, bytes);
  };
}
FakeWorker::FetchScript Damaged(std::string bytes) {
  return [bytes](const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer) {
    return SendBytes(item, writer, bytes, 1);
  };
}
// Ends the stream after `bytes` of "hello world".
FakeWorker::FetchScript BreaksAfter(std::string bytes) {
  return [bytes](const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer) {
    v1::FetchChunk chunk;
    chunk.set_version(1);
    chunk.set_size_bytes(11);
    if (!item.resume()) chunk.set_data(bytes);
    writer.Write(chunk);
    return grpc::Status(grpc::StatusCode::UNAVAILABLE, "killed");
  };
}
FakeWorker::FetchScript Answers(v1::FetchStatus status) {
  return [status](const v1::FetchItem&, grpc::ServerWriter<v1::FetchChunk>& writer) {
    v1::FetchChunk chunk;
    chunk.set_status(status);
    chunk.set_last(true);
    writer.Write(chunk);
    return grpc::Status::OK;
  };
}

// Keeps what was written; says whether it may start anew.
class MemorySink : public Sink {
 public:
  explicit MemorySink(bool may_restart) : may_restart_(may_restart) {}
  absl::Status Write(std::string_view bytes) override {
    text += bytes;
    return absl::OkStatus();
  }
  bool Restart() override {
    if (may_restart_) text.clear();
    return may_restart_;
  }
  absl::Status Finish() override {
    finished = true;
    return absl::OkStatus();
  }
  std::string text;
  bool finished = false;

 private:
  bool may_restart_;
};

absl::StatusOr<FetchResult> Fetch(Sink& sink, const std::vector<const FakeWorker*>& workers) {
  FetchSpec spec;
  spec.object = {1, 2};
  for (const FakeWorker* worker : workers) spec.addresses.push_back(worker->address());
  return ObjectFetch(kKey, sink, kNotInterrupted).From(spec);
}

TEST(ObjectFetchTest, AsksForWhatWasWished) {
  v1::FetchItem asked;
  FakeWorker worker([&](const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer) {
    asked = item;
    return SendBytes(item, writer, "hello world");
  });
  MemorySink sink(false);
  FetchSpec spec{{3, 4}, 9, {worker.address()}, {2, 3}, 100, 11};
  auto result = ObjectFetch(kKey, sink, kNotInterrupted).From(spec);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(sink.text, "hello world");
  EXPECT_TRUE(sink.finished);
  EXPECT_EQ(result->size_bytes, 11u);
  EXPECT_EQ(result->address, worker.address());
  EXPECT_EQ(asked.job(), 3u);
  EXPECT_EQ(asked.object(), 4u);
  EXPECT_EQ(asked.version(), 9u);
  EXPECT_EQ(asked.part_lo(), 2u);
  EXPECT_EQ(asked.part_hi(), 3u);
  EXPECT_EQ(asked.offset(), 100u);
  EXPECT_EQ(asked.length(), 11u);
}

TEST(ObjectFetchTest, AnEmptyObjectIsAnObject) {
  FakeWorker worker(Whole(""));
  MemorySink sink(true);
  auto result = Fetch(sink, {&worker});
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->size_bytes, 0u);
  EXPECT_TRUE(sink.finished);
}

// Every way in which a holder can fail, with both kinds of sink: the next holder gives the object.
TEST(ObjectFetchTest, TheNextHolderStepsIn) {
  for (const FakeWorker::FetchScript& bad :
       {Answers(v1::FETCH_MISSING), Answers(v1::FETCH_IO_ERROR), Answers(v1::FETCH_BUSY),
        BreaksAfter("hello "), BreaksAfter("hello worl"), Damaged("hello world")}) {
    for (bool may_restart : {true, false}) {
      FakeWorker first(bad);
      FakeWorker second(Whole("hello world"));
      MemorySink sink(may_restart);
      auto result = Fetch(sink, {&first, &second});
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(sink.text, "hello world");
      EXPECT_EQ(result->address, second.address());
    }
  }
}

TEST(ObjectFetchTest, AHolderThatCannotBeReachedIsReplaced) {
  FakeWorker worker(Whole("hello"));
  MemorySink sink(false);
  FetchSpec spec;
  spec.object = {1, 2};
  spec.addresses = {"127.0.0.1:1", worker.address()};
  EXPECT_TRUE(ObjectFetch(kKey, sink, kNotInterrupted).From(spec).ok());
  EXPECT_EQ(sink.text, "hello");
}

TEST(ObjectFetchTest, DamageThatIsOutAlreadyIsToldAndNeverFinished) {
  FakeWorker first(Damaged("hellO world"));
  FakeWorker second(Whole("hello world"));
  MemorySink sink(false);
  auto result = Fetch(sink, {&first, &second});
  EXPECT_TRUE(absl::IsDataLoss(result.status())) << result.status();
  EXPECT_FALSE(sink.finished);
}

TEST(ObjectFetchTest, DamageInAFileIsRepaired) {
  FakeWorker first(Damaged("hellO world"));
  FakeWorker second(Whole("hello world"));
  MemorySink sink(true);
  EXPECT_TRUE(Fetch(sink, {&first, &second}).ok());
  EXPECT_EQ(sink.text, "hello world");
}

TEST(ObjectFetchTest, WithoutAGoodHolderTheLastReasonIsTold) {
  FakeWorker worker(Damaged("hello"));
  MemorySink sink(true);
  auto result = Fetch(sink, {&worker});
  EXPECT_TRUE(absl::IsUnavailable(result.status()));
  EXPECT_THAT(std::string(result.status().message()), HasSubstr("damaged on the way"));
  EXPECT_FALSE(sink.finished);
}

TEST(ObjectFetchTest, AWrongRangeIsNotTriedElsewhere) {
  FakeWorker first(Answers(v1::FETCH_BAD_RANGE));
  FakeWorker second(Whole("hello"));
  MemorySink sink(true);
  EXPECT_TRUE(absl::IsOutOfRange(Fetch(sink, {&first, &second}).status()));
}

// The same holder goes on when its stream breaks, and what came is not asked for again.
TEST(ObjectFetchTest, ABrokenStreamGoesOn) {
  std::vector<uint64_t> offsets;
  FakeWorker worker([&](const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer) {
    offsets.push_back(item.offset());
    if (!item.resume()) return BreaksAfter("hello ")(item, writer);
    return SendBytes(item, writer, "hello world");
  });
  for (bool may_restart : {true, false}) {
    MemorySink sink(may_restart);
    std::vector<std::pair<uint64_t, uint64_t>> seen;
    FetchSpec spec{{1, 2}, 1, {worker.address()}, {}, 0, 0};
    ObjectFetch fetch(kKey, sink, kNotInterrupted,
                      [&](uint64_t bytes, uint64_t total) { seen.emplace_back(bytes, total); });
    auto result = fetch.From(spec);
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_EQ(sink.text, "hello world");
    EXPECT_EQ(result->size_bytes, 11u);
    EXPECT_THAT(seen, testing::ElementsAre(std::pair(6, 11), std::pair(9, 11), std::pair(11, 11)));
  }
  EXPECT_THAT(offsets, testing::ElementsAre(0, 6, 0, 6));
}

// All holders fail, and others come later, with the same version or one that was made again.
TEST(ObjectFetchTest, GoesOnWithHoldersThatComeLater) {
  for (uint32_t version : {1u, 2u}) {
    for (bool may_restart : {true, false}) {
      FakeWorker first(BreaksAfter("hello "));
      std::vector<bool> resumed;
      FakeWorker later([&](const v1::FetchItem& item, grpc::ServerWriter<v1::FetchChunk>& writer) {
        resumed.push_back(item.resume());
        return SendBytes(item, writer, "hello world", {}, version);
      });
      MemorySink sink(may_restart);
      ObjectFetch fetch(kKey, sink, kNotInterrupted);
      EXPECT_TRUE(
          absl::IsUnavailable(fetch.From({{1, 2}, 1, {first.address()}, {}, 0, 0}).status()));
      auto result = fetch.From({{1, 2}, version, {later.address()}, {}, 0, 0});
      ASSERT_TRUE(result.ok()) << result.status();
      EXPECT_EQ(sink.text, "hello world");
      EXPECT_EQ(result->version, version);
      EXPECT_THAT(resumed, testing::ElementsAre(version == 1));
    }
  }
}

TEST(ObjectFetchTest, OtherBytesNeverGoOn) {
  FakeWorker first(BreaksAfter("hello "));
  FakeWorker longer(Whole("HELLO world!"));
  FakeWorker other(Whole("HELLO world"));
  for (const FakeWorker* second : {&longer, &other}) {
    MemorySink file(true), pipe(false);
    auto result = Fetch(file, {&first, second, second});
    ASSERT_TRUE(result.ok()) << result.status();
    EXPECT_THAT(file.text, HasSubstr("HELLO world"));
    EXPECT_TRUE(absl::IsDataLoss(Fetch(pipe, {&first, second, second}).status()));
    EXPECT_FALSE(pipe.finished);
  }
}

TEST(FileSinkTest, TheFileAppearsWholeOrNotAtAll) {
  std::string folder = testing::TempDir() + "sink-XXXXXX";
  ASSERT_NE(mkdtemp(folder.data()), nullptr);
  std::string path = folder + "/out";
  std::ofstream(path) << "before";
  {
    auto sink = MakeFileSink(path);
    ASSERT_TRUE(sink.ok());
    ASSERT_TRUE((*sink)->Write("half").ok());
  }
  EXPECT_EQ(*io::ReadFile(path), "before");
  {
    auto sink = MakeFileSink(path);
    ASSERT_TRUE((*sink)->Write("wrong").ok());
    EXPECT_TRUE((*sink)->Restart());
    ASSERT_TRUE((*sink)->Write("new").ok());
    ASSERT_TRUE((*sink)->Finish().ok());
  }
  EXPECT_EQ(*io::ReadFile(path), "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder), {}), 1);
  EXPECT_THAT(std::string(MakeFileSink(folder).status().message()), HasSubstr("is a folder"));
  EXPECT_TRUE(absl::IsNotFound(MakeFileSink(folder + "/no/such/file").status()));
  std::filesystem::remove_all(folder);
}

TEST(ReadLogTest, BothStreamsOrOne) {
  FakeWorker worker(Whole(""));
  for (auto [want_out, want_err, expected] :
       {std::tuple(true, true, "o:out e:err cut "), std::tuple(true, false, "o:out "),
        std::tuple(false, true, "e:err cut ")}) {
    std::string seen;
    absl::Status status = ReadLog({worker.address(), {{1, 5}, 2}, want_out, want_err}, kKey,
                                  [&](bool is_err, std::string_view bytes, bool cut) {
                                    seen += std::string(is_err ? "e:" : "o:") + std::string(bytes) +
                                            (cut ? " cut " : " ");
                                    return true;
                                  });
    EXPECT_TRUE(status.ok()) << status;
    EXPECT_EQ(seen, expected);
  }
  EXPECT_TRUE(absl::IsNotFound(ReadLog({worker.address(), {{1, 6}, 2}}, kKey,
                                       [](bool, std::string_view, bool) { return true; })));
}

}  // namespace
}  // namespace taskd::client
