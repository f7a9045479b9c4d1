// What the pools of this node and their units are called, for bodies that are given some of them.
#ifndef TASKD_WORKER_EXEC_NODE_POOLS_H_
#define TASKD_WORKER_EXEC_NODE_POOLS_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace taskd::worker {

struct NodePool {
  std::string name;              // "gpus", "worker.fpga"
  std::vector<std::string> ids;  // of unit 0, 1, ...; units beyond them are called by their numbers
};
using NodePools = std::map<uint16_t, NodePool>;  // by number

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_NODE_POOLS_H_
