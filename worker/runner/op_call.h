// One call of a function of a library (taskd_op.h): its arguments, its outputs, its error.
#ifndef TASKD_WORKER_RUNNER_OP_CALL_H_
#define TASKD_WORKER_RUNNER_OP_CALL_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "worker/runner/frames.h"
#include "worker/runner/taskd_op.h"

namespace taskd::runner {

// The bytes of a file that were mapped.
class MappedFile {
 public:
  // `fd` may be closed afterwards. False: `error` says why.
  bool Map(int fd, const FileRange& range, std::string& error);
  MappedFile() = default;
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&&) = delete;
  ~MappedFile();
  std::string_view bytes() const { return bytes_; }

 private:
  void* base_ = nullptr;
  size_t mapped_bytes_ = 0;
  std::string_view bytes_;
};

class OpCall {
 public:
  struct Hooks {
    std::function<bool()> cancelled;
    std::function<void(uint32_t milli)> progress;
    // A request to the worker, and its answer, that points into `frame`; a file that comes with it is mapped.
    // False: `error` says what the worker says.
    std::function<bool(FrameType type, std::string payload, FrameStream::Frame& frame,
                       AnswerMessage& answer, MappedFile& file, std::string& error)>
        ask;
    std::function<void(FrameType type, std::string payload)> tell;
  };
  // `task` points into a payload that outlives this, as `files` do.
  OpCall(const TaskMessage& task, const std::vector<MappedFile>& files, Hooks hooks);
  ~OpCall();
  OpCall(const OpCall&) = delete;
  OpCall& operator=(const OpCall&) = delete;

  // False: the task names a file that did not come.
  bool sound() const { return sound_; }
  // What it returned; an exception is 1 and an error text.
  int Call(taskd_op_function function);
  const std::string& error() const { return error_; }

  // After a success: what goes into the answer; valid as long as this. False: `failed` says why.
  bool Finish(std::vector<DoneMessage::Output>& outputs, FailedMessage& failed);
  bool made_output_folder() const { return made_folder_; }

 private:
  struct Output {
    bool made = false;
    int fd = -1;  // -1: on the heap
    char* data = nullptr;
    uint64_t size = 0, allocated = 0;
    bool delegated = false;
    std::vector<uint64_t> part_ends;
  };
  // An object that the function asked for.
  struct Got {
    FrameStream::Frame frame;
    MappedFile file;
    taskd_view view = {};
  };

  void AddInput(const TaskMessage::Input& input, const std::vector<MappedFile>& files);
  std::string_view Aligned(std::string_view bytes);
  void* Alloc(uint32_t index, uint64_t size);
  bool AllocFile(Output& output, uint32_t index, uint64_t size);
  int Shrink(uint32_t index, uint64_t size);
  int SetPartEnds(uint32_t index, const uint64_t* ends, uint32_t count);
  bool CheckParts(size_t index);
  void Release(Output& output);
  bool Ask(FrameType type, std::string payload, AnswerMessage& answer);
  int Submit(std::string_view graph, bool early, uint32_t* job);
  int Await(const taskd_object* objects, uint32_t count);
  const taskd_view* Get(taskd_object object);
  int Delegate(uint32_t output, uint32_t object);
  int Put(std::string_view bytes, taskd_object* object);
  bool WritePut(std::string_view bytes);
  int Wrong(std::string what);
  const char* Keep(std::string_view text);  // with a zero byte behind it
  static OpCall& Of(taskd_op* op) { return *static_cast<OpCall*>(op->runner); }

  taskd_op op_ = {};
  const Hooks hooks_;
  const std::string output_folder_;
  bool sound_ = true, made_folder_ = false;
  uint64_t inline_bytes_ = 0;  // of outputs on the heap
  std::string error_;
  std::vector<std::unique_ptr<std::string>> texts_;
  std::vector<void*> copies_;  // of small inputs, where they are aligned
  std::vector<std::vector<taskd_view>> views_;
  std::vector<std::vector<uint64_t>> part_ends_;
  std::vector<taskd_input> inputs_;
  std::vector<taskd_arg> args_;
  std::vector<const char*> output_names_;
  std::vector<uint32_t> output_parts_;
  std::vector<Output> outputs_;
  std::vector<std::unique_ptr<Got>> got_;
  uint32_t graphs_ = 0;  // that were submitted
};

}  // namespace taskd::runner

#endif  // TASKD_WORKER_RUNNER_OP_CALL_H_
