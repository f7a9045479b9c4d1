#include "cli/client/globs.h"

#include "tests/unit/cli/graph_fixture.h"

namespace taskd::client {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class GlobsTest : public GraphTest {
 protected:
  GlobsTest() {
    for (const char* name :
         {"a.txt", "b.txt", "c.md", ".hidden", "d/e.txt", "d/f/g.txt", "d/f/h.md", "z/y.txt"})
      Write(name, name);
    std::filesystem::create_symlink("d", folder_ + "/link");
    std::filesystem::create_symlink("a.txt", folder_ + "/alink.txt");
    std::filesystem::create_symlink("nowhere", folder_ + "/broken.txt");
  }
  // Paths below the folder, separated by blanks.
  std::string Find(std::string_view pattern) {
    auto files = FindFiles(pattern, folder_);
    if (!files.ok()) return StrCat("error: ", ToStd(files.status().message()));
    std::string text;
    for (const FoundFile& file : *files)
      text += StrCat(text.empty() ? "" : " ", file.path.substr(folder_.size() + 1));
    return text;
  }
};

TEST_F(GlobsTest, Table) {
  EXPECT_EQ(Find("*.txt"), "a.txt alink.txt b.txt");
  EXPECT_EQ(Find(folder_ + "/?.md"), "c.md");
  EXPECT_EQ(Find("[ab].txt"), "a.txt b.txt");
  EXPECT_EQ(Find("*/*.txt"), "d/e.txt link/e.txt z/y.txt");
  EXPECT_EQ(Find("**"), "a.txt alink.txt b.txt c.md d/e.txt d/f/g.txt d/f/h.md z/y.txt");
  EXPECT_EQ(Find("**/*.md"), "c.md d/f/h.md");
  EXPECT_EQ(Find("d/**/*.txt"), "d/e.txt d/f/g.txt");
  EXPECT_EQ(Find("**/f/**"), "d/f/g.txt d/f/h.md");
  EXPECT_EQ(Find("**/**/g.txt"), "d/f/g.txt");
  EXPECT_EQ(Find(".h*"), ".hidden");
  EXPECT_EQ(Find("./d/./e.txt"), "d/e.txt");
  EXPECT_EQ(Find("none*"), "");
  EXPECT_EQ(Find("d"), "");
  EXPECT_THAT(Find("d/"), HasSubstr("names a folder; its files are d/*"));
  EXPECT_THAT(Find("x**"), HasSubstr("** stands alone"));
  EXPECT_THAT(Find(""), HasSubstr("an empty glob"));
}

TEST_F(GlobsTest, SizesAreTold) { EXPECT_EQ((*FindFiles("d/e.txt", folder_))[0].size_bytes, 7u); }

TEST(Balance, ListsWeighAboutTheSameAndLoseNothing) {
  std::vector<FoundFile> files;
  uint64_t total = 0;
  for (uint64_t i = 0; i < 1000; ++i) {
    files.push_back({StrCat("f", i), i * i % 977});
    total += i * i % 977;
  }
  auto lists = Balance(files, 7);
  size_t count = 0;
  for (const auto& list : lists) {
    uint64_t bytes = 0;
    for (const FoundFile& file : list) bytes += file.size_bytes;
    EXPECT_NEAR(static_cast<double>(bytes), static_cast<double>(total) / 7, 977);
    EXPECT_TRUE(
        std::is_sorted(list.begin(), list.end(), [](auto& a, auto& b) { return a.path < b.path; }));
    count += list.size();
  }
  EXPECT_EQ(count, 1000u);
  std::reverse(files.begin(), files.end());
  auto again = Balance(files, 7);
  for (size_t i = 0; i < 7; ++i) {
    ASSERT_EQ(again[i].size(), lists[i].size());
    for (size_t j = 0; j < lists[i].size(); ++j) EXPECT_EQ(again[i][j].path, lists[i][j].path);
  }
}

TEST(Balance, EmptyFilesSpreadAndListsMayBeEmpty) {
  auto lists = Balance({{"a", 0}, {"b", 0}, {"c", 0}}, 4);
  EXPECT_EQ(lists[0].size() + lists[1].size() + lists[2].size() + lists[3].size(), 3u);
  for (const auto& list : lists) EXPECT_LE(list.size(), 1u);
}

}  // namespace
}  // namespace taskd::client
