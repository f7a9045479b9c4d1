#include "worker/exec/cpu_pins.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string_view>
#include <tuple>
#include <utility>

#include "common/base/text.h"

namespace taskd::worker {
namespace {

constexpr uint32_t kMostCpus = 8192;  // that Linux knows

struct FreeSet {
  void operator()(cpu_set_t* set) const { CPU_FREE(set); }
};
using Set = std::unique_ptr<cpu_set_t, FreeSet>;

const size_t kSetBytes = CPU_ALLOC_SIZE(kMostCpus);

Set NewSet() {
  Set set(CPU_ALLOC(kMostCpus));
  CPU_ZERO_S(kSetBytes, set.get());
  return set;
}

bool SetAffinity(pid_t thread, const CpuList& cpus) {
  const Set set = NewSet();
  for (uint32_t cpu : cpus) CPU_SET_S(cpu, kSetBytes, set.get());
  return sched_setaffinity(thread, kSetBytes, set.get()) == 0;
}

// Of this thread. Empty: the kernel does not say.
CpuList Affinity() {
  const Set set = NewSet();
  CpuList cpus;
  if (sched_getaffinity(0, kSetBytes, set.get()) != 0) return cpus;
  for (uint32_t cpu = 0; cpu < kMostCpus; ++cpu) {
    if (CPU_ISSET_S(cpu, kSetBytes, set.get())) cpus.push_back(cpu);
  }
  return cpus;
}

// A number that `text` begins with; else `fallback`.
uint32_t NumberAt(std::string_view text, uint32_t fallback) {
  uint32_t number = fallback;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

// cpu3/node1 is a link to the node that cpu 3 belongs to.
uint32_t NodeOf(const std::string& folder) {
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("node")) return NumberAt(std::string_view(name).substr(4), 0);
  }
  return 0;
}

}  // namespace

std::vector<Cpu> ReadCpus(const std::string& root) {
  std::vector<Cpu> cpus;
  for (uint32_t number : Affinity()) {
    const std::string folder = StrCat(root, "/sys/devices/system/cpu/cpu", number);
    // "1,65" or "2-3": its core is called by the first hyperthread.
    std::string siblings;
    std::ifstream(folder + "/topology/thread_siblings_list") >> siblings;
    cpus.push_back({number, NumberAt(siblings, number), NodeOf(folder)});
  }
  return cpus;
}

CpuPins::CpuPins(std::vector<Cpu> cpus) : free_(cpus.size()) {
  std::sort(cpus.begin(), cpus.end(), [](const Cpu& a, const Cpu& b) {
    return std::tie(a.node, a.core, a.number) < std::tie(b.node, b.core, b.number);
  });
  for (const Cpu& cpu : cpus) {
    all_.push_back(cpu.number);
    cpus_.push_back({cpu});
  }
  std::sort(all_.begin(), all_.end());
}

// From the node that has most free, and in it from the cores that have most free: as long as there is room each attempt
// has cores, and bandwidth to memory, for itself. What no node has alone is taken from several.
CpuList CpuPins::Take(uint32_t cpus_milli) {
  const size_t wanted = cpus_milli / 1000;
  if (!on() || wanted == 0 || cpus_milli % 1000 != 0) return {};
  std::lock_guard lock(mutex_);
  if (wanted > free_) return {};
  std::map<uint32_t, size_t> free_of_node;
  std::map<std::pair<uint32_t, uint32_t>, size_t> free_of_core;  // by node and core
  for (const State& s : cpus_) {
    if (s.taken) continue;
    ++free_of_node[s.cpu.node];
    ++free_of_core[{s.cpu.node, s.cpu.core}];
  }
  std::vector<State*> order;
  for (State& s : cpus_) {
    if (!s.taken) order.push_back(&s);
  }
  // Stable: else by number.
  std::stable_sort(order.begin(), order.end(), [&](const State* a, const State* b) {
    const auto rank = [&](const Cpu& cpu) {
      return std::tuple(free_of_node[cpu.node], ~cpu.node, free_of_core[{cpu.node, cpu.core}],
                        ~cpu.core);
    };
    return rank(a->cpu) > rank(b->cpu);
  });
  CpuList taken;
  for (size_t i = 0; i < wanted; ++i) {
    order[i]->taken = true;
    taken.push_back(order[i]->cpu.number);
  }
  free_ -= wanted;
  std::sort(taken.begin(), taken.end());
  return taken;
}

void CpuPins::GiveBack(const CpuList& cpus) {
  if (cpus.empty()) return;
  std::lock_guard lock(mutex_);
  for (State& s : cpus_) {
    if (std::binary_search(cpus.begin(), cpus.end(), s.cpu.number)) s.taken = false;
  }
  free_ += cpus.size();
}

ThreadOnCpus::ThreadOnCpus(const CpuList& cpus) {
  if (cpus.empty()) return;
  before_ = Affinity();
  if (!SetAffinity(0, cpus)) before_.clear();
}

ThreadOnCpus::~ThreadOnCpus() {
  if (!before_.empty()) SetAffinity(0, before_);
}

void PinProcess(pid_t pid, const CpuList& cpus) {
  std::error_code error;
  for (const auto& entry :
       std::filesystem::directory_iterator(StrCat("/proc/", pid, "/task"), error)) {
    const std::string name = entry.path().filename().string();
    if (const uint32_t thread = NumberAt(name, 0); thread != 0)
      SetAffinity(static_cast<pid_t>(thread), cpus);
  }
}

}  // namespace taskd::worker
