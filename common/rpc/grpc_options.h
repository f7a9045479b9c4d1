// Every argument of every channel and server, each with its reason, in one table (grpc_options.cc).
#ifndef TASKD_COMMON_RPC_GRPC_OPTIONS_H_
#define TASKD_COMMON_RPC_GRPC_OPTIONS_H_

#include <grpcpp/server_builder.h>
#include <grpcpp/support/channel_arguments.h>

#include <cstdint>

namespace taskd::rpc {

// Channels of different classes never share a connection, so bulk data does not stand before
// control messages.
enum class ChannelClass : uint8_t {
  kControl,  // sessions and admin calls
  kData,     // Fetch and Log between workers, and to clients
};

// `index` tells channels of one class to one peer apart: each index has a connection of its own.
grpc::ChannelArguments ClientArguments(ChannelClass channel_class, uint32_t index = 0);
void SetServerOptions(ChannelClass channel_class, grpc::ServerBuilder& builder);

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_GRPC_OPTIONS_H_
