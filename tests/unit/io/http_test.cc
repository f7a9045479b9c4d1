#include "common/io/http.h"

#include <civetweb.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

namespace taskd::io {
namespace {

using testing::HasSubstr;

// The status line, headers and body of one request.
std::string Request(const std::string& address, const std::string& path,
                    const std::string& header = "", const std::string& method = "GET") {
  size_t colon = address.rfind(':');
  char error[256] = "";
  mg_connection* connection = mg_download(
      address.substr(0, colon).c_str(), std::stoi(address.substr(colon + 1)), 0, error,
      sizeof(error), "%s %s HTTP/1.0\r\n%s\r\n", method.c_str(), path.c_str(), header.c_str());
  if (connection == nullptr) return error;
  std::string answer = std::to_string(mg_get_response_info(connection)->status_code) + " ";
  char buffer[4096];
  for (int got; (got = mg_read(connection, buffer, sizeof(buffer))) > 0;)
    answer.append(buffer, got);
  mg_close_connection(connection);
  return answer;
}

HttpServer::Options Serving() {
  HttpServer::Options options;
  options.keys = {"client", "", "worker"};
  options.collect = [](MetricsPage& page) { page.Gauge("up_ratio", "Up.", 1); };
  return options;
}

TEST(HttpServer, MetricsNeedAKey) {
  auto server = HttpServer::Start(Serving());
  ASSERT_TRUE(server.ok()) << server.status();
  const std::string& address = (*server)->address();
  EXPECT_THAT(Request(address, "/metrics", "Authorization: Bearer client\r\n"),
              HasSubstr("up_ratio 1"));
  EXPECT_THAT(Request(address, "/metrics", "Authorization: Bearer worker\r\n"),
              HasSubstr("up_ratio 1"));
  for (const char* header : {"", "Authorization: Bearer\r\n", "Authorization: Bearer \r\n",
                             "Authorization: Bearer wrong\r\n", "Authorization: Basic client\r\n",
                             "Authorization: client\r\n"}) {
    std::string answer = Request(address, "/metrics", header);
    EXPECT_THAT(answer, testing::StartsWith("401 ")) << header;
    EXPECT_THAT(answer, testing::Not(HasSubstr("up_ratio")));
  }
}

TEST(HttpServer, HealthIsOpen) {
  std::atomic<bool> healthy = true;
  auto options = Serving();
  options.healthy = [&] { return healthy.load(); };
  auto server = HttpServer::Start(std::move(options));
  ASSERT_TRUE(server.ok()) << server.status();
  EXPECT_EQ(Request((*server)->address(), "/healthz"), "200 ok\n");
  healthy = false;
  EXPECT_THAT(Request((*server)->address(), "/healthz"), testing::StartsWith("503 "));
}

TEST(HttpServer, NothingElseIsServed) {
  auto server = HttpServer::Start(Serving());
  ASSERT_TRUE(server.ok()) << server.status();
  for (const char* path : {"/", "/etc/passwd", "/metrics/x", "/../../etc/passwd"}) {
    EXPECT_THAT(Request((*server)->address(), path, "Authorization: Bearer client\r\n"),
                testing::StartsWith("40"))
        << path;
  }
  EXPECT_THAT(Request((*server)->address(), "/metrics",
                      "Authorization: Bearer client\r\nContent-Length: 0\r\n", "POST"),
              testing::StartsWith("405 "));
}

TEST(HttpServer, ATakenPortIsAnError) {
  auto first = HttpServer::Start(Serving());
  ASSERT_TRUE(first.ok()) << first.status();
  auto options = Serving();
  options.listen = (*first)->address();
  auto second = HttpServer::Start(std::move(options));
  ASSERT_FALSE(second.ok());
  EXPECT_THAT(std::string(second.status().message()), HasSubstr((*first)->address()));
}

}  // namespace
}  // namespace taskd::io
