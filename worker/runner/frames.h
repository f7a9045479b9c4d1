// What a worker and its runners say to each other over the socket that a runner inherits as descriptor
// kRunnerSocket: frames of our own, read by C++ (frames.cc) and Python (taskd_runner.py). The README has the bytes.
//
// Encoders give the payload; decoders check every length and count, and their results point into the
// payload. Neither side trusts the other: user code shares the runner's process.
#ifndef TASKD_WORKER_RUNNER_FRAMES_H_
#define TASKD_WORKER_RUNNER_FRAMES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace taskd::runner {

inline constexpr int kRunnerSocket = 3;
inline constexpr uint8_t kFramesVersion = 1;
inline constexpr size_t kHeaderBytes = 8;

// 32 to 47 are what a running task asks for, 48 to 63 the answers.
enum class FrameType : uint8_t {
  // To the runner.
  kFiles = 1,  // descriptors of inputs, before the task that reads them
  kTask = 2,
  // From the runner.
  kHello = 16,  // once, first
  kProgress = 17,
  kDone = 18,    // the task ended well
  kFailed = 19,  // or not
  // From the runner, while a task runs. Each but kDelegate is answered, and the next one waits for the answer.
  kSubmit = 32,
  kAwait = 33,
  kGet = 34,
  kDelegate = 35,
  kPut = 36,
  // To the runner.
  kAnswer = 48,
};

struct FrameHeader {
  uint32_t payload_bytes = 0;
  FrameType type = FrameType::kHello;
  uint16_t files = 0;  // descriptors that come with it
};

std::string EncodeHeader(const FrameHeader& header);
// False: `error` says what is wrong. `bytes` has kHeaderBytes.
bool DecodeHeader(std::string_view bytes, FrameHeader& header, std::string& error);

// Cuts a stream of bytes into frames.
class FrameStream {
 public:
  struct Frame {
    FrameHeader header;
    std::string payload;
  };
  void Append(std::string_view bytes) { buffer_.append(bytes); }
  // Nullopt: more bytes are needed, or `error` is set and the stream is of no use any more.
  std::optional<Frame> Next(std::string& error);

 private:
  std::string buffer_;
  size_t begin_ = 0;
};

// Bytes [offset, offset + length) of each descriptor of the frame. They are numbered on until the next task.
struct FileRange {
  uint64_t offset = 0, length = 0;
};
std::string EncodeFiles(const std::vector<FileRange>& ranges);
bool DecodeFiles(std::string_view payload, std::vector<FileRange>& ranges, std::string& error);

struct TaskMessage {
  struct Value {
    std::string_view name, value;
  };
  struct Piece {
    bool in_file = false;
    uint32_t file = 0;  // number of its range, and where in it
    uint64_t offset = 0, length = 0;
    std::string_view bytes;  // else
    std::vector<uint64_t> part_ends;
  };
  struct Input {
    std::string_view name;
    bool collection = false;
    std::vector<Piece> pieces;
  };
  struct Output {
    std::string_view name;
    uint32_t parts = 0;  // 0: not in parts
  };

  std::string_view key;
  uint32_t job = 0, attempt = 0, cpus = 0;
  std::string_view folder;         // to make and to work in
  std::string_view output_folder;  // to make when an output becomes a file, named by its number
  std::string_view library;   // native: the library; python: a folder to import from, may be empty
  std::string_view function;  // python: module:function; empty: the code
  uint64_t code_id = 0;       // python: of a pickled callable; 0: none
  std::string_view code;      // empty: the runner has had it
  std::vector<Value> values;
  std::vector<Input> inputs;
  std::vector<Output> outputs;
};
std::string EncodeTask(const TaskMessage& task);
bool DecodeTask(std::string_view payload, TaskMessage& task, std::string& error);

// In thousandths.
std::string EncodeProgress(uint32_t milli);
bool DecodeProgress(std::string_view payload, uint32_t& milli, std::string& error);

// What a runner left of a task.
struct Leftovers {
  bool folders = false;    // its folders, or one of them
  bool processes = false;  // processes that it started: the runner ends with them
};

struct DoneMessage {
  struct Output {
    bool in_file = false;    // of the output folder, named by the output's number
    std::string_view bytes;  // else
    std::vector<uint64_t> part_ends = {};
  };
  std::vector<Output> outputs;
  Leftovers left;
};
std::string EncodeDone(const DoneMessage& done);
bool DecodeDone(std::string_view payload, DoneMessage& done, std::string& error);

// The next batch of the graph that the task submits.
struct SubmitMessage {
  bool early = false;
  uint32_t graph = 0;      // any number, the same for the batches of one graph
  std::string_view frame;  // one zstd-compressed GraphBatch
};
std::string EncodeSubmit(const SubmitMessage& submit);
bool DecodeSubmit(std::string_view payload, SubmitMessage& submit, std::string& error);

struct ObjectName {
  uint32_t job = 0, ordinal = 0;
};
std::string EncodeAwait(const std::vector<ObjectName>& objects);
bool DecodeAwait(std::string_view payload, std::vector<ObjectName>& objects, std::string& error);
std::string EncodeGet(const ObjectName& object);
bool DecodeGet(std::string_view payload, ObjectName& object, std::string& error);

// Output number `output` is this object of what the task submitted: what Done says of it does not count.
struct DelegateMessage {
  uint32_t output = 0, ordinal = 0;
};
std::string EncodeDelegate(const DelegateMessage& delegate);
bool DecodeDelegate(std::string_view payload, DelegateMessage& delegate, std::string& error);

// Its bytes become an object of what the task submits, early.
struct PutMessage {
  bool in_file = false;    // of the output folder, named kPutFile
  std::string_view bytes;  // else
};
inline constexpr std::string_view kPutFile = "put";
std::string EncodePut(const PutMessage& put);
bool DecodePut(std::string_view payload, PutMessage& put, std::string& error);

struct AnswerMessage {
  std::string_view error;  // empty: it was done
  // kSubmit of an early one, and kPut: whose objects they are, and the first of them.
  uint32_t job = 0, ordinal = 0;
  // kGet: the object, in the file that comes with the frame, or here.
  bool in_file = false;
  FileRange range;
  std::string_view bytes;
};
std::string EncodeAnswer(const AnswerMessage& answer);
bool DecodeAnswer(std::string_view payload, AnswerMessage& answer, std::string& error);

enum class TaskError : uint8_t {
  kFailed = 1,         // the function said so
  kCannotStart = 2,    // no such library, module or function
  kBadBody = 3,        // the task is not what the runner can run
  kOutputMissing = 4,  // the function did not make one of its outputs, or made what cannot be kept
  kStore = 5,          // no room
};
struct FailedMessage {
  TaskError error = TaskError::kFailed;
  int32_t code = 0;  // what the function returned
  std::string_view message;
  std::string_view exception;  // python: pickled
  Leftovers left;
};
std::string EncodeFailed(const FailedMessage& failed);
bool DecodeFailed(std::string_view payload, FailedMessage& failed, std::string& error);

}  // namespace taskd::runner

#endif  // TASKD_WORKER_RUNNER_FRAMES_H_
