#include "tests/unit/taskctl/fake_cluster.h"

#include <stdlib.h>

#include <filesystem>

#include "common/base/check.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/access_file.h"
#include "common/rpc/auth.h"

namespace taskd::client {
namespace {

std::unique_ptr<grpc::Server> Serve(std::initializer_list<grpc::Service*> services,
                                    std::string* address) {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  for (grpc::Service* service : services) builder.RegisterService(service);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  TASKD_CHECK(server != nullptr);
  *address = StrCat("127.0.0.1:", port);
  return server;
}

// Scripts may wait in a read for ever: a deadline in the past cancels them.
void ShutDown(grpc::Server& server) {
  server.Shutdown(std::chrono::system_clock::now());
  server.Wait();
}

}  // namespace

FakeScheduler::FakeScheduler() : protocol(limits::kProtocolVersion) {
  cluster_id = [](uint32_t) { return "cluster-a"; };
  std::string pattern = (std::filesystem::temp_directory_path() / "taskctl-XXXXXX").string();
  TASKD_CHECK(mkdtemp(pattern.data()) != nullptr);
  dir_ = pattern;
  io::AccessFile access;
  access.cluster_id = "cluster-a";
  access.client_key = "the-client-key";
  access.addresses.resize(1);
  server_ = Serve(
      {static_cast<v1::Admin::Service*>(this), static_cast<v1::ClientSession::Service*>(this)},
      &access.addresses[0]);
  TASKD_CHECK(io::WriteAccessFile(dir_, access).ok());
}

void FakeScheduler::Stop() { ShutDown(*server_); }

FakeScheduler::~FakeScheduler() {
  Stop();
  std::filesystem::remove_all(dir_);
}

grpc::Status FakeScheduler::GetStatus(grpc::ServerContext* context, const v1::GetStatusRequest*,
                                      v1::ClusterStatus* status) {
  if (grpc::Status allowed = rpc::CheckKey(*context, {key}); !allowed.ok()) return allowed;
  if (get_status) return get_status();
  status->set_protocol(protocol);
  status->set_version("9.9");
  status->set_cluster_id("cluster-a");
  return grpc::Status::OK;
}

grpc::Status FakeScheduler::Connect(grpc::ServerContext* context, ServerStream* stream) {
  if (grpc::Status allowed = rpc::CheckKey(*context, {key}); !allowed.ok()) return allowed;
  uint32_t number = ++streams_;
  v1::ClientToScheduler hello;
  if (!stream->Read(&hello) || !hello.has_hello())
    return {grpc::StatusCode::INVALID_ARGUMENT, "the first message is no hello"};
  {
    std::lock_guard lock(mutex_);
    hellos_.push_back(hello.hello());
  }
  v1::SchedulerToClient welcome;
  welcome.mutable_welcome()->set_protocol(protocol);
  welcome.mutable_welcome()->set_cluster_id(cluster_id(number));
  stream->Write(welcome);
  return script(number, *stream);
}

FakeWorker::FakeWorker(FetchScript script)
    : script_(std::move(script)), server_(Serve({this}, &address_)) {}
FakeWorker::~FakeWorker() { ShutDown(*server_); }

grpc::Status FakeWorker::Fetch(grpc::ServerContext* context, const v1::FetchRequest* request,
                               grpc::ServerWriter<v1::FetchChunk>* writer) {
  if (grpc::Status allowed = rpc::CheckKey(*context, {"the-client-key"}); !allowed.ok())
    return allowed;
  return script_(request->items(0), *writer);
}

grpc::Status FakeWorker::Log(grpc::ServerContext* context, const v1::LogRequest* request,
                             grpc::ServerWriter<v1::LogChunk>* writer) {
  if (grpc::Status allowed = rpc::CheckKey(*context, {"the-client-key"}); !allowed.ok())
    return allowed;
  if (request->attempt().ordinal() != 5) return {grpc::StatusCode::NOT_FOUND, "no such log"};
  v1::LogChunk chunk;
  chunk.set_data("out");
  if (!request->stderr_only()) writer->Write(chunk);
  chunk.set_is_stderr(true);
  chunk.set_data("err");
  chunk.set_truncated(true);
  if (!request->stdout_only()) writer->Write(chunk);
  return grpc::Status::OK;
}

void Answer(ServerStream& stream, const v1::ClientToScheduler& request,
            const std::function<void(v1::Reply&)>& fill) {
  v1::SchedulerToClient message;
  v1::Reply* reply = message.add_replies();
  reply->set_token(request.token());
  if (fill) fill(*reply);
  stream.Write(message);
}

}  // namespace taskd::client
