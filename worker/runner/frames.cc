#include "worker/runner/frames.h"

#include <bit>
#include <cstring>
#include <type_traits>

#include "common/base/limits.h"

namespace taskd::runner {
namespace {

static_assert(std::endian::native == std::endian::little, "frames are little-endian");

// The payload so far.
class FrameWriter {
 public:
  template <typename T>
  requires std::is_integral_v<T> FrameWriter& Number(T value) {
    bytes_.append(reinterpret_cast<const char*>(&value), sizeof value);
    return *this;
  }
  FrameWriter& Bytes(std::string_view text) {
    Number(static_cast<uint32_t>(text.size()));
    bytes_.append(text);
    return *this;
  }
  std::string Take() { return std::move(bytes_); }

 private:
  std::string bytes_;
};

// Reads what a FrameWriter wrote; after the first thing that is wrong everything is empty, and Finish says so.
class FrameCursor {
 public:
  explicit FrameCursor(std::string_view payload) : rest_(payload) {}

  template <typename T>
  requires std::is_integral_v<T> FrameCursor& Number(T& value) {
    value = 0;
    if (rest_.size() < sizeof value) return Break();
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return *this;
  }
  FrameCursor& Flag(bool& value) {
    uint8_t byte = 0;
    Number(byte);
    value = byte == 1;
    return byte > 1 ? Break() : *this;
  }
  FrameCursor& Bytes(std::string_view& text) {
    uint32_t size = 0;
    Number(size);
    if (rest_.size() < size) return Break();
    text = rest_.substr(0, size);
    rest_.remove_prefix(size);
    return *this;
  }
  // The elements of a list, of which each takes at least `smallest` bytes: a count that cannot be true costs nothing.
  template <typename T, typename Read>
  FrameCursor& List(std::vector<T>& list, size_t smallest, Read read) {
    uint32_t count = 0;
    Number(count);
    if (count > rest_.size() / smallest) return Break();
    list.resize(count);
    for (T& item : list) read(item);
    return *this;
  }
  FrameCursor& Break() {
    broken_ = true;
    rest_ = {};
    return *this;
  }
  bool Finish(const char* what, std::string& error) {
    if (!broken_ && rest_.empty()) return true;
    error = std::string("a frame of kind '") + what +
            (broken_ ? "' is damaged" : "' has bytes left over");
    return false;
  }

