// Makes channels and servers with the options of their class. All of taskd speaks gRPC through
// these.
#ifndef TASKD_COMMON_RPC_CHANNELS_H_
#define TASKD_COMMON_RPC_CHANNELS_H_

#include <grpcpp/channel.h>
#include <grpcpp/impl/service_type.h>
#include <grpcpp/server.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "common/rpc/grpc_options.h"

namespace taskd::rpc {

// Connects lazily. Do not let go of the last reference inside a reaction (grpc#37198).
std::shared_ptr<grpc::Channel> MakeChannel(std::string_view address, ChannelClass channel_class,
                                           uint32_t index = 0);

struct RunningServer {
  std::unique_ptr<grpc::Server> server;
  std::string address;  // HOST:PORT with the real port, or unix:PATH
};

// Adds what services with queues of their own need.
using Configure = std::function<void(grpc::ServerBuilder&)>;

// Serves on `listen` (HOST:PORT; port 0: a free one; or unix:PATH). kAlreadyExists when the port is taken; the
// services must outlive the server. Stop with StopServer.
absl::StatusOr<RunningServer> StartServer(std::string_view listen, ChannelClass channel_class,
                                          std::span<grpc::Service* const> services,
                                          const Configure& configure = {});

// Ends what is still running after `grace_ms`, then waits. Cancel the sessions first: they never
// end by themselves.
void StopServer(grpc::Server& server, uint32_t grace_ms);

// "HOST:PORT" with another host, for --advertise: `advertise` may be HOST or HOST:PORT, empty
// leaves `address`.
std::string AdvertisedAddress(std::string_view address, std::string_view advertise);

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_CHANNELS_H_
