#include "scheduler/shell/graph_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "common/base/limits.h"
#include "common/graph/put_batch.h"
#include "tests/unit/scheduler_shell/graphs.h"

namespace taskd::scheduler {
namespace {

using testing::HasSubstr;

TEST(GraphCheck, AGoodBatchBecomesTheCoresColumns) {
  GraphTables tables;
  v1::GraphBatch batch = SmallGraph();
  auto checked = tables.Check(batch);
  ASSERT_TRUE(checked.ok()) << checked.status();
  ASSERT_EQ(checked->batch.tasks.size(), 4u);
  EXPECT_EQ(checked->batch.tasks[2].output_count, 1);
  EXPECT_EQ(checked->batch.tasks[3].edge_count, 1u);
  EXPECT_NE(checked->batch.tasks[0].group, checked->batch.tasks[3].group);
  ASSERT_EQ(checked->batch.edges.size(), 1u);
  EXPECT_EQ(checked->batch.edges[0].source, kCollectionBit);
  EXPECT_EQ(checked->batch.edges[0].parts, (PartRange{1, 2}));
  EXPECT_EQ(checked->batch.edges[0].parts_total, 4u);
  EXPECT_THAT(checked->batch.wants, testing::ElementsAre(3u));
  EXPECT_THAT(checked->args.ends, testing::ElementsAre(1u, 3u, 6u, 6u));
  EXPECT_EQ(checked->bodies.size(), 2u);
}

TEST(GraphCheck, RanksAndTailsAreTakenOver) {
  GraphTables tables;
  v1::GraphBatch batch = SmallGraph();
  for (uint32_t rank : {2, 1, 0, 3}) batch.add_rank(rank);
  for (uint32_t tail : {30, 40, 50, 10}) batch.add_tail(tail);
  auto checked = tables.Check(batch);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_TRUE(checked->ranked);
  for (size_t t = 0; t < 4; ++t) {
    EXPECT_EQ(checked->batch.tasks[t].rank, batch.rank(static_cast<int>(t)));
    EXPECT_EQ(checked->batch.tasks[t].tail, batch.tail(static_cast<int>(t)));
  }
  v1::GraphBatch without = SmallGraph();
  GraphTables others;
  EXPECT_FALSE(others.Check(without)->ranked);
}

// What there is of it, only the core knows.
TEST(GraphCheck, CollectionsOfOtherJobsMayReachAnywhere) {
  v1::GraphBatch parts = SmallGraph();
  parts.mutable_collections(0)->set_first(1000);
  parts.mutable_collections(0)->set_job(9);
  v1::GraphBatch whole = parts;
  whole.clear_input_part_lo();
  whole.clear_input_part_hi();
  v1::GraphBatch dataset = whole;
  dataset.mutable_collections(0)->Clear();
  dataset.mutable_collections(0)->set_dataset("counts");

  GraphTables tables;
  EXPECT_THAT(std::string(tables.Check(parts).status().message()), HasSubstr("read whole"));
  auto checked = tables.Check(whole);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->batch.collections[0], (Batch::Collection{1000, 3, 1, 9}));
  GraphTables others;
  checked = others.Check(dataset);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->batch.collections[0].dataset, "counts");
}

TEST(GraphCheck, ALaterBatchReadsEarlierObjects) {
  GraphTables tables;
  v1::GraphBatch first = SmallGraph();
  ASSERT_TRUE(tables.Check(first).ok());
  tables.Commit();
  v1::GraphBatch second;
  second.set_number(1);
  v1::Template* top = second.add_templates();
  top->set_name("top");
  top->set_task_count(1);
  second.add_runs()->set_template_index(2);
  second.mutable_runs(0)->set_count(1);
  second.add_body(1);
  second.add_input_count(1);
  second.add_input_source(3);
  auto checked = tables.Check(second);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->batch.edges[0].parts_total, 0u);
  EXPECT_EQ(checked->args.first_task, 4u);
}

TEST(GraphCheck, ARefusedBatchLeavesNothingBehind) {
  GraphTables tables;
  v1::GraphBatch bad = SmallGraph();
  bad.set_want(0, 99);
  for (int i = 0; i < 3; ++i) {
    v1::GraphBatch again = bad;
    EXPECT_FALSE(tables.Check(again).ok());
  }
  v1::GraphBatch good = SmallGraph();
  auto checked = tables.Check(good);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->batch.tasks[3].group, 1);
  tables.Commit();
  EXPECT_EQ(tables.task_count(), 4u);
}

struct Case {
  const char* what;
  std::function<void(v1::GraphBatch&)> damage;
  const char* message;
  absl::StatusCode code = absl::StatusCode::kInvalidArgument;
};

// Body 0, whose outputs are values from now on.
v1::Body& Function(v1::GraphBatch& batch) {
  v1::Body& body = *batch.mutable_bodies(0);
  for (v1::OutputSlot& slot : *body.mutable_outputs()) slot.set_kind(v1::OutputSlot::VALUE);
  return body;
}

