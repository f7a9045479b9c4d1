// Ranks and tails of one whole graph, as the daemon would give them.
#ifndef TASKD_TESTS_QUALITY_RANKS_H_
#define TASKD_TESTS_QUALITY_RANKS_H_

#include "scheduler/core/events.h"

namespace taskd::quality {

// Fills `rank` and `tail` of every task of a graph that is one batch.
void GiveRanks(scheduler::Batch& batch);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_RANKS_H_
