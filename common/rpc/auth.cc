#include "common/rpc/auth.h"

#include <openssl/crypto.h>

namespace taskd::rpc {
namespace {

constexpr char kKeyName[] = "taskd-key";

bool SameKey(grpc::string_ref given, std::string_view key) {
  return !key.empty() && given.size() == key.size() &&
         CRYPTO_memcmp(given.data(), key.data(), key.size()) == 0;
}

}  // namespace

grpc::Status CheckKey(const grpc::ServerContextBase& context,
                      std::initializer_list<std::string_view> keys) {
  auto [first, last] = context.client_metadata().equal_range(kKeyName);
  if (first == last) {
    return grpc::Status(
        grpc::StatusCode::UNAUTHENTICATED,
        "the call carries no key; keys are in the cluster's access file, $TASKD_DIR/access.yaml");
  }
  for (; first != last; ++first) {
    for (std::string_view key : keys) {
      if (SameKey(first->second, key)) return grpc::Status::OK;
    }
  }
  return grpc::Status(
      grpc::StatusCode::UNAUTHENTICATED,
      "the key is not the one of this cluster; take the cluster's present access file, "
      "$TASKD_DIR/access.yaml");
}

void AddKey(grpc::ClientContext& context, std::string_view key) {
  context.AddMetadata(kKeyName, std::string(key));
}

}  // namespace taskd::rpc
