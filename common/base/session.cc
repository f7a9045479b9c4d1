#include "common/base/session.h"

#include <algorithm>

#include "common/base/check.h"

namespace taskd {

Resources& Resources::operator+=(const Resources& other) {
  cpus_milli += other.cpus_milli;
  memory_bytes += other.memory_bytes;
  for (const PoolAmount& amount : other.pools) {
    if (amount.milli == 0) break;
    auto at = std::find_if(pools.begin(), pools.end(), [&amount](const PoolAmount& mine) {
      return mine.milli == 0 || mine.pool >= amount.pool;
    });
    TASKD_CHECK(at != pools.end());
    if (at->milli != 0 && at->pool == amount.pool) {
      at->milli += amount.milli;
      continue;
    }
    TASKD_CHECK(pools.back().milli == 0);
    std::rotate(at, pools.end() - 1, pools.end());
    *at = amount;
  }
  return *this;
}

Resources& Resources::operator-=(const Resources& other) {
  cpus_milli -= other.cpus_milli;
  memory_bytes -= other.memory_bytes;
  for (const PoolAmount& amount : other.pools) {
    if (amount.milli == 0) break;
    auto at = std::find_if(pools.begin(), pools.end(), [&amount](const PoolAmount& mine) {
      return mine.milli != 0 && mine.pool == amount.pool;
    });
    TASKD_CHECK(at != pools.end() && at->milli >= amount.milli);
    at->milli -= amount.milli;
    if (at->milli > 0) continue;
    *at = {};
    std::rotate(at, at + 1, pools.end());
  }
  return *this;
}

}  // namespace taskd
