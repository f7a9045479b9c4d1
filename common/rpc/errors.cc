#include "common/rpc/errors.h"

#include <string>

#include "common/base/text.h"
#include "taskd/v1/types.pb.h"

namespace taskd::rpc {
namespace {

// gRPC wraps the reason in words about its subchannels; what follows the last colon is what a
// person needs.
std::string ConnectionReason(const std::string& message) {
  size_t colon = message.rfind(": ");
  return colon == std::string::npos ? message : message.substr(colon + 2);
}

absl::Status Coded(grpc::StatusCode code, std::string message) {
  return absl::Status(static_cast<absl::StatusCode>(code), message);
}

}  // namespace

absl::Status FromGrpc(const grpc::Status& status, std::string_view peer) {
  switch (status.error_code()) {
    case grpc::StatusCode::OK:
      return absl::OkStatus();
    case grpc::StatusCode::UNAVAILABLE:
      return Coded(status.error_code(),
                   StrCat("cannot reach ", peer, ": ", ConnectionReason(status.error_message()),
                          "; is it running, and is the address right?"));
    case grpc::StatusCode::UNAUTHENTICATED:
    case grpc::StatusCode::PERMISSION_DENIED:
      return Coded(status.error_code(),
                   StrCat(peer, " refused the call: ", status.error_message()));
    case grpc::StatusCode::DEADLINE_EXCEEDED:
      return Coded(status.error_code(), StrCat(peer, " did not answer in time"));
    case grpc::StatusCode::UNIMPLEMENTED:
      return Coded(status.error_code(),
                   StrCat(peer, " does not know this call; is it of another version?"));
    default:
      return Coded(status.error_code(), status.error_message().empty()
                                            ? StrCat(peer, " ended the call without saying why")
                                            : status.error_message());
  }
}

grpc::Status ToGrpc(const absl::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

absl::Status FromFailure(const v1::Failure& failure) {
  if (failure.code() == 0) return absl::OkStatus();
  auto code = failure.code() <= 16 ? static_cast<absl::StatusCode>(failure.code())
                                   : absl::StatusCode::kUnknown;
  return absl::Status(code, failure.message());
}

void SetFailure(const absl::Status& status, v1::Failure* failure) {
  failure->set_code(static_cast<uint32_t>(status.code()));
  failure->set_message(std::string(status.message()));
}

}  // namespace taskd::rpc
