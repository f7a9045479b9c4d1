#include "worker/runner/op_call.h"

#include <cxxabi.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <typeinfo>
#include <utility>

#include "common/base/limits.h"

namespace taskd::runner {
namespace {

constexpr size_t kAlignment = 64;  // of a cache line, and of any vector
alignas(kAlignment) char no_bytes[kAlignment];

char* AllocateAligned(uint64_t size) {
  return static_cast<char*>(std::aligned_alloc(
      kAlignment, std::max<uint64_t>(1, (size + kAlignment - 1) / kAlignment) * kAlignment));
}

std::string NameOf(const std::exception& e) {
  int status = 0;
  char* name = abi::__cxa_demangle(typeid(e).name(), nullptr, nullptr, &status);
  std::string text = status == 0 ? name : typeid(e).name();
  std::free(name);
  return text;
}

bool Slice(const TaskMessage::Piece& piece, const std::vector<MappedFile>& files,
           std::string_view& bytes) {
  if (piece.file >= files.size()) return false;
  const std::string_view all = files[piece.file].bytes();
  if (piece.offset > all.size() || piece.length > all.size() - piece.offset) return false;
  bytes = {all.data() + piece.offset, piece.length};
  return true;
}

// The frames of a .tgraph file: u32 size, u32 crc and the bytes of each after 12 bytes of header, until a size of 0.
bool SplitGraph(std::string_view graph, std::vector<std::string_view>& frames) {
  constexpr std::string_view kMagic = "\x89TGRAPH\n";
  constexpr size_t kHeader = 12, kFrameHeader = 8;
  if (!graph.starts_with(kMagic) || graph.size() < kHeader) return false;
  graph.remove_prefix(kHeader);
  for (;;) {
    uint32_t size = 0;
    if (graph.size() < kFrameHeader) return false;
    std::memcpy(&size, graph.data(), sizeof size);
    if (size == 0) return true;
    graph.remove_prefix(kFrameHeader);
    if (size > graph.size()) return false;
    frames.push_back(graph.substr(0, size));
    graph.remove_prefix(size);
  }
}

}  // namespace

bool MappedFile::Map(int fd, const FileRange& range, std::string& error) {
  struct stat s;
  if (fstat(fd, &s) != 0 || range.offset + range.length > static_cast<uint64_t>(s.st_size)) {
    error = "the file of an input is shorter than the input: it was changed from outside";
    return false;
  }
  bytes_ = {no_bytes, 0};
  if (range.length == 0) return true;
  const uint64_t page = static_cast<uint64_t>(sysconf(_SC_PAGESIZE));
  const uint64_t begin = range.offset / page * page;
  mapped_bytes_ = range.offset - begin + range.length;
  base_ = mmap(nullptr, mapped_bytes_, PROT_READ, MAP_SHARED, fd, static_cast<off_t>(begin));
  if (base_ == MAP_FAILED) {
    base_ = nullptr;
    error = std::string("cannot map an input: ") + std::strerror(errno);
    return false;
  }
  bytes_ = {static_cast<char*>(base_) + (range.offset - begin), range.length};
  return true;
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : base_(std::exchange(other.base_, nullptr)),
      mapped_bytes_(other.mapped_bytes_),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile::~MappedFile() {
  if (base_ != nullptr) munmap(base_, mapped_bytes_);
}

OpCall::OpCall(const TaskMessage& task, const std::vector<MappedFile>& files, Hooks hooks)
    : hooks_(std::move(hooks)), output_folder_(task.output_folder), outputs_(task.outputs.size()) {
  for (const TaskMessage::Input& input : task.inputs) AddInput(input, files);
  for (const TaskMessage::Value& value : task.values)
    args_.push_back({Keep(value.name), Keep(value.value), value.value.size()});
  for (const TaskMessage::Output& output : task.outputs) {
    output_names_.push_back(Keep(output.name));
    output_parts_.push_back(output.parts);
  }
  op_.abi = TASKD_OP_ABI;
  op_.struct_size = sizeof op_;
  op_.key = Keep(task.key);
  op_.job = task.job;
  op_.attempt = task.attempt;
  op_.cpus = task.cpus;
  op_.input_count = static_cast<uint32_t>(inputs_.size());
  op_.arg_count = static_cast<uint32_t>(args_.size());
  op_.output_count = static_cast<uint32_t>(outputs_.size());
  op_.inputs = inputs_.data();
  op_.args = args_.data();
  op_.output_names = output_names_.data();
  op_.alloc = [](taskd_op* op, uint32_t output, uint64_t size) {
    return Of(op).Alloc(output, size);
  };
  op_.shrink = [](taskd_op* op, uint32_t output, uint64_t size) {
    return Of(op).Shrink(output, size);
  };
  op_.set_error = [](taskd_op* op, const char* text) {
    Of(op).error_ = text == nullptr ? "" : text;
  };
  op_.cancelled = [](taskd_op* op) { return Of(op).hooks_.cancelled() ? 1 : 0; };
  op_.progress = [](taskd_op* op, double done) {
    Of(op).hooks_.progress(done > 0 ? static_cast<uint32_t>(std::min(done, 1.0) * 1000) : 0);
  };
  op_.runner = this;
  op_.submit = [](taskd_op* op, const void* graph, uint64_t size, int early, uint32_t* job) {
    return Of(op).Submit({static_cast<const char*>(graph), size}, early != 0, job);
  };
  op_.await = [](taskd_op* op, const taskd_object* objects, uint32_t count) {
    return Of(op).Await(objects, count);
  };
  op_.get = [](taskd_op* op, taskd_object object) { return Of(op).Get(object); };
  op_.delegate = [](taskd_op* op, uint32_t output, uint32_t object) {
    return Of(op).Delegate(output, object);
  };
  op_.output_parts = output_parts_.data();
  op_.set_part_ends = [](taskd_op* op, uint32_t output, const uint64_t* ends, uint32_t count) {
    return Of(op).SetPartEnds(output, ends, count);
  };
  op_.put = [](taskd_op* op, const void* data, uint64_t size, taskd_object* object) {
    return Of(op).Put({static_cast<const char*>(data), size}, object);
  };
}

int OpCall::Wrong(std::string what) {
  error_ = std::move(what);
  return 1;
}

// The last answer's frame and file stay in got_.
bool OpCall::Ask(FrameType type, std::string payload, AnswerMessage& answer) {
  Got& got = *got_.emplace_back(std::make_unique<Got>());
  return hooks_.ask(type, std::move(payload), got.frame, answer, got.file, error_);
}

int OpCall::Submit(std::string_view graph, bool early, uint32_t* job) {
  std::vector<std::string_view> frames;
  if (!SplitGraph(graph, frames)) {
    return Wrong(
        "what is submitted is not the content of a .tgraph file: `taskctl graph compile` makes "
        "one");
  }
  const uint32_t number = graphs_++;
  for (size_t i = 0; i < frames.size(); ++i) {
    AnswerMessage answer;
    const bool taken = Ask(FrameType::kSubmit, EncodeSubmit({early, number, frames[i]}), answer);
    got_.pop_back();
    if (!taken) return 1;
    if (job != nullptr) *job = answer.job;
    if (i == 0) op_.first_object = answer.ordinal;
  }
  return 0;
}

int OpCall::Await(const taskd_object* objects, uint32_t count) {
  std::vector<ObjectName> names;
  for (uint32_t i = 0; i < count; ++i) names.push_back({objects[i].job, objects[i].object});
  AnswerMessage answer;
  const bool there = Ask(FrameType::kAwait, EncodeAwait(names), answer);
  got_.pop_back();
  return there ? 0 : 1;
}

const taskd_view* OpCall::Get(taskd_object object) {
  AnswerMessage answer;
  if (!Ask(FrameType::kGet, EncodeGet({object.job, object.object}), answer)) {
    got_.pop_back();
    return nullptr;
  }
  Got& got = *got_.back();
  const std::string_view bytes = answer.in_file ? got.file.bytes() : Aligned(answer.bytes);
  got.view.data = bytes.data();
  got.view.size = bytes.size();
  return &got.view;
}

int OpCall::Delegate(uint32_t output, uint32_t object) {
  if (output >= outputs_.size()) {
    return Wrong("there is no output number " + std::to_string(output) + ": the task has " +
                 std::to_string(outputs_.size()));
  }
  outputs_[output].delegated = true;
  hooks_.tell(FrameType::kDelegate, EncodeDelegate({output, op_.first_object + object}));
  return 0;
}

int OpCall::Put(std::string_view bytes, taskd_object* object) {
  const bool in_file = bytes.size() > limits::kHeapObjectBytes;
  if (in_file && !WritePut(bytes)) return 1;
  AnswerMessage answer;
  const bool taken =
      Ask(FrameType::kPut, EncodePut({in_file, in_file ? std::string_view() : bytes}), answer);
  got_.pop_back();
  if (!taken) return 1;
  *object = {answer.job, answer.ordinal};
  return 0;
}

bool OpCall::WritePut(std::string_view bytes) {
  auto fail = [&] {
    error_ = "no room for the " + std::to_string(bytes.size()) + " bytes that are put in " +
             output_folder_ + ": " + std::strerror(errno);
    return false;
  };
  if (!made_folder_ && mkdir(output_folder_.c_str(), 0700) != 0) return fail();
  made_folder_ = true;
  const std::string path = output_folder_ + "/" + std::string(kPutFile);
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return fail();
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      fail();
      close(fd);
      return false;
    }
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  close(fd);
  return true;
}

OpCall::~OpCall() {
  for (Output& output : outputs_) Release(output);
  for (void* copy : copies_) std::free(copy);
}

const char* OpCall::Keep(std::string_view text) {
  return texts_.emplace_back(std::make_unique<std::string>(text))->c_str();
}

std::string_view OpCall::Aligned(std::string_view bytes) {
  if (bytes.empty()) return {no_bytes, 0};
  char* copy = AllocateAligned(bytes.size());
  if (copy == nullptr) std::abort();
  std::memcpy(copy, bytes.data(), bytes.size());
  copies_.push_back(copy);
  return {copy, bytes.size()};
}

void OpCall::AddInput(const TaskMessage::Input& input, const std::vector<MappedFile>& files) {
  std::vector<taskd_view> views;
  for (const TaskMessage::Piece& piece : input.pieces) {
    std::string_view bytes;
    if (!piece.in_file) {
      bytes = Aligned(piece.bytes);
    } else if (!Slice(piece, files, bytes)) {
      sound_ = false;
      return;
    }
    const std::vector<uint64_t>& ends = part_ends_.emplace_back(piece.part_ends);
    views.push_back({bytes.data(), bytes.size(), ends.empty() ? nullptr : ends.data(),
                     static_cast<uint32_t>(ends.size())});
  }
  const std::vector<taskd_view>& kept = views_.emplace_back(std::move(views));
  inputs_.push_back(
      {Keep(input.name), kept.data(), static_cast<uint32_t>(kept.size()), input.collection});
}

int OpCall::Call(taskd_op_function function) {
  try {
    return function(&op_);
  } catch (const std::exception& e) {
    error_ = "it threw " + NameOf(e) + ": " + e.what();
  } catch (...) {
    error_ = "it threw an exception";
  }
  return 1;
}

void* OpCall::Alloc(uint32_t index, uint64_t size) {
  if (index >= outputs_.size()) {
    error_ = "there is no output number " + std::to_string(index) + ": the task has " +
             std::to_string(outputs_.size());
    return nullptr;
  }
  Output& output = outputs_[index];
  Release(output);
  if (size <= limits::kHeapObjectBytes && inline_bytes_ + size <= limits::kRunnerInlineBytes) {
    output.data = AllocateAligned(size);
    if (output.data == nullptr) {
      error_ = "out of memory";
      return nullptr;
    }
    inline_bytes_ += size;
  } else if (!AllocFile(output, index, size)) {
    return nullptr;
  }
  output.made = true;
  output.size = output.allocated = size;
  return output.data;
}

bool OpCall::AllocFile(Output& output, uint32_t index, uint64_t size) {
  auto fail = [&](int error) {
    error_ = "no room for the " + std::to_string(size) + " bytes of output '" +
             output_names_[index] + "' in " + output_folder_ + ": " + std::strerror(error);
    if (output.fd >= 0) close(std::exchange(output.fd, -1));
    return false;
  };
  if (!made_folder_ && mkdir(output_folder_.c_str(), 0700) != 0) return fail(errno);
  made_folder_ = true;
  const std::string path = output_folder_ + "/" + std::to_string(index);
  output.fd = open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (output.fd < 0) return fail(errno);
  // Reserved now: a full disk would be a SIGBUS in the middle of the function else.
  if (const int error = posix_fallocate(output.fd, 0, static_cast<off_t>(size)); error != 0)
    return fail(error);
  void* data = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, output.fd, 0);
  if (data == MAP_FAILED) return fail(errno);
  output.data = static_cast<char*>(data);
  return true;
}

