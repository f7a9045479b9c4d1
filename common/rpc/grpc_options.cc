#include "common/rpc/grpc_options.h"

#include <grpc/grpc.h>

#include <span>

#include "common/base/limits.h"

namespace taskd::rpc {
namespace {

struct Argument {
  const char* name;
  int control;
  int data;
};

// Both sides of every connection.
constexpr Argument kCommon[] = {
    // Explicit limits; gRPC's own default of 4 MiB for receiving would cut a full flush.
    {GRPC_ARG_MAX_RECEIVE_MESSAGE_LENGTH, limits::kControlMessageBytes, limits::kDataMessageBytes},
    {GRPC_ARG_MAX_SEND_MESSAGE_LENGTH, limits::kControlMessageBytes, limits::kDataMessageBytes},
    // A silent partition is noticed in 15 s without traffic of our own (30 s on data channels,
    // which may idle).
    {GRPC_ARG_KEEPALIVE_TIME_MS, 10'000, 30'000},
    {GRPC_ARG_KEEPALIVE_TIMEOUT_MS, 5'000, 10'000},
    // Idle channels are watched too.
    {GRPC_ARG_KEEPALIVE_PERMIT_WITHOUT_CALLS, 1, 1},
    // The default, 2, would stop keepalive pings on a stream that is quiet for long.
    {GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0, 0},
    // Data: windows and frames of the size of chunks, fewer system calls. Control: defaults, for
    // latency.
    {GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES, 0, 4 << 20},
    {GRPC_ARG_HTTP2_MAX_FRAME_SIZE, 0, 1 << 20},
    {GRPC_ARG_HTTP2_WRITE_BUFFER_SIZE, 256 << 10, 1 << 20},
};

constexpr Argument kClient[] = {
    // $http_proxy in a user's environment must not route cluster traffic away.
    {GRPC_ARG_ENABLE_HTTP_PROXY, 0, 0},
    // Come back quickly: rerun_after is 0.5 s. The minimum is the time that one connect may take as
    // well.
    {GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100, 100},
    {GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1'000, 1'000},
    {GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2'000, 2'000},
    // Without it gRPC shares one connection between all channels with equal arguments.
    {GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1, 1},
};

constexpr Argument kServer[] = {
    // Two daemons must not share a port silently.
    {GRPC_ARG_ALLOW_REUSEPORT, 0, 0},
    // Must be at most the client's keepalive time, else the server ends the connection for too many
    // pings; the
    // default is 5 minutes.
    {GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS, 5'000, 5'000},
    // A peer of another version with other times must not lose its connection.
    {GRPC_ARG_HTTP2_MAX_PING_STRIKES, 0, 0},
    // Bounds the memory that the streams of one connection may take.
    {GRPC_ARG_MAX_CONCURRENT_STREAMS, 0, 64},
};

// 0 in a size or count row that has a default in gRPC means that default.
bool IsDefault(const Argument& argument, int value) {
  std::string_view name = argument.name;
  return value == 0 &&
         (name == GRPC_ARG_HTTP2_STREAM_LOOKAHEAD_BYTES || name == GRPC_ARG_HTTP2_MAX_FRAME_SIZE ||
          name == GRPC_ARG_MAX_CONCURRENT_STREAMS);
}

template <class SetInt>
void Apply(std::span<const Argument> table, ChannelClass channel_class, SetInt&& set) {
  for (const Argument& argument : table) {
    int value = channel_class == ChannelClass::kControl ? argument.control : argument.data;
    if (!IsDefault(argument, value)) set(argument.name, value);
  }
}

}  // namespace

grpc::ChannelArguments ClientArguments(ChannelClass channel_class, uint32_t index) {
  grpc::ChannelArguments arguments;
  auto set = [&](const char* name, int value) { arguments.SetInt(name, value); };
  Apply(kCommon, channel_class, set);
  Apply(kClient, channel_class, set);
  arguments.SetString(GRPC_ARG_OPTIMIZATION_TARGET,
                      channel_class == ChannelClass::kControl ? "latency" : "throughput");
  arguments.SetInt("taskd.channel_index", static_cast<int>(index));
  return arguments;
}

void SetServerOptions(ChannelClass channel_class, grpc::ServerBuilder& builder) {
  auto set = [&](const char* name, int value) { builder.AddChannelArgument(name, value); };
  Apply(kCommon, channel_class, set);
  Apply(kServer, channel_class, set);
}

}  // namespace taskd::rpc
