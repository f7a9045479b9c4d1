#include "common/rpc/errors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "taskd/v1/types.pb.h"

namespace taskd::rpc {
namespace {

std::string Text(grpc::StatusCode code, const std::string& message) {
  return std::string(FromGrpc(grpc::Status(code, message), "the scheduler at 1.2.3.4:5").message());
}

TEST(Errors, CodesSurviveTheBorderBothWays) {
  for (int code = 0; code <= 16; ++code) {
    absl::Status status = FromGrpc(grpc::Status(static_cast<grpc::StatusCode>(code), "x"), "p");
    EXPECT_EQ(static_cast<int>(status.code()), code);
    EXPECT_EQ(static_cast<int>(ToGrpc(status).error_code()), code);
  }
}

TEST(Errors, ConnectionFailuresSayWhatToDo) {
  EXPECT_EQ(Text(grpc::StatusCode::UNAVAILABLE,
                 "failed to connect to all addresses; last error: UNKNOWN: ipv4:1.2.3.4:5: "
                 "Connection refused"),
            "cannot reach the scheduler at 1.2.3.4:5: Connection refused; is it running, and is "
            "the address right?");
  EXPECT_THAT(Text(grpc::StatusCode::DEADLINE_EXCEEDED, "Deadline Exceeded"),
              testing::HasSubstr("did not answer"));
  EXPECT_THAT(Text(grpc::StatusCode::UNAUTHENTICATED, "wrong key"),
              testing::HasSubstr("refused the call: wrong key"));
}

TEST(Errors, AnswersKeepTheirText) {
  EXPECT_EQ(Text(grpc::StatusCode::NOT_FOUND, "there is no job 7"), "there is no job 7");
}

TEST(Errors, FailureMessagesInsideOfStreams) {
  v1::Failure failure;
  EXPECT_TRUE(FromFailure(failure).ok());
  SetFailure(absl::AlreadyExistsError("twice"), &failure);
  EXPECT_EQ(FromFailure(failure), absl::AlreadyExistsError("twice"));
  failure.set_code(4711);
  EXPECT_EQ(FromFailure(failure).code(), absl::StatusCode::kUnknown);
}

}  // namespace
}  // namespace taskd::rpc