int OpCall::Shrink(uint32_t index, uint64_t size) {
  if (index >= outputs_.size() || !outputs_[index].made || size > outputs_[index].allocated) {
    error_ =
        "output number " + std::to_string(index) + " has fewer bytes than " + std::to_string(size);
    return 1;
  }
  outputs_[index].size = size;
  return 0;
}

int OpCall::SetPartEnds(uint32_t index, const uint64_t* ends, uint32_t count) {
  if (index >= outputs_.size() || !outputs_[index].made) {
    error_ = "output number " + std::to_string(index) + " has no bytes yet that could have parts";
  } else if (count != output_parts_[index]) {
    error_ = std::string("output '") + output_names_[index] + "' has " +
             std::to_string(output_parts_[index]) + " parts, not " + std::to_string(count);
  } else if (!std::is_sorted(ends, ends + count)) {
    error_ = std::string("the parts of output '") + output_names_[index] +
             "' do not end one after the other";
  } else {
    outputs_[index].part_ends.assign(ends, ends + count);
    return 0;
  }
  return 1;
}

// False: error_ says what is wrong.
bool OpCall::CheckParts(size_t index) {
  const Output& output = outputs_[index];
  if (output_parts_[index] == 0) return true;
  if (!output.part_ends.empty() && output.part_ends.back() == output.size) return true;
  error_ = std::string("output '") + output_names_[index] + "' has " +
           std::to_string(output_parts_[index]) + " parts, and ";
  error_ += output.part_ends.empty()
                ? "the function returned 0 without set_part_ends for it"
                : "the last one ends at " + std::to_string(output.part_ends.back()) +
                      ", not at its " + std::to_string(output.size) + " bytes";
  return false;
}

