#include "common/rpc/wire.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "common/base/prng.h"
#include "common/base/text.h"
#include "common/rpc/interned_names.h"
#include "taskd/v1/types.pb.h"
#include "taskd/v1/worker_session.pb.h"

namespace taskd::rpc {
namespace {

using testing::HasSubstr;

Assignment MakeAssignment(Prng& prng, bool one_job, bool parts) {
  Assignment a;
  a.attempt = {{3, static_cast<Ordinal>(prng.Below(100))}, MakeAttemptId(1, 2)};
  a.body = 4;
  a.need = {1500, 1u << 30};
  const uint64_t pools = prng.Below(limits::kPoolsPerRequest + 1);
  for (uint64_t p = 0; p < pools; ++p)  // their numbers ascend
    a.need.pools[p] = {PoolNumber(StrCat("pool", p)), 1000};
  a.priority = -5;
  a.order = 77;
  a.time_limit_ns = 9;
  a.first_output = 11;
  a.output_count = 2;
  uint32_t edges = static_cast<uint32_t>(prng.Below(4));
  for (uint32_t e = 0; e < edges; ++e) {
    InputEdge edge{
        e, static_cast<uint32_t>(a.objects.size()), static_cast<uint32_t>(prng.Below(4)), {}};
    if (parts && e % 2 == 0) edge.parts = {e, e + 2};
    for (uint32_t i = 0; i < edge.count; ++i) {
      InputObject object;
      object.id = {{one_job ? 3 : static_cast<JobId>(1 + prng.Below(3)), i},
                   static_cast<AttemptId>(prng.Next())};
      object.size_bytes = prng.Next();
      for (uint64_t h = prng.Below(limits::kHoldersPerInput + 1); h-- > 0;) {
        object.holders[h] = {static_cast<uint16_t>(prng.Below(9)), 1};
      }
      a.objects.push_back(object);
    }
    a.edges.push_back(edge);
  }
  return a;
}

TEST(Wire, PoolsTravelByName) {
  v1::Resources wire;
  wire.set_cpus_milli(1000);
  for (const char* name : {"zebras", "ants", "gpus"}) {
    v1::PoolAmount* pool = wire.add_pools();
    pool->set_name(name);
    pool->set_milli(2500);
  }
  auto need = Decode(wire);
  ASSERT_TRUE(need.ok()) << need.status();
  EXPECT_EQ(need->Pool(PoolNumber("ants")), 2500u);
  EXPECT_EQ(PoolName(PoolNumber("ants")), "ants");
  EXPECT_EQ(PoolName(limits::kPoolNames), "");

  wire.mutable_pools(2)->set_name("ants");
  EXPECT_THAT(Decode(wire).status().message(), HasSubstr("'ants' is named twice"));
  wire.mutable_pools(2)->set_name("");
  EXPECT_THAT(Decode(wire).status().message(), HasSubstr("needs a name"));
  wire.mutable_pools(2)->set_name("gpus");
  wire.mutable_pools(2)->set_milli(0);
  EXPECT_FALSE(Decode(wire).ok());
  for (int i = 0; i < 9; ++i) *wire.add_pools() = wire.pools(0);
  EXPECT_THAT(Decode(wire).status().message(), HasSubstr("at most 6 pools, not 12"));
}

TEST(Wire, AssignmentsComeBackAsTheyWere) {
  for (uint32_t p = 0; p < limits::kPoolsPerRequest; ++p) PoolNumber(StrCat("pool", p));
  Prng prng(1);
  for (int round = 0; round < 400; ++round) {
    Assignment a = MakeAssignment(prng, round % 2 == 0, round % 3 == 0);
    v1::Assignment wire;
    Encode(a, &wire);
    auto b = Decode(wire);
    ASSERT_TRUE(b.ok()) << b.status();
    EXPECT_EQ(a.attempt, b->attempt);
    EXPECT_EQ(a.body, b->body);
    EXPECT_EQ(a.need, b->need);
    EXPECT_EQ(a.priority, b->priority);
    EXPECT_EQ(a.order, b->order);
    EXPECT_EQ(a.time_limit_ns, b->time_limit_ns);
    EXPECT_EQ(a.first_output, b->first_output);
    EXPECT_EQ(a.output_count, b->output_count);
    EXPECT_EQ(a.edges, b->edges);
    EXPECT_EQ(a.objects, b->objects);
  }
}

TEST(Wire, ObjectsOfOneJobNameItOnce) {
  Assignment a;
  a.attempt = {{3, 1}, 1};
  a.edges = {{0, 0, 3, {}}};
  for (uint32_t i = 0; i < 3; ++i) a.objects.push_back({{{3, i}, 1}, 10, {}});
  v1::Assignment wire;
  Encode(a, &wire);
  EXPECT_EQ(wire.object_job_size(), 1);
  EXPECT_EQ(wire.edge_part_lo_size(), 0);
}

TEST(Wire, OutcomesComeBackAsTheyWere) {
  Outcome a;
  a.sequence = 5;
  a.attempt = {{1, 2}, 3};
  a.end = AttemptEnd::kStuck;
  a.failure = FailureClass::kSignal;
  a.exit_code = -9;
  a.message = "what failed";
  a.exception = "\x80\xff";
  a.run_ns = 6;
  a.fetched_bytes = 7;
  a.outputs = {{8, 9}, {10, 11}, {0, 0, 0}, {0, 0, 12}};
  a.submitted = 13;
  a.bad_holders = {{{{1, 2}, 3}, {4, 5}, true}};
  v1::Outcome wire;
  Encode(a, &wire);
  auto b = Decode(wire);
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->sequence, a.sequence);
  EXPECT_EQ(b->attempt, a.attempt);
  EXPECT_EQ(b->end, a.end);
  EXPECT_EQ(b->failure, a.failure);
  EXPECT_EQ(b->exit_code, a.exit_code);
  EXPECT_EQ(b->message, a.message);
  EXPECT_EQ(b->exception, a.exception);
  EXPECT_EQ(b->run_ns, a.run_ns);
  EXPECT_EQ(b->fetched_bytes, a.fetched_bytes);
  EXPECT_EQ(b->outputs, a.outputs);
  EXPECT_EQ(b->submitted, a.submitted);
  EXPECT_EQ(b->bad_holders, a.bad_holders);
}

// A receiver drops a whole message, and with it the stream, for one string that is not UTF-8.
TEST(Wire, MessagesOfOutcomesAreAlwaysText) {
  const auto sent = [](const std::string& message) {
    Outcome outcome;
    outcome.attempt = {{1, 2}, 3};
    outcome.end = AttemptEnd::kFailed;
    outcome.message = message;
    v1::Outcome wire;
    Encode(outcome, &wire);
    v1::Outcome received;
    EXPECT_TRUE(received.ParseFromString(wire.SerializeAsString()));
    return received.message();
  };
  EXPECT_EQ(sent("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(sent("bad \xff byte"), "bad \\xff byte");
  EXPECT_EQ(sent("cut \xe2\x82"), "cut \\xe2\\x82");
  EXPECT_EQ(sent("\xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80"),
            "\\xc0\\xaf \\xed\\xa0\\x80 \\xf4\\x90\\x80\\x80");
  EXPECT_EQ(sent(std::string("zero \0 byte", 11)), std::string("zero \0 byte", 11));
  EXPECT_EQ(sent(std::string(limits::kMessageBytes - 1, 'x') + "\xc3\xbc").size(),
            limits::kMessageBytes - 1);
}

TEST(Wire, InventoriesComeBackAsTheyWere) {
  Inventory a;
  a.replicas = {{{{1, 2}, 3}, 4, 5}, {{{6, 7}, 8}, 9, 10}};
  a.assigned = {{{1, 2}, 3}};
  a.running = {{{4, 5}, 6}, {{7, 8}, 9}};
  v1::Inventory wire;
  Encode(a, &wire);
  auto b = Decode(wire);
  ASSERT_TRUE(b.ok()) << b.status();
  EXPECT_EQ(b->replicas, a.replicas);
  EXPECT_EQ(b->assigned, a.assigned);
  EXPECT_EQ(b->running, a.running);
}

template <class Enum, class Wire>
void CheckEnum(Enum first, Enum last) {
  for (int i = static_cast<int>(first); i <= static_cast<int>(last); ++i) {
    auto decoded = Decode(static_cast<Wire>(i));
    ASSERT_TRUE(decoded.ok());
    EXPECT_EQ(static_cast<int>(Encode(*decoded)), i);
  }
  EXPECT_FALSE(Decode(static_cast<Wire>(static_cast<int>(first) - 1)).ok());
  EXPECT_FALSE(Decode(static_cast<Wire>(static_cast<int>(last) + 1)).ok());
}

TEST(Wire, EveryEnumValueAndNoOther) {
  CheckEnum<TaskState, v1::TaskState>(TaskState::kWaiting, TaskState::kCancelled);
  CheckEnum<AttemptState, v1::AttemptState>(AttemptState::kAssigned, AttemptState::kYielded);
  CheckEnum<AttemptEnd, v1::AttemptEnd>(AttemptEnd::kFinished, AttemptEnd::kLost);
  CheckEnum<FailureClass, v1::FailureClass>(FailureClass::kNone, kLastFailureClass);
  CheckEnum<WaitReason, v1::WaitReason>(WaitReason::kNone, kLastWaitReason);
  CheckEnum<WorkerState, v1::WorkerState>(WorkerState::kUp, WorkerState::kLost);
  CheckEnum<JobState, v1::JobState>(JobState::kOpen, JobState::kCancelled);
}

// The largest value of each proto enum is the last one above: a value added to one side only fails
// here.
TEST(Wire, TheEnumsOfBothSidesEndAlike) {
  EXPECT_EQ(v1::TaskState_MAX, static_cast<int>(TaskState::kCancelled));
  EXPECT_EQ(v1::AttemptState_MAX, static_cast<int>(AttemptState::kYielded));
  EXPECT_EQ(v1::AttemptEnd_MAX, static_cast<int>(AttemptEnd::kLost));
  EXPECT_EQ(v1::FailureClass_MAX, static_cast<int>(kLastFailureClass));
  EXPECT_EQ(v1::WaitReason_MAX, static_cast<int>(kLastWaitReason));
  EXPECT_EQ(v1::WorkerState_MAX, static_cast<int>(WorkerState::kLost));
  EXPECT_EQ(v1::JobState_MAX, static_cast<int>(JobState::kCancelled));
}

TEST(Wire, DamagedAssignmentsAreRefusedByName) {
  Assignment good;
  good.attempt = {{3, 1}, 1};
  good.edges = {{0, 0, 1, {}}, {1, 1, 1, {0, 2}}};
  good.objects = {{{{3, 5}, 1}, 10, {WorkerId{1, 1}}}, {{{3, 6}, 1}, 10, {}}};
  struct Case {
    const char* what;
    std::function<void(v1::Assignment&)> damage;
    const char* message;
  };
  const Case kCases[] = {
      {"no attempt", [](auto& a) { a.clear_attempt(); }, "cannot exist"},
      {"a huge ordinal", [](auto& a) { a.mutable_attempt()->set_ordinal(0xFFFFFFFF); },
       "cannot exist"},
      {"outputs", [](auto& a) { a.set_output_count(100'000); }, "too many outputs"},
      {"edge columns", [](auto& a) { a.add_edge_slot(1); }, "edge columns"},
      {"part columns", [](auto& a) { a.mutable_edge_part_hi()->RemoveLast(); }, "edge columns"},
      {"falling ends", [](auto& a) { a.set_edge_ends(0, 2), a.set_edge_ends(1, 1); },
       "out of range"},
      {"ends too far", [](auto& a) { a.set_edge_ends(1, 9); }, "out of range"},
      {"an orphan", [](auto& a) { a.set_edge_ends(1, 1); }, "belongs to no edge"},
      {"parts backwards", [](auto& a) { a.set_edge_part_lo(1, 5); }, "parts are out of range"},
      {"object columns", [](auto& a) { a.add_version(1); }, "object columns"},
      {"jobs", [](auto& a) { a.clear_object_job(); }, "object columns"},
      {"job 0", [](auto& a) { a.set_object_job(0, 0); }, "job 0"},
      {"holder ends", [](auto& a) { a.set_holder_ends(0, 7); }, "holders are out of range"},
      {"no worker", [](auto& a) { a.set_holder(0, 0x10000); }, "no worker"},
  };
  for (const Case& c : kCases) {
    v1::Assignment wire;
    Encode(good, &wire);
    ASSERT_TRUE(Decode(wire).ok());
    c.damage(wire);
    auto decoded = Decode(wire);
    EXPECT_EQ(decoded.status().code(), absl::StatusCode::kInvalidArgument) << c.what;
    EXPECT_THAT(std::string(decoded.status().message()), HasSubstr(c.message)) << c.what;
  }
}

TEST(Wire, GathersComeBackAsTheyWere) {
  InputObject object{{{1, 2}, 3}, 500, {WorkerId{1, 1}, WorkerId{2, 9}}};
  v1::Gather wire;
  Encode(object, &wire);
  EXPECT_EQ(*Decode(wire), object);
  for (int i = 0; i < 3; ++i) wire.add_holders(1);
  EXPECT_FALSE(Decode(wire).ok());
  wire.clear_holders();
  wire.set_job(0);
  EXPECT_FALSE(Decode(wire).ok());

  GatherFailure failure{{{1, 2}, 3}, {{{{1, 2}, 3}, WorkerId{1, 1}, true}}};
  v1::GatherFailure failed;
  Encode(failure, &failed);
  EXPECT_EQ(*Decode(failed), failure);
  failed.add_bad_holders();
  EXPECT_FALSE(Decode(failed).ok());
}

TEST(Wire, DamagedOutcomesAreRefused) {
  v1::Outcome wire;
  wire.mutable_attempt()->set_job(1);
  wire.mutable_attempt()->set_attempt(1);
  wire.set_end(v1::ATTEMPT_FINISHED);
  ASSERT_TRUE(Decode(wire).ok());
  wire.set_end(static_cast<v1::AttemptEnd>(99));
  EXPECT_FALSE(Decode(wire).ok());
  wire.set_end(v1::ATTEMPT_FINISHED);
  wire.set_failure(static_cast<v1::FailureClass>(99));
  EXPECT_FALSE(Decode(wire).ok());
  wire.clear_failure();
  wire.set_message(std::string(1 << 20, 'x'));
  auto decoded = Decode(wire);
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(decoded->message.size(),
            limits::kMessageBytes);  // a long text is no reason to lose an outcome
  wire.add_bad_holders();
  EXPECT_FALSE(Decode(wire).ok());
}

}  // namespace
}  // namespace taskd::rpc
