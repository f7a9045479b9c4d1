// Builds one page of metrics. Values are read where they live when a scrape comes; nothing is
// registered ahead.
#ifndef TASKD_COMMON_IO_METRICS_H_
#define TASKD_COMMON_IO_METRICS_H_

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace taskd::io {

using Labels = std::vector<std::pair<std::string, std::string>>;

// Names follow the Prometheus rules: snake case, base units, `_total` on counters only; broken ones
// are a CHECK. Calls with the same name must have the same help and kind; they make one family.
class MetricsPage {
 public:
  MetricsPage();
  ~MetricsPage();
  MetricsPage(const MetricsPage&) = delete;
  MetricsPage& operator=(const MetricsPage&) = delete;

  void Counter(std::string_view name, std::string_view help, double value, Labels labels = {});
  void Gauge(std::string_view name, std::string_view help, double value, Labels labels = {});
  // buckets[i] counts the values in (bounds[i-1], bounds[i]]; buckets has one element more than
  // bounds: the rest.
  void Histogram(std::string_view name, std::string_view help, std::span<const double> bounds,
                 std::span<const uint64_t> buckets, double sum, Labels labels = {});

  std::string Text() const;  // the text exposition format

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_METRICS_H_
