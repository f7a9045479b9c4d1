// Messages of the data service (v1::FetchChunk) around payload that is never copied into or out of
// a protobuf message. On the wire they are ordinary FetchChunks.
#ifndef TASKD_COMMON_RPC_CHUNK_CODEC_H_
#define TASKD_COMMON_RPC_CHUNK_CODEC_H_

#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/slice.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "taskd/v1/data.pb.h"

namespace taskd::rpc {

// Puts one message together: a chunk, and those of further items behind it (FetchChunk.more).
class ChunkWriter {
 public:
  // `header` has no `data` and no `more`. The message refers to `data` until gRPC has sent it.
  void Add(const v1::FetchChunk& header, grpc::Slice data);

  uint32_t chunks() const { return chunks_; }
  uint64_t bytes() const { return bytes_; }  // of the message

  // The message; the writer is empty again.
  grpc::ByteBuffer Finish();

 private:
  void CloseText();

  std::vector<grpc::Slice> slices_;
  std::string text_;  // headers and small payloads, copied, that no slice has yet
  uint64_t bytes_ = 0;
  uint32_t chunks_ = 0;
};

// One chunk as it came. `data` lies in the message that it is from.
struct ReceivedChunk {
  v1::FetchChunk header;
  std::vector<std::string_view> data;

  uint64_t data_bytes() const;
};

// A message as it came: the bytes stay where gRPC has put them.
class ReceivedChunks {
 public:
  // InvalidArgument: `message` is not made of FetchChunks. Everything in it is checked against its
  // bounds.
  static absl::StatusOr<ReceivedChunks> Parse(const grpc::ByteBuffer& message);

  const std::vector<ReceivedChunk>& chunks() const { return chunks_; }

 private:
  std::vector<grpc::Slice> slices_;  // what `chunks_` point into
  std::vector<ReceivedChunk> chunks_;
};

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_CHUNK_CODEC_H_
