#include "worker/data/receivers.h"

#include <algorithm>
#include <utility>

#include "common/base/limits.h"

namespace taskd::worker {

bool Receivers::Admit(const LocalKey& key, const std::string& address,
                      std::vector<std::string>& others) {
  std::lock_guard lock(mutex_);
  Object& object = objects_[key];
  object.used = ++uses_;
  // Who asks again has not got it.
  std::erase_if(object.receivers, [&](const Receiver& r) { return r.address == address; });
  if (object.sending >= limits::kReceiversAtOnce) {
    others = Name(object, address);
    if (!others.empty()) return false;
  }
  ++object.sending;
  if (object.receivers.size() == limits::kReceiversKept)
    object.receivers.erase(object.receivers.begin());
  object.receivers.push_back({address, 0});
  if (objects_.size() > limits::kReceivedKept) ForgetOne();
  return true;
}

void Receivers::Done(const LocalKey& key) {
  std::lock_guard lock(mutex_);
  --objects_.at(key).sending;
}

std::vector<std::string> Receivers::Others(const LocalKey& key, const std::string& address) {
  std::lock_guard lock(mutex_);
  auto it = objects_.find(key);
  return it == objects_.end() ? std::vector<std::string>() : Name(it->second, address);
}

// Who was named least, of several the one that was sent it first.
std::vector<std::string> Receivers::Name(Object& object, const std::string& except) {
  std::vector<Receiver*> by_use;
  for (Receiver& receiver : object.receivers) {
    if (receiver.address != except) by_use.push_back(&receiver);
  }
  std::stable_sort(by_use.begin(), by_use.end(),
                   [](const Receiver* a, const Receiver* b) { return a->named < b->named; });
  std::vector<std::string> named;
  for (size_t i = 0; i < std::min<size_t>(by_use.size(), limits::kRelaysNamed); ++i)
    named.push_back(by_use[i]->address);
  if (!by_use.empty()) ++by_use.front()->named;
  return named;
}

// The one that was not asked for the longest. There is one: fewer are being sent than are kept.
void Receivers::ForgetOne() {
  auto oldest = objects_.end();
  for (auto it = objects_.begin(); it != objects_.end(); ++it) {
    if (it->second.sending > 0) continue;
    if (oldest == objects_.end() || it->second.used < oldest->second.used) oldest = it;
  }
  if (oldest != objects_.end()) objects_.erase(oldest);
}

}  // namespace taskd::worker
