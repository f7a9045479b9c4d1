#include "common/rpc/chunk_stream.h"

#include <utility>

namespace taskd::rpc {

ChunkStream::ChunkStream(std::shared_ptr<grpc::Channel> channel, grpc::ClientContext& context,
                         const v1::FetchRequest& request)
    : context_(context), stub_(std::move(channel)) {
  call_ = stub_.PrepareCall(&context_, "/taskd.v1.Data/Fetch", &queue_);
  call_->StartCall(this);
  bool open = Await();
  if (open) {
    call_->WriteLast(request, grpc::WriteOptions(), this);
    open = Await();
  }
  if (open) ReadAhead();
}

ChunkStream::~ChunkStream() {
  if (!finished_) {
    context_.TryCancel();
    Finish();
  }
  queue_.Shutdown();
  void* tag = nullptr;
  for (bool ok = false; queue_.Next(&tag, &ok);) {
  }
}

bool ChunkStream::Read(grpc::ByteBuffer& message) {
  if (!reading_ || !Await()) {
    reading_ = false;
    return false;
  }
  message.Swap(&ahead_);
  ReadAhead();
  return true;
}

grpc::Status ChunkStream::Finish() {
  grpc::ByteBuffer rest;
  while (Read(rest)) {
  }
  grpc::Status status;
  call_->Finish(&status, this);
  Await();
  finished_ = true;
  return status;
}

bool ChunkStream::Await() {
  void* tag = nullptr;
  bool ok = false;
  return queue_.Next(&tag, &ok) && ok;
}

void ChunkStream::ReadAhead() {
  ahead_.Clear();
  call_->Read(&ahead_, this);
  reading_ = true;
}

}  // namespace taskd::rpc
