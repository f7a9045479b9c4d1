#include "worker/exec/log_store.h"

#include <algorithm>

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
  const size_t extra =
      tail_.size() > limits::kLogTailBytes ? tail_.size() - limits::kLogTailBytes : 0;
  if (dropped_ + extra == 0) return head_ + tail_;
  return StrCat(head_, "\n[taskd: ", dropped_ + extra, " bytes left out here]\n",
                tail_.substr(extra));
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
}

void AttemptLog::AppendErr(std::string_view bytes) {
  std::lock_guard lock(mutex_);
  err_.Append(bytes);
}

AttemptLog::View AttemptLog::Read() const {
  std::lock_guard lock(mutex_);
  return {out_.Text(), err_.Text(), out_.truncated(), err_.truncated()};
}

std::string AttemptLog::ErrTail(uint32_t bytes) const {
  std::lock_guard lock(mutex_);
  return err_.Tail(bytes);
}

uint64_t AttemptLog::Pack() {
  std::lock_guard lock(mutex_);
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
  const uint64_t bytes = it->second->Pack();
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
