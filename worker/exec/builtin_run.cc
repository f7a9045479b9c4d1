// The built-in bodies that take time: sleep waits on a timer, the others use a thread of the
// compute pool.
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <string_view>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/hash.h"
#include "common/base/prng.h"
#include "common/base/text.h"
#include "taskd/v1/graph.pb.h"
#include "worker/exec/run.h"

namespace taskd::worker {
namespace {

class SleepRun : public Run, public std::enable_shared_from_this<SleepRun> {
 public:
  SleepRun(ExecContext& context, std::shared_ptr<const ExecRequest> request)
      : context_(context), request_(std::move(request)) {}

  void Start() override {
    start_ns_ = MonotonicNs();
    const uint64_t duration = request_->body->builtin().duration_ns(),
                   limit = request_->assignment.time_limit_ns;
    timed_out_ = limit != 0 && limit < duration;
    const uint64_t due = start_ns_ + (timed_out_ ? limit : duration);
    context_.reactor.Post([self = shared_from_this(), due] {
      if (self->ended_) return;
      self->timer_ = self->context_.reactor.AddTimer(due, [self] { self->End(false); });
    });
  }

  void Kill() override {
    context_.reactor.Post([self = shared_from_this()] {
      if (self->ended_) return;
      self->context_.reactor.CancelTimer(self->timer_);
      self->End(true);
    });
  }

 private:
  void End(bool killed) {
    ended_ = true;
    const uint64_t run_ns = MonotonicNs() - start_ns_;
    context_.done(killed       ? CancelledDone(*request_, run_ns)
                  : timed_out_ ? TimeoutDone(*request_, run_ns)
                               : EmptyDone(context_.store, *request_, run_ns));
  }

  ExecContext& context_;
  const std::shared_ptr<const ExecRequest> request_;
  uint64_t start_ns_ = 0;
  bool timed_out_ = false;
  bool ended_ = false;    // reactor's thread
  Reactor::Timer timer_;  // reactor's thread
};

class ComputeRun : public Run, public std::enable_shared_from_this<ComputeRun> {
 public:
  ComputeRun(ExecContext& context, std::shared_ptr<const ExecRequest> request)
      : context_(context), request_(std::move(request)) {}

  void Start() override {
    context_.compute.Post([self = shared_from_this()] { self->context_.done(self->Compute()); });
  }
  void Kill() override { killed_ = true; }

 private:
  using Sink = absl::FunctionRef<absl::Status(std::string_view)>;

  event::ExecDone Compute() {
    const Assignment& a = request_->assignment;
    start_ns_ = MonotonicNs();
    if (a.time_limit_ns != 0) deadline_ns_ = start_ns_ + a.time_limit_ns;
    const std::string& name = request_->body->builtin().name();
    std::vector<StoredOutput> outputs;
    ExecError error;
    if (name == "busy") {
      while (!Stopped() && MonotonicNs() - start_ns_ < request_->body->builtin().duration_ns()) {
      }
    } else if (name == "generate") {
      error = Generate(outputs);
    } else if (a.output_count != 1) {
      error = BadBody(StrCat("'", name, "' makes one output, the task has ", a.output_count));
    } else {
      error = name == "concat" ? Concat(outputs) : Checksum(outputs);
    }
    const uint64_t run_ns = MonotonicNs() - start_ns_;
    if (Stopped()) {
      for (uint32_t i = 0; i < outputs.size(); ++i) context_.store.Drop(OutputKey(a, i));
      return killed_ ? CancelledDone(*request_, run_ns) : TimeoutDone(*request_, run_ns);
    }
    if (!error.ok()) return FailedDone(*request_, std::move(error), run_ns);
    if (name == "busy") return EmptyDone(context_.store, *request_, run_ns);
    event::ExecDone done;
    done.attempt = a.attempt;
    done.run_ns = run_ns;
    done.outputs = std::move(outputs);
    return done;
  }

  // `size_bytes` of noise an output: the same for the same key, so that every attempt makes the
  // same bytes.
  ExecError Generate(std::vector<StoredOutput>& outputs) {
    const uint64_t size = request_->body->builtin().size_bytes();
    for (uint32_t i = 0; i < request_->assignment.output_count; ++i) {
      Prng prng(HashBytes(i, request_->key));
      std::unique_ptr<ObjectWriter> writer = context_.store.NewWriter(size);
      std::string chunk;
      for (uint64_t done = 0; done < size && !Stopped(); done += chunk.size()) {
        chunk.clear();
        const uint64_t n = std::min<uint64_t>(size - done, limits::kChunkBytes);
        while (chunk.size() < n) {
          const uint64_t word = prng.Next();
          chunk.append(reinterpret_cast<const char*>(&word),
                       std::min<uint64_t>(sizeof word, n - chunk.size()));
        }
        if (absl::Status s = writer->Append(chunk); !s.ok()) return Undo(outputs, s);
      }
      absl::StatusOr<StoredOutput> info =
          context_.store.Commit(OutputKey(request_->assignment, i), std::move(writer));
      if (!info.ok()) return Undo(outputs, info.status());
      outputs.push_back(*info);
    }
    return {};
  }

