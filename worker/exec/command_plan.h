// Everything about a command attempt that can be known before a file is touched: the names that its
// body sees, the files that must be made, the program and its arguments. A pure function of the
// request.
//
// What a body sees. Paths are relative to its folder, so that a body that prints them has the same
// output on every worker.
//   $NAME          axis values and variables; a list's path
//   $in_NAME       an object: the path of its file; an axis: a folder with one file an object,
//   named by index,
//                  padded with zeros ($in_NAME_list: a file that lists them); a {path}: that path
//   $out_NAME      a file: its path; parts: the folder that its pattern names
//   $TASKD_JOB, $TASKD_TASK (key), $TASKD_ATTEMPT, $TASKD_CPUS, $OMP_NUM_THREADS
//   $TASKD_UNITS_gpus, $TASKD_UNITS_worker_NAME: which units of a pool are the task's, with ',' between; of
//   gpus also as $CUDA_VISIBLE_DEVICES, which is empty for who asked for none
//   $TASKD_DIR, $TASKD_SOCKET, $TASKD_TOKEN: for taskctl, which finds the cluster and the attempt by them
//   PATH (and, at its end, the daemon's own folder), HOME, LANG, USER of the daemon; TMPDIR inside of the attempt's folder
#ifndef TASKD_WORKER_EXEC_COMMAND_PLAN_H_
#define TASKD_WORKER_EXEC_COMMAND_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "common/base/session.h"
#include "worker/core/events.h"
#include "worker/exec/node_pools.h"
#include "worker/exec/request.h"

namespace taskd::worker {

inline constexpr char kStdoutFile[] =
    ".stdout";  // in the attempt's folder: a stdout that is an output

struct CommandPlan {
  // An object, or some parts of one, as a file.
  struct StagedInput {
    LocalKey key;
    std::string path;
  };
  struct TextFile {
    std::string path;
    std::string text;
  };
  struct PathInput {
    std::string name, path;
  };
  struct Output {
    enum class Kind { kFile, kParts, kStdout };
    std::string name;
    Kind kind = Kind::kFile;
    std::string file;  // kParts: the pattern
    uint32_t parts = 0;
  };

  std::vector<std::string> folders;  // to make beside tmp, parents first
  std::vector<StagedInput> inputs;
  std::vector<TextFile> texts;
  std::vector<PathInput> paths;  // must exist
  std::vector<Output> outputs;   // output i is object first_output + i
  bool stdout_is_output = false;
  std::vector<std::string> argv;  // argv[0] as the body says it
  std::vector<std::string> env;
  std::string search_path;  // of the environment, to find argv[0] in
};

// kBadBody when the body, the arguments and the assignment do not fit each other. `folder`: the
// attempt's, absolute.
ExecError MakePlan(const ExecRequest& request, const std::string& folder, const NodePools& pools,
                   CommandPlan& plan);

// The file of part `k` of a kParts pattern.
std::string PartFile(const std::string& pattern, uint32_t k);

}  // namespace taskd::worker

#endif  // TASKD_WORKER_EXEC_COMMAND_PLAN_H_
