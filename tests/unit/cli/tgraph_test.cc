#include "cli/client/tgraph.h"

#include "cli/client/builder.h"
#include "tests/unit/cli/graph_fixture.h"

namespace taskd::client {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class TgraphTest : public GraphTest {
 protected:
  TgraphTest() {
    GraphBuilder g;
    uint32_t body = g.AddBody(BuiltinBody("noop", {}, {"v"}));
    auto tasks = g.AddTasks({.name = "n", .count = 200'000, .body = body});
    g.Want(g.Object(tasks, 7, 0));
    frames_ = *g.Finish();
    path_ = folder_ + "/g.tgraph";
    EXPECT_TRUE(WriteTgraph(path_, frames_).ok());
    bytes_ = Read(path_);
  }
  // What loading `bytes` says; "" when it is right.
  std::string ErrorOfBytes(const std::string& bytes) const {
    auto graph = LoadGraph(Write("x.tgraph", bytes), {});
    EXPECT_TRUE(graph.ok() || graph.status().code() == absl::StatusCode::kInvalidArgument)
        << graph.status();
    return std::string(graph.status().message());
  }
  std::vector<std::string> frames_;
  std::string path_, bytes_;
};

TEST_F(TgraphTest, ComesBackAsItWas) {
  auto graph = LoadGraph(path_, {});
  ASSERT_TRUE(graph.ok()) << graph.status();
  EXPECT_EQ(graph->frames, frames_);
  EXPECT_GE(frames_.size(), 4u);
  EXPECT_EQ(graph->stats.tasks, 200'000u);
  EXPECT_EQ(graph->WantNames(), std::vector<std::string>{"n[7].v"});
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1)
      << "the temporary file is still there";
}

TEST_F(TgraphTest, EveryTruncationIsFound) {
  for (size_t size = 2; size < bytes_.size();
       size += size < 64 || bytes_.size() - size < 64 ? 1 : 97) {
    EXPECT_THAT(ErrorOfBytes(bytes_.substr(0, size)), HasSubstr("truncated")) << size;
  }
}

TEST_F(TgraphTest, EveryFlippedBitIsFound) {
  for (size_t at = 0; at < bytes_.size(); at += at < 64 || bytes_.size() - at < 64 ? 1 : 101) {
    std::string damaged = bytes_;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    EXPECT_NE(ErrorOfBytes(damaged), "") << at;
  }
}

TEST_F(TgraphTest, ErrorsNameFileAndFix) {
  std::string newer = bytes_;
  newer[8] = 2;
  EXPECT_THAT(ErrorOfBytes(newer),
              AllOf(HasSubstr("x.tgraph: format 2, made by a newer taskd"), HasSubstr("compile")));
  std::string flipped = bytes_;
  flipped[100] = static_cast<char>(flipped[100] ^ 1);
  EXPECT_THAT(ErrorOfBytes(flipped),
              AllOf(HasSubstr("x.tgraph: damaged: batch 1"), HasSubstr("checksum")));
  EXPECT_THAT(ErrorOfBytes(bytes_ + "x"), HasSubstr("damaged: bytes follow the trailer"));
  EXPECT_THAT(ErrorOfBytes("taskd: 1\n"), HasSubstr("not a .tgraph file"));
  EXPECT_THAT(LoadGraph(path_, {{"x", "1"}}).status().message(),
              HasSubstr("is compiled, its variables are fixed"));
  EXPECT_EQ(TgraphReader::Open(folder_ + "/none").status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(WriteTgraph(folder_ + "/none/x.tgraph", frames_).code(), absl::StatusCode::kNotFound);
}

// Whole in the file's eyes, wrong inside.
TEST_F(TgraphTest, BatchesAreChecked) {
  auto load = [&](v1::GraphBatch batch) {
    EXPECT_TRUE(WriteTgraph(folder_ + "/y.tgraph", {*CompressBatch(batch)}).ok());
    return std::string(LoadGraph(folder_ + "/y.tgraph", {}).status().message());
  };
  v1::GraphBatch good = **DecompressBatch(frames_[0]);
  good.clear_want();
  EXPECT_EQ(load(good), "");
  v1::GraphBatch bad = good;
  bad.set_number(3);
  EXPECT_THAT(load(bad), HasSubstr("batch 0 says that it is 3"));
  bad = good;
  bad.add_input_source(1);
  EXPECT_THAT(load(bad), HasSubstr("column of inputs has a wrong length"));
  bad = good;
  bad.add_body(0);
  bad.add_body(0);
  EXPECT_THAT(load(bad), HasSubstr("wrong length"));
  bad = good;
  bad.add_want(99'999'999);
  EXPECT_THAT(load(bad), HasSubstr("wants an object that does not exist"));
  bad = good;
  bad.clear_shapes();
  EXPECT_THAT(load(bad), HasSubstr("shape"));
  EXPECT_THAT(load(v1::GraphBatch()), HasSubstr("the graph is empty"));
  EXPECT_TRUE(WriteTgraph(folder_ + "/y.tgraph", {"not zstd"}).ok());
  EXPECT_THAT(LoadGraph(folder_ + "/y.tgraph", {}).status().message(), HasSubstr("zstd"));
}

TEST_F(TgraphTest, ATaskThatReadsALaterOneIsRefused) {
  GraphBuilder g;
  uint32_t body = g.AddBody(BuiltinBody("noop", {"x"}, {"v"}));
  g.AddTasks(
      {.name = "n", .count = 2, .body = body, .edges = [&](uint32_t row, std::vector<Edge>& edges) {
         edges.push_back({1 - row, 0, {}});
       }});
  EXPECT_THAT(GraphFromFrames(*g.Finish()).status().message(),
              HasSubstr("task 0 reads an object that no earlier task makes"));
}

}  // namespace
}  // namespace taskd::client
