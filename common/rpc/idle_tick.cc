#include "common/rpc/idle_tick.h"

#include <grpcpp/alarm.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <memory>
#include <mutex>

namespace taskd::rpc {
namespace {

// Well below the second after which a callback thread goes to sleep.
constexpr std::chrono::milliseconds kPeriod(200);

// Lives as long as the process: a tick may be under way when the last session goes.
//
// An alarm's callback runs on a thread of gRPC's executor and does not reach the callback threads
// at all (measured: it cures nothing). The end of a call does. So each tick makes one that fails at
// once and sends nothing: a channel without credentials is a "lame" one, which answers every call
// with an error.
class Ticker {
 public:
  static Ticker& Get() {
    static Ticker* ticker = new Ticker;
    return *ticker;
  }

  void Acquire() {
    std::lock_guard lock(mutex_);
    if (users_++ == 0 && !armed_) Arm();
  }

  void Release() {
    std::lock_guard lock(mutex_);
    --users_;  // the tick that comes next is the last
  }

 private:
  struct Call {
    grpc::ClientContext context;
    grpc::Slice empty;
    grpc::ByteBuffer request{&empty, 1};  // without a slice it would be no message
    grpc::ByteBuffer response;
  };

  // The first call makes the callback threads, and the channel keeps them until the process ends.
  // Otherwise they end and start again with the last and next channel or server. Without this, two
  // of some 800 runs of rpc_session_test under the address sanitizer ended with a double free
  // inside of libgrpc, on a callback thread; none of 720 with it.
  Ticker() : stub_(grpc::CreateChannel("tick", nullptr)) { FailOneCall(); }

  void FailOneCall() {
    auto call = std::make_shared<Call>();
    stub_.UnaryCall(&call->context, "/taskd.v1.None/Tick", {}, &call->request, &call->response,
                    [call](const grpc::Status&) {});
  }

  void Arm() {
    armed_ = true;
    alarm_.Set(std::chrono::system_clock::now() + kPeriod, [this](bool) { Tick(); });
  }

  void Tick() {
    {
      std::lock_guard lock(mutex_);
      armed_ = false;
      if (users_ == 0) return;
      Arm();
    }
    FailOneCall();
  }

  std::mutex mutex_;
  grpc::Alarm alarm_;
  grpc::GenericStub stub_;
  int users_ = 0;
  bool armed_ = false;
};

}  // namespace

IdleTick::IdleTick() { Ticker::Get().Acquire(); }
IdleTick::~IdleTick() { Ticker::Get().Release(); }

}  // namespace taskd::rpc
