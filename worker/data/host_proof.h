// How two workers find out that they run on one host under one user, without believing each other.
//
// Only processes of a host know its boot id, and it is never sent: the asking worker sends a nonce
// with a keyed hash of it, and every file name that it is answered with comes with such a hash of
// its own. A peer elsewhere can make neither, nor change a name on its way.
#ifndef TASKD_WORKER_DATA_HOST_PROOF_H_
#define TASKD_WORKER_DATA_HOST_PROOF_H_

#include <string>
#include <string_view>

namespace taskd::v1 {
class StoreFile;
}

namespace taskd::worker {

class HostProof {
 public:
  explicit HostProof(std::string secret) : secret_(std::move(secret)) {}

  // Of this host and user. Without a boot id (no /proc) it proves nothing.
  static HostProof OfThisHost();

  bool usable() const { return !secret_.empty(); }
  std::string Ask(std::string_view nonce) const;
  bool AskIsRight(std::string_view nonce, std::string_view proof) const;

  // For every field of `file` but `proof`.
  std::string Answer(std::string_view nonce, const v1::StoreFile& file) const;
  bool AnswerIsRight(std::string_view nonce, const v1::StoreFile& file) const;

 private:
  std::string Sign(std::string_view what, std::string_view nonce, std::string_view text) const;

  std::string secret_;
};

}  // namespace taskd::worker

#endif  // TASKD_WORKER_DATA_HOST_PROOF_H_