  ExecError Concat(std::vector<StoredOutput>& outputs) {
    std::unique_ptr<ObjectWriter> writer = context_.store.NewWriter();
    absl::Status write;
    ExecError error = ReadInputs(
        [&](std::string_view bytes) { return write = writer->Append(bytes); }, [](auto...) {});
    if (!write.ok()) return Undo(outputs, write);
    if (!error.ok()) return error;
    return CommitOnly(std::move(writer), outputs);
  }

  // One line an input: its crc32c and size.
  ExecError Checksum(std::vector<StoredOutput>& outputs) {
    std::string text;
    uint32_t crc = 0;
    auto extend = [&](std::string_view bytes) {
      crc = ExtendCrc32c(crc, bytes.data(), bytes.size());
      return absl::OkStatus();
    };
    ExecError error = ReadInputs(extend, [&](uint64_t size) {
      char line[64];
      std::snprintf(line, sizeof line, "%08x %llu\n", crc, static_cast<unsigned long long>(size));
      text += line;
      crc = 0;
    });
    if (!error.ok()) return error;
    std::unique_ptr<ObjectWriter> writer = context_.store.NewWriter();
    if (absl::Status s = writer->Append(text); !s.ok()) return Undo(outputs, s);
    return CommitOnly(std::move(writer), outputs);
  }

  // Every input's bytes in order; `next` after each input.
  ExecError ReadInputs(Sink sink, absl::FunctionRef<void(uint64_t size)> next) {
    const Assignment& a = request_->assignment;
    for (const InputEdge& edge : a.edges) {
      for (uint32_t i = 0; i < edge.count && !Stopped(); ++i) {
        const LocalKey key{a.objects[edge.first + i].id, edge.parts};
        ByteRange range;
        absl::StatusOr<ObjectReader> reader = context_.store.GetCovering(key, range);
        if (reader.status().code() == absl::StatusCode::kOutOfRange) {
          return BadBody(std::string(reader.status().message()));
        }
        if (!reader.ok()) return {FailureClass::kInputLost, std::string(reader.status().message())};
        absl::Status read = reader->Stream(range, sink);
        if (read.code() == absl::StatusCode::kDataLoss) {
          context_.store.ReportLost(key.id);
          return {FailureClass::kInputLost, std::string(read.message())};
        }
        if (!read.ok()) return {FailureClass::kStore, std::string(read.message())};
        next(range.length);
      }
    }
    return {};
  }

  ExecError CommitOnly(std::unique_ptr<ObjectWriter> writer, std::vector<StoredOutput>& outputs) {
    absl::StatusOr<StoredOutput> info =
        context_.store.Commit(OutputKey(request_->assignment, 0), std::move(writer));
    if (!info.ok()) return Undo(outputs, info.status());
    outputs.push_back(*info);
    return {};
  }

  ExecError Undo(std::vector<StoredOutput>& outputs, const absl::Status& status) {
    for (uint32_t i = 0; i < outputs.size(); ++i)
      context_.store.Drop(OutputKey(request_->assignment, i));
    outputs.clear();
    return {FailureClass::kStore, std::string(status.message())};
  }

  bool Stopped() const {
    return killed_.load(std::memory_order_relaxed) || MonotonicNs() >= deadline_ns_;
  }

  ExecContext& context_;
  const std::shared_ptr<const ExecRequest> request_;
  std::atomic<bool> killed_{false};
  uint64_t start_ns_ = 0;
  uint64_t deadline_ns_ = ~uint64_t{0};
};

}  // namespace

std::shared_ptr<Run> MakeSleepRun(ExecContext& context,
                                  std::shared_ptr<const ExecRequest> request) {
  return std::make_shared<SleepRun>(context, std::move(request));
}

std::shared_ptr<Run> MakeComputeRun(ExecContext& context,
                                    std::shared_ptr<const ExecRequest> request) {
  return std::make_shared<ComputeRun>(context, std::move(request));
}

}  // namespace taskd::worker
