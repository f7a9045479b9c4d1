#include "tests/quality/report.h"

#include <cmath>
#include <cstdio>
#include <map>
#include <utility>

namespace taskd::quality {

namespace {

using Section = std::pair<Setting, bool>;

std::map<Section, std::vector<Row>> Sections(const std::vector<Row>& rows) {
  std::map<Section, std::vector<Row>> out;
  for (const Row& row : rows) out[{row.setting, row.hints}].push_back(row);
  return out;
}

struct Means {
  double to_blevel_gt = 0, to_best = 0;
  int count = 0, best_count = 0;
};

Means MeansOf(const std::vector<Row>& rows) {
  Means out;
  double gt = 0, best = 0;
  for (const Row& row : rows) {
    if (!row.error.empty()) continue;
    if (row.blevel_gt > 0) {
      gt += std::log(row.seconds / row.blevel_gt);
      ++out.count;
    }
    if (row.best > 0) {
      best += std::log(row.seconds / row.best);
      ++out.best_count;
    }
  }
  if (out.count > 0) out.to_blevel_gt = std::exp(gt / out.count);
  if (out.best_count > 0) out.to_best = std::exp(best / out.best_count);
  return out;
}

std::string Format(const char* format, auto... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

std::string Ratio(double a, double b) { return b > 0 ? Format("%.3f", a / b) : "-"; }

}  // namespace

void PrintText(const std::vector<Row>& rows, std::ostream& out) {
  for (const auto& [section, of_section] : Sections(rows)) {
    out << "\n"
        << section.first.Name() << " MiB/s, " << (section.second ? "exact" : "no") << " hints\n"
        << Format("%-17s %10s %10s %10s %7s %7s %9s %8s\n", "graph", "seconds", "blevel-gt", "best",
                  "/gt", "/best", "moved GiB", "retracts");
    std::string far;
    for (const Row& row : of_section) {
      if (!row.error.empty()) {
        out << row.graph << ": " << row.error << "\n";
        continue;
      }
      out << Format("%-17s %10.2f %10.2f %10.2f %7s %7s %9.2f %8llu\n", row.graph.c_str(),
                    row.seconds, row.blevel_gt, row.best, Ratio(row.seconds, row.blevel_gt).c_str(),
                    Ratio(row.seconds, row.best).c_str(), row.moved_gib,
                    static_cast<unsigned long long>(row.retracted));
      if (row.best > 0 && row.seconds > row.best * kFarFromBest)
        far += " " + row.graph + " " + Ratio(row.seconds, row.best);
    }
    Means means = MeansOf(of_section);
    out << Format("geometric mean: %.4f of blevel-gt (%d graphs), %.4f of the best known (%d)\n",
                  means.to_blevel_gt, means.count, means.to_best, means.best_count)
        << "above 1.10 of the best known:" << (far.empty() ? " none" : far) << "\n";
  }
  for (bool hints : {true, false}) {
    std::map<uint32_t, std::vector<Row>> by_bandwidth;
    for (const Row& row : rows) {
      if (row.hints == hints) by_bandwidth[row.setting.mib_per_s].push_back(row);
    }
    for (const auto& [bandwidth, of_bandwidth] : by_bandwidth) {
      Means means = MeansOf(of_bandwidth);
      out << Format("%s%s hints, %u MiB/s, all clusters: %.4f of blevel-gt, %.4f of the best\n",
                    hints && bandwidth == by_bandwidth.begin()->first ? "\n" : "",
                    hints ? "exact" : "no", bandwidth, means.to_blevel_gt, means.to_best);
    }
  }
}

void PrintJson(const std::vector<Row>& rows, std::ostream& out) {
  out << "{\"settings\": [";
  const char* section_comma = "";
  for (const auto& [section, of_section] : Sections(rows)) {
    Means means = MeansOf(of_section);
    out << std::exchange(section_comma, ",")
        << Format(
               "\n {\"workers\": %u, \"cpus\": %u, \"mib_per_s\": %u, \"hints\": %s, "
               "\"geomean_to_blevel_gt\": %.5f, \"geomean_to_best\": %.5f, \"graphs\": [",
               section.first.workers, section.first.cpus, section.first.mib_per_s,
               section.second ? "true" : "false", means.to_blevel_gt, means.to_best);
    const char* comma = "";
    for (const Row& row : of_section) {
      out << std::exchange(comma, ",")
          << Format(
                 "\n  {\"graph\": \"%s\", \"seconds\": %.3f, \"blevel_gt\": %.3f, \"best\": %.3f, "
                 "\"bound\": %.3f, \"moved_gib\": %.3f, \"ok\": %s}",
                 row.graph.c_str(), row.seconds, row.blevel_gt, row.best, row.bound, row.moved_gib,
                 row.error.empty() ? "true" : "false");
    }
    out << "]}";
  }
  out << "\n]}\n";
}

}  // namespace taskd::quality
