// One Data.Fetch call on the asking side, for a thread that may block: messages as gRPC has them,
// without a copy. One is read ahead while the caller works on the one before.
#ifndef TASKD_COMMON_RPC_CHUNK_STREAM_H_
#define TASKD_COMMON_RPC_CHUNK_STREAM_H_

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/completion_queue.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/impl/codegen/proto_utils.h>

#include <memory>

#include "taskd/v1/data.pb.h"

namespace taskd::rpc {

class ChunkStream {
 public:
  // `context` outlives the stream; its TryCancel, from any thread, ends it soon.
  ChunkStream(std::shared_ptr<grpc::Channel> channel, grpc::ClientContext& context,
              const v1::FetchRequest& request);
  ~ChunkStream();  // cancels what has not been finished

  // Waits for the next message. False: there is none; Finish says why.
  bool Read(grpc::ByteBuffer& message);

  // Once, after Read has said false or TryCancel.
  grpc::Status Finish();

 private:
  using Stub = grpc::TemplatedGenericStub<v1::FetchRequest, grpc::ByteBuffer>;

  bool Await();  // the one operation that is under way
  void ReadAhead();

  grpc::ClientContext& context_;
  grpc::CompletionQueue queue_;
  Stub stub_;
  std::unique_ptr<grpc::ClientAsyncReaderWriter<v1::FetchRequest, grpc::ByteBuffer>> call_;
  grpc::ByteBuffer ahead_;
  bool reading_ = false, finished_ = false;
};

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_CHUNK_STREAM_H_
