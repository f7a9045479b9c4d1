// Jobs of the core and what they are in the plan. A client's job is one of the plan; what a task
// submits is another one, and each attempt that submits it has a job of its own of it.
#ifndef TASKD_TESTS_SIM_FAMILIES_H_
#define TASKD_TESTS_SIM_FAMILIES_H_

#include <cstdint>
#include <map>
#include <vector>

#include "common/base/ids.h"

namespace taskd::sim {

class Families {
 public:
  static constexpr uint32_t kNoPlan = ~0u;

  explicit Families(size_t plans) : of_plan_(plans) {}

  // False: that number has a plan already.
  bool Open(JobId job, uint32_t plan);
  void OpenChild(JobId job, uint32_t plan, const AttemptRef& parent);
  // A crash took their records along; their numbers may be used again.
  void LoseChildren();

  uint32_t PlanOf(JobId job) const;  // kNoPlan: not known
  // The client's job of the plan; 0: not opened yet.
  JobId RootJob(uint32_t plan) const { return of_plan_[plan].empty() ? 0 : of_plan_[plan].front(); }
  const std::vector<JobId>& JobsOf(uint32_t plan) const { return of_plan_[plan]; }
  bool IsChild(JobId job) const { return parents_.contains(job); }
  const AttemptRef& ParentOf(JobId child) const { return parents_.at(child); }
  JobId RootOf(JobId job) const;
  // The client's job and all that was submitted below it.
  std::vector<JobId> FamilyOf(JobId root) const;
  const std::vector<JobId>& ChildrenOf(TaskId task) const;
  // Which job a task of `reader` means by one of the plan: its own, one above it, or a client's.
  JobId Resolve(JobId reader, uint32_t plan) const;
  // Some attempt of it was a child once.
  bool WasChild(JobId job) const { return lost_.contains(job); }

 private:
  std::vector<std::vector<JobId>> of_plan_;
  std::map<JobId, uint32_t> plans_;
  std::map<JobId, AttemptRef> parents_;
  std::map<TaskId, std::vector<JobId>> children_;
  std::map<JobId, uint32_t> lost_;
};

}  // namespace taskd::sim

#endif  // TASKD_TESTS_SIM_FAMILIES_H_
