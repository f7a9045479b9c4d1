// One side of a bidirectional gRPC stream, as both kinds of session use it: messages go out through
// an outbox that batches by back-pressure (DESIGN law 4), messages come in at the pace that the
// handler allows.
//
//   class Handler : public rpc::SessionHandler<Out, In> { ... };
//   client: auto session = rpc::ConnectStream<Out, In>(key, handler, [&](auto* context, auto* reactor) {
//             stub->async()->Connect(context, reactor); });
//   server: return rpc::AcceptStream<Out, In>(context, handler);      // in the callback service's Connect()
//
// The outbox. Add() appends to the message that gathers; Flush() writes it if no write is under
// way; when a write completes, what gathered meanwhile goes out as the next message. So an idle
// session sends at once, and a loaded one sends few large messages. That a write completed means
// that the transport took it, not that it arrived.
//
// Lifetimes. A session is held by shared_ptr and may outlive its stream: every call on a closed one
// is harmless. The reactor belongs to gRPC and is deleted in OnDone; the handler is released after
// OnClosed.
//
// Threads. Every method may be called from any thread. The handler is called on gRPC's threads,
// which must never block: OnStart first, then OnMessage one at a time, OnDrained perhaps at the
// same time as OnMessage, OnClosed last.
#ifndef TASKD_COMMON_RPC_STREAM_SESSION_H_
#define TASKD_COMMON_RPC_STREAM_SESSION_H_

#include <google/protobuf/arena.h>
#include <grpcpp/client_context.h>
#include <grpcpp/server_context.h>
#include <grpcpp/support/client_callback.h>
#include <grpcpp/support/server_callback.h>

#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>

#include "common/base/limits.h"
#include "common/rpc/auth.h"
#include "common/rpc/idle_tick.h"

namespace taskd::rpc {

template <class Out, class In>
class StreamSession;

template <class Out, class In>
class SessionHandler {
 public:
  virtual ~SessionHandler() = default;

  // Before anything else, on the thread that opens the stream. The handler keeps the session to
  // send on it, until OnClosed at the latest (they hold each other). It may send at once.
  virtual void OnStart(std::shared_ptr<StreamSession<Out, In>> session) = 0;
  // One message, which may be moved from. Returns whether to read on; after false, Resume() does
  // that.
  virtual bool OnMessage(In& message) = 0;
  // Everything that was added has been taken by the transport.
  virtual void OnDrained() {}
  // The last call. `status`: how the stream ended; on the server OK when both sides ended it in
  // order.
  virtual void OnClosed(const grpc::Status& status) = 0;
};

namespace internal {

// What a session asks of its reactor; called with the session's lock held.
template <class Out, class In>
class Transport {
 public:
  virtual void StartReading(In* message) = 0;
  virtual void StartWriting(const Out* message) = 0;
  virtual void EndWriting(const grpc::Status& status) = 0;  // client: half-close; server: finish
  virtual void CancelCall() = 0;
  // No operation will be started any more from outside a reaction.
  virtual void ReleaseHold() = 0;

 protected:
  ~Transport() = default;
};

}  // namespace internal

template <class Out, class In>
class StreamSession {
 public:
  using Handler = SessionHandler<Out, In>;

  StreamSession(std::shared_ptr<Handler> handler, bool is_server)
      : handler_(std::move(handler)), is_server_(is_server) {}

