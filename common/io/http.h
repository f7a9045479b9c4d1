// The HTTP side of a daemon: /metrics, for whoever shows a key (`Authorization: Bearer KEY`), and
// /healthz for all.
#ifndef TASKD_COMMON_IO_HTTP_H_
#define TASKD_COMMON_IO_HTTP_H_

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "common/io/metrics.h"

namespace taskd::io {

class HttpServer {
 public:
  struct Options {
    std::string listen =
        "127.0.0.1:0";              // HOST:PORT; port 0: a free one. HOST: an address, not a name
    std::vector<std::string> keys;  // each one opens /metrics; empty strings are ignored
    std::function<void(MetricsPage&)>
        collect;                    // called on a thread of the server, one scrape at a time
    std::function<bool()> healthy;  // optional; false: /healthz answers 503
  };

  static absl::StatusOr<std::unique_ptr<HttpServer>> Start(Options options);
  ~HttpServer();  // stops serving; a scrape under way is finished first

  const std::string& address() const { return address_; }  // HOST:PORT with the real port

 private:
  struct Impl;
  HttpServer();
  std::unique_ptr<Impl> impl_;
  std::string address_;
};

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_HTTP_H_
