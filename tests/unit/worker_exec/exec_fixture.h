// An executor over a store in a folder of its own, and requests in a few words.
#ifndef TASKD_TESTS_UNIT_WORKER_EXEC_EXEC_FIXTURE_H_
#define TASKD_TESTS_UNIT_WORKER_EXEC_EXEC_FIXTURE_H_

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "taskd/v1/graph.pb.h"
#include "tests/unit/worker_store/temp_dir.h"
#include "worker/exec/executor.h"

namespace taskd::worker {

// One task: fill the body, add inputs and args, then Run it.
struct Task {
  v1::Body body;
  v1::TaskArgs args;
  Assignment assignment;
  std::string key = "task";
  std::vector<UnitShare> units;

  explicit Task(uint32_t ordinal = 1) { assignment.attempt = {{1, ordinal}, 1}; }

  Task& Sh(const std::string& text) {
    body.mutable_command()->set_sh(text);
    return *this;
  }
  Task& Argv(const std::vector<std::string>& words) {
    for (const std::string& w : words)
      body.mutable_command()->add_argv()->add_pieces()->set_literal(w);
    return *this;
  }
  Task& Builtin(const std::string& name, uint64_t duration_ns = 0, uint64_t size_bytes = 0) {
    body.mutable_builtin()->set_name(name);
    body.mutable_builtin()->set_duration_ns(duration_ns);
    body.mutable_builtin()->set_size_bytes(size_bytes);
    return *this;
  }
  Task& In(const std::string& name, v1::InputSlot::Kind kind,
           const std::vector<ObjectVersion>& objects, PartRange parts = {}) {
    v1::InputSlot* slot = body.add_inputs();
    slot->set_name(name);
    slot->set_kind(kind);
    if (kind == v1::InputSlot::PATH) return *this;
    assignment.edges.push_back({static_cast<uint32_t>(body.inputs_size() - 1),
                                static_cast<uint32_t>(assignment.objects.size()),
                                static_cast<uint32_t>(objects.size()), parts});
    for (const ObjectVersion& id : objects) assignment.objects.push_back({id, 0, {}});
    return *this;
  }
  Task& Out(const std::string& name, v1::OutputSlot::Kind kind, const std::string& file = "",
            uint32_t parts = 0) {
    v1::OutputSlot* slot = body.add_outputs();
    slot->set_name(name);
    slot->set_kind(kind);
    slot->set_file(file);
    slot->set_parts(parts);
    assignment.first_output = 100;
    ++assignment.output_count;
    return *this;
  }
  Task& Value(const std::string& name, const std::string& value) {
    auto* v = args.add_values();
    v->set_name(name);
    v->set_value(value);
    return *this;
  }
  Task& Path(const std::string& name, const std::string& path) {
    auto* v = args.add_paths();
    v->set_name(name);
    v->set_value(path);
    return *this;
  }
};

class ExecFixture : public testing::Test {
 protected:
  ExecFixture() { MakeExecutor(2'000'000'000); }

  void MakeExecutor(uint64_t grace_ns) {
    executor_.reset();
    Executor::Options options;
    options.run_path = run_.path();
    options.output_path = run_.path();
    options.runners.native = RUNNER_PROGRAM;
    options.cpus = 2;
    options.grace_ns = grace_ns;
    options.pools = pools_;
    options.pinned = pinned_;
    options.puts = &puts_;
    options.cgroups = cgroups_.get();
    options.vmstat_path = files_.path() + "-vmstat";
    options.done = [this](event::ExecDone done) {
      std::lock_guard lock(mutex_);
      done_.push_back(std::move(done));
      changed_.notify_all();
    };
    executor_ = std::make_unique<Executor>(store_, std::move(options));
  }

  // nullopt: it goes on, see Wait.
  std::optional<event::ExecDone> Start(const Task& task) {
    auto request = std::make_shared<ExecRequest>();
    request->assignment = task.assignment;
    request->key = task.key;
    request->units = task.units;
    request->args = task.args.SerializeAsString();
    request->body = std::make_shared<v1::Body>(task.body);
    return executor_->Start(request);
  }

  event::ExecDone Wait() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !done_.empty(); });
    event::ExecDone done = std::move(done_.front());
    done_.pop_front();
    return done;
  }

  event::ExecDone Run(const Task& task) {
    std::optional<event::ExecDone> done = Start(task);
    return done ? *done : Wait();
  }

  // Waits until an attempt's own output shows that it runs.
  void WaitForLog(const AttemptRef& attempt, const std::string& text) {
    for (;;) {
      auto log = executor_->logs().Find(attempt);
      if (log != nullptr && log->Read().out.find(text) != std::string::npos) return;
      std::this_thread::yield();
    }
  }

  ObjectVersion Put(uint32_t ordinal, const std::string& bytes) {
    const ObjectVersion id{{1, ordinal}, 1};
    EXPECT_TRUE(store_.Put({id, {}}, bytes).ok());
    return id;
  }

  ObjectVersion PutParts(uint32_t ordinal, const std::vector<std::string>& parts) {
    const ObjectVersion id{{1, ordinal}, 1};
    std::unique_ptr<ObjectWriter> writer = store_.NewWriter();
    for (const std::string& part : parts) {
      EXPECT_TRUE(writer->Append(part).ok());
      writer->EndPart();
    }
    EXPECT_TRUE(store_.Commit({id, {}}, std::move(writer)).ok());
    return id;
  }

  // Output `index` of the task with ordinal 1, or some of its parts.
  std::string Output(uint32_t index = 0, PartRange parts = {}) {
    ByteRange range;
    absl::StatusOr<ObjectReader> reader = store_.GetCovering({{{1, 100 + index}, 1}, parts}, range);
    if (!reader.ok()) return reader.status().ToString();
    std::string out(range.length, '\0');
    EXPECT_TRUE(reader->Read(range.offset, out.data(), out.size()).ok());
    return out;
  }

  NodePools pools_;  // for MakeExecutor
  std::unique_ptr<Cgroups> cgroups_;
  std::vector<Cpu> pinned_;
  TempDir files_, run_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<event::ExecDone> done_;
  std::vector<ObjectVersion> lost_;
  Store store_{{files_.path()}, [this](ObjectVersion id) {
                 std::lock_guard lock(mutex_);
                 lost_.push_back(id);
               }};
  Puts puts_{store_};
  std::unique_ptr<Executor> executor_;
};

}  // namespace taskd::worker

#endif  // TASKD_TESTS_UNIT_WORKER_EXEC_EXEC_FIXTURE_H_