  // Appends an item of about `bytes` bytes: fill(Out&) is called under the session's lock and must
  // not call the session; what it returns, if anything, is counted as further bytes. Items of one
  // message are applied in the order of its fields, so an item whose `rank` (its field number, say)
  // is below that of one already gathered starts a new message; rank 0 joins any message. False, and
  // fill is not called, when the stream is closing or closed.
  template <class Fill>
  bool Add(uint64_t bytes, uint32_t rank, Fill&& fill) {
    std::lock_guard lock(mutex_);
    if (closing_ || write_dead_) return false;
    if (outbox_.empty() || outbox_.back().bytes >= limits::kFlushBytes ||
        (rank != 0 && rank < outbox_.back().rank)) {
      outbox_.emplace_back();
    }
    Pending& gathering = outbox_.back();
    if constexpr (std::is_void_v<std::invoke_result_t<Fill, Out&>>) {
      std::forward<Fill>(fill)(*gathering.message);
    } else {
      bytes += std::forward<Fill>(fill)(*gathering.message);
    }
    gathering.bytes += bytes;
    if (rank > gathering.rank) gathering.rank = rank;
    outbox_bytes_ += bytes;
    return true;
  }

  // What was added is written, now or when the write before has ended. What is added later gathers until the next
  // Flush.
  void Flush() {
    std::lock_guard lock(mutex_);
    flushed_ = outbox_.size();
    WriteNext();
  }

  template <class Fill>
  bool Send(uint64_t bytes, uint32_t rank, Fill&& fill) {
    bool added = Add(bytes, rank, std::forward<Fill>(fill));
    if (added) Flush();
    return added;
  }

  // Bytes added and not yet taken by the transport.
  uint64_t outbox_bytes() const {
    std::lock_guard lock(mutex_);
    return outbox_bytes_;
  }

  // Reads on after OnMessage returned false; also when it is about to.
  void Resume() {
    std::lock_guard lock(mutex_);
    ResumeLocked();
  }

  // Ends the stream in order: what was added is still written, then the server finishes the call
  // with `status`, the client half-closes and waits for the server to finish. OnMessage is not
  // called any more. A peer that does not read can hold this up: Cancel() then.
  void Close(grpc::Status status = grpc::Status::OK) {
    std::lock_guard lock(mutex_);
    if (closing_) return;
    closing_ = true;
    deaf_ = true;
    close_status_ = std::move(status);
    WriteNext();
    ResumeLocked();
  }

  // Breaks the stream at once; what was added and not written is dropped.
  void Cancel() {
    std::lock_guard lock(mutex_);
    if (transport_ == nullptr || cancelled_) return;
    cancelled_ = true;
    closing_ = true;
    deaf_ = true;
    close_status_ = grpc::Status::CANCELLED;
    DropOutbox();
    transport_->CancelCall();
    WriteNext();
    ResumeLocked();
  }

  // --- Called by the reactor only. ---

  void Start(internal::Transport<Out, In>* transport) {
    std::lock_guard lock(mutex_);
    transport_ = transport;
    transport_->StartReading(&incoming_);
    WriteNext();
  }

  void ReadDone(bool ok) {
    if (!ok) return ReadEnded();
    bool deliver;
    {
      std::lock_guard lock(mutex_);
      in_handler_ = true;
      deliver = !deaf_;
    }
    bool read_on = deliver ? handler_->OnMessage(incoming_) : true;
    std::lock_guard lock(mutex_);
    in_handler_ = false;
    paused_ = !read_on && !resume_pending_ && !deaf_;
    resume_pending_ = false;
    if (!paused_) StartReading();
  }

  void WriteDone(bool ok) {
    bool drained = false;
    {
      std::lock_guard lock(mutex_);
      write_in_flight_ = false;
      outbox_bytes_ -= writing_->bytes;
      writing_.reset();
      if (!ok) {
        write_dead_ = true;
        DropOutbox();
      }
      WriteNext();
      drained = ok && outbox_.empty() && !write_in_flight_ && !closing_;
    }
    if (drained) handler_->OnDrained();
  }

  // The server learned that the call is cancelled: by either side, or by a broken connection.
  void Cancelled() {
    std::lock_guard lock(mutex_);
    cancelled_ = true;
    closing_ = true;
    deaf_ = true;
    close_status_ = grpc::Status::CANCELLED;
    DropOutbox();
    WriteNext();
  }

