// Defects that can be planted into the production cores, to prove that the simulator finds them.
//
// The macro is the constant `false` in the production libraries, so that no instruction of them
// differs from code without it. Files that use it are built a second time with TASKD_MUTANTS, where
// it asks which one mutant lives: see tests/sim. Only they may include this, never a header.
#ifndef TASKD_COMMON_BASE_MUTANT_H_
#define TASKD_COMMON_BASE_MUTANT_H_

#include <cstdint>

namespace taskd {

enum class Mutant : uint8_t {
  kNone = 0,
  kFinishUnchecked,     // an outcome is taken for whatever attempt its task has
  kFreedTooEarly,       // an object goes when the first of its consumers is done with it
  kLineageSkipped,      // the last output of several is not made again
  kRetractIgnored,      // the answer to a retract is not heard
  kReplicasNotReadded,  // what a returning worker lists is not taken up again
  kLastCopyEvicted,     // a worker drops what it holds when its last local reader ends
  kPinnedSpilled,       // what an attempt is about to read goes to disk
  kGatherUntold,        // nobody hears that an object could not be fetched for its own sake
  kCount
};

#ifdef TASKD_MUTANTS
inline Mutant g_mutant = Mutant::kNone;  // set before the first core is made
#define TASKD_MUTANT(name) (::taskd::g_mutant == ::taskd::Mutant::name)
#else
#define TASKD_MUTANT(name) false
#endif

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_MUTANT_H_
