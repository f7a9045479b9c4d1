// Keys are checked over a real call in session_test.cc; here the values that must never open
// anything.
#include "common/rpc/auth.h"

#include <grpcpp/test/server_context_test_spouse.h>
#include <gtest/gtest.h>

namespace taskd::rpc {
namespace {

grpc::StatusCode Check(const std::vector<std::string>& given,
                       std::initializer_list<std::string_view> keys) {
  grpc::ServerContext context;
  grpc::testing::ServerContextTestSpouse spouse(&context);
  for (const std::string& key : given) spouse.AddClientMetadata("taskd-key", key);
  return CheckKey(context, keys).error_code();
}

TEST(Auth, OneOfTheKeysOpens) {
  EXPECT_EQ(Check({"a"}, {"a"}), grpc::StatusCode::OK);
  EXPECT_EQ(Check({"b"}, {"a", "b"}), grpc::StatusCode::OK);
}

TEST(Auth, NothingElseDoes) {
  EXPECT_EQ(Check({}, {"a"}), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Check({"c"}, {"a", "b"}), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Check({"aa"}, {"a"}), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Check({"a"}, {}), grpc::StatusCode::UNAUTHENTICATED);
}

TEST(Auth, AnEmptyKeyNeverMatches) {
  EXPECT_EQ(Check({""}, {""}), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Check({}, {""}), grpc::StatusCode::UNAUTHENTICATED);
}

}  // namespace
}  // namespace taskd::rpc
