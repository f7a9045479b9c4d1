// How far a job is, on stderr: one line that is rewritten on a terminal, sparse lines elsewhere.
#ifndef TASKD_CLI_TASKCTL_PROGRESS_H_
#define TASKD_CLI_TASKCTL_PROGRESS_H_

#include <cstdint>
#include <deque>
#include <optional>
#include <string>

namespace taskd::cli {

// Tasks a second over the last `window`, and what follows from it. Times are of one monotonic
// clock.
class RateMeter {
 public:
  explicit RateMeter(uint64_t window_ns = 15'000'000'000) : window_ns_(window_ns) {}

  // `ended` may fall (lost results are made again): the rate is never negative.
  void Add(uint64_t now_ns, uint64_t ended);

  double PerSecond() const;

  // Time until `remaining` more have ended at this rate; none while nothing has ended yet.
  std::optional<uint64_t> EtaNs(uint64_t remaining) const;

 private:
  struct Sample {
    uint64_t now_ns;
    uint64_t ended;
  };
  uint64_t window_ns_;
  std::deque<Sample> samples_;  // at most kSamples: closer ones are merged
};

// The figures of one moment.
struct JobFigures {
  uint32_t job = 0;
  std::string name;
  std::string state;  // short name
  bool ended = false;
  uint64_t done = 0, failed = 0, cancelled = 0, running = 0, total = 0;
  uint64_t recomputed = 0, retried = 0;
};

// "job 3 index  [=====>    ]  45 / 81 done  12 running  9.8/s  eta 4 s", at most `width` columns
// (0: no limit).
std::string ProgressText(const JobFigures& figures, const RateMeter& rate, uint32_t width);

class Progress {
 public:
  // Writes nothing when silent.
  Progress(int fd, bool silent);
  ~Progress();  // leaves the cursor on a fresh line

  void Update(uint64_t now_ns, const JobFigures& figures);

  // Ends the rewritten line, so that other text can follow.
  void Finish();

 private:
  static constexpr uint64_t kRedrawNs = 100'000'000;
  static constexpr uint64_t kSparseNs = 5'000'000'000;  // between lines of a log file

  bool Due(uint64_t now_ns, const JobFigures& figures) const;

  int fd_;
  bool silent_;
  bool terminal_;
  bool line_open_ = false;
  uint64_t shown_ns_ = 0;
  std::string shown_;  // without a terminal: never the same line twice
  bool shown_end_ = false;
  RateMeter rate_;
};

// "512.0 MiB / 1.0 GiB  50 %  800.0 MiB/s"; no rate while it is not known.
std::string ByteProgressText(uint64_t bytes, uint64_t total, const RateMeter& rate);

// How much of an object has come: one line that is rewritten on a terminal, nothing elsewhere.
class ByteProgress {
 public:
  // Writes nothing when silent.
  ByteProgress(int fd, bool silent);
  ~ByteProgress();  // leaves the cursor on a fresh line

  void Update(uint64_t now_ns, uint64_t bytes, uint64_t total);
  void Finish();

 private:
  const int fd_;
  const bool shown_;
  bool line_open_ = false;
  uint64_t next_ns_ = 0;
  RateMeter rate_;
};

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_PROGRESS_H_
