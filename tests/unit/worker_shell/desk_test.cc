#include "worker/shell/desk.h"

#include <gtest/gtest.h>

#include "taskd/v1/worker_session.pb.h"

namespace taskd::worker {
namespace {

const AttemptRef kAttempt{{1, 2}, 3};

void AddAssignment(v1::SchedulerToWorker& m, const AttemptRef& ref, uint32_t body) {
  v1::Assignment* a = m.add_assignments();
  a->mutable_attempt()->set_job(ref.task.job);
  a->mutable_attempt()->set_ordinal(ref.task.ordinal);
  a->mutable_attempt()->set_attempt(ref.attempt);
  a->set_body(body);
  a->set_key("map[1]");
  a->set_args("args");
}

void AddBody(v1::SchedulerToWorker& m, uint32_t body, const std::string& sh) {
  v1::BodyDefinition* b = m.add_bodies();
  b->set_job(1);
  b->set_body(body);
  b->mutable_definition()->mutable_command()->set_sh(sh);
}

TEST(DeskTest, AZeroWorkerNeedsNoInputs) {
  v1::SchedulerToWorker m;
  AddAssignment(m, kAttempt, 4);
  v1::Assignment* a = m.mutable_assignments(0);
  a->add_edge_slot(0);
  a->add_edge_ends(1);
  a->add_edge_part_lo(0);
  a->add_edge_part_hi(0);
  a->add_object_job(1);
  a->add_object(5);
  a->add_version(9);
  a->add_size_bytes(100);
  a->add_holder_ends(0);
  a->add_value_at(0);
  a->add_value("value");
  a->add_value_crc32c(7);
  for (bool zero : {false, true}) {
    v1::SchedulerToWorker message = m;
    Desk desk(zero);
    std::vector<Event> events;
    ASSERT_TRUE(desk.Read(7, message, events).ok());
    const Assignment& assignment = std::get<event::Assign>(events.at(0)).assignment;
    EXPECT_EQ(std::get<event::Assign>(events.at(0)).valued.size(), zero ? 0u : 1u);
    EXPECT_EQ(assignment.objects.size(), zero ? 0u : 1u);
    EXPECT_EQ(assignment.edges.size(), zero ? 0u : 1u);
    EXPECT_EQ(desk.Request(kAttempt)->assignment.objects.size(), assignment.objects.size());
  }
}

TEST(DeskTest, KeepsWhatTheCoreNeedNotKnowUntilTheRelease) {
  Desk desk;
  std::vector<Event> events;
  v1::SchedulerToWorker m;
  AddBody(m, 4, "true");
  AddAssignment(m, kAttempt, 4);
  v1::Peer* peer = m.add_peers();
  peer->set_worker(WorkerId{5, 1}.packed());
  peer->set_data_address("127.0.0.1:9");
  ASSERT_TRUE(desk.Read(7, m, events).ok());
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(std::get<event::Assign>(events[0]).session, 7u);
  EXPECT_EQ(std::get<event::Assign>(events[0]).assignment.attempt, kAttempt);
  EXPECT_EQ(desk.PeerAddress({5, 1}), "127.0.0.1:9");
  EXPECT_EQ(desk.PeerAddress({5, 2}), "");

  desk.BeginSession();
  EXPECT_EQ(desk.PeerAddress({5, 1}), "");
  ASSERT_NE(desk.Request(kAttempt), nullptr);
  EXPECT_EQ(desk.Request(kAttempt)->body->command().sh(), "true");
  EXPECT_EQ(desk.Request(kAttempt)->key, "map[1]");
  EXPECT_EQ(desk.Request(kAttempt)->args, "args");
  desk.Release(kAttempt);
  EXPECT_EQ(desk.Request(kAttempt), nullptr);
}

TEST(DeskTest, BodiesOfAnEarlierSessionAreNotUsed) {
  Desk desk;
  std::vector<Event> events;
  v1::SchedulerToWorker bodies, assignment;
  AddBody(bodies, 4, "old");
  AddAssignment(assignment, kAttempt, 4);
  ASSERT_TRUE(desk.Read(1, bodies, events).ok());
  desk.BeginSession();
  ASSERT_TRUE(desk.Read(2, assignment, events).ok());
  EXPECT_EQ(desk.Request(kAttempt)->body, nullptr);
}

TEST(DeskTest, BodiesOfForgottenJobsGo) {
  Desk desk;
  std::vector<Event> events;
  v1::SchedulerToWorker bodies, assignment, forgotten;
  AddBody(bodies, 4, "true");
  AddAssignment(assignment, kAttempt, 4);
  ASSERT_TRUE(desk.Read(1, bodies, events).ok());
  forgotten.add_forgotten_jobs(2);
  ASSERT_TRUE(desk.Read(1, forgotten, events).ok());
  ASSERT_TRUE(desk.Read(1, assignment, events).ok());
  EXPECT_NE(desk.Request(kAttempt)->body, nullptr);
  forgotten.set_forgotten_jobs(0, 1);
  ASSERT_TRUE(desk.Read(1, forgotten, events).ok());
  EXPECT_NE(desk.Request(kAttempt)->body, nullptr);  // it keeps what it came with
  ASSERT_TRUE(desk.Read(1, assignment, events).ok());
  EXPECT_EQ(desk.Request(kAttempt)->body, nullptr);
}

TEST(DeskTest, EventsComeInTheOrderOfTheFields) {
  Desk desk;
  std::vector<Event> events;
  v1::SchedulerToWorker m;
  m.set_outcomes_acked(9);
  v1::Replica* free = m.add_frees();
  free->set_job(1);
  free->set_object(2);
  free->set_version(3);
  for (auto* ref : {m.add_cancels(), m.add_retracts()}) {
    ref->set_job(1);
    ref->set_ordinal(2);
    ref->set_attempt(3);
  }
  v1::Gather* gather = m.add_gathers();
  gather->set_job(1);
  gather->set_object(7);
  gather->set_version(4);
  gather->add_holders(WorkerId{2, 1}.packed());
  AddAssignment(m, kAttempt, 0);
  ASSERT_TRUE(desk.Read(1, m, events).ok());
  ASSERT_EQ(events.size(), 6u);
  EXPECT_TRUE(std::holds_alternative<event::Assign>(events[0]));
  EXPECT_TRUE(std::holds_alternative<event::Retract>(events[1]));
  EXPECT_TRUE(std::holds_alternative<event::Cancel>(events[2]));
  EXPECT_EQ(std::get<event::Free>(events[3]).object, (ObjectVersion{{1, 2}, 3}));
  EXPECT_EQ(std::get<event::Gather>(events[4]).object.id, (ObjectVersion{{1, 7}, 4}));
  EXPECT_EQ(std::get<event::AckOutcomes>(events[5]).sequence, 9u);
}

TEST(DeskTest, ADamagedMessageGivesNoEvents) {
  Desk desk;
  std::vector<Event> events;
  v1::SchedulerToWorker m;
  AddAssignment(m, kAttempt, 0);
  m.add_cancels();  // no ids
  EXPECT_FALSE(desk.Read(1, m, events).ok());
  EXPECT_TRUE(events.empty());
}

}  // namespace
}  // namespace taskd::worker
