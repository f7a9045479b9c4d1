// taskd_scenarios FILE...             runs scenario files; prints what differs; exit code 1 when
// something does taskd_scenarios --print FILE        prints the file with the actions and answers
// that come taskd_scenarios --update FILE...    writes them into the files (then read the diff)
// taskd_scenarios --coverage PATH...  runs files and folders and prints what none of them met; exit
// code 1 then
//
// See README.md for the format.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "common/base/text.h"
#include "tests/scenarios/driver.h"

namespace taskd::scenario {
namespace {

constexpr uint32_t kStepsMax = 100'000;  // a core that never comes to rest

bool Matches(std::string_view expected, std::string_view actual) {
  if (expected.size() >= 3 && expected.substr(expected.size() - 3) == "...") {
    return actual.substr(0, expected.size() - 3) == expected.substr(0, expected.size() - 3);
  }
  return expected == actual;
}

class Run {
 public:
  explicit Run(std::string path) : path_(std::move(path)) {}

  // True: every line held. `rewritten` is the file as it would be right.
  bool Execute() {
    std::ifstream in(path_);
    if (!in) {
      std::cerr << path_ << ": cannot be read\n";
      return false;
    }
    std::string line;
    for (line_ = 1; std::getline(in, line); ++line_) {
      try {
        Line(line);
      } catch (const ScenarioError& error) {
        Fail(error.message);
        aborted_ = true;
        return false;
      }
    }
    Settle();
    if (driver_ == nullptr) Fail("no 'core' line");
    return ok_;
  }

  const std::string& rewritten() const { return rewritten_; }
  bool aborted() const { return aborted_; }
  const Coverage* coverage() const { return driver_ == nullptr ? nullptr : &driver_->coverage(); }
  const std::string& core() const { return core_; }

 private:
  void Line(const std::string& raw) {
    const std::string_view text = Trimmed(raw);
    if (text.substr(0, 1) == ">") {
      Expect(std::string(Trimmed(text.substr(1))));
      return;
    }
    Settle();
    if (text.substr(0, 1) == "?") {
      Question(Trimmed(text.substr(1)));
      return;
    }
    rewritten_ += raw + "\n";
    if (text.empty() || text[0] == '#') return;
    input_line_ = line_;
    Command(text);
  }

  void Command(std::string_view text) {
    const Words words(text);
    if (words[0] == "core") {
      core_ = words[1];
      budget_ = static_cast<uint32_t>(words.Number("budget", 1'000'000));
      driver_ = core_ == "worker"      ? MakeWorkerDriver(words)
                : core_ == "scheduler" ? MakeSchedulerDriver(words)
                                       : nullptr;
      if (driver_ == nullptr) throw ScenarioError{StrCat("no such core: ", core_)};
      return;
    }
    if (driver_ == nullptr)
      throw ScenarioError{"the first line must be 'core worker' or 'core scheduler'"};
    if (words[0] == "hide") {
      for (uint32_t i = 1; i < words.size(); ++i) hidden_.push_back(words[i]);
    } else if (words[0] == "at") {
      Advance(ParseTime(words[1]));
    } else if (words[0] == "&") {
      driver_->Input(Trimmed(text.substr(1)));  // waits for the next line's step
    } else {
      driver_->Input(text);
      Steps();
    }
  }

  void Advance(uint64_t to_ns) {
    if (to_ns < now_ns_) throw ScenarioError{"time does not go back"};
    while (wake_ <= to_ns) {
      now_ns_ = std::max(now_ns_, wake_);
      Steps();
    }
    now_ns_ = to_ns;
    Steps();
  }

  void Steps() {
    for (uint32_t i = 0; i < kStepsMax; ++i) {
      wake_ = driver_->Step(now_ns_, budget_, actual_);
      const std::string broken = driver_->Validate();
      if (!broken.empty()) throw ScenarioError{"an invariant is broken: " + broken};
      if (wake_ > now_ns_) {
        std::erase_if(actual_, [&](const std::string& a) {
          return std::find(hidden_.begin(), hidden_.end(), a.substr(0, a.find(' '))) !=
                 hidden_.end();
        });
        return;
      }
    }
    throw ScenarioError{"the core does not come to rest"};
  }

  void Expect(std::string expected) { expected_.push_back(std::move(expected)); }

  // Compares what came since the last input with what was expected.
  void Settle() {
    bool same = expected_.size() == actual_.size();
    for (size_t i = 0; same && i < expected_.size(); ++i) same = Matches(expected_[i], actual_[i]);
    for (size_t i = 0; i < actual_.size(); ++i) {
      rewritten_ += StrCat("> ", same ? expected_[i] : actual_[i], "\n");
    }
    if (!same) {
      ok_ = false;
      std::cerr << path_ << ":" << input_line_ << ": the actions differ\n";
      Diff();
    }
    expected_.clear();
    actual_.clear();
  }

