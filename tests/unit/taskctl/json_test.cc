#include "cli/taskctl/json.h"

#include <gtest/gtest.h>

#include "common/base/names.h"
#include "taskd/v1/admin.pb.h"

namespace taskd::cli {
namespace {

TEST(JsonTest, EveryFieldIsThereWhateverItsValue) {
  v1::WantedObject want;
  EXPECT_EQ(ToJson(want), R"({"object":null,"name":"","size_bytes":0,"available":false})");
  want.mutable_object()->set_job(3);
  want.set_name("top.words");
  want.set_size_bytes(18446744073709551615u);
  want.set_available(true);
  EXPECT_EQ(
      ToJson(want),
      R"({"object":{"job":3,"ordinal":0},"name":"top.words","size_bytes":18446744073709551615,"available":true})");
}

TEST(JsonTest, ListsEnumsAndSignedNumbers) {
  v1::TaskFailure failure;
  failure.set_key("map[3]");
  failure.set_failure(v1::FAILURE_OUTPUT_MISSING);
  failure.set_exit_code(-1);
  v1::JobInfo job;
  job.set_state(v1::JOB_FAILED);
  *job.add_failures() = failure;
  std::string json = ToJson(job);
  EXPECT_NE(json.find(R"("state":"failed")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("key":"map[3]","attempt":0,"failure":"output_missing","exit_code":-1)"),
            std::string::npos)
      << json;
  EXPECT_NE(json.find(R"("wants":[])"), std::string::npos) << json;
}

TEST(JsonTest, ExceptionsAreBase64) {
  v1::TaskFailure failure;
  EXPECT_NE(ToJson(failure).find(R"("exception":"")"), std::string::npos);
  failure.set_exception("\x80\x04\xff");
  EXPECT_NE(ToJson(failure).find(R"("exception":"gAT/")"), std::string::npos) << ToJson(failure);
}

TEST(JsonTest, AnEnumValueOfANewerSchedulerStaysANumber) {
  v1::JobInfo job;
  job.set_state(static_cast<v1::JobState>(77));
  EXPECT_NE(ToJson(job).find(R"("state":77)"), std::string::npos);
}

TEST(JsonTest, StringsAreValidJsonWhateverTheBytes) {
  EXPECT_EQ(JsonString("a\"b\\c\n\t\r"), R"("a\"b\\c\n\t\r")");
  EXPECT_EQ(JsonString(std::string("\0\x1f\x7f", 3)), "\"\\u0000\\u001f\\u007f\"");
  EXPECT_EQ(JsonString("gr\xc3\xbc\xc3\x9f"), "\"gr\xc3\xbc\xc3\x9f\"");
  EXPECT_EQ(JsonString("\xff"), "\"\\\\xff\"");  // not UTF-8: the text \xff
}

// The short names that people see in JSON are those of tables, logs and metrics.
template <typename Core, typename Descriptor>
void ExpectSameNames(const Descriptor* type) {
  for (int i = 0; i < type->value_count(); ++i) {
    int number = type->value(i)->number();
    if (number == 0) continue;
    EXPECT_EQ(ShortName(*type->value(i)), Name(static_cast<Core>(number)))
        << type->value(i)->name();
  }
}

TEST(JsonTest, EnumNamesAreThoseOfCommonBase) {
  ExpectSameNames<TaskState>(v1::TaskState_descriptor());
  ExpectSameNames<AttemptState>(v1::AttemptState_descriptor());
  ExpectSameNames<AttemptEnd>(v1::AttemptEnd_descriptor());
  ExpectSameNames<FailureClass>(v1::FailureClass_descriptor());
  ExpectSameNames<WaitReason>(v1::WaitReason_descriptor());
  ExpectSameNames<WorkerState>(v1::WorkerState_descriptor());
  ExpectSameNames<JobState>(v1::JobState_descriptor());
}

}  // namespace
}  // namespace taskd::cli
