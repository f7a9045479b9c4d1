// What the harness found, as text and as JSON.
#ifndef TASKD_TESTS_QUALITY_REPORT_H_
#define TASKD_TESTS_QUALITY_REPORT_H_

#include <ostream>
#include <string>
#include <vector>

#include "tests/quality/estee.h"

namespace taskd::quality {

struct Row {
  std::string graph;
  Setting setting;
  bool hints = false;
  double seconds = 0;
  double blevel_gt = 0, best = 0;  // of the reference; 0: not known
  double bound = 0;
  double moved_gib = 0;
  uint64_t retracted = 0;
  std::string error;
};

inline constexpr double kFarFromBest = 1.10;

// A table a (setting, hints), its geometric means, and the graphs far from the best known.
void PrintText(const std::vector<Row>& rows, std::ostream& out);
void PrintJson(const std::vector<Row>& rows, std::ostream& out);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_REPORT_H_
