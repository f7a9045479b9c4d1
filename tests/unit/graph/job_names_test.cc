#include "common/graph/job_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::graph {
namespace {

using testing::HasSubstr;

uint32_t AddTemplate(v1::GraphBatch& batch, std::string name, std::vector<uint32_t> axes,
                     uint32_t tasks) {
  v1::Template* t = batch.add_templates();
  t->set_name(name);
  t->set_task_count(tasks);
  for (size_t i = 0; i < axes.size(); ++i) {
    v1::Axis* axis = t->add_axes();
    axis->set_name(std::string(1, static_cast<char>('a' + i)));
    axis->set_step(1);
    axis->set_count(axes[i]);
  }
  return static_cast<uint32_t>(batch.templates_size()) - 1;
}
void AddBody(v1::GraphBatch& batch, std::vector<std::string> outputs) {
  v1::Body* body = batch.add_bodies();
  for (auto& name : outputs) body->add_outputs()->set_name(name);
}
void AddRun(v1::GraphBatch& batch, uint32_t template_index, uint32_t first, uint32_t count,
            uint32_t body) {
  v1::TaskRun* run = batch.add_runs();
  run->set_template_index(template_index);
  run->set_first(first);
  run->set_count(count);
  for (uint32_t i = 0; i < count; ++i) batch.add_body(body);
}

// map: 6 tasks with 2 outputs, in two batches with another template between them; top: 1 task;
// none: no outputs.
class JobNamesTest : public testing::Test {
 protected:
  JobNamesTest() {
    v1::GraphBatch first;
    AddBody(first, {"p", "q"});
    AddBody(first, {"words"});
    AddBody(first, {});
    AddTemplate(first, "map", {2, 3}, 6);
    AddTemplate(first, "none", {}, 1);
    AddRun(first, 0, 0, 4, 0);
    AddRun(first, 1, 0, 1, 2);
    EXPECT_TRUE(names_.AddBatch(first).ok());
    v1::GraphBatch second;
    second.set_number(1);
    AddTemplate(second, "top", {}, 1);
    AddRun(second, 0, 4, 2, 0);
    AddRun(second, 2, 0, 1, 1);
    auto status = names_.AddBatch(second);
    EXPECT_TRUE(status.ok()) << status;
  }
  std::string Resolve(std::string_view text) const {
    auto thing = names_.Resolve(text);
    if (!thing.ok()) return StrCat("error: ", ToStd(thing.status().message()));
    std::string out = StrCat("task ", thing->task);
    if (thing->is_object) out += StrCat(" object ", thing->object);
    if (thing->has_parts) out += StrCat(" parts ", thing->parts.lo, "-", thing->parts.hi);
    return out;
  }
  template <typename Runs>
  static std::string Text(const Runs& runs) {
    if (!runs.ok()) return StrCat("error: ", ToStd(runs.status().message()));
    std::string text;
    for (const graph::Run& r : *runs)
      text += StrCat(text.empty() ? "" : " ", r.first, "+", r.count, "*", r.stride);
    return text;
  }
  JobNames names_;
};

TEST_F(JobNamesTest, OrdinalsToNames) {
  EXPECT_EQ(names_.task_count(), 8u);
  EXPECT_EQ(names_.object_count(), 13u);
  EXPECT_EQ(names_.TaskKey(0), "map[0,0]");
  EXPECT_EQ(names_.TaskKey(4), "none");
  EXPECT_EQ(names_.TaskKey(5), "map[1,1]");
  EXPECT_EQ(names_.TaskKey(7), "top");
  EXPECT_EQ(names_.TaskKey(8), "task 8");
  EXPECT_EQ(names_.ObjectName(3), "map[0,1].q");
  EXPECT_EQ(names_.ObjectName(8), "map[1,1].p");
  EXPECT_EQ(names_.ObjectName(12), "top.words");
  EXPECT_EQ(names_.ProducerOf(9), 5u);
  EXPECT_EQ(names_.ProducerOf(13), kNoOrdinal);
  EXPECT_EQ(names_.FirstOutput(6), 10u);
}

TEST_F(JobNamesTest, EveryNameLeadsBack) {
  for (Ordinal task = 0; task < names_.task_count(); ++task)
    EXPECT_EQ(Resolve(names_.TaskKey(task)), StrCat("task ", task));
  for (Ordinal object = 0; object < names_.object_count(); ++object) {
    EXPECT_EQ(Resolve(names_.ObjectName(object)),
              StrCat("task ", names_.ProducerOf(object), " object ", object));
  }
}

TEST_F(JobNamesTest, PatternsAreRuns) {
  EXPECT_EQ(Text(names_.MatchTasks("")), "0+8*1");
  EXPECT_EQ(Text(names_.MatchTasks("map")), "0+4*1 5+2*1");
  EXPECT_EQ(Text(names_.MatchTasks("map[*,1]")), "1+1*1 5+1*1");
  EXPECT_EQ(Text(names_.MatchTasks("map[1,*]")), "3+1*1 5+2*1");
  EXPECT_EQ(Text(names_.MatchObjects("map[*,*].q")), "1+4*2 9+2*2");
  EXPECT_EQ(Text(names_.MatchObjects("top.words")), "12+1*1");
  EXPECT_THAT(Text(names_.MatchTasks("map.p")), HasSubstr("names objects"));
}

TEST_F(JobNamesTest, PartsAndErrors) {
  EXPECT_EQ(Resolve("map[0,1].q[2..3]"), "task 1 object 3 parts 2-4");
  EXPECT_THAT(Resolve("mpa[0,0]"),
              HasSubstr("there is no task 'mpa' in this job (did you mean 'map'?)"));
  EXPECT_THAT(Resolve("map"), HasSubstr("names 6 tasks; name one, like map[0,0]"));
  EXPECT_THAT(Resolve("top.word"), HasSubstr("did you mean 'words'?"));
  EXPECT_THAT(Resolve("none.x"), HasSubstr("it has none"));
  EXPECT_EQ(names_.Resolve("nothere").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(JobNamesTest, ARefusedBatchChangesNothing) {
  v1::GraphBatch twice;
  AddTemplate(twice, "map", {}, 1);
  EXPECT_THAT(names_.AddBatch(twice).message(), HasSubstr("two templates named 'map'"));
  v1::GraphBatch again;
  AddTemplate(again, "fresh", {}, 1);
  AddRun(again, 0, 0, 1, 0);
  EXPECT_THAT(names_.AddBatch(again).message(), HasSubstr("come twice or backwards"));
  v1::GraphBatch body;
  AddTemplate(body, "fresh", {}, 1);
  AddRun(body, 3, 0, 1, 9);
  EXPECT_THAT(names_.AddBatch(body).message(), HasSubstr("body that does not exist"));
  v1::GraphBatch beyond;
  AddRun(beyond, 2, 1, 1, 0);
  EXPECT_THAT(names_.AddBatch(beyond).message(), HasSubstr("beyond the tasks"));
  EXPECT_EQ(names_.task_count(), 8u);
  EXPECT_THAT(Resolve("fresh"), HasSubstr("there is no task"));
}

TEST(JobNamesKeys, TravelInTheirColumn) {
  v1::GraphBatch batch;
  AddBody(batch, {"v"});
  AddTemplate(batch, "x", {}, 3);
  AddRun(batch, 0, 0, 3, 0);
  batch.set_keys("alphabetagamma");
  for (uint32_t size : {5, 4, 5}) batch.add_key_size(size);
  JobNames names;
  ASSERT_TRUE(names.AddBatch(batch).ok());
  EXPECT_EQ(names.TaskKey(1), "beta");
  EXPECT_EQ(names.ObjectName(2), "gamma.v");
  EXPECT_EQ(names.Resolve("gamma")->task, 2u);
  JobNames doubled;
  batch.set_keys("alphabetaalpha");
  EXPECT_THAT(doubled.AddBatch(batch).message(), HasSubstr("two tasks with the key 'alpha'"));
  batch.set_keys("short");
  EXPECT_THAT(doubled.AddBatch(batch).message(), HasSubstr("too short"));
}

}  // namespace
}  // namespace taskd::graph
