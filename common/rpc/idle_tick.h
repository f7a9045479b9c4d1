// Keeps gRPC 1.51's callback threads awake. A thread that saw nothing for a second sleeps 100 ms
// whatever comes in then, which would make the first message after an idle second wait up to that
// long (measured: up to 88 ms).
#ifndef TASKD_COMMON_RPC_IDLE_TICK_H_
#define TASKD_COMMON_RPC_IDLE_TICK_H_

namespace taskd::rpc {

// While one of these exists, in the whole process one timer ticks. Sessions hold one; a daemon that
// serves unary calls holds one besides. Thread-safe.
class IdleTick {
 public:
  IdleTick();
  ~IdleTick();
  IdleTick(const IdleTick&) = delete;
  IdleTick& operator=(const IdleTick&) = delete;
};

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_IDLE_TICK_H_
