// Says hello with a protocol version that does not exist, as a peer of another release would, and
// prints the answer: "refused: ..." (exit code 0) or "accepted" (1).
#include <grpcpp/client_context.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <string_view>

#include "common/rpc/auth.h"
#include "common/rpc/channels.h"
#include "taskd/v1/client_session.grpc.pb.h"
#include "taskd/v1/worker_session.grpc.pb.h"

namespace taskd {
namespace {

constexpr uint32_t kNoSuchProtocol = 99;

std::string Refusal(const v1::SchedulerToWorker& answer) {
  return answer.has_refusal() ? answer.refusal().failure().message() : "";
}
std::string Refusal(const v1::SchedulerToClient&) { return ""; }  // refused by the stream's status

template <typename Service, typename Hello, typename Answer>
int Try(std::string_view address, std::string_view key, const Hello& hello) {
  auto stub = Service::NewStub(rpc::MakeChannel(address, rpc::ChannelClass::kControl));
  grpc::ClientContext context;
  rpc::AddKey(context, key);
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(30));
  auto stream = stub->Connect(&context);
  stream->Write(hello);
  Answer answer;
  bool answered = stream->Read(&answer);
  if (answered) context.TryCancel();
  grpc::Status status = stream->Finish();
  if (answered && !Refusal(answer).empty()) {
    std::printf("refused: %s\n", Refusal(answer).c_str());
    return 0;
  }
  if (answered) {
    std::printf("accepted: %s\n", answer.ShortDebugString().c_str());
    return 1;
  }
  std::printf("refused: %d %s\n", static_cast<int>(status.error_code()),
              status.error_message().c_str());
  return status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED ? 1 : 0;
}

int Main(std::string_view session, std::string_view address, std::string_view key) {
  if (session == "worker") {
    v1::WorkerToScheduler hello;
    hello.mutable_hello()->set_protocol(kNoSuchProtocol);
    hello.mutable_hello()->set_name("old-worker");
    return Try<v1::WorkerSession, v1::WorkerToScheduler, v1::SchedulerToWorker>(address, key,
                                                                                hello);
  }
  v1::ClientToScheduler hello;
  hello.mutable_hello()->set_protocol(kNoSuchProtocol);
  return Try<v1::ClientSession, v1::ClientToScheduler, v1::SchedulerToClient>(address, key, hello);
}

}  // namespace
}  // namespace taskd

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: taskd_old_peer worker|client HOST:PORT KEY\n");
    return 2;
  }
  return taskd::Main(argv[1], argv[2], argv[3]);
}