TEST(GraphCheck, EveryErrorNamesWhatIsWrong) {
  const Case kCases[] = {
      {"no body kind", [](auto& b) { b.mutable_bodies(0)->clear_command(); }, "body 0 has no kind"},
      {"empty command",
       [](auto& b) {
         b.mutable_bodies(0)->mutable_command();
         b.mutable_bodies(0)->mutable_command()->clear_sh();
       },
       "either sh text or argv"},
      {"a put that is none",
       [](auto& b) { b.mutable_bodies(1)->mutable_builtin()->set_name("put"); },
       "the built-in put or the option put, and not both"},
      {"an option put of no put", [](auto& b) { b.mutable_options(0)->set_put(true); },
       "the built-in put or the option put, and not both"},
      {"a put anywhere",
       [](auto& b) {
         b = graph::PutBatch("w1", {{"x", "token"}});
         b.mutable_shapes(0)->clear_workers();
       },
       "a shape that names one worker"},
      {"a put on two workers",
       [](auto& b) {
         b = graph::PutBatch("w1", {{"x", "token"}});
         b.mutable_shapes(0)->add_workers("w2");
       },
       "a shape that names one worker"},
      {"unknown built-in", [](auto& b) { b.mutable_bodies(1)->mutable_builtin()->set_name("nop"); },
       "no built-in 'nop'"},
      {"python without a name", [](auto& b) { Function(b).mutable_python()->set_module("m"); },
       "a function is named, or else comes as a pickle"},
      {"python with both",
       [](auto& b) {
         v1::PythonBody* python = Function(b).mutable_python();
         python->set_module("m");
         python->set_function("f");
         python->set_pickle("x");
       },
       "a function is named, or else comes as a pickle"},
      {"large pickle",
       [](auto& b) { Function(b).mutable_python()->set_pickle(std::string(5 << 20, 'x')); },
       "a pickled function has 5242880 bytes; at most 4194304"},
      {"relative library",
       [](auto& b) {
         Function(b).mutable_native()->set_library("x.so");
         b.mutable_bodies(0)->mutable_native()->set_function("f");
       },
       "an absolute path"},
      {"relative interpreter",
       [](auto& b) {
         v1::PythonBody* python = Function(b).mutable_python();
         python->set_module("m");
         python->set_function("f");
         python->set_interpreter("python3");
       },
       "an absolute path"},
      {"parts of a built-in's value",
       [](auto& b) { b.mutable_bodies(1)->mutable_outputs(0)->set_parts(2); },
       "an output of this kind has no parts"},
      {"too many parts of a function's value",
       [](auto& b) {
         Function(b).mutable_native()->set_library("/x.so");
         b.mutable_bodies(0)->mutable_native()->set_function("f");
         v1::OutputSlot* slot = b.mutable_bodies(0)->add_outputs();
         slot->set_name("many");
         slot->set_kind(v1::OutputSlot::VALUE);
         slot->set_parts(limits::kPartsPerObject + 1);
       },
       "parts, not 1048577"},
      {"library without a function",
       [](auto& b) { Function(b).mutable_native()->set_library("/x.so"); }, "a function is named"},
      {"function with a zero byte",
       [](auto& b) {
         Function(b).mutable_native()->set_library("/x.so");
         b.mutable_bodies(0)->mutable_native()->set_function(std::string("f\0g", 3));
       },
       "or a zero byte"},
      {"function that makes a file",
       [](auto& b) {
         Function(b).mutable_native()->set_library("/x.so");
         b.mutable_bodies(0)->mutable_native()->set_function("f");
         b.mutable_bodies(0)->mutable_outputs(0)->set_kind(v1::OutputSlot::FILE);
       },
       "a function makes values"},
      {"folder",
       [](auto& b) { b.mutable_bodies(1)->mutable_outputs(0)->set_kind(v1::OutputSlot::FOLDER); },
       "not supported yet", absl::StatusCode::kUnimplemented},
      {"two outputs", [](auto& b) { b.mutable_bodies(0)->add_outputs()->set_name("p"); },
       "two outputs named 'p'"},
      {"two inputs", [](auto& b) { b.mutable_bodies(1)->add_inputs()->set_name("m"); },
       "two inputs named 'm'"},
      {"no parts", [](auto& b) { b.mutable_bodies(0)->mutable_outputs(0)->set_parts(0); },
       "output 'p': 1 to"},
      {"many outputs",
       [](auto& b) {
         for (int i = 0; i < 2000; ++i)
           b.mutable_bodies(0)->add_outputs()->set_name(std::to_string(i));
       },
       "at most 1024"},
      {"no cpus", [](auto& b) { b.mutable_shapes(0)->mutable_need()->set_cpus_milli(0); },
       "needs no cpu"},
      {"many shapes",
       [](auto& b) {
         for (int i = 0; i < 1024; ++i) *b.add_shapes() = b.shapes(0);
       },
       "more than 1024"},
      {"template index", [](auto& b) { b.mutable_runs(0)->set_template_index(9); },
       "names template 9, but the job has 2"},
      {"too many tasks", [](auto& b) { b.mutable_runs(0)->set_count(100'000); },
       "fit into one batch"},
      {"body column", [](auto& b) { b.add_body(0); }, "column body must have 0, 1 or 4"},
      {"tail column", [](auto& b) { b.mutable_tail()->Resize(3, 100); }, "column tail"},
      {"rank column",
       [](auto& b) {
         b.add_rank(0);
         b.add_rank(1);
       },
       "column rank"},
      {"body index", [](auto& b) { b.set_body(1, 7); },
       "task map[1] names body 7, but the job has 2"},
      {"shape index", [](auto& b) { b.add_shape(3); },
       "task map[0] names shape 3, but the job has 1"},
      {"option index", [](auto& b) { b.add_option(3); }, "set of options 3"},
      {"too many inputs", [](auto& b) { b.set_input_count(3, 70'000); },
       "task sum has 70000 inputs"},
      {"input count", [](auto& b) { b.set_input_count(3, 2); },
       "have 2 inputs, but the column input_source has 1"},
      {"part columns", [](auto& b) { b.add_input_part_lo(1); }, "input_part_lo"},
      {"own output",
       [](auto& b) {
         b.set_input_source(0, 3);
         b.clear_input_part_lo();
         b.clear_input_part_hi();
       },
       "task sum reads object 3, which is its own"},
      {"no object", [](auto& b) { b.set_input_source(0, 44); },
       "reads object 44, but the job has 4"},
      {"no collection", [](auto& b) { b.set_input_source(0, 0x80000005u); },
       "collection 5, but the job has 1"},
      {"collection", [](auto& b) { b.mutable_collections(0)->set_count(9); },
       "collection 0 reaches to object 8"},
      {"empty collection", [](auto& b) { b.mutable_collections(0)->set_count(0); }, "is empty"},
      {"import",
       [](auto& b) {
         b.mutable_collections(0)->set_job(9), b.mutable_collections(0)->set_dataset("d");
       },
       "collection 0 is of a job and of a dataset"},
      {"empty import",
       [](auto& b) {
         b.mutable_collections(0)->set_job(9), b.mutable_collections(0)->set_count(0);
       },
       "is empty"},
      {"later collection", [](auto& b) { b.mutable_collections(0)->set_count(4); },
       "reads object 3, which is its own"},
      {"slot", [](auto& b) { b.add_input_slot(2); }, "fills input slot 2, but its body has 1"},
      {"parts backwards", [](auto& b) { b.set_input_part_lo(0, 3); }, "empty range"},
      {"parts beyond", [](auto& b) { b.set_input_part_hi(0, 5); }, "but the object has 4"},
      {"args short", [](auto& b) { b.set_args("a"); },
       "column args has 1 bytes, but args_size adds up to 6"},
      {"args huge", [](auto& b) { b.set_args_size(0, 5u << 20); },
       "task map[0] has 5242880 bytes of arguments"},
      {"want", [](auto& b) { b.add_want(4); }, "wants object 4, but the job has 4"},
      {"consumers", [](auto& b) { b.add_no_more_consumers(4); }, "ends the consumers of object 4"},
      {"keys",
       [](auto& b) {
         b.add_key_size(1);
         b.add_key_size(1);
       },
       "key_size"},
  };
  for (const Case& c : kCases) {
    GraphTables tables;
    v1::GraphBatch batch = SmallGraph();
    c.damage(batch);
    auto checked = tables.Check(batch);
    EXPECT_EQ(checked.status().code(), c.code) << c.what << ": " << checked.status();
    EXPECT_THAT(std::string(checked.status().message()),
                testing::AllOf(HasSubstr("batch 0"), HasSubstr(c.message)))
        << c.what;
  }
}

TEST(GraphCheck, TooManyGroupsShareTheLast) {
  GraphTables tables;
  v1::GraphBatch batch;
  batch.add_options();
  for (int i = 0; i < 5000; ++i) batch.add_bodies()->mutable_builtin()->set_name("noop");
  batch.add_shapes()->mutable_need()->set_cpus_milli(1);
  batch.add_templates()->set_name("t");
  batch.mutable_templates(0)->set_task_count(5000);
  batch.add_runs()->set_count(5000);
  for (int i = 0; i < 5000; ++i) batch.add_body(i);
  auto checked = tables.Check(batch);
  ASSERT_TRUE(checked.ok()) << checked.status();
  EXPECT_EQ(checked->batch.tasks[4999].group, limits::kGroupsPerJob - 1);
}

}  // namespace
}  // namespace taskd::scheduler
