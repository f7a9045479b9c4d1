#include "tests/sim/families.h"

#include <algorithm>

namespace taskd::sim {

bool Families::Open(JobId job, uint32_t plan) {
  of_plan_[plan] = {job};
  return plans_.emplace(job, plan).second;
}

void Families::OpenChild(JobId job, uint32_t plan, const AttemptRef& parent) {
  plans_[job] = plan;
  parents_[job] = parent;
  children_[parent.task].push_back(job);
  of_plan_[plan].push_back(job);
}

void Families::LoseChildren() {
  for (const auto& [job, parent] : parents_) {
    const uint32_t plan = plans_.at(job);
    std::erase(of_plan_[plan], job);
    plans_.erase(job);
    lost_[job] = plan;
  }
  parents_.clear();
  children_.clear();
}

uint32_t Families::PlanOf(JobId job) const {
  auto found = plans_.find(job);
  return found == plans_.end() ? kNoPlan : found->second;
}

JobId Families::RootOf(JobId job) const {
  for (auto above = parents_.find(job); above != parents_.end(); above = parents_.find(job))
    job = above->second.task.job;
  return job;
}

std::vector<JobId> Families::FamilyOf(JobId root) const {
  std::vector<JobId> out{root};
  for (const auto& [job, parent] : parents_) {
    if (RootOf(job) == root) out.push_back(job);
  }
  return out;
}

const std::vector<JobId>& Families::ChildrenOf(TaskId task) const {
  static const std::vector<JobId> kNone;
  auto found = children_.find(task);
  return found == children_.end() ? kNone : found->second;
}

JobId Families::Resolve(JobId reader, uint32_t plan) const {
  while (PlanOf(reader) != plan && IsChild(reader)) reader = ParentOf(reader).task.job;
  return PlanOf(reader) == plan ? reader : RootJob(plan);
}

}  // namespace taskd::sim
