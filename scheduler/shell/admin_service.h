// The admin calls: questions about the core's state, and the two commands that are not part of a
// session. Each is answered on the core thread, between steps; no gRPC thread waits for it.
#ifndef TASKD_SCHEDULER_SHELL_ADMIN_SERVICE_H_
#define TASKD_SCHEDULER_SHELL_ADMIN_SERVICE_H_

#include <memory>

#include "scheduler/shell/cluster.h"
#include "scheduler/shell/core_loop.h"
#include "scheduler/shell/job_store.h"
#include "scheduler/shell/worker_directory.h"

namespace grpc {
class Service;
}

namespace taskd::scheduler {

class AdminService {
 public:
  // All of them must outlive the service.
  AdminService(const Cluster* cluster, const JobStore* jobs, const WorkerDirectory* directory,
               CoreLoop* loop);
  ~AdminService();

  grpc::Service* grpc_service();

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_SHELL_ADMIN_SERVICE_H_
