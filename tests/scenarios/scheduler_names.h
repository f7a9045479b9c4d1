// Names of a scheduler scenario: jobs' tasks and objects, workers and their streams. The batch line
// defines them, every other line and every action's text uses them.
#ifndef TASKD_TESTS_SCENARIOS_SCHEDULER_NAMES_H_
#define TASKD_TESTS_SCENARIOS_SCHEDULER_NAMES_H_

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "scheduler/core/events.h"
#include "tests/scenarios/text.h"

namespace taskd::scenario {

class SchedulerNames {
 public:
  // Jobs. The current one is the last that was opened.
  void JobOpened(JobId job);
  JobId JobOf(const Words& words) const;
  // "batch: a out=2; b in=a.0" after the colon, as the next batch of the job.
  scheduler::Batch ParseBatch(JobId job, std::string_view items);
  uint32_t Batches(JobId job) { return jobs_[job].batches; }

  // Tasks and objects: "a", "a#2", "a.1", "a.1#2". Without a number: the attempt that the worker
  // got last, else the last that anybody got.
  TaskId ParseTask(std::string_view text) const;
  AttemptRef ParseAttempt(std::string_view text, std::string_view worker) const;
  ObjectId ParseObject(std::string_view text) const;
  scheduler::ObjectRange ParseObjects(std::string_view text, JobId id) const;
  ObjectVersion ParseVersion(std::string_view text) const;
  uint32_t OutputCount(TaskId task) const;
  Ordinal FirstOutput(TaskId task) const;
  std::string TextOf(TaskId task) const;
  std::string TextOf(const AttemptRef& ref) const;
  std::string TextOf(ObjectId object) const;
  std::string TextOf(const ObjectVersion& id) const;
  void Assigned(uint64_t stream, const AttemptRef& ref) {
    last_attempt_[ref.task] = last_attempt_of_[{ref.task, streams_.at(stream).first}] = ref.attempt;
  }

  // Workers: "w1" is its newest stream, "w1/1" its first one.
  struct Worker {
    uint64_t identity = 0, incarnation = 0, next_sequence = 1;
    std::vector<uint64_t> streams;
    WorkerId id;
  };
  Worker& WorkerNamed(std::string_view name);
  uint64_t NewStream(std::string_view name);
  uint64_t StreamOf(std::string_view text) const;
  WorkerId ParseWorkerId(std::string_view name) const;
  void Welcomed(uint64_t stream, WorkerId id);
  std::string StreamText(uint64_t stream) const;
  std::string TextOf(WorkerId id) const;

 private:
  struct TaskInfo {
    std::string name;
    Ordinal first_output = 0;
    uint32_t output_count = 0;
  };
  struct Range {
    Ordinal first = 0;
    uint32_t count = 0;
  };
  struct Job {
    std::vector<TaskInfo> tasks;
    std::vector<Ordinal> producer;  // of each object
    std::map<std::string, Range> templates;
    std::map<std::string, uint32_t> collections;  // name -> index
    std::vector<scheduler::Batch::Shape> shapes;
    std::vector<scheduler::Batch::Options> options;
    uint32_t batches = 0;
  };

  void AddTasks(JobId id, const Words& words, scheduler::Batch& batch);
  void AddTask(Job& job, JobId id, const std::string& name, uint32_t index, const Words& words,
               scheduler::Batch& batch);
  void AddCollection(Job& job, JobId id, const Words& words, scheduler::Batch& batch);
  scheduler::Batch::Edge ParseEdge(const Job& job, JobId id, std::string text,
                                   uint32_t parts_total) const;
  uint16_t Shape(Job& job, const Words& words, scheduler::Batch& batch);
  uint16_t Option(Job& job, const Words& words, scheduler::Batch& batch);
  const TaskInfo& Info(TaskId task) const;

  JobId current_ = 0;
  std::map<JobId, Job> jobs_;
  std::map<std::string, TaskId, std::less<>> tasks_;
  std::map<TaskId, AttemptId> last_attempt_;
  std::map<std::pair<TaskId, std::string>, AttemptId> last_attempt_of_;  // of a worker
  std::map<std::string, Worker, std::less<>> workers_;
  std::map<uint64_t, std::pair<std::string, uint32_t>>
      streams_;  // name and number of the stream there
  std::map<WorkerId, std::string> ids_;
  uint64_t next_stream_ = 1;
};

}  // namespace taskd::scenario

#endif  // TASKD_TESTS_SCENARIOS_SCHEDULER_NAMES_H_
