// Flows between workers whose rates are max-min fair: every worker sends and receives at most at the
// bandwidth, both at once, and no flow could be faster without making a slower one slower yet.
#ifndef TASKD_TESTS_QUALITY_NETWORK_H_
#define TASKD_TESTS_QUALITY_NETWORK_H_

#include <cstdint>
#include <limits>
#include <map>
#include <vector>

namespace taskd::quality {

class Network {
 public:
  static constexpr uint64_t kNever = std::numeric_limits<uint64_t>::max();

  Network(uint32_t workers, double bytes_per_s)
      : capacity_(bytes_per_s / 1e9), ports_(2 * workers) {}

  // Flows are named by the caller. `bytes` of 0 are there at once.
  void Start(uint64_t id, uint32_t source, uint32_t target, uint64_t bytes);
  void Stop(uint64_t id);

  uint64_t NextDoneNs();  // kNever: no flow
  // Moves the clock; returns the flows that have completed, by id, and forgets them. Requires
  // now_ns <= NextDoneNs().
  std::vector<uint64_t> Advance(uint64_t now_ns);

 private:
  struct Flow {
    uint32_t source = 0, target = 0;  // ports
    double left_bytes = 0;
    double rate = 0;  // bytes a ns
  };
  struct Port {
    double free = 0;
    uint32_t flows = 0;
  };
  void ShareOut();

  double capacity_;
  uint64_t now_ns_ = 0;
  bool changed_ = false;
  std::map<uint64_t, Flow> flows_;
  std::vector<Port> ports_;  // sending, then receiving
};

}  // namespace taskd::quality

#endif  // TASKD_TESTS_QUALITY_NETWORK_H_