 private:
  std::string_view rest_;
  bool broken_ = false;
};

void WriteLeftovers(FrameWriter& writer, const Leftovers& left) {
  writer.Number(uint8_t{left.folders}).Number(uint8_t{left.processes});
}

uint16_t MostFiles(FrameType type) {
  if (type == FrameType::kFiles) return limits::kRunnerFilesPerFrame;
  return type == FrameType::kAnswer ? 1 : 0;
}

bool IsKnown(uint8_t type) {
  switch (static_cast<FrameType>(type)) {
    case FrameType::kFiles:
    case FrameType::kTask:
    case FrameType::kHello:
    case FrameType::kProgress:
    case FrameType::kDone:
    case FrameType::kFailed:
    case FrameType::kSubmit:
    case FrameType::kAwait:
    case FrameType::kGet:
    case FrameType::kDelegate:
    case FrameType::kPut:
    case FrameType::kAnswer:
      return true;
  }
  return false;
}

}  // namespace

std::string EncodeHeader(const FrameHeader& header) {
  return FrameWriter()
      .Number(header.payload_bytes)
      .Number(kFramesVersion)
      .Number(static_cast<uint8_t>(header.type))
      .Number(header.files)
      .Take();
}

bool DecodeHeader(std::string_view bytes, FrameHeader& header, std::string& error) {
  uint8_t version = 0, type = 0;
  FrameCursor cursor(bytes);
  cursor.Number(header.payload_bytes).Number(version).Number(type).Number(header.files);
  if (!cursor.Finish("header", error)) return false;
  header.type = static_cast<FrameType>(type);
  if (version != kFramesVersion) {
    error =
        "frames of version " + std::to_string(version) + ", not " + std::to_string(kFramesVersion);
  } else if (!IsKnown(type)) {
    error = "a frame of the unknown kind " + std::to_string(type);
  } else if (header.payload_bytes > limits::kRunnerFrameBytes) {
    error = "a frame of " + std::to_string(header.payload_bytes) + " bytes; at most " +
            std::to_string(limits::kRunnerFrameBytes) + " are allowed";
  } else if (header.files > MostFiles(header.type)) {
    error = "a frame with " + std::to_string(header.files) + " descriptors";
  }
  return error.empty();
}

std::optional<FrameStream::Frame> FrameStream::Next(std::string& error) {
  const std::string_view rest = std::string_view(buffer_).substr(begin_);
  Frame frame;
  if (rest.size() < kHeaderBytes) return std::nullopt;
  if (!DecodeHeader(rest.substr(0, kHeaderBytes), frame.header, error)) return std::nullopt;
  if (rest.size() - kHeaderBytes < frame.header.payload_bytes) return std::nullopt;
  frame.payload = rest.substr(kHeaderBytes, frame.header.payload_bytes);
  begin_ += kHeaderBytes + frame.payload.size();
  if (begin_ == buffer_.size()) {
    buffer_.clear();
    begin_ = 0;
  }
  return frame;
}

std::string EncodeFiles(const std::vector<FileRange>& ranges) {
  FrameWriter writer;
  writer.Number(static_cast<uint32_t>(ranges.size()));
  for (const FileRange& range : ranges) writer.Number(range.offset).Number(range.length);
  return writer.Take();
}

bool DecodeFiles(std::string_view payload, std::vector<FileRange>& ranges, std::string& error) {
  FrameCursor cursor(payload);
  cursor.List(ranges, 16, [&](FileRange& range) {
    cursor.Number(range.offset).Number(range.length);
    if (range.length > UINT64_MAX - range.offset) cursor.Break();
  });
  return cursor.Finish("files", error);
}

std::string EncodeTask(const TaskMessage& task) {
  FrameWriter writer;
  writer.Bytes(task.key).Number(task.job).Number(task.attempt).Number(task.cpus);
  writer.Bytes(task.folder).Bytes(task.output_folder).Bytes(task.library).Bytes(task.function);
  writer.Number(task.code_id).Bytes(task.code);
  writer.Number(static_cast<uint32_t>(task.values.size()));
  for (const TaskMessage::Value& value : task.values) writer.Bytes(value.name).Bytes(value.value);
  writer.Number(static_cast<uint32_t>(task.inputs.size()));
  for (const TaskMessage::Input& input : task.inputs) {
    writer.Bytes(input.name).Number(uint8_t{input.collection});
    writer.Number(static_cast<uint32_t>(input.pieces.size()));
    for (const TaskMessage::Piece& piece : input.pieces) {
      writer.Number(uint8_t{piece.in_file}).Number(piece.file);
      writer.Number(piece.offset).Number(piece.length).Bytes(piece.bytes);
      writer.Number(static_cast<uint32_t>(piece.part_ends.size()));
      for (uint64_t end : piece.part_ends) writer.Number(end);
    }
  }
  writer.Number(static_cast<uint32_t>(task.outputs.size()));
  for (const TaskMessage::Output& output : task.outputs)
    writer.Bytes(output.name).Number(output.parts);
  return writer.Take();
}

bool DecodeTask(std::string_view payload, TaskMessage& task, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Bytes(task.key).Number(task.job).Number(task.attempt).Number(task.cpus);
  cursor.Bytes(task.folder).Bytes(task.output_folder).Bytes(task.library).Bytes(task.function);
  cursor.Number(task.code_id).Bytes(task.code);
  cursor.List(task.values, 8,
              [&](TaskMessage::Value& value) { cursor.Bytes(value.name).Bytes(value.value); });
  cursor.List(task.inputs, 9, [&](TaskMessage::Input& input) {
    cursor.Bytes(input.name).Flag(input.collection);
    cursor.List(input.pieces, 29, [&](TaskMessage::Piece& piece) {
      cursor.Flag(piece.in_file).Number(piece.file);
      cursor.Number(piece.offset).Number(piece.length).Bytes(piece.bytes);
      cursor.List(piece.part_ends, 8, [&](uint64_t& end) { cursor.Number(end); });
    });
  });
  cursor.List(task.outputs, 8,
              [&](TaskMessage::Output& output) { cursor.Bytes(output.name).Number(output.parts); });
  return cursor.Finish("task", error);
}

std::string EncodeProgress(uint32_t milli) { return FrameWriter().Number(milli).Take(); }

bool DecodeProgress(std::string_view payload, uint32_t& milli, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Number(milli);
  return cursor.Finish("progress", error);
}

std::string EncodeDone(const DoneMessage& done) {
  FrameWriter writer;
  writer.Number(static_cast<uint32_t>(done.outputs.size()));
  for (const DoneMessage::Output& output : done.outputs) {
    writer.Number(uint8_t{output.in_file}).Bytes(output.bytes);
    writer.Number(static_cast<uint32_t>(output.part_ends.size()));
    for (uint64_t end : output.part_ends) writer.Number(end);
  }
  WriteLeftovers(writer, done.left);
  return writer.Take();
}

bool DecodeDone(std::string_view payload, DoneMessage& done, std::string& error) {
  FrameCursor cursor(payload);
  cursor.List(done.outputs, 9, [&](DoneMessage::Output& output) {
    cursor.Flag(output.in_file).Bytes(output.bytes);
    cursor.List(output.part_ends, 8, [&](uint64_t& end) { cursor.Number(end); });
  });
  cursor.Flag(done.left.folders).Flag(done.left.processes);
  return cursor.Finish("done", error);
}

std::string EncodeSubmit(const SubmitMessage& submit) {
  return FrameWriter()
      .Number(uint8_t{submit.early})
      .Number(submit.graph)
      .Bytes(submit.frame)
      .Take();
}

bool DecodeSubmit(std::string_view payload, SubmitMessage& submit, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Flag(submit.early).Number(submit.graph).Bytes(submit.frame);
  return cursor.Finish("submit", error);
}

std::string EncodeAwait(const std::vector<ObjectName>& objects) {
  FrameWriter writer;
  writer.Number(static_cast<uint32_t>(objects.size()));
  for (const ObjectName& object : objects) writer.Number(object.job).Number(object.ordinal);
  return writer.Take();
}

bool DecodeAwait(std::string_view payload, std::vector<ObjectName>& objects, std::string& error) {
  FrameCursor cursor(payload);
  cursor.List(objects, 8,
              [&](ObjectName& object) { cursor.Number(object.job).Number(object.ordinal); });
  return cursor.Finish("await", error);
}

std::string EncodeGet(const ObjectName& object) {
  return FrameWriter().Number(object.job).Number(object.ordinal).Take();
}

bool DecodeGet(std::string_view payload, ObjectName& object, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Number(object.job).Number(object.ordinal);
  return cursor.Finish("get", error);
}

std::string EncodeDelegate(const DelegateMessage& delegate) {
  return FrameWriter().Number(delegate.output).Number(delegate.ordinal).Take();
}

bool DecodeDelegate(std::string_view payload, DelegateMessage& delegate, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Number(delegate.output).Number(delegate.ordinal);
  return cursor.Finish("delegate", error);
}

std::string EncodePut(const PutMessage& put) {
  return FrameWriter().Number(uint8_t{put.in_file}).Bytes(put.bytes).Take();
}

bool DecodePut(std::string_view payload, PutMessage& put, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Flag(put.in_file).Bytes(put.bytes);
  return cursor.Finish("put", error);
}

std::string EncodeAnswer(const AnswerMessage& answer) {
  return FrameWriter()
      .Bytes(answer.error)
      .Number(answer.job)
      .Number(answer.ordinal)
      .Number(uint8_t{answer.in_file})
      .Number(answer.range.offset)
      .Number(answer.range.length)
      .Bytes(answer.bytes)
      .Take();
}

bool DecodeAnswer(std::string_view payload, AnswerMessage& answer, std::string& error) {
  FrameCursor cursor(payload);
  cursor.Bytes(answer.error).Number(answer.job).Number(answer.ordinal).Flag(answer.in_file);
  cursor.Number(answer.range.offset).Number(answer.range.length).Bytes(answer.bytes);
  return cursor.Finish("answer", error);
}

std::string EncodeFailed(const FailedMessage& failed) {
  FrameWriter writer;
  writer.Number(static_cast<uint8_t>(failed.error)).Number(failed.code);
  writer.Bytes(failed.message).Bytes(failed.exception);
  WriteLeftovers(writer, failed.left);
  return writer.Take();
}

bool DecodeFailed(std::string_view payload, FailedMessage& failed, std::string& error) {
  FrameCursor cursor(payload);
  uint8_t kind = 0;
  cursor.Number(kind).Number(failed.code).Bytes(failed.message).Bytes(failed.exception);
  if (kind < 1 || kind > 5) cursor.Break();
  failed.error = static_cast<TaskError>(kind);
  cursor.Flag(failed.left.folders).Flag(failed.left.processes);
  return cursor.Finish("failed", error);
}

}  // namespace taskd::runner
