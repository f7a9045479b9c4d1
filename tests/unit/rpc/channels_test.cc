#include "common/rpc/channels.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskd/v1/admin.grpc.pb.h"

namespace taskd::rpc {
namespace {

using testing::HasSubstr;

TEST(StartServer, GivesTheRealPort) {
  v1::Admin::Service service;
  grpc::Service* services[] = {&service};
  auto server = StartServer("127.0.0.1:0", ChannelClass::kControl, services);
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_THAT(server->address, testing::MatchesRegex("127\\.0\\.0\\.1:[1-9][0-9]*"));
  StopServer(*server->server, 0);
}

// Neither gRPC nor the kernel may share a port between two daemons.
TEST(StartServer, ATakenPortIsAnError) {
  v1::Admin::Service service;
  grpc::Service* services[] = {&service};
  auto first = StartServer("127.0.0.1:0", ChannelClass::kControl, services);
  ASSERT_TRUE(first.ok()) << first.status();
  auto second = StartServer(first->address, ChannelClass::kData, services);
  EXPECT_EQ(second.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(second.status().message()),
              testing::AllOf(HasSubstr(first->address), HasSubstr("--listen")));
  StopServer(*first->server, 0);
}

TEST(StartServer, AddressesThatAreNone) {
  v1::Admin::Service service;
  grpc::Service* services[] = {&service};
  for (const char* listen :
       {"", "127.0.0.1", ":0", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:70000", "127.0.0.1:-1"}) {
    auto server = StartServer(listen, ChannelClass::kControl, services);
    EXPECT_EQ(server.status().code(), absl::StatusCode::kInvalidArgument) << listen;
    EXPECT_THAT(std::string(server.status().message()), HasSubstr("HOST:PORT")) << listen;
  }
}

TEST(AdvertisedAddress, ReplacesTheHostOrAll) {
  EXPECT_EQ(AdvertisedAddress("0.0.0.0:70", ""), "0.0.0.0:70");
  EXPECT_EQ(AdvertisedAddress("0.0.0.0:70", "node1"), "node1:70");
  EXPECT_EQ(AdvertisedAddress("0.0.0.0:70", "node1:71"), "node1:71");
}

}  // namespace
}  // namespace taskd::rpc
