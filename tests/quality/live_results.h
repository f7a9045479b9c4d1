// What a cluster has to keep at a time. A result is live from its making until no unfinished task
// reads it and nobody wants it, counted once however many copies of it there are.
#ifndef TASKD_TESTS_QUALITY_LIVE_RESULTS_H_
#define TASKD_TESTS_QUALITY_LIVE_RESULTS_H_

#include <algorithm>
#include <cstdint>

namespace taskd::quality {

class LiveResults {
 public:
  // The largest number at one time, and the most bytes, which may be at another time.
  struct Peak {
    uint64_t results = 0, bytes = 0;
  };

  void Make(uint64_t bytes) {
    now_.results += 1;
    now_.bytes += bytes;
    peak_.results = std::max(peak_.results, now_.results);
    peak_.bytes = std::max(peak_.bytes, now_.bytes);
  }
  void Release(uint64_t bytes) {
    now_.results -= 1;
    now_.bytes -= bytes;
  }
  const Peak& peak() const { return peak_; }

 private:
  Peak now_, peak_;
};

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_LIVE_RESULTS_H_
