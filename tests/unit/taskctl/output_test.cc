#include "cli/taskctl/output.h"

#include <gtest/gtest.h>

#include "taskd/v1/admin.pb.h"

namespace taskd::cli {
namespace {

TEST(ExitCodesTest, EveryStatusHasItsCode) {
  EXPECT_EQ(ExitCodeFor(absl::OkStatus()), 0);
  EXPECT_EQ(ExitCodeFor(absl::InvalidArgumentError("")), 2);
  EXPECT_EQ(ExitCodeFor(absl::FailedPreconditionError("")), 2);
  EXPECT_EQ(ExitCodeFor(absl::UnimplementedError("")), 2);
  EXPECT_EQ(ExitCodeFor(absl::NotFoundError("")), 3);
  EXPECT_EQ(ExitCodeFor(absl::UnavailableError("")), 4);
  EXPECT_EQ(ExitCodeFor(absl::UnauthenticatedError("")), 4);
  EXPECT_EQ(ExitCodeFor(absl::PermissionDeniedError("")), 4);
  EXPECT_EQ(ExitCodeFor(absl::DeadlineExceededError("")), 5);
  EXPECT_EQ(ExitCodeFor(absl::CancelledError("")), 6);
  EXPECT_EQ(ExitCodeFor(absl::AbortedError("")), 130);
  EXPECT_EQ(ExitCodeFor(absl::InternalError("")), 1);
}

// Runs `work` with `format` and returns what it wrote to stdout and stderr.
struct Written {
  std::string out, err;
};
template <typename Work>
Written Capture(OutputFormat format, Work work) {
  Context context;
  context.format = format;
  testing::internal::CaptureStdout();
  testing::internal::CaptureStderr();
  work(context);
  return {testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
}

void ListTwo(Context& context) {
  ListWriter list(context, "objects", {{"NAME"}, {"JOB", Column::kRight}});
  for (uint32_t job : {7u, 12u}) {
    v1::ObjectRef object;
    object.set_job(job);
    list.Add(object, std::to_string(job), {job == 7 ? "seven" : "x", std::to_string(job)});
    list.EndPage();
  }
  list.End("nothing");
}

TEST(OutputTest, AListInThreeForms) {
  EXPECT_EQ(Capture(OutputFormat::kTable, ListTwo).out, "NAME   JOB\nseven    7\nx       12\n");
  EXPECT_EQ(Capture(OutputFormat::kQuiet, ListTwo).out, "7\n12\n");
  EXPECT_EQ(Capture(OutputFormat::kJson, ListTwo).out,
            "{\"objects\":[\n{\"job\":7,\"ordinal\":0},\n{\"job\":12,\"ordinal\":0}]}\n");
}

TEST(OutputTest, AnEmptyListIsANoteForPeopleAndStillJson) {
  auto empty = [](Context& context) { ListWriter(context, "jobs", {{"JOB"}}).End("no job yet"); };
  Written table = Capture(OutputFormat::kTable, empty);
  EXPECT_EQ(table.out, "");
  EXPECT_EQ(table.err, "no job yet\n");
  Written json = Capture(OutputFormat::kJson, empty);
  EXPECT_EQ(json.out, "{\"jobs\":[]}\n");
  EXPECT_EQ(json.err, "");
}

TEST(OutputTest, ErrorsGoToStderrInTheAskedForm) {
  auto fail = [](Context& context) {
    context.Fail(absl::NotFoundError("there is no job \"9\""));
    EXPECT_EQ(context.exit_code, kExitNotFound);
  };
  EXPECT_EQ(Capture(OutputFormat::kTable, fail).err, "taskctl: there is no job \"9\"\n");
  EXPECT_EQ(Capture(OutputFormat::kJson, fail).err,
            "{\"error\":\"there is no job \\\"9\\\"\",\"exit_code\":3}\n");
  EXPECT_EQ(Capture(OutputFormat::kJson, fail).out, "");
}

TEST(OutputTest, FieldsAlignAndLeaveOutTheEmpty) {
  EXPECT_EQ(Fields({{"a", "1"}, {"longest-of-all", ""}, {"name", "x\ny"}}),
            "a     1\nname  x\\x0ay\n");
}

}  // namespace
}  // namespace taskd::cli
