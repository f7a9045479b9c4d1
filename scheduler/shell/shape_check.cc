#include "scheduler/shell/shape_check.h"

#include <algorithm>

#include "common/base/text.h"
#include "common/rpc/interned_names.h"
#include "common/rpc/wire.h"

namespace taskd::scheduler {

namespace {

template <typename Names>
absl::Status Places(const Names& names, std::string_view what, std::vector<uint32_t>* to) {
  if (static_cast<uint32_t>(names.size()) > limits::kNamesPerRule) {
    return absl::InvalidArgumentError(StrCat("names ", names.size(), " ", std::string(what),
                                             "; at most ", limits::kNamesPerRule));
  }
  for (const std::string& name : names) {
    if (name.empty())
      return absl::InvalidArgumentError(StrCat("names one of its ", std::string(what), " \"\""));
    uint32_t number = rpc::PlaceNumber(name);
    if (number == rpc::kNoPlace) {
      return absl::ResourceExhaustedError(StrCat("names ", std::string(what), " '", name,
                                                 "': there are ", limits::kPlaceNames,
                                                 " names already"));
    }
    to->push_back(number);
  }
  std::sort(to->begin(), to->end());
  to->erase(std::unique(to->begin(), to->end()), to->end());
  return absl::OkStatus();
}

template <typename Pools>
absl::StatusOr<Batch::Variant> Variant(const v1::Resources& need, const Pools& cluster) {
  if (need.cpus_milli() == 0)
    return absl::InvalidArgumentError("needs no cpu; give at least 0.001");
  auto resources = rpc::Decode(need);
  if (!resources.ok()) return resources.status();
  Batch::Variant out{*resources, {}};
  if (static_cast<uint32_t>(cluster.size()) > limits::kPoolsPerRequest) {
    return absl::InvalidArgumentError(StrCat(
        "needs ", cluster.size(), " pools of the cluster; at most ", limits::kPoolsPerRequest));
  }
  for (const v1::PoolAmount& from : cluster) {
    auto amount = rpc::Decode(from);
    if (!amount.ok()) return amount.status();
    out.cluster.push_back(*amount);
  }
  std::sort(out.cluster.begin(), out.cluster.end());
  auto same = [](PoolAmount a, PoolAmount b) { return a.pool == b.pool; };
  if (std::adjacent_find(out.cluster.begin(), out.cluster.end(), same) != out.cluster.end())
    return absl::InvalidArgumentError("names a pool of the cluster twice");
  return out;
}

}  // namespace

absl::StatusOr<Batch::Shape> CheckShape(const v1::Shape& shape) {
  Batch::Shape out;
  auto first = Variant(shape.need(), shape.cluster());
  if (!first.ok()) return first.status();
  out.variants.push_back(*std::move(first));
  if (static_cast<uint32_t>(shape.others_size()) >= limits::kVariantsPerShape) {
    return absl::InvalidArgumentError(
        StrCat("has ", shape.others_size() + 1, " variants; at most ", limits::kVariantsPerShape));
  }
  for (const v1::Variant& other : shape.others()) {
    auto variant = Variant(other.need(), other.cluster());
    if (!variant.ok()) return variant.status();
    out.variants.push_back(*std::move(variant));
  }
  for (auto& [names, what, to] : {std::tuple(&shape.workers(), "workers", &out.workers),
                                  std::tuple(&shape.hosts(), "hosts", &out.hosts),
                                  std::tuple(&shape.attributes(), "attributes", &out.attributes)}) {
    if (absl::Status status = Places(*names, what, to); !status.ok()) return status;
  }
  out.preferred = shape.preferred();
  out.fail_fast = shape.fail_fast();
  if (out.fail_fast && (out.preferred || (out.workers.empty() && out.hosts.empty()))) {
    return absl::InvalidArgumentError(
        "is fail_fast: that needs workers or hosts by name, and not only preferred");
  }
  out.needs_time_ns = shape.needs_time_ns();
  return out;
}

}  // namespace taskd::scheduler
