// How busy the links out of workers are. Of a large input that many fetch from one holder everybody
// gets the later the more fetch at once, and all of them last. So, of what attempts are to fetch, the
// part that comes from one worker is counted there; a task whose input would come from a worker that
// has enough to send is not moved yet: it stays in the home where its input is, which may come to run
// it, and whenever a fetch has ended an idle worker looks again.
#include <algorithm>

#include "common/base/muldiv.h"
#include "scheduler/core/state.h"

namespace taskd::scheduler {

namespace {
// So many attempts fetch from a worker in any case, and more while what it has to send is little.
constexpr uint32_t kSendsAtOnce = 2;
constexpr uint64_t kSendAheadNs = 1'000'000'000;
}  // namespace

// The sender is who sends most of what is missing; of that, by how much it outweighs all others.
void Fetch::Add(uint16_t from, uint64_t bytes) {
  if (from == sender) {
    sender_bytes += bytes;
  } else if (bytes > sender_bytes) {
    sender = from;
    sender_bytes = bytes - sender_bytes;
  } else {
    sender_bytes -= bytes;
  }
}

void State::BeginSend(AttemptRec& attempt, const Fetch& fetch) {
  if (fetch.sender_bytes < kLargeBytes) return;
  Worker& sender = *workers[fetch.sender];
  attempt.sender = sender.id;
  attempt.sent_bytes = fetch.sender_bytes;
  attempt.sent_before = sender.sent_bytes;
  ++sender.sends;
  sender.sending_bytes += attempt.sent_bytes;
}

// What a worker has sent to all while one waited is what its link carries.
void State::EndSend(AttemptRec& attempt, bool arrived) {
  if (!attempt.sender) return;
  Worker* sender = FindWorker(attempt.sender);
  attempt.sender = {};
  if (sender == nullptr) return;
  --sender->sends;
  sender->sending_bytes -= attempt.sent_bytes;
  if (arrived) {
    sender->sent_bytes += attempt.sent_bytes;
    if (attempt.fetch_bytes > 0 && now_ns > attempt.assigned_ns) {
      const uint64_t sample = MulDiv(sender->sent_bytes - attempt.sent_before, 1'000'000'000,
                                     now_ns - attempt.assigned_ns);
      sender->out_bytes_per_s = Learned(sender->out_bytes_per_s, sample);
    }
  }
  if (sender->home_tasks > 0) WakeTaker();
}

uint64_t State::SendNs(const Worker& sender) const {
  if (sender.sending_bytes == 0) return 0;
  const uint64_t bandwidth =
      sender.out_bytes_per_s != 0 ? sender.out_bytes_per_s : BandwidthInto(sender);
  return MulDiv(sender.sending_bytes, 1'000'000'000, bandwidth);
}

bool State::HasEnoughToSend(const Worker& sender) const {
  return sender.sends >= kSendsAtOnce && SendNs(sender) > kSendAheadNs;
}

}  // namespace taskd::scheduler
