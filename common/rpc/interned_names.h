// Names as the small numbers that the cores know them by. The numbers belong to this process, names
// travel. The same name has the same number for the life of the process. Thread safe.
#ifndef TASKD_COMMON_RPC_INTERNED_NAMES_H_
#define TASKD_COMMON_RPC_INTERNED_NAMES_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace taskd::rpc {

// Pools: "gpus", "pool.licence". kNoPool: there are limits::kPoolNames already.
inline constexpr uint16_t kNoPool = 0xFFFF;
uint16_t PoolNumber(std::string_view name);
std::string PoolName(uint16_t number);  // "" when there is no such number

// Workers, hosts and attributes, in one space; from 1. kNoPlace: there are limits::kPlaceNames
// already.
inline constexpr uint32_t kNoPlace = 0xFFFFFFFF;
uint32_t PlaceNumber(std::string_view name);

// Owners of jobs; from 1, and 0 is the one without a name. kNoOwner: there are limits::kOwnerNames
// already.
inline constexpr uint32_t kNoOwner = 0xFFFFFFFF;
uint32_t OwnerNumber(std::string_view name);

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_INTERNED_NAMES_H_
