// The graph that stands for what was put on a worker: a task a piece, which makes it its output there.
#ifndef TASKD_COMMON_GRAPH_PUT_BATCH_H_
#define TASKD_COMMON_GRAPH_PUT_BATCH_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace taskd::v1 {
class GraphBatch;
}

namespace taskd::graph {

struct PutPiece {
  std::string name;
  std::string token;  // that the worker gave for it
};

// Of a job of their own: objects put[NAME].v, which stay until it is forgotten.
v1::GraphBatch PutBatch(std::string_view worker, const std::vector<PutPiece>& pieces);

// Batch `number` of a graph to which a piece a batch is added: object NAME.v, which stays while something is to read it.
v1::GraphBatch NextPutBatch(uint32_t number, std::string_view worker, const PutPiece& piece);

}  // namespace taskd::graph

#endif  // TASKD_COMMON_GRAPH_PUT_BATCH_H_
