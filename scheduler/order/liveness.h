// Which results are live while tasks run one after another.
#ifndef TASKD_SCHEDULER_ORDER_LIVENESS_H_
#define TASKD_SCHEDULER_ORDER_LIVENESS_H_

#include <cstdint>
#include <vector>

#include "scheduler/order/network.h"

namespace taskd::order {

// A result is live from its task's run until its last reader has run, both included; a kept one to
// the end. Every run costs the task's edges; nothing is looked for.
class Liveness {
 public:
  explicit Liveness(const Network& network);

  // All inputs of the task must be available, and it must not have run.
  void Run(uint32_t node);

  // A task that has run, or a bundle whose members are all there.
  bool done(uint32_t node) const { return done_[node]; }
  // Sources that a node still waits for.
  uint32_t missing(uint32_t node) const { return missing_[node]; }
  // Weight of what it makes.
  uint64_t makes(uint32_t node) const { return makes_[node]; }
  // What would be live more (or less, if negative) after it has run. At most: an input that it reads
  // both by itself and in a bundle is not seen to go, and what it makes for nobody counts.
  int64_t growth(uint32_t node) const {
    return static_cast<int64_t>(makes_[node]) - static_cast<int64_t>(frees_[node]);
  }

  uint64_t live() const { return live_; }
  uint64_t peak() const { return peak_; }
  // Without what is kept to the end although nobody reads it any more.
  uint64_t transient_peak() const { return transient_peak_; }
  const std::vector<uint32_t>& order() const { return order_; }
  std::vector<uint32_t>& order() { return order_; }

  // What the last Run changed: sources that became available, and tasks that can run and could not,
  // or that would free more than before.
  const std::vector<uint32_t>& available() const { return available_; }
  const std::vector<uint32_t>& changed() const { return changed_; }

 private:
  void Use(uint32_t source, uint32_t reader);
  void MakeAvailable(uint32_t source);
  void OneReaderLeft(uint32_t source);

  const Network& n_;
  std::vector<uint32_t> missing_;  // a node
  std::vector<uint64_t> makes_;    // a node
  std::vector<uint64_t> frees_;    // a node: weight of the sources that only it has still to read
  std::vector<bool> done_;         // a node
  std::vector<uint32_t> users_;    // a source: readers to come, and one if it is kept
  std::vector<uint32_t> heir_;     // a source: xor of those readers, kNone for "kept"
  std::vector<std::pair<uint32_t, uint32_t>> to_use_;  // source, reader
  std::vector<uint32_t> order_, available_, changed_;
  uint64_t live_ = 0, peak_ = 0, over_ = 0, transient_peak_ = 0;
};

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_LIVENESS_H_
