#include "worker/runner/frames.h"

#include <gtest/gtest.h>

#include <random>

#include "common/base/limits.h"

namespace taskd::runner {
namespace {

std::string TaskPayload() {
  TaskMessage task;
  task.key = "gemm[3,1,0]";
  task.job = 7;
  task.attempt = 0x100001;
  task.cpus = 2;
  task.folder = "/work/run/7-3";
  task.output_folder = "/shm/7-3";
  task.library = "/lib/x.so";
  task.function = "gemm";
  task.code_id = 99;
  task.code = std::string_view("\x80\x05", 2);
  task.values = {{"i", "3"}, {"empty", ""}};
  task.inputs = {{"a", false, {{true, 1, 64, 100, "", {}}}},
                 {"b", true, {{false, 0, 0, 0, "bytes", {2, 5}}, {false, 0, 0, 0, "", {}}}},
                 {"none", true, {}}};
  task.outputs = {{"c", 0}, {"d", 3}};
  return EncodeTask(task);
}

// How much of the payload each decoder takes must not depend on what it says of itself.
bool DecodesAs(FrameType type, std::string_view payload, std::string& error) {
  std::vector<FileRange> ranges;
  TaskMessage task;
  DoneMessage done;
  FailedMessage failed;
  uint32_t milli = 0;
  SubmitMessage submit;
  std::vector<ObjectName> names;
  ObjectName name;
  DelegateMessage delegate;
  PutMessage put;
  AnswerMessage answer;
  switch (type) {
    case FrameType::kFiles:
      return DecodeFiles(payload, ranges, error);
    case FrameType::kTask:
      return DecodeTask(payload, task, error);
    case FrameType::kProgress:
      return DecodeProgress(payload, milli, error);
    case FrameType::kDone:
      return DecodeDone(payload, done, error);
    case FrameType::kFailed:
      return DecodeFailed(payload, failed, error);
    case FrameType::kHello:
      return payload.empty();
    case FrameType::kSubmit:
      return DecodeSubmit(payload, submit, error);
    case FrameType::kAwait:
      return DecodeAwait(payload, names, error);
    case FrameType::kGet:
      return DecodeGet(payload, name, error);
    case FrameType::kDelegate:
      return DecodeDelegate(payload, delegate, error);
    case FrameType::kPut:
      return DecodePut(payload, put, error);
    case FrameType::kAnswer:
      return DecodeAnswer(payload, answer, error);
  }
  return false;
}

struct Sample {
  FrameType type;
  std::string payload;
};
std::vector<Sample> Samples() {
  return {{FrameType::kFiles, EncodeFiles({{0, 4096}, {100, 1}})},
          {FrameType::kTask, TaskPayload()},
          {FrameType::kProgress, EncodeProgress(500)},
          {FrameType::kDone, EncodeDone({{{false, "value", {2, 5}}, {true, ""}}, {true, false}})},
          {FrameType::kFailed,
           EncodeFailed({TaskError::kOutputMissing, -3, "why", "pickle", {false, true}})},
          {FrameType::kSubmit, EncodeSubmit({true, 5, "a batch"})},
          {FrameType::kAwait, EncodeAwait({{1, 2}, {3, 4}})},
          {FrameType::kGet, EncodeGet({5, 6})},
          {FrameType::kDelegate, EncodeDelegate({7, 8})},
          {FrameType::kPut, EncodePut({false, "bytes"})},
          {FrameType::kAnswer, EncodeAnswer({"refused", 9, 12, true, {10, 11}, "bytes"})}};
}

TEST(FramesTest, RequestsAndTheirAnswersComeBack) {
  std::string error;
  SubmitMessage submit;
  const std::string submit_payload = EncodeSubmit({true, 5, "a batch"});
  ASSERT_TRUE(DecodeSubmit(submit_payload, submit, error)) << error;
  EXPECT_TRUE(submit.early);
  EXPECT_EQ(submit.graph, 5u);
  EXPECT_EQ(submit.frame, "a batch");
  std::vector<ObjectName> names;
  ASSERT_TRUE(DecodeAwait(EncodeAwait({{1, 2}, {3, 4}}), names, error)) << error;
  ASSERT_EQ(names.size(), 2u);
  EXPECT_EQ(names[1].job, 3u);
  EXPECT_EQ(names[1].ordinal, 4u);
  ObjectName name;
  ASSERT_TRUE(DecodeGet(EncodeGet({5, 6}), name, error)) << error;
  EXPECT_EQ(name.ordinal, 6u);
  DelegateMessage delegate;
  ASSERT_TRUE(DecodeDelegate(EncodeDelegate({7, 8}), delegate, error)) << error;
  EXPECT_EQ(delegate.output, 7u);
  EXPECT_EQ(delegate.ordinal, 8u);
  PutMessage put;
  const std::string put_payload = EncodePut({false, "bytes"});
  ASSERT_TRUE(DecodePut(put_payload, put, error)) << error;
  EXPECT_FALSE(put.in_file);
  EXPECT_EQ(put.bytes, "bytes");
  AnswerMessage answer;
  const std::string payload = EncodeAnswer({"refused", 9, 12, true, {10, 11}, "bytes"});
  ASSERT_TRUE(DecodeAnswer(payload, answer, error)) << error;
  EXPECT_EQ(answer.error, "refused");
  EXPECT_EQ(answer.job, 9u);
  EXPECT_TRUE(answer.in_file);
  EXPECT_EQ(answer.range.length, 11u);
  EXPECT_EQ(answer.bytes, "bytes");
}

TEST(FramesTest, TaskComesBack) {
  const std::string payload = TaskPayload();
  TaskMessage task;
  std::string error;
  ASSERT_TRUE(DecodeTask(payload, task, error)) << error;
  EXPECT_EQ(task.key, "gemm[3,1,0]");
  EXPECT_EQ(task.attempt, 0x100001u);
  EXPECT_EQ(task.output_folder, "/shm/7-3");
  EXPECT_EQ(task.code_id, 99u);
  EXPECT_EQ(task.code, std::string_view("\x80\x05", 2));
  ASSERT_EQ(task.values.size(), 2u);
  EXPECT_EQ(task.values[0].value, "3");
  ASSERT_EQ(task.inputs.size(), 3u);
  EXPECT_TRUE(task.inputs[0].pieces[0].in_file);
  EXPECT_EQ(task.inputs[0].pieces[0].file, 1u);
  EXPECT_EQ(task.inputs[0].pieces[0].length, 100u);
  EXPECT_EQ(task.inputs[1].pieces[0].bytes, "bytes");
  EXPECT_EQ(task.inputs[1].pieces[0].part_ends, (std::vector<uint64_t>{2, 5}));
  EXPECT_TRUE(task.inputs[2].collection);
  EXPECT_EQ(task.outputs[1].name, "d");
  EXPECT_EQ(task.outputs[1].parts, 3u);
}

TEST(FramesTest, AnswersComeBack) {
  std::string error;
  DoneMessage done;
  const std::string done_payload =
      EncodeDone({{{false, "value", {2, 5}}, {true, ""}}, {true, false}});
  ASSERT_TRUE(DecodeDone(done_payload, done, error)) << error;
  EXPECT_EQ(done.outputs[0].bytes, "value");
  EXPECT_EQ(done.outputs[0].part_ends, (std::vector<uint64_t>{2, 5}));
  EXPECT_TRUE(done.outputs[1].in_file);
  EXPECT_TRUE(done.left.folders);
  EXPECT_FALSE(done.left.processes);
  FailedMessage failed;
  const std::string failed_payload =
      EncodeFailed({TaskError::kOutputMissing, -3, "why", "pickle", {false, true}});
  ASSERT_TRUE(DecodeFailed(failed_payload, failed, error)) << error;
  EXPECT_EQ(failed.error, TaskError::kOutputMissing);
  EXPECT_EQ(failed.code, -3);
  EXPECT_EQ(failed.message, "why");
  EXPECT_EQ(failed.exception, "pickle");
  EXPECT_TRUE(failed.left.processes);
}

TEST(FramesTest, TruncatedOrLongerIsRefused) {
  for (const Sample& sample : Samples()) {
    std::string error;
    ASSERT_TRUE(DecodesAs(sample.type, sample.payload, error)) << error;
    for (size_t n = 0; n < sample.payload.size(); ++n) {
      error.clear();
      EXPECT_FALSE(DecodesAs(sample.type, std::string_view(sample.payload).substr(0, n), error))
          << int(sample.type) << " cut to " << n;
      EXPECT_NE(error, "");
    }
    EXPECT_FALSE(DecodesAs(sample.type, sample.payload + '\0', error));
    EXPECT_NE(error.find("left over"), std::string::npos) << error;
  }
}

TEST(FramesTest, CountsThatCannotBeAreRefused) {
  // A list of 4 billion elements in four bytes.
  std::string error;
  std::vector<FileRange> ranges;
  EXPECT_FALSE(DecodeFiles("\xff\xff\xff\xff", ranges, error));
  EXPECT_TRUE(ranges.empty());
  DoneMessage done;
  EXPECT_FALSE(DecodeDone("\xff\xff\xff\xff", done, error));
  EXPECT_TRUE(done.outputs.empty());
  // Ends past the end of the world.
  EXPECT_FALSE(DecodeFiles(EncodeFiles({{UINT64_MAX, 2}}), ranges, error));
  FailedMessage failed;
  std::string payload = EncodeFailed({});
  payload[0] = 77;
  EXPECT_FALSE(DecodeFailed(payload, failed, error));
}

TEST(FramesTest, GarbageNeverDoesHarm) {
  std::mt19937 random(1);
  for (const Sample& sample : Samples()) {
    for (int round = 0; round < 5000; ++round) {
      std::string payload = sample.payload;
      for (int flips = 1 + random() % 4; flips > 0; --flips)
        payload[random() % payload.size()] = static_cast<char>(random());
      std::string error;
      const bool decoded = DecodesAs(sample.type, payload, error);
      EXPECT_EQ(decoded, error.empty());
    }
  }
}

TEST(FrameStreamTest, CutsAnywhere) {
  std::string bytes;
  for (const Sample& sample : Samples()) {
    const uint16_t files = sample.type == FrameType::kFiles ? 2 : 0;
    bytes += EncodeHeader({static_cast<uint32_t>(sample.payload.size()), sample.type, files}) +
             sample.payload;
  }
  for (size_t step : {size_t{1}, size_t{7}, size_t{64}, bytes.size()}) {
    FrameStream stream;
    std::string error;
    std::vector<FrameType> types;
    for (size_t at = 0; at < bytes.size(); at += step) {
      stream.Append(std::string_view(bytes).substr(at, step));
      while (auto frame = stream.Next(error)) types.push_back(frame->header.type);
    }
    EXPECT_EQ(error, "");
    EXPECT_EQ(types.size(), Samples().size());
  }
}

TEST(FrameStreamTest, BadHeadersAreNamed) {
  const auto error_of = [](const FrameHeader& header, uint8_t version = kFramesVersion) {
    std::string bytes = EncodeHeader(header);
    bytes[4] = static_cast<char>(version);
    FrameStream stream;
    stream.Append(bytes);
    std::string error;
    EXPECT_FALSE(stream.Next(error).has_value());
    return error;
  };
  EXPECT_EQ(error_of({0, FrameType::kHello, 0}, 9), "frames of version 9, not 1");
  EXPECT_EQ(error_of({0, static_cast<FrameType>(99), 0}), "a frame of the unknown kind 99");
  EXPECT_NE(error_of({limits::kRunnerFrameBytes + 1, FrameType::kDone, 0}).find("at most"),
            std::string::npos);
  EXPECT_EQ(error_of({0, FrameType::kDone, 1}), "a frame with 1 descriptors");
  EXPECT_EQ(error_of({0, FrameType::kFiles, limits::kRunnerFilesPerFrame + 1}),
            "a frame with 129 descriptors");
}

}  // namespace
}  // namespace taskd::runner
