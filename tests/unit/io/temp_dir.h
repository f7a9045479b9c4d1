// A folder that goes away with its owner.
#ifndef TASKD_TESTS_UNIT_IO_TEMP_DIR_H_
#define TASKD_TESTS_UNIT_IO_TEMP_DIR_H_

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace taskd::io {

class TempDir {
 public:
  TempDir() {
    path_ = testing::TempDir() + "taskd_io_XXXXXX";
    EXPECT_NE(mkdtemp(path_.data()), nullptr);
  }
  ~TempDir() { std::filesystem::remove_all(path_); }
  std::string operator/(const char* name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace taskd::io

#endif  // TASKD_TESTS_UNIT_IO_TEMP_DIR_H_
