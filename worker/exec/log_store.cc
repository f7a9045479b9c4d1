#include "worker/exec/log_store.h"

#include <algorithm>
#include <chrono>

#include "common/base/text.h"

namespace taskd::worker {
namespace {
constexpr size_t kHeadBytes = limits::kLogBytes - limits::kLogTailBytes;
}  // namespace

void LogBuffer::Append(std::string_view bytes) {
  if (tail_.empty() && head_.size() < kHeadBytes) {
    const size_t n = std::min(bytes.size(), kHeadBytes - head_.size());
    head_.append(bytes.substr(0, n));
    bytes.remove_prefix(n);
  }
  if (bytes.size() > limits::kLogTailBytes) {
    dropped_ += tail_.size() + bytes.size() - limits::kLogTailBytes;
    tail_.clear();
    bytes.remove_prefix(bytes.size() - limits::kLogTailBytes);
  }
  tail_.append(bytes);
  if (tail_.size() >
      2 * size_t{limits::kLogTailBytes}) {  // cut rarely, so that a byte is moved once on average
    dropped_ += tail_.size() - limits::kLogTailBytes;
    tail_.erase(0, tail_.size() - limits::kLogTailBytes);
  }
}

std::string LogBuffer::Text() const {
  uint64_t position = 0;
  return Since(position);
}

std::string LogBuffer::Since(uint64_t& position) const {
  // Whoever starts now is shown what is kept for good.
  const size_t extra = position == 0 && tail_.size() > limits::kLogTailBytes
                           ? tail_.size() - limits::kLogTailBytes
                           : 0;
  const uint64_t tail_begin = head_.size() + dropped_ + extra;
  std::string text = position < head_.size() ? head_.substr(position) : "";
  if (position < tail_begin && dropped_ + extra > 0) {
    text += StrCat("\n[taskd: ", tail_begin - std::max<uint64_t>(position, head_.size()),
                   " bytes left out here]\n");
  }
  text += tail_.substr(extra + (position > tail_begin ? position - tail_begin : 0));
  position = tail_begin + tail_.size() - extra;
  return text;
}

std::string LogBuffer::Tail(uint32_t bytes) const {
  if (tail_.size() >= bytes) return tail_.substr(tail_.size() - bytes);
  const size_t from_head = std::min<size_t>(bytes - tail_.size(), dropped_ > 0 ? 0 : head_.size());
  return head_.substr(head_.size() - from_head) + tail_;
}

void LogBuffer::Pack() {
  if (tail_.size() > limits::kLogTailBytes) {
    dropped_ += tail_.size() - limits::kLogTailBytes;
    tail_.erase(0, tail_.size() - limits::kLogTailBytes);
  }
  head_.shrink_to_fit();
  tail_.shrink_to_fit();
}

void AttemptLog::AppendOut(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  out_.Append(bytes);
  changed_.notify_all();
}

void AttemptLog::AppendErr(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  err_.Append(bytes);
  changed_.notify_all();
}

AttemptLog::View AttemptLog::Read() const {
  std::lock_guard lock(mutex_);
  return {out_.Text(), err_.Text(), out_.truncated(), err_.truncated()};
}

bool AttemptLog::Follow(Position& position, View& news, uint64_t wait_ns) const {
  std::unique_lock lock(mutex_);
  auto read = [&] {
    news = {out_.Since(position.out), err_.Since(position.err), out_.truncated(), err_.truncated()};
    return ended_ || !news.out.empty() || !news.err.empty();
  };
  changed_.wait_for(lock, std::chrono::nanoseconds(wait_ns), read);
  return !ended_;
}

std::string AttemptLog::ErrTail(uint32_t bytes) const {
  std::lock_guard lock(mutex_);
  return err_.Tail(bytes);
}

uint64_t AttemptLog::End() {
  std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
  out_.Pack();
  err_.Pack();
  return out_.kept_bytes() + err_.kept_bytes();
}

std::shared_ptr<AttemptLog> LogStore::Open(const AttemptRef& attempt) {
  auto log = std::make_shared<AttemptLog>();
  std::lock_guard lock(mutex_);
  logs_[attempt] = log;
  return log;
}

void LogStore::Close(const AttemptRef& attempt) {
  std::lock_guard lock(mutex_);
  auto it = logs_.find(attempt);
  if (it == logs_.end()) return;
  const uint64_t bytes = it->second->End();
  ended_.push_back({attempt, bytes});
  ended_bytes_ += bytes;
  while (!ended_.empty() && (ended_bytes_ > total_bytes_ || ended_.size() > attempts_)) {
    ended_bytes_ -= ended_.front().bytes;
    logs_.erase(ended_.front().attempt);
    ended_.pop_front();
  }
}

std::shared_ptr<const AttemptLog> LogStore::Find(const AttemptRef& attempt) const {
  std::lock_guard lock(mutex_);
  auto it = logs_.find(attempt);
  return it == logs_.end() ? nullptr : it->second;
}

}  // namespace taskd::worker