void OpCall::Release(Output& output) {
  if (output.fd >= 0) {
    if (output.data != nullptr) munmap(output.data, output.allocated);
    close(output.fd);
  } else if (output.data != nullptr) {
    inline_bytes_ -= output.allocated;
    std::free(output.data);
  }
  output = {};
}

bool OpCall::Finish(std::vector<DoneMessage::Output>& outputs, FailedMessage& failed) {
  for (size_t i = 0; i < outputs_.size(); ++i) {
    Output& output = outputs_[i];
    if (output.delegated) {
      outputs.push_back({false, {}});
      continue;
    }
    if (!output.made) {
      failed.error = TaskError::kOutputMissing;
      error_ = std::string("output '") + output_names_[i] +
               "' was not made: the function returned 0 without an alloc for it";
      failed.message = error_;
      return false;
    }
    if (!CheckParts(i)) {
      failed.error = TaskError::kOutputMissing;
      failed.message = error_;
      return false;
    }
    if (output.fd < 0) {
      outputs.push_back({false, {output.data, output.size}, output.part_ends});
      continue;
    }
    if (output.size != output.allocated &&
        ftruncate(output.fd, static_cast<off_t>(output.size)) != 0) {
      failed.error = TaskError::kStore;
      error_ =
          std::string("cannot shrink output '") + output_names_[i] + "': " + std::strerror(errno);
      failed.message = error_;
      return false;
    }
    // Before the worker takes it: what a mapping still writes would change the file's time.
    munmap(std::exchange(output.data, nullptr), output.allocated);
    outputs.push_back({true, {}, output.part_ends});
  }
  return true;
}

}  // namespace taskd::runner
