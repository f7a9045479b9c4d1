#include "common/io/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/io/files.h"
#include "tests/unit/io/temp_dir.h"

namespace taskd::io {
namespace {

using testing::HasSubstr;

struct Values {
  std::string listen = "default";
  std::vector<std::string> tags;
  uint32_t threads = 2;
  bool quiet = false;
  uint64_t rerun_after = 500'000'000, memory = 1 << 20;
  uint32_t cpus = 1000;
};

struct Result {
  std::optional<int> exit_code;
  std::string error;
};

Result Parse(Values& values, std::vector<const char*> args) {
  Flags flags("prog", "Does things.");
  flags.Text("listen", &values.listen, "where");
  flags.List("tag", &values.tags, "tags");
  flags.Count("threads", &values.threads, "how many");
  flags.Switch("quiet", &values.quiet, "say less");
  flags.Duration("rerun-after", &values.rerun_after, "when");
  flags.Bytes("memory", &values.memory, "how much");
  flags.Cpus("cpus", &values.cpus, "how many");
  args.insert(args.begin(), "prog");
  testing::internal::CaptureStderr();
  Result result;
  result.exit_code = flags.Parse(static_cast<int>(args.size()), args.data());
  result.error = testing::internal::GetCapturedStderr();
  return result;
}

TEST(Flags, DefaultsStayWithoutFlags) {
  Values values;
  EXPECT_EQ(Parse(values, {}).exit_code, std::nullopt);
  EXPECT_EQ(values.listen, "default");
  EXPECT_EQ(values.rerun_after, 500'000'000u);
}

TEST(Flags, EveryKindOnTheCommandLine) {
  Values values;
  auto result =
      Parse(values, {"--listen", "a:1", "--tag", "x", "--tag", "y", "--threads=7", "--quiet",
                     "--rerun-after", "2s", "--memory", "8GiB", "--cpus", "0.5"});
  EXPECT_EQ(result.exit_code, std::nullopt) << result.error;
  EXPECT_EQ(values.listen, "a:1");
  EXPECT_THAT(values.tags, testing::ElementsAre("x", "y"));
  EXPECT_EQ(values.threads, 7u);
  EXPECT_TRUE(values.quiet);
  EXPECT_EQ(values.rerun_after, 2'000'000'000u);
  EXPECT_EQ(values.memory, uint64_t{8} << 30);
  EXPECT_EQ(values.cpus, 500u);
}

TEST(Flags, EveryKindInAFileAndTheCommandLineWins) {
  TempDir temp;
  std::string path = temp / "c.yaml";
  ASSERT_TRUE(
      WriteFileAtomically(path,
                          "listen: a:1\ntag: [x, y]\nthreads: 7\nquiet: true\nrerun-after: 2s\n"
                          "memory: 8GiB\ncpus: 0.5\n")
          .ok());
  Values values;
  auto result = Parse(values, {"--config", path.c_str(), "--listen", "b:2"});
  EXPECT_EQ(result.exit_code, std::nullopt) << result.error;
  EXPECT_EQ(values.listen, "b:2");
  EXPECT_THAT(values.tags, testing::ElementsAre("x", "y"));
  EXPECT_EQ(values.threads, 7u);
  EXPECT_TRUE(values.quiet);
  EXPECT_EQ(values.rerun_after, 2'000'000'000u);
  EXPECT_EQ(values.memory, uint64_t{8} << 30);
  EXPECT_EQ(values.cpus, 500u);
}

TEST(Flags, BadFlagsEndWithTwoAndTheNearestName) {
  struct Case {
    std::vector<const char*> args;
    const char* message;
  };
  for (const Case& c : std::vector<Case>{{{"--lisen", "x"}, "did you mean --listen"},
                                         {{"--lisen=x"}, "did you mean --listen"},
                                         {{"--zzzzzz"}, "there is no flag --zzzzzz"},
                                         {{"word"}, "'word' is not expected"},
                                         {{"--threads", "many"}, "threads"},
                                         {{"--rerun-after", "soon"}, "--rerun-after"},
                                         {{"--config", "/nowhere/c.yaml"}, "/nowhere/c.yaml"}}) {
    Values values;
    Result result = Parse(values, c.args);
    EXPECT_EQ(result.exit_code, 2) << c.args[0];
    EXPECT_THAT(result.error, HasSubstr(c.message));
  }
}

TEST(Flags, BadFilesEndWithTwoAndTheLine) {
  struct Case {
    const char* text;
    const char* message;
  };
  for (const Case& c :
       {Case{"threads: 1\nlisen: x\n", "line 2: 'lisen' is not a flag; did you mean 'listen'"},
        {"listen: a\nlisten: b\n", "line 2: 'listen' is given twice"},
        {"listen: {a: b}\n", "needs a value"},
        {"- listen\n", "a mapping"},
        {"tag: [[1]]\n", "plain values"},
        {"listen: [\n", "--config"},
        {"memory: much\n", "--memory"}}) {
    TempDir temp;
    std::string path = temp / "c.yaml";
    ASSERT_TRUE(WriteFileAtomically(path, c.text).ok());
    Values values;
    Result result = Parse(values, {"--config", path.c_str()});
    EXPECT_EQ(result.exit_code, 2) << c.text;
    EXPECT_THAT(result.error, HasSubstr(c.message)) << c.text;
  }
}

TEST(NearestName, OnlyWhatIsNear) {
  EXPECT_EQ(NearestName("lisen", {"listen", "threads"}), "listen");
  EXPECT_EQ(NearestName("xyz", {"listen", "threads"}), std::nullopt);
  EXPECT_EQ(NearestName("", {"a"}), "a");
}

}  // namespace
}  // namespace taskd::io