  void Done(const grpc::Status& status) {
    std::shared_ptr<Handler> handler;
    {
      std::lock_guard lock(mutex_);
      transport_ = nullptr;
      closing_ = true;
      write_dead_ = true;
      DropOutbox();
      handler = std::move(handler_);
    }
    handler->OnClosed(status);
  }

  grpc::Status close_status() const {
    std::lock_guard lock(mutex_);
    return close_status_;
  }

 private:
  // An item is a handful of small messages, which cost less in an arena, above all to be freed.
  struct Pending {
    std::unique_ptr<google::protobuf::Arena> arena = std::make_unique<google::protobuf::Arena>();
    Out* message = New(arena.get());
    uint64_t bytes = 0;
    uint32_t rank = 0;
  };

  static Out* New(google::protobuf::Arena* arena) {
    if constexpr (google::protobuf::Arena::is_arena_constructable<Out>::value) {
      return google::protobuf::Arena::CreateMessage<Out>(arena);
    } else {
      return google::protobuf::Arena::Create<Out>(arena);  // a test's, that is no protobuf message
    }
  }

  // The peer will send nothing more: it half-closed, finished the call, or is gone.
  void ReadEnded() {
    std::lock_guard lock(mutex_);
    read_ended_ = true;
    closing_ = true;
    if (is_server_) {
      WriteNext();
    } else {
      write_dead_ = true;
      DropOutbox();
      if (transport_ != nullptr) transport_->ReleaseHold();
    }
  }

  void WriteNext() {
    if (transport_ == nullptr || write_in_flight_ || ended_) return;
    if (!outbox_.empty() && !write_dead_) {
      if (flushed_ == 0 && !closing_) return;
      writing_ = std::move(outbox_.front());
      outbox_.pop_front();
      flushed_ -= flushed_ > 0;
      write_in_flight_ = true;
      transport_->StartWriting(writing_->message);
    } else if (closing_ || (is_server_ && write_dead_)) {
      End();
    }
  }

  void End() {
    if (!is_server_ && (read_ended_ || write_dead_ || cancelled_)) return;
    ended_ = true;
    transport_->EndWriting(close_status_);
  }

  void ResumeLocked() {
    if (in_handler_) {
      resume_pending_ = true;
    } else if (paused_) {
      paused_ = false;
      StartReading();
    }
  }

  // The server must not start anything after it finished the call; the client reads until there is
  // no more.
  void StartReading() {
    if (transport_ == nullptr || read_ended_ || (is_server_ && ended_)) return;
    transport_->StartReading(&incoming_);
  }

  void DropOutbox() {
    outbox_.clear();
    flushed_ = 0;
    outbox_bytes_ = write_in_flight_ ? writing_->bytes : 0;
  }

  mutable std::mutex mutex_;
  std::shared_ptr<Handler> handler_;  // constant until Done
  const bool is_server_;
  internal::Transport<Out, In>* transport_ = nullptr;  // null before Start and after Done
  In incoming_;
  std::deque<Pending> outbox_;      // the last one gathers
  std::optional<Pending> writing_;  // while a write is under way
  uint64_t outbox_bytes_ = 0;
  bool write_in_flight_ = false;
  size_t flushed_ = 0;  // messages of the outbox that are to be written
  bool in_handler_ = false;
  bool paused_ = false;          // OnMessage said so; nothing is being read
  bool resume_pending_ = false;  // Resume came while OnMessage ran
  bool closing_ = false;         // nothing more is added
  bool deaf_ = false;            // what still comes in is dropped
  bool cancelled_ = false;
  bool ended_ = false;  // EndWriting was called
  bool read_ended_ = false;
  bool write_dead_ = false;  // a write failed, or the stream is over
  grpc::Status close_status_;
};

namespace internal {

template <class Out, class In>
class ClientReactor final : public grpc::ClientBidiReactor<Out, In>, public Transport<Out, In> {
 public:
  ClientReactor(std::shared_ptr<StreamSession<Out, In>> session, std::string_view key)
      : session_(std::move(session)) {
    AddKey(context_, key);
  }
  grpc::ClientContext* context() { return &context_; }

