// To whom this worker sends its large objects, and has sent them. Two receivers at a time get one object from
// here; who asks meanwhile is told to ask one of these, who do the same: a broadcast becomes a tree without
// anybody planning it.
#ifndef TASKD_WORKER_DATA_RECEIVERS_H_
#define TASKD_WORKER_DATA_RECEIVERS_H_

#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "worker/core/events.h"

namespace taskd::worker {

// Thread safe. Workers go by the addresses of their data services.
class Receivers {
 public:
  // True: the object is sent to `address`, until Done. False: `others` are to be asked instead.
  bool Admit(const LocalKey& key, const std::string& address, std::vector<std::string>& others);
  void Done(const LocalKey& key);

  // Whom `address` may ask instead; none: nobody is known.
  std::vector<std::string> Others(const LocalKey& key, const std::string& address);

 private:
  struct Receiver {
    std::string address;
    uint64_t named = 0;  // to others, so often
  };
  struct Object {
    uint32_t sending = 0;
    uint64_t used = 0;  // number of its last use
    std::vector<Receiver> receivers;
  };

  static std::vector<std::string> Name(Object& object, const std::string& except);
  void ForgetOne();

  std::mutex mutex_;
  absl::flat_hash_map<LocalKey, Object> objects_;
  uint64_t uses_ = 0;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_RECEIVERS_H_
