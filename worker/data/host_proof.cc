#include "worker/data/host_proof.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <unistd.h>

#include <fstream>

#include "common/base/text.h"
#include "taskd/v1/data.pb.h"

namespace taskd::worker {
namespace {

constexpr size_t kNonceBytes = 16;

bool Same(std::string_view a, std::string_view b) {
  return !a.empty() && a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

// Numbers of fixed width before what has any length: no two files have one text.
std::string TextOf(const v1::StoreFile& file) {
  std::string text = StrCat(file.device(), " ", file.inode(), " ", file.mtime_ns(), " ",
                            file.part_crcs_size(), " ");
  for (uint32_t crc : file.part_crcs()) text += StrCat(crc, " ");
  return text + file.path();
}

}  // namespace

HostProof HostProof::OfThisHost() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  if (boot.empty()) return HostProof("");
  return HostProof(StrCat(boot, " ", geteuid()));
}

std::string HostProof::Sign(std::string_view what, std::string_view nonce,
                            std::string_view text) const {
  const std::string message = StrCat(what, " ", nonce.size(), " ", nonce, text);
  unsigned char hash[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  const bool made = HMAC(EVP_sha256(), secret_.data(), static_cast<int>(secret_.size()),
                         reinterpret_cast<const unsigned char*>(message.data()), message.size(),
                         hash, &size) != nullptr;
  return made ? std::string(reinterpret_cast<const char*>(hash), size) : std::string();
}

std::string HostProof::Ask(std::string_view nonce) const {
  return usable() ? Sign("ask", nonce, "") : std::string();
}

bool HostProof::AskIsRight(std::string_view nonce, std::string_view proof) const {
  return nonce.size() >= kNonceBytes && Same(proof, Ask(nonce));
}

std::string HostProof::Answer(std::string_view nonce, const v1::StoreFile& file) const {
  return usable() ? Sign("answer", nonce, TextOf(file)) : std::string();
}

bool HostProof::AnswerIsRight(std::string_view nonce, const v1::StoreFile& file) const {
  return Same(file.proof(), Answer(nonce, file));
}

}  // namespace taskd::worker
