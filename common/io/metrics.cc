#include "common/io/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <map>

#include "common/base/check.h"

namespace taskd::io {
namespace {

bool EndsWith(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool IsSnakeCase(std::string_view name) {
  return !name.empty() &&
         name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789_") == std::string_view::npos;
}

}  // namespace

struct MetricsPage::Impl {
  std::vector<prometheus::MetricFamily> families;
  std::map<std::string, size_t, std::less<>> by_name;

  prometheus::ClientMetric& Add(std::string_view name, std::string_view help,
                                prometheus::MetricType type, Labels& labels) {
    TASKD_CHECK(IsSnakeCase(name));
    TASKD_CHECK(EndsWith(name, "_total") == (type == prometheus::MetricType::Counter));
    auto [it, added] = by_name.try_emplace(std::string(name), families.size());
    if (added) families.push_back({std::string(name), std::string(help), type, {}});
    prometheus::MetricFamily& family = families[it->second];
    TASKD_CHECK(family.type == type && family.help == help);
    prometheus::ClientMetric& metric = family.metric.emplace_back();
    for (auto& [label, value] : labels)
      metric.label.push_back({std::move(label), std::move(value)});
    return metric;
  }
};

MetricsPage::MetricsPage() : impl_(std::make_unique<Impl>()) {}
MetricsPage::~MetricsPage() = default;

void MetricsPage::Counter(std::string_view name, std::string_view help, double value,
                          Labels labels) {
  impl_->Add(name, help, prometheus::MetricType::Counter, labels).counter.value = value;
}

void MetricsPage::Gauge(std::string_view name, std::string_view help, double value, Labels labels) {
  impl_->Add(name, help, prometheus::MetricType::Gauge, labels).gauge.value = value;
}

void MetricsPage::Histogram(std::string_view name, std::string_view help,
                            std::span<const double> bounds, std::span<const uint64_t> buckets,
                            double sum, Labels labels) {
  TASKD_CHECK(buckets.size() == bounds.size() + 1);
  auto& histogram = impl_->Add(name, help, prometheus::MetricType::Histogram, labels).histogram;
  uint64_t cumulative = 0;
  for (size_t i = 0; i < bounds.size(); ++i) {
    cumulative += buckets[i];
    histogram.bucket.push_back({cumulative, bounds[i]});
  }
  histogram.sample_count = cumulative + buckets.back();
  histogram.sample_sum = sum;
}

std::string MetricsPage::Text() const {
  return prometheus::TextSerializer().Serialize(impl_->families);
}

}  // namespace taskd::io
