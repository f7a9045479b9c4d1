// Shares of the cluster that jobs get against each other.
#ifndef TASKD_TESTS_QUALITY_SHARES_H_
#define TASKD_TESTS_QUALITY_SHARES_H_

#include <ostream>

namespace taskd::quality {

// Runs a few mixes of jobs, prints what each got of a minute beside what is its due. False: one was
// off by more than a twentieth of its due.
bool CheckShares(std::ostream& out);

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_SHARES_H_
