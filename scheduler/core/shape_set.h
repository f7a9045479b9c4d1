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
    SetBit(word, shape % 64, in);
    SetBit(groups_[shape / 4096], shape / 64 % 64, word != 0);
    SetBit(top_, shape / 4096, groups_[shape / 4096] != 0);
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
  static void SetBit(uint64_t& word, uint32_t bit, bool in) {
    word = (word & ~(uint64_t{1} << bit)) | uint64_t{in} << bit;
  }

  // The first word from `word` on that is not empty.
  uint32_t NextWord(uint32_t word) const {
    if (word == words_.size()) return word;
    uint32_t group = word / 64;
    uint64_t left = groups_[group] & ~uint64_t{0} << word % 64;
    if (left == 0) {
      const uint64_t groups = top_ & ~uint64_t{1} << group;
      if (groups == 0) return words_.size();
      group = static_cast<uint32_t>(std::countr_zero(groups));
      left = groups_[group];
    }
    return group * 64 + static_cast<uint32_t>(std::countr_zero(left));
  }

  std::array<uint64_t, 1024> words_ = {};  // a bit for each shape
  std::array<uint64_t, 16> groups_ = {};   // a bit for each word that has any
  uint64_t top_ = 0;                       // a bit for each group that has any
};

}  // namespace taskd::scheduler

#endif  // TASKD_SCHEDULER_CORE_SHAPE_SET_H_
