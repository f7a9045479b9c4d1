#include "common/io/http.h"

#include <civetweb.h>
#include <openssl/crypto.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

#include "common/base/text.h"

namespace taskd::io {
namespace {

constexpr std::string_view kBearer = "Bearer ";

int Answer(mg_connection* connection, std::string_view status, std::string_view content_type,
           std::string_view body, std::string_view more_headers = "") {
  std::string head = StrCat("HTTP/1.1 ", status, "\r\nContent-Type: ", content_type,
                            "\r\nContent-Length: ", body.size(), "\r\nCache-Control: no-store\r\n",
                            more_headers, "\r\n");
  mg_write(connection, head.data(), head.size());
  if (std::strcmp(mg_get_request_info(connection)->request_method, "HEAD") != 0) {
    mg_write(connection, body.data(), body.size());
  }
  int code = std::atoi(std::string(status.substr(0, 3)).c_str());
  return code;
}

// Null: only reading is asked for, as it should be. Else the answer was sent.
std::optional<int> RefuseWriting(mg_connection* connection) {
  std::string_view method = mg_get_request_info(connection)->request_method;
  if (method == "GET" || method == "HEAD") return std::nullopt;
  return Answer(connection, "405 Method Not Allowed", "text/plain", "only GET\n",
                "Allow: GET, HEAD\r\n");
}

}  // namespace

struct HttpServer::Impl {
  Options options;
  mg_context* context = nullptr;
  std::mutex scraping;

  bool Allowed(mg_connection* connection) const {
    const char* header = mg_get_header(connection, "Authorization");
    std::string_view given = header == nullptr ? "" : header;
    if (given.substr(0, kBearer.size()) != kBearer) return false;
    given.remove_prefix(kBearer.size());
    for (const std::string& key : options.keys) {
      if (!key.empty() && given.size() == key.size() &&
          CRYPTO_memcmp(given.data(), key.data(), key.size()) == 0) {
        return true;
      }
    }
    return false;
  }

  int Metrics(mg_connection* connection) {
    if (auto refused = RefuseWriting(connection)) return *refused;
    if (!Allowed(connection)) {
      return Answer(
          connection, "401 Unauthorized", "text/plain",
          "send the cluster's key: Authorization: Bearer KEY (a key of $TASKD_DIR/access.yaml)\n",
          "WWW-Authenticate: Bearer\r\n");
    }
    std::lock_guard lock(scraping);
    MetricsPage page;
    options.collect(page);
    return Answer(connection, "200 OK", "text/plain; version=0.0.4; charset=utf-8", page.Text());
  }

  int Health(mg_connection* connection) {
    if (auto refused = RefuseWriting(connection)) return *refused;
    bool healthy = !options.healthy || options.healthy();
    return healthy ? Answer(connection, "200 OK", "text/plain", "ok\n")
                   : Answer(connection, "503 Service Unavailable", "text/plain", "not healthy\n");
  }
};

HttpServer::HttpServer() : impl_(std::make_unique<Impl>()) {}

// civetweb looks whether it should stop when a connection comes, else every 2 s; so connections are
// made for it.
HttpServer::~HttpServer() {
  if (impl_->context == nullptr) return;
  std::atomic<bool> stopped = false;
  std::thread waker([&] {
    size_t colon = address_.rfind(':');
    std::string host = address_.substr(0, colon);
    int port = std::atoi(address_.c_str() + colon + 1);
    while (!stopped) {
      char error[64];
      mg_connection* connection =
          mg_connect_client(host.c_str(), port, /*use_ssl=*/0, error, sizeof(error));
      if (connection != nullptr) mg_close_connection(connection);
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  });
  mg_stop(impl_->context);
  stopped = true;
  waker.join();
}

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(Options options) {
  std::unique_ptr<HttpServer> server(new HttpServer);
  Impl& impl = *server->impl_;
  impl.options = std::move(options);
  const std::string& listen = impl.options.listen;
  // Two threads: a slow scraper must not hold up a health check. No document root: nothing is
  // served from disk.
  const char* settings[] = {
      "listening_ports",          listen.c_str(), "num_threads", "2", "request_timeout_ms", "10000",
      "enable_directory_listing", "no",           nullptr};
  mg_callbacks callbacks = {};
  callbacks.log_message = [](const mg_connection*, const char*) {
    return 1;
  };  // a client's doing, not worth a line
  impl.context = mg_start(&callbacks, &impl, settings);
  mg_server_port port = {};
  if (impl.context == nullptr || mg_get_server_ports(impl.context, 1, &port) < 1) {
    return absl::AlreadyExistsError(
        StrCat("cannot listen on ", listen,
               " for metrics: the port is taken, or the address is not one of this "
               "machine; choose another one with --metrics-listen (port 0: a free one)"));
  }
  mg_set_request_handler(
      impl.context, "/metrics$",
      [](mg_connection* c, void* self) { return static_cast<Impl*>(self)->Metrics(c); }, &impl);
  mg_set_request_handler(
      impl.context, "/healthz$",
      [](mg_connection* c, void* self) { return static_cast<Impl*>(self)->Health(c); }, &impl);
  server->address_ = StrCat(listen.substr(0, listen.rfind(':')), ":", port.port);
  return server;
}

}  // namespace taskd::io
