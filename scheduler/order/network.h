// A graph with its edges in both directions, the form that every pass walks.
#ifndef TASKD_SCHEDULER_ORDER_NETWORK_H_
#define TASKD_SCHEDULER_ORDER_NETWORK_H_

#include <cstdint>
#include <span>
#include <vector>

#include "scheduler/order/graph.h"

namespace taskd::order {

inline constexpr uint32_t kNone = 0xFFFFFFFFu;

// Nodes are tasks and bundles. A bundle stands for a collection: it reads the members and is read by
// the collection's readers, so M members with N readers are M + N edges. It runs by itself, takes no
// memory, and its members stay live until its readers have run. Collections that overlap much share
// bundles of aligned blocks of members.
//
// Node ids are a topological order. A node makes consecutive *sources* (a task its objects, a bundle
// one), numbered through in node order. A task that reads a source twice has one edge.
struct Network {
  uint32_t node_count() const { return static_cast<uint32_t>(task_of.size()); }
  uint32_t task_count() const { return static_cast<uint32_t>(node_of.size()); }
  uint32_t source_count() const { return static_cast<uint32_t>(producer.size()); }
  bool is_bundle(uint32_t node) const { return task_of[node] == kNone; }

  std::span<const uint32_t> inputs(uint32_t node) const {
    return {input.data() + input_begin[node], input.data() + input_begin[node + 1]};
  }
  std::span<const uint32_t> readers_of_source(uint32_t source) const {
    return {reader.data() + reader_begin[source], reader.data() + reader_begin[source + 1]};
  }
  // Of all sources of a node; one node may stand there several times.
  std::span<const uint32_t> readers(uint32_t node) const {
    return {reader.data() + reader_begin[source_begin[node]],
            reader.data() + reader_begin[source_begin[node + 1]]};
  }

  std::vector<uint32_t> task_of;       // a node; kNone: a bundle
  std::vector<uint32_t> node_of;       // a task
  std::vector<uint32_t> source_begin;  // a node, and one more
  std::vector<uint32_t> producer;      // a source: its node
  std::vector<uint32_t> input_begin;   // a node, and one more
  std::vector<uint32_t> input;         // sources
  std::vector<uint32_t> reader_begin;  // a source, and one more
  std::vector<uint32_t> reader;        // nodes
  std::vector<uint32_t> weight;        // a source: size in units of at least 1; 0 for bundles
  std::vector<bool> kept;              // a source: stays live to the end
  std::vector<uint64_t> duration_ns;   // a task; empty: kUnknownNs each
};

// Stands for the duration of every task when no hint tells any: only the shape of the graph counts.
inline constexpr uint64_t kUnknownNs = 100'000'000;

// Tasks that no hint tells of get the mean of those that one does. Time and memory are linear in
// tasks, inputs and members of collections (a logarithm more where collections overlap).
Network BuildNetwork(const Graph& graph);

}  // namespace taskd::order

#endif  // TASKD_SCHEDULER_ORDER_NETWORK_H_
