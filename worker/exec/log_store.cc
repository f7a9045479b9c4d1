#include "worker/exec/log_store.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "common/base/text.h"
#include "common/io/log.h"

namespace taskd::worker {
namespace {
constexpr size_t kHeadBytes = limits::kLogBytes - limits::kLogTailBytes;
constexpr uint64_t kWriteBytes =
    1 << 20;  // about so much at once: one call, and not held in memory for long

// A stream on disk: this, its head and its tail. Only the process that wrote it reads it.
struct Saved {
  uint32_t head_bytes, tail_bytes;
  uint64_t dropped;
};
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

void LogBuffer::Save(std::string& to) const {
  const Saved saved = {static_cast<uint32_t>(head_.size()), static_cast<uint32_t>(tail_.size()),
                       dropped_};
  to.append(reinterpret_cast<const char*>(&saved), sizeof saved);
  to += head_;
  to += tail_;
}

bool LogBuffer::Restore(std::string_view& from) {
  Saved saved;
  if (from.size() < sizeof saved) return false;
  std::memcpy(&saved, from.data(), sizeof saved);
  from.remove_prefix(sizeof saved);
  if (from.size() < uint64_t{saved.head_bytes} + saved.tail_bytes) return false;
  head_ = from.substr(0, saved.head_bytes);
  tail_ = from.substr(saved.head_bytes, saved.tail_bytes);
  dropped_ = saved.dropped;
  from.remove_prefix(head_.size() + tail_.size());
  return true;
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

std::string AttemptLog::Save() const {
  std::lock_guard lock(mutex_);
  std::string saved;
  out_.Save(saved);
  err_.Save(saved);
  return saved;
}

std::shared_ptr<const AttemptLog> AttemptLog::Restore(std::string_view saved) {
  auto log = std::make_shared<AttemptLog>();
  log->ended_ = true;
  const bool whole = log->out_.Restore(saved) && log->err_.Restore(saved) && saved.empty();
  return whole ? log : nullptr;
}

LogStore::LogStore(Options options)
    : options_(std::move(options)),
      archive_(options_.folder.empty() || options_.disk_bytes == 0
                   ? nullptr
                   : std::make_unique<LogArchive>(options_.folder, options_.disk_bytes)) {}

LogStore::~LogStore() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  writer_.reset();
}

std::shared_ptr<AttemptLog> LogStore::Open(const AttemptRef& attempt) {
  auto log = std::make_shared<AttemptLog>();
  std::lock_guard lock(mutex_);
  logs_[attempt] = log;
  return log;
}

void LogStore::Close(const AttemptRef& attempt) {
  // Most tasks write nothing: they all have this one.
  static const std::shared_ptr<AttemptLog> nothing = [] {
    auto log = std::make_shared<AttemptLog>();
    log->End();
    return log;
  }();
  std::lock_guard lock(mutex_);
  auto it = logs_.find(attempt);
  if (it == logs_.end()) return;
  const uint64_t bytes = it->second->End();
  if (bytes == 0) {
    it->second = nothing;
    silent_.push_back(attempt);
    if (silent_.size() <= options_.attempts) return;
    Drop({silent_.front(), 0, nothing});
    return silent_.pop_front();
  }
  ended_.push_back({attempt, bytes, it->second});
  ended_bytes_ += bytes;
  const uint64_t most_bytes = archive_ == nullptr ? options_.total_bytes : options_.write_bytes;
  while (!ended_.empty() && (ended_bytes_ > most_bytes || ended_.size() > options_.attempts)) {
    Ended oldest = std::move(ended_.front());
    ended_.pop_front();
    ended_bytes_ -= oldest.bytes;
    Retire(std::move(oldest));
  }
}

void LogStore::Retire(Ended ended) {
  if (archive_ == nullptr) {
    ++dropped_;
    return Drop(ended);
  }
  leaving_bytes_ += ended.bytes;
  leaving_.push_back(std::move(ended));
  // The disk is slower than what comes: memory keeps its limit.
  while (!leaving_.empty() && ended_bytes_ + leaving_bytes_ > options_.total_bytes) {
    leaving_bytes_ -= leaving_.front().bytes;
    ++dropped_;
    Drop(leaving_.front());
    leaving_.pop_front();
  }
  if (leaving_.empty() || writing_) return;
  writing_ = true;
  if (writer_ == nullptr) writer_ = std::make_unique<io::ThreadPool>(1);
  writer_->Post([this] { Write(); });
}

void LogStore::Drop(const Ended& ended) {
  // An attempt of another scheduler may have had the same name since.
  auto it = logs_.find(ended.attempt);
  if (it != logs_.end() && it->second == ended.log) logs_.erase(it);
}

void LogStore::Write() {
  std::unique_lock lock(mutex_);
  while (!leaving_.empty() && !stopping_) {
    std::vector<Ended> batch;
    // Of a small archive only a part is replaced at once.
    const uint64_t most_bytes = std::min(kWriteBytes, options_.disk_bytes / 8);
    for (uint64_t bytes = 0; !leaving_.empty() && (batch.empty() || bytes < most_bytes);) {
      bytes += leaving_.front().bytes;
      leaving_bytes_ -= leaving_.front().bytes;
      batch.push_back(std::move(leaving_.front()));
      leaving_.pop_front();
    }
    lock.unlock();
    std::vector<LogArchive::Record> records;
    for (const Ended& ended : batch) records.push_back({ended.attempt, ended.log->Save()});
    const absl::Status written = archive_->Append(records);
    if (!written.ok() && !std::exchange(warned_, true)) {
      io::LogWarning(
          StrCat("logs of ended tasks cannot be kept on disk, so that older ones are dropped: ",
                 ToStd(written.message())));
    }
    lock.lock();
    for (const Ended& ended : batch) Drop(ended);
    if (!written.ok()) dropped_ += batch.size();
  }
  writing_ = false;
}

std::shared_ptr<const AttemptLog> LogStore::Find(const AttemptRef& attempt) const {
  {
    std::lock_guard lock(mutex_);
    auto it = logs_.find(attempt);
    if (it != logs_.end()) return it->second;
  }
  if (archive_ == nullptr) return nullptr;
  const std::optional<std::string> saved = archive_->Find(attempt);
  return saved ? AttemptLog::Restore(*saved) : nullptr;
}

LogTotals LogStore::totals() const {
  std::lock_guard lock(mutex_);
  LogTotals totals = {ended_bytes_ + leaving_bytes_, 0, dropped_};
  if (archive_ != nullptr) {
    totals.disk_bytes = archive_->bytes();
    totals.dropped += archive_->dropped();
  }
  return totals;
}

}  // namespace taskd::worker