  void StartReading(In* message) override { this->StartRead(message); }
  void StartWriting(const Out* message) override { this->StartWrite(message); }
  void EndWriting(const grpc::Status&) override { this->StartWritesDone(); }
  void CancelCall() override { context_.TryCancel(); }
  void ReleaseHold() override { this->RemoveHold(); }

  void OnReadDone(bool ok) override { session_->ReadDone(ok); }
  void OnWriteDone(bool ok) override { session_->WriteDone(ok); }
  void OnDone(const grpc::Status& status) override {
    session_->Done(status);
    delete this;
  }

 private:
  IdleTick idle_tick_;
  grpc::ClientContext context_;
  std::shared_ptr<StreamSession<Out, In>> session_;
};

template <class Out, class In>
class ServerReactor final : public grpc::ServerBidiReactor<In, Out>, public Transport<Out, In> {
 public:
  ServerReactor(std::shared_ptr<StreamSession<Out, In>> session,
                grpc::CallbackServerContext* context)
      : session_(std::move(session)), context_(context) {}

  void StartReading(In* message) override { this->StartRead(message); }
  void StartWriting(const Out* message) override { this->StartWrite(message); }
  void EndWriting(const grpc::Status& status) override { this->Finish(status); }
  void CancelCall() override { context_->TryCancel(); }
  void ReleaseHold() override {}

  void OnReadDone(bool ok) override { session_->ReadDone(ok); }
  void OnWriteDone(bool ok) override { session_->WriteDone(ok); }
  void OnCancel() override { session_->Cancelled(); }
  void OnDone() override {
    session_->Done(session_->close_status());
    delete this;
  }

 private:
  IdleTick idle_tick_;
  std::shared_ptr<StreamSession<Out, In>> session_;
  grpc::CallbackServerContext* context_;
};

template <class Out, class In>
class RefusingReactor final : public grpc::ServerBidiReactor<In, Out> {
 public:
  explicit RefusingReactor(const grpc::Status& status) { this->Finish(status); }
  void OnDone() override { delete this; }
};

}  // namespace internal

// Opens a stream: start(grpc::ClientContext*, grpc::ClientBidiReactor<Out, In>*) calls the stub. A
// peer that cannot be reached shows in OnClosed, at once (no waiting for ready: retrying is the
// caller's).
template <class Out, class In, class StartCall>
std::shared_ptr<StreamSession<Out, In>> ConnectStream(
    std::string_view key, std::shared_ptr<SessionHandler<Out, In>> handler, StartCall&& start) {
  auto session = std::make_shared<StreamSession<Out, In>>(handler, /*is_server=*/false);
  auto* reactor = new internal::ClientReactor<Out, In>(session, key);  // deletes itself in OnDone
  start(reactor->context(), static_cast<grpc::ClientBidiReactor<Out, In>*>(reactor));
  reactor->AddHold();
  handler->OnStart(session);
  session->Start(reactor);
  reactor->StartCall();
  return session;
}

// Accepts a stream. Check the key first, and answer RefuseStream without it.
template <class Out, class In>
grpc::ServerBidiReactor<In, Out>* AcceptStream(grpc::CallbackServerContext* context,
                                               std::shared_ptr<SessionHandler<Out, In>> handler) {
  auto session = std::make_shared<StreamSession<Out, In>>(handler, /*is_server=*/true);
  auto* reactor =
      new internal::ServerReactor<Out, In>(session, context);  // deletes itself in OnDone
  handler->OnStart(session);
  session->Start(reactor);
  return reactor;
}

template <class Out, class In>
grpc::ServerBidiReactor<In, Out>* RefuseStream(const grpc::Status& status) {
  return new internal::RefusingReactor<Out, In>(status);
}

}  // namespace taskd::rpc

#endif  // TASKD_COMMON_RPC_STREAM_SESSION_H_
