// A folder of its own for one test, removed afterwards.
#ifndef TASKD_TESTS_UNIT_WORKER_STORE_TEMP_DIR_H_
#define TASKD_TESTS_UNIT_WORKER_STORE_TEMP_DIR_H_

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "common/base/check.h"

namespace taskd::worker {

class TempDir {
 public:
  TempDir() : TempDir(std::filesystem::temp_directory_path()) {}
  explicit TempDir(const std::filesystem::path& parent) {
    std::string name = parent / "taskd-test-XXXXXX";
    TASKD_CHECK(mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline void WriteFile(const std::string& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

inline std::string ReadFile(const std::string& path) {
  std::ostringstream out;
  out << std::ifstream(path, std::ios::binary).rdbuf();
  return out.str();
}

inline size_t CountFiles(const std::string& folder) {
  size_t n = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder))
    n += entry.is_regular_file() ? 1 : 0;
  return n;
}

}  // namespace taskd::worker

#endif  // TASKD_TESTS_UNIT_WORKER_STORE_TEMP_DIR_H_
