#include "common/rpc/channels.h"

#include <arpa/inet.h>
#include <grpc/grpc.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>
#include <grpcpp/security/server_credentials.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "common/base/text.h"

namespace taskd::rpc {
namespace {

// Why gRPC could not listen: it only says that it could not. A socket of our own meets the same
// error.
int ListenErrno(const std::string& host, const std::string& port) {
  addrinfo hints = {};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (getaddrinfo(host.c_str(), port.c_str(), &hints, &found) != 0) return EADDRNOTAVAIL;
  int fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int error = 0;
  int on = 1;
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
      bind(fd, found->ai_addr, found->ai_addrlen) != 0 || listen(fd, 1) != 0) {
    error = errno;
  }
  if (fd >= 0) close(fd);
  freeaddrinfo(found);
  return error;
}

absl::StatusOr<std::pair<std::string, std::string>> SplitHostPort(std::string_view address) {
  size_t colon = address.rfind(':');
  std::string_view port = colon == std::string_view::npos ? "" : address.substr(colon + 1);
  bool digits = !port.empty() && port.size() <= 5 &&
                port.find_first_not_of("0123456789") == std::string_view::npos;
  if (!digits || colon == 0 || std::stoi(std::string(port)) > 65535) {
    return absl::InvalidArgumentError(StrCat(
        "'", address,
        "' is not an address to listen on; give HOST:PORT, e.g. 127.0.0.1:0 (0: a free port)"));
  }
  return std::pair(std::string(address.substr(0, colon)), std::string(port));
}

absl::Status ListenError(std::string_view listen, const std::string& host,
                         const std::string& port) {
  int error = ListenErrno(host, port);
  std::string text = StrCat("cannot listen on ", listen, ": ");
  if (error == EADDRINUSE) {
    return absl::AlreadyExistsError(StrCat(text,
                                           "the port is taken; stop whoever uses it, or choose "
                                           "another one with --listen (port 0: a free one)"));
  }
  if (error == EADDRNOTAVAIL) {
    return absl::InvalidArgumentError(
        StrCat(text, "this machine has no such address; choose another one with --listen"));
  }
  if (error == EACCES)
    return absl::PermissionDeniedError(StrCat(text, "not allowed; choose a port above 1023"));
  return absl::InternalError(
      StrCat(text, error == 0 ? "gRPC could not bind it" : std::strerror(error)));
}

// When its last user goes, gRPC shuts down at once, and may wait 10 s for a poller that it started
// behind a large write. It is never shut down.
void KeepLibrary() {
  static const bool kept = (grpc_init(), true);
  (void)kept;
}

}  // namespace

std::shared_ptr<grpc::Channel> MakeChannel(std::string_view address, ChannelClass channel_class,
                                           uint32_t index) {
  KeepLibrary();
  return grpc::CreateCustomChannel(std::string(address), grpc::InsecureChannelCredentials(),
                                   ClientArguments(channel_class, index));
}

absl::StatusOr<RunningServer> StartServer(std::string_view listen, ChannelClass channel_class,
                                          std::span<grpc::Service* const> services,
                                          const Configure& configure) {
  const bool is_unix = listen.starts_with("unix:");
  std::pair<std::string, std::string> host_port;
  if (!is_unix) {
    auto split = SplitHostPort(listen);
    if (!split.ok()) return split.status();
    host_port = *std::move(split);
  }
  const auto& [host, port] = host_port;
  KeepLibrary();
  grpc::ServerBuilder builder;
  SetServerOptions(channel_class, builder);
  int bound_port = 0;
  builder.AddListeningPort(std::string(listen), grpc::InsecureServerCredentials(), &bound_port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  if (configure) configure(builder);
  RunningServer running;
  running.server = builder.BuildAndStart();
  if (running.server == nullptr || bound_port == 0) {
    if (is_unix) return absl::InternalError(StrCat("cannot listen on ", listen));
    return ListenError(listen, host, port);
  }
  running.address = is_unix ? std::string(listen) : StrCat(host, ":", bound_port);
  return running;
}

void StopServer(grpc::Server& server, uint32_t grace_ms) {
  server.Shutdown(std::chrono::system_clock::now() + std::chrono::milliseconds(grace_ms));
  server.Wait();
}

std::string AdvertisedAddress(std::string_view address, std::string_view advertise) {
  if (advertise.empty()) return std::string(address);
  if (advertise.find(':') != std::string_view::npos) return std::string(advertise);
  return StrCat(advertise, address.substr(address.rfind(':')));
}

}  // namespace taskd::rpc
