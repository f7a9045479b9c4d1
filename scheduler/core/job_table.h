// Jobs by id. Ids count up and are never used twice, so a page of jobs that were all forgotten is
// freed, and an old one costs a pointer for every 1,024 jobs that ever were.
#ifndef TASKD_SCHEDULER_CORE_JOB_TABLE_H_
#define TASKD_SCHEDULER_CORE_JOB_TABLE_H_

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "common/base/check.h"
#include "common/base/ids.h"
#include "scheduler/core/records.h"

namespace taskd::scheduler {

class JobTable {
 public:
  Job* Find(JobId id) const {
    const uint32_t page = id / kPerPage;
    if (page >= pages_.size() || pages_[page] == nullptr) return nullptr;
    return pages_[page]->jobs[id % kPerPage].get();
  }
  // The job must exist.
  Job* operator[](JobId id) const { return pages_[id / kPerPage]->jobs[id % kPerPage].get(); }

  JobId next_id() const { return next_id_; }
  // Takes the job in under `job->id`, which must not be below next_id().
  Job& Add(std::unique_ptr<Job> job) {
    const JobId id = job->id;
    TASKD_CHECK(id >= next_id_);
    next_id_ = id + 1;
    const uint32_t page = id / kPerPage;
    if (pages_.size() <= page) pages_.resize(page + 1u);
    if (pages_[page] == nullptr) pages_[page] = std::make_unique<Page>();
    ++pages_[page]->count;
    return *(pages_[page]->jobs[id % kPerPage] = std::move(job));
  }
  std::unique_ptr<Job> Remove(JobId id) {
    std::unique_ptr<Page>& page = pages_[id / kPerPage];
    std::unique_ptr<Job> job = std::move(page->jobs[id % kPerPage]);
    if (--page->count == 0) page.reset();
    return job;
  }
  // The first job from `id` on, in order of ids; null: none.
  Job* From(JobId id) const {
    for (; id < next_id_; ++id) {
      if (pages_[id / kPerPage] == nullptr) {
        id |= kPerPage - 1;
      } else if (Job* job = pages_[id / kPerPage]->jobs[id % kPerPage].get()) {
        return job;
      }
    }
    return nullptr;
  }
  // The last job below `id`, likewise.
  Job* Before(JobId id) const {
    for (id = std::min(id, next_id_); id-- > 0;) {
      if (pages_.size() <= id / kPerPage || pages_[id / kPerPage] == nullptr) {
        id -= id % kPerPage;
      } else if (Job* job = pages_[id / kPerPage]->jobs[id % kPerPage].get()) {
        return job;
      }
    }
    return nullptr;
  }

 private:
  static constexpr uint32_t kPerPage = 1024;
  struct Page {
    std::array<std::unique_ptr<Job>, kPerPage> jobs;
    uint32_t count = 0;
  };
  std::vector<std::unique_ptr<Page>> pages_;
  JobId next_id_ = 1;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_JOB_TABLE_H_
