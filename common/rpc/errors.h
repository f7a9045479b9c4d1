// Statuses across the gRPC border. The two libraries number their codes alike.
#ifndef TASKD_COMMON_RPC_ERRORS_H_
#define TASKD_COMMON_RPC_ERRORS_H_

#include <grpcpp/support/status.h>

#include <string_view>

#include "absl/status/status.h"

namespace taskd::v1 {
class Failure;
}

namespace taskd::rpc {

// `peer` says who was called, e.g. "the scheduler at 127.0.0.1:7070". Failures of the connection
// get a text that a user can act on ("cannot reach the scheduler at ...: connection refused; is it
// running?"); those that the peer answered keep their text.
absl::Status FromGrpc(const grpc::Status& status, std::string_view peer);
grpc::Status ToGrpc(const absl::Status& status);

// taskd.v1.Failure: a status inside of a message.
absl::Status FromFailure(const v1::Failure& failure);
void SetFailure(const absl::Status& status, v1::Failure* failure);

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_ERRORS_H_