  // "-" was expected and did not come, "+" came and was not expected: a longest common subsequence.
  void Diff() const {
    const size_t n = expected_.size(), m = actual_.size();
    std::vector<std::vector<uint32_t>> best(n + 1, std::vector<uint32_t>(m + 1, 0));
    for (size_t i = n; i-- > 0;) {
      for (size_t j = m; j-- > 0;) {
        best[i][j] = Matches(expected_[i], actual_[j]) ? best[i + 1][j + 1] + 1
                                                       : std::max(best[i + 1][j], best[i][j + 1]);
      }
    }
    size_t i = 0, j = 0;
    while (i < n || j < m) {
      if (i < n && j < m && Matches(expected_[i], actual_[j])) {
        std::cerr << "    " << actual_[j] << "\n";
        ++i, ++j;
      } else if (i < n && (j == m || best[i + 1][j] >= best[i][j + 1])) {
        std::cerr << "  - " << expected_[i++] << "\n";
      } else {
        std::cerr << "  + " << actual_[j++] << "\n";
      }
    }
  }

  void Question(std::string_view text) {
    if (driver_ == nullptr) throw ScenarioError{"a question needs a core"};
    size_t colon = text.find(": ");
    if (colon == std::string_view::npos && text.back() == ':') colon = text.size() - 1;
    const std::string_view question = Trimmed(text.substr(0, colon));
    const std::string expected(colon == std::string_view::npos ? ""
                                                               : Trimmed(text.substr(colon + 1)));
    const std::string answer = driver_->Ask(question);
    const bool same = Matches(expected, answer);
    rewritten_ += StrCat("? ", question, ": ", same ? expected : answer, "\n");
    if (same) return;
    ok_ = false;
    std::cerr << path_ << ":" << line_ << ": " << question << "\n  - " << expected << "\n  + "
              << answer << "\n";
  }

  void Fail(std::string_view message) {
    ok_ = false;
    std::cerr << path_ << ":" << line_ << ": " << message << "\n";
  }

  const std::string path_;
  std::string core_, rewritten_;
  std::unique_ptr<Driver> driver_;
  uint64_t now_ns_ = 0, wake_ = ~uint64_t{0};
  uint32_t budget_ = 0, line_ = 0, input_line_ = 0;
  bool ok_ = true, aborted_ = false;
  std::vector<std::string> expected_, actual_, hidden_;
};

std::vector<std::string> FilesOf(const std::vector<std::string>& paths) {
  std::vector<std::string> files;
  for (const std::string& path : paths) {
    if (!std::filesystem::is_directory(path)) {
      files.push_back(path);
      continue;
    }
    for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
      if (entry.path().extension() == ".txt" && entry.path().filename() != "CMakeLists.txt") {
        files.push_back(entry.path().string());
      }
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

int CoverageOf(const std::vector<std::string>& files) {
  std::map<std::string, Coverage> cores;
  bool ok = true;
  for (const std::string& file : files) {
    Run run(file);
    ok = run.Execute() && ok;
    if (run.coverage() == nullptr) continue;
    for (const auto& [what, count] : *run.coverage()) cores[run.core()][what] += count;
  }
  for (const auto& [core, coverage] : cores) {
    uint32_t met = 0;
    for (const auto& [what, count] : coverage) met += count > 0;
    std::cout << core << ": " << met << " of " << coverage.size() << " met\n";
    for (const auto& [what, count] : coverage) {
      if (count > 0) continue;
      ok = false;
      std::cout << "  never met: " << what << "\n";
    }
  }
  return ok ? 0 : 1;
}

int Main(int argc, char** argv) {
  std::vector<std::string> args(argv + 1, argv + argc);
  std::string mode;
  if (!args.empty() && args[0].rfind("--", 0) == 0) {
    mode = args[0];
    args.erase(args.begin());
  }
  const std::vector<std::string> files = FilesOf(args);
  if (files.empty() ||
      (!mode.empty() && mode != "--print" && mode != "--update" && mode != "--coverage")) {
    std::cerr << "usage: taskd_scenarios [--print | --update | --coverage] FILE_OR_FOLDER...\n";
    return 2;
  }
  if (mode == "--coverage") return CoverageOf(files);
  int failed = 0;
  for (const std::string& file : files) {
    Run run(file);
    const bool ok = run.Execute();
    failed += !ok;
    if (mode == "--print") std::cout << run.rewritten();
    if (mode == "--update" && !ok && !run.aborted()) std::ofstream(file) << run.rewritten();
    if (mode.empty()) std::cout << (ok ? "ok      " : "FAILED  ") << file << "\n";
  }
  return failed == 0 ? 0 : 1;
}

}  // namespace
}  // namespace taskd::scenario

int main(int argc, char** argv) { return taskd::scenario::Main(argc, argv); }
