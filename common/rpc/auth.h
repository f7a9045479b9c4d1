// The key that every call carries as metadata `taskd-key` (DESIGN law 11). Compared in constant
// time.
#ifndef TASKD_COMMON_RPC_AUTH_H_
#define TASKD_COMMON_RPC_AUTH_H_

#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>

#include <initializer_list>
#include <string>
#include <string_view>

namespace taskd::rpc {

// OK when the call carries one of `keys` (empty ones never match); else UNAUTHENTICATED, saying
// where keys are. ServerContextBase is the base of both ServerContext and CallbackServerContext.
grpc::Status CheckKey(const grpc::ServerContextBase& context,
                      std::initializer_list<std::string_view> keys);

void AddKey(grpc::ClientContext& context, std::string_view key);

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_AUTH_H_
