#include "cli/taskctl/job_flags.h"

#include <gmock/gmock.h>

namespace taskd::cli {
namespace {

using testing::HasSubstr;

TEST(JobFlagsTest, WhatIsGivenIsSetTheRestIsLeft) {
  client::Submission submission;
  submission.name = "file";
  submission.owner = "login";
  ASSERT_TRUE(Apply({}, &submission).ok());
  EXPECT_EQ(submission.name, "file");
  EXPECT_EQ(submission.owner, "login");
  EXPECT_EQ(submission.weight, 0u);
  EXPECT_EQ(submission.max_running, 0u);
  EXPECT_EQ(submission.ttl_ns, 0u);
  EXPECT_FALSE(submission.ephemeral);
  ASSERT_TRUE(Apply({.name = "n",
                     .owner = std::string(256, 'x'),
                     .priority = "-1000000",
                     .weight = "10000",
                     .max_running = "4294967295",
                     .ttl = "1h30m",
                     .ephemeral = true},
                    &submission)
                  .ok());
  EXPECT_EQ(submission.name, "n");
  EXPECT_EQ(submission.owner.size(), 256u);
  EXPECT_EQ(submission.priority, -1'000'000);
  EXPECT_EQ(submission.weight, 10'000u);
  EXPECT_EQ(submission.max_running, 4'294'967'295u);
  EXPECT_EQ(submission.ttl_ns, 5'400'000'000'000u);
  EXPECT_TRUE(submission.ephemeral);
}

TEST(JobFlagsTest, WrongOnesAreNamedWithWhatIsRight) {
  struct Case {
    JobFlags flags;
    const char* says;
  };
  for (const Case& c : std::vector<Case>{
           {{.owner = std::string(257, 'x')}, "257 bytes are too long, at most 256"},
           {{.owner = "\xff"}, "--owner \\xff: not text in UTF-8"},
           {{.name = "a\tb"}, "--name a\\x09b: not text in UTF-8 without control characters"},
           {{.owner = ""}, "--owner '': it is empty"},
           {{.priority = "1000001"}, "--priority 1000001: give a whole number from -1000000 to"},
           {{.priority = "high"}, "--priority high: give a whole number"},
           {{.weight = ""}, "--weight : give a whole number from 1"},
           {{.weight = "0"}, "--weight 0: give a whole number from 1 to 10000; 100 is normal"},
           {{.weight = "10001"}, "from 1 to 10000"},
           {{.weight = "-1"}, "--weight -1: give a whole number"},
           {{.weight = "1 "}, "--weight 1 : give a whole number"},
           {{.max_running = "0"}, "--max-running 0: give a whole number from 1 to 4294967295"},
           {{.max_running = "4294967296"}, "leave it out for no limit"},
           {{.max_running = "ten"}, "--max-running ten:"},
           {{.ttl = "0s"}, "--ttl 0s: give more than 0"},
           {{.ttl = "11 years"}, "--ttl 11 years: '11 years' is not a duration"},
           {{.ttl = "4000d"}, "at most 87600 h 0 m"},
           {{.ttl = "-5m"}, "is not a duration"}}) {
    client::Submission submission;
    absl::Status status = Apply(c.flags, &submission);
    EXPECT_TRUE(absl::IsInvalidArgument(status));
    EXPECT_THAT(std::string(status.message()), HasSubstr(c.says));
  }
}

}  // namespace
}  // namespace taskd::cli
