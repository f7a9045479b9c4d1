#include "common/graph/put_batch.h"

#include "taskd/v1/graph.pb.h"

namespace taskd::graph {
namespace {

void AddTables(std::string_view worker, v1::GraphBatch& batch) {
  v1::Body* body = batch.add_bodies();
  body->mutable_builtin()->set_name("put");
  v1::OutputSlot* output = body->add_outputs();
  output->set_name("v");
  output->set_kind(v1::OutputSlot::VALUE);
  v1::Shape* shape = batch.add_shapes();
  shape->mutable_need()->set_cpus_milli(1);  // every shape has some; a put takes nothing
  shape->add_workers(std::string(worker));
  batch.add_options()->set_put(true);
}

void AddToken(const PutPiece& piece, v1::GraphBatch& batch) {
  v1::TaskArgs args;
  v1::Value* token = args.add_values();
  token->set_name("token");
  token->set_value(piece.token);
  batch.add_args_size(static_cast<uint32_t>(args.ByteSizeLong()));
  args.AppendToString(batch.mutable_args());
}

v1::TaskRun* AddTemplate(std::string_view name, size_t tasks, v1::GraphBatch& batch) {
  v1::Template* added = batch.add_templates();
  added->set_name(std::string(name));
  added->set_task_count(static_cast<uint32_t>(tasks));
  v1::TaskRun* run = batch.add_runs();
  run->set_count(static_cast<uint32_t>(tasks));
  return run;
}

}  // namespace

v1::GraphBatch PutBatch(std::string_view worker, const std::vector<PutPiece>& pieces) {
  v1::GraphBatch batch;
  AddTables(worker, batch);
  AddTemplate("put", pieces.size(), batch);
  v1::Axis* axis = batch.mutable_templates(0)->add_axes();
  axis->set_name("name");
  for (const PutPiece& piece : pieces) {
    axis->add_values(piece.name);
    AddToken(piece, batch);
    batch.add_want(static_cast<uint32_t>(batch.want_size()));
  }
  return batch;
}

v1::GraphBatch NextPutBatch(uint32_t number, std::string_view worker, const PutPiece& piece) {
  v1::GraphBatch batch;
  batch.set_number(number);
  if (number == 0) AddTables(worker, batch);
  AddTemplate(piece.name, 1, batch)->set_template_index(number);
  AddToken(piece, batch);
  return batch;
}

}  // namespace taskd::graph
