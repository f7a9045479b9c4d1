// Workers by about how many tasks they have: whoever takes from the fullest does well with one that is
// within a quarter of it. So most changes of a count by one move nothing, and none costs more than a
// few writes: a list for each class of counts, and a bit for each list that is not empty.
#ifndef TASKD_SCHEDULER_CORE_COUNT_INDEX_H_
#define TASKD_SCHEDULER_CORE_COUNT_INDEX_H_

#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace taskd::scheduler {

// 0 for 0, exact below 8, then four classes for each power of two; increasing.
constexpr uint8_t CountClass(uint32_t count) {
  if (count < 8) return static_cast<uint8_t>(count);
  uint32_t shift = static_cast<uint32_t>(std::bit_width(count)) - 3;
  return static_cast<uint8_t>(shift * 4 + (count >> shift));
}
static_assert(CountClass(7) == 7 && CountClass(8) == 8 && CountClass(9) == 8 &&
              CountClass(10) == 9 && CountClass(15) == 11 && CountClass(16) == 12 &&
              CountClass(0xFFFFFFFFu) < 128);

class CountIndex {
 public:
  static constexpr uint16_t kNone = 0xFFFFu;

  bool empty() const { return (occupied_[0] | occupied_[1]) == 0; }

  // A worker slot's count is now this; 0: it has none, and is not in the index.
  void Set(uint16_t slot, uint32_t count) {
    uint8_t is = CountClass(count);
    if (slot >= nodes_.size()) {
      if (is == 0) return;
      nodes_.resize(slot + 1u);
    }
    if (nodes_[slot].in == is) return;
    if (nodes_[slot].in != 0) Unlink(slot);
    nodes_[slot].in = is;
    if (is != 0) Link(slot);
  }

  // From the fullest class down, in a class the newest first; kNone: no more.
  uint16_t First() const { return empty() ? kNone : heads_[HighestBelow(128)]; }
  uint16_t Next(uint16_t slot) const {
    const Node& node = nodes_[slot];
    if (node.next != kNone) return node.next;
    uint32_t lower = HighestBelow(node.in);
    return lower == 0 ? kNone : heads_[lower];
  }

 private:
  struct Node {
    uint16_t previous = kNone, next = kNone;
    uint8_t in = 0;  // class; 0: in no list
  };

  // The highest class below one that has a worker; 0: none.
  uint32_t HighestBelow(uint32_t limit) const {
    if (limit > 64) {
      uint64_t high =
          occupied_[1] & (limit == 128 ? ~uint64_t{0} : (uint64_t{1} << (limit - 64)) - 1);
      if (high != 0) return 127 - static_cast<uint32_t>(std::countl_zero(high));
      limit = 64;
    }
    uint64_t low = occupied_[0] & (limit == 64 ? ~uint64_t{0} : (uint64_t{1} << limit) - 1);
    return low == 0 ? 0 : 63 - static_cast<uint32_t>(std::countl_zero(low));
  }

  void Link(uint16_t slot) {
    Node& node = nodes_[slot];
    uint64_t bit = uint64_t{1} << (node.in % 64);
    node.previous = kNone;
    node.next = occupied_[node.in / 64] & bit ? heads_[node.in] : kNone;
    if (node.next != kNone) nodes_[node.next].previous = slot;
    heads_[node.in] = slot;
    occupied_[node.in / 64] |= bit;
  }

  void Unlink(uint16_t slot) {
    const Node& node = nodes_[slot];
    if (node.next != kNone) nodes_[node.next].previous = node.previous;
    if (node.previous != kNone) {
      nodes_[node.previous].next = node.next;
    } else if (node.next != kNone) {
      heads_[node.in] = node.next;
    } else {
      occupied_[node.in / 64] &= ~(uint64_t{1} << (node.in % 64));
    }
  }

  std::vector<Node> nodes_;                // by slot, grown on use
  std::array<uint16_t, 128> heads_ = {};   // by class, where its bit is set
  std::array<uint64_t, 2> occupied_ = {};  // class 0 never is
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_COUNT_INDEX_H_
