#include "cli/taskctl/progress.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "cli/taskctl/terminal.h"
#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::cli {
namespace {

constexpr size_t kSamples = 64;
constexpr uint32_t kBar = 20;
constexpr uint32_t kBarWidth = 99;  // of a terminal that has room for the bar besides the figures

std::string RateText(double per_second) {
  if (per_second >= 100) return FormatCount(static_cast<uint64_t>(std::llround(per_second)));
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, per_second >= 10 ? "%.0f" : "%.1f", per_second);
  return buffer;
}

std::string Bar(const JobFigures& f) {
  uint64_t ended = std::min(f.done + f.failed + f.cancelled, f.total);
  auto full = static_cast<uint32_t>(static_cast<unsigned __int128>(ended) * kBar / f.total);
  std::string bar(full, '=');
  if (full < kBar) bar += '>';
  bar.resize(kBar, ' ');
  return StrCat("[", bar, "]");
}

}  // namespace

void RateMeter::Add(uint64_t now_ns, uint64_t ended) {
  if (samples_.size() >= 2 &&
      now_ns - samples_[samples_.size() - 2].now_ns < window_ns_ / kSamples) {
    samples_.back() = {now_ns, ended};
  } else {
    samples_.push_back({now_ns, ended});
  }
  // One sample at or before the window's start stays: the rate needs both ends.
  while (samples_.size() > 2 && samples_[1].now_ns + window_ns_ <= now_ns) samples_.pop_front();
}

double RateMeter::PerSecond() const {
  if (samples_.size() < 2) return 0;
  const Sample& first = samples_.front();
  const Sample& last = samples_.back();
  if (last.ended <= first.ended || last.now_ns <= first.now_ns) return 0;
  return static_cast<double>(last.ended - first.ended) * 1e9 /
         static_cast<double>(last.now_ns - first.now_ns);
}

std::optional<uint64_t> RateMeter::EtaNs(uint64_t remaining) const {
  double rate = PerSecond();
  if (rate <= 0) return std::nullopt;
  double ns = static_cast<double>(remaining) / rate * 1e9;
  constexpr double kYear = 3.2e16;
  if (ns > kYear) return std::nullopt;
  return static_cast<uint64_t>(ns);
}

std::string ProgressText(const JobFigures& f, const RateMeter& rate, uint32_t width) {
  std::string head = StrCat("job ", f.job);
  if (!f.name.empty()) head += StrCat(" ", Printable(f.name));
  std::string counts = StrCat("  ", FormatCount(f.done), " / ", FormatCount(f.total), " done");
  if (f.failed > 0) counts += StrCat("  ", FormatCount(f.failed), " failed");
  if (f.cancelled > 0) counts += StrCat("  ", FormatCount(f.cancelled), " cancelled");
  if (f.running > 0 && !f.ended) counts += StrCat("  ", FormatCount(f.running), " running");
  if (f.recomputed > 0) counts += StrCat("  ", FormatCount(f.recomputed), " recomputed");
  if (f.retried > 0) counts += StrCat("  ", FormatCount(f.retried), " retried");
  std::string pace;
  if (f.ended) {
    pace = StrCat("  ", f.state);
  } else if (double per_second = rate.PerSecond(); per_second > 0) {
    pace = StrCat("  ", RateText(per_second), "/s");
    uint64_t ended = f.done + f.failed + f.cancelled;
    // Whole seconds: a finer figure would only flicker.
    if (auto eta = rate.EtaNs(f.total > ended ? f.total - ended : 0); eta && f.total > ended) {
      uint64_t seconds = std::max<uint64_t>(1, (*eta + 500'000'000) / 1'000'000'000);
      pace += StrCat(
          "  eta ", seconds < 60 ? StrCat(seconds, " s") : FormatDuration(seconds * 1'000'000'000));
    }
  }
  if (width == 0) return head + counts + pace;
  // By the width alone, so that the bar does not come and go with the length of the rest.
  bool bar = f.total > 0 && width >= kBarWidth;
  return Shorten(StrCat(head, bar ? StrCat("  ", Bar(f)) : "", counts, pace), width);
}

Progress::Progress(int fd, bool silent)
    : fd_(fd), silent_(silent), terminal_(TerminalWidth(fd) != 0) {}

Progress::~Progress() { Finish(); }

bool Progress::Due(uint64_t now_ns, const JobFigures& figures) const {
  if (shown_ns_ == 0 || (figures.ended && !shown_end_)) return true;
  return now_ns - shown_ns_ >= (terminal_ ? kRedrawNs : kSparseNs);
}

void Progress::Update(uint64_t now_ns, const JobFigures& figures) {
  rate_.Add(now_ns, figures.done + figures.failed + figures.cancelled);
  if (silent_ || !Due(now_ns, figures)) return;
  uint32_t width = TerminalWidth(fd_);
  // One column stays free: a full line would wrap on some terminals.
  std::string text = ProgressText(figures, rate_, width > 1 ? width - 1 : width);
  if (!terminal_ && text == shown_) return;
  shown_ns_ = now_ns;
  shown_ = text;
  shown_end_ = figures.ended;
  dprintf(fd_, terminal_ ? "\r\033[K%s" : "%s\n", text.c_str());
  line_open_ = terminal_;
}

void Progress::Finish() {
  if (line_open_) dprintf(fd_, "\n");
  line_open_ = false;
}

std::string ByteProgressText(uint64_t bytes, uint64_t total, const RateMeter& rate) {
  std::string text = StrCat(FormatBytes(bytes), " / ", FormatBytes(total));
  if (total > 0)
    text += StrCat("  ", static_cast<uint64_t>(static_cast<unsigned __int128>(bytes) * 100 / total),
                   " %");
  const auto per_second = static_cast<uint64_t>(rate.PerSecond());
  return per_second == 0 ? text : text + StrCat("  ", FormatBytes(per_second), "/s");
}

ByteProgress::ByteProgress(int fd, bool silent)
    : fd_(fd), shown_(!silent && TerminalWidth(fd) != 0) {}

ByteProgress::~ByteProgress() { Finish(); }

void ByteProgress::Update(uint64_t now_ns, uint64_t bytes, uint64_t total) {
  if (!shown_ || (now_ns < next_ns_ && bytes < total)) return;
  // What is there before it is worth a line leaves none.
  if (next_ns_ == 0 && bytes == total) return;
  next_ns_ = now_ns + 100'000'000;
  rate_.Add(now_ns, bytes);
  dprintf(fd_, "\r\033[K%s", ByteProgressText(bytes, total, rate_).c_str());
  line_open_ = true;
}

void ByteProgress::Finish() {
  if (line_open_) dprintf(fd_, "\n");
  line_open_ = false;
}

}  // namespace taskd::cli
