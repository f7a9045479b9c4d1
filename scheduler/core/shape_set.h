// A set of shapes, walked in their order in time by the number of its members: a cluster sees thousands
// of shapes in its life (each amount of memory that somebody asks for is one), and few at a time.
#ifndef TASKD_SCHEDULER_CORE_SHAPE_SET_H_
#define TASKD_SCHEDULER_CORE_SHAPE_SET_H_

#include <array>
#include <bit>
#include <cstdint>

namespace taskd::scheduler {

class ShapeSet {
 public:
  static constexpr uint16_t kNone = 0xFFFFu;

  void Set(uint16_t shape, bool in) {
    uint64_t& word = words_[shape / 64];
    const uint64_t bit = uint64_t{1} << shape % 64;
    word = in ? word | bit : word & ~bit;
    uint64_t& group = groups_[shape / 4096];
    const uint64_t group_bit = uint64_t{1} << shape / 64 % 64;
    group = word != 0 ? group | group_bit : group & ~group_bit;
  }
  bool Has(uint16_t shape) const { return words_[shape / 64] >> shape % 64 & 1; }

  // The first member that is not below `shape`; kNone: there is none.
  uint16_t From(uint32_t shape) const {
    if (shape >= kNone) return kNone;
    uint32_t word = shape / 64;
    uint64_t left = words_[word] & ~uint64_t{0} << shape % 64;
    if (left == 0) {
      word = NextWord(word + 1);
      if (word == words_.size()) return kNone;
      left = words_[word];
    }
    return static_cast<uint16_t>(word * 64 + static_cast<uint32_t>(std::countr_zero(left)));
  }

 private:
  // The first word from `word` on that is not empty.
  uint32_t NextWord(uint32_t word) const {
    for (uint32_t group = word / 64; group < groups_.size(); ++group, word = group * 64) {
      const uint64_t left = groups_[group] & ~uint64_t{0} << word % 64;
      if (left != 0) return group * 64 + static_cast<uint32_t>(std::countr_zero(left));
    }
    return words_.size();
  }

  std::array<uint64_t, 1024> words_ = {};  // a bit for each shape
  std::array<uint64_t, 16> groups_ = {};   // a bit for each word that has any
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_SHAPE_SET_H_
