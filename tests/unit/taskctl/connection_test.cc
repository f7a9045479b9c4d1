#include "cli/client/connection.h"

#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "tests/unit/taskctl/fake_cluster.h"

namespace taskd::client {
namespace {

using testing::HasSubstr;

std::string TextOf(const absl::Status& status) { return std::string(status.message()); }

TEST(ConnectionTest, NoAccessFileSaysHowToStartACluster) {
  auto connection = Connection::Open("/no/such/folder");
  EXPECT_TRUE(absl::IsUnavailable(connection.status()));
  EXPECT_THAT(TextOf(connection.status()), HasSubstr("no cluster in /no/such/folder"));
  EXPECT_THAT(TextOf(connection.status()), HasSubstr("taskctl cluster start"));
}

TEST(ConnectionTest, ADamagedAccessFileIsNamed) {
  FakeScheduler scheduler;
  std::ofstream(scheduler.dir() + "/access.yaml") << "[";
  auto connection = Connection::Open(scheduler.dir());
  EXPECT_TRUE(absl::IsUnavailable(connection.status()));
  EXPECT_THAT(TextOf(connection.status()), HasSubstr("access.yaml"));
}

TEST(ConnectionTest, AnswersAndShowsWhomItTalksTo) {
  FakeScheduler scheduler;
  auto connection = Connection::Open(scheduler.dir());
  ASSERT_TRUE(connection.ok()) << connection.status();
  EXPECT_EQ((*connection)->first_status().version(), "9.9");
  EXPECT_THAT((*connection)->peer(), HasSubstr("the scheduler at 127.0.0.1:"));
}

TEST(ConnectionTest, AWrongKeyIsNotAllowed) {
  FakeScheduler scheduler;
  scheduler.key = "another key";
  auto connection = Connection::Open(scheduler.dir());
  EXPECT_TRUE(absl::IsUnauthenticated(connection.status())) << connection.status();
  EXPECT_THAT(TextOf(connection.status()),
              HasSubstr("does not accept the key in " + scheduler.dir() + "/access.yaml"));
}

TEST(ConnectionTest, AnotherProtocolNamesBothVersions) {
  FakeScheduler scheduler;
  scheduler.protocol = 99;
  auto connection = Connection::Open(scheduler.dir());
  EXPECT_THAT(TextOf(connection.status()),
              HasSubstr("version 9.9) speaks protocol 99, this taskctl speaks 1"));
}

TEST(ConnectionTest, NobodyListensThere) {
  std::string dir;
  std::string copy;
  {
    FakeScheduler scheduler;
    dir = scheduler.dir();
    copy = dir + "-copy";
    std::filesystem::copy(dir, copy);
  }
  std::filesystem::permissions(copy + "/access.yaml", std::filesystem::perms::owner_read);
  auto connection = Connection::Open(copy);
  EXPECT_TRUE(absl::IsUnavailable(connection.status())) << connection.status();
  EXPECT_THAT(TextOf(connection.status()), HasSubstr("127.0.0.1:"));
  std::filesystem::remove_all(copy);
}

TEST(ConnectionTest, TheNextAddressIsTriedWhenTheFirstIsDead) {
  FakeScheduler scheduler;
  io::AccessFile access = *io::ReadAccessFile(scheduler.dir());
  access.addresses.insert(access.addresses.begin(), "127.0.0.1:1");
  ASSERT_TRUE(io::WriteAccessFile(scheduler.dir(), access).ok());
  EXPECT_TRUE(Connection::Open(scheduler.dir()).ok());
}

TEST(ConnectionTest, ACallTellsWhatTheSchedulerAnswered) {
  FakeScheduler scheduler;
  auto connection = Connection::Open(scheduler.dir());
  ASSERT_TRUE(connection.ok());
  scheduler.get_status = [] { return grpc::Status(grpc::StatusCode::NOT_FOUND, "no such thing"); };
  absl::Status status = (*connection)->GetStatus().status();
  EXPECT_TRUE(absl::IsNotFound(status));
  EXPECT_THAT(TextOf(status), HasSubstr("no such thing"));
}

}  // namespace
}  // namespace taskd::client
