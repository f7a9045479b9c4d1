// Ranks for a graph that is known whole before it is sent.
#ifndef TASKD_CLI_CLIENT_RANKS_H_
#define TASKD_CLI_CLIENT_RANKS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"

namespace taskd::client {

// Orders the graph of these frames (see scheduler/order) and fills in the columns `rank` and `tail`.
// Frames that have ranks stay as they are. The frames must be those of a valid graph.
absl::Status GiveRanks(std::vector<std::string>& frames);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_RANKS_H_
