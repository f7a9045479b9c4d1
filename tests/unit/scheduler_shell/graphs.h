// Small graphs for the tests of this folder.
#ifndef TASKD_TESTS_UNIT_SCHEDULER_SHELL_GRAPHS_H_
#define TASKD_TESTS_UNIT_SCHEDULER_SHELL_GRAPHS_H_

#include <zstd.h>

#include <string>

#include "taskd/v1/graph.pb.h"

namespace taskd::scheduler {

// map[0], map[1], map[2], each with one output of 4 parts, and sum, which reads part 1 of each.
// Object i is map[i].p, object 3 is sum.s.
inline v1::GraphBatch SmallGraph() {
  v1::GraphBatch batch;
  v1::Body* map = batch.add_bodies();
  map->mutable_command()->set_sh("map");
  v1::OutputSlot* parts = map->add_outputs();
  parts->set_name("p");
  parts->set_kind(v1::OutputSlot::PARTS);
  parts->set_file("p/{k}");
  parts->set_parts(4);
  v1::Body* sum = batch.add_bodies();
  sum->mutable_command()->set_sh("sum");
  sum->add_inputs()->set_name("m");
  sum->mutable_inputs(0)->set_kind(v1::InputSlot::AXIS);
  sum->add_outputs()->set_name("s");
  sum->mutable_outputs(0)->set_file("s");
  batch.add_shapes()->mutable_need()->set_cpus_milli(1000);
  batch.add_options();
  v1::Template* map_template = batch.add_templates();
  map_template->set_name("map");
  map_template->set_task_count(3);
  v1::Axis* axis = map_template->add_axes();
  axis->set_name("m");
  for (const char* value : {"0", "1", "2"}) axis->add_values(value);
  v1::Template* sum_template = batch.add_templates();
  sum_template->set_name("sum");
  sum_template->set_task_count(1);
  v1::TaskRun* run = batch.add_runs();
  run->set_template_index(0);
  run->set_count(3);
  run = batch.add_runs();
  run->set_template_index(1);
  run->set_count(1);
  v1::Collection* all = batch.add_collections();
  all->set_count(3);
  all->set_stride(1);
  for (uint32_t body : {0, 0, 0, 1}) batch.add_body(body);
  for (uint32_t inputs : {0, 0, 0, 1}) batch.add_input_count(inputs);
  batch.add_input_source(0x80000000u);
  batch.add_input_part_lo(1);
  batch.add_input_part_hi(2);
  batch.set_args("abbccc");
  for (uint32_t size : {1, 2, 3, 0}) batch.add_args_size(size);
  batch.add_want(3);
  return batch;
}

inline std::string Frame(const std::string& text) {
  std::string frame(ZSTD_compressBound(text.size()), '\0');
  frame.resize(ZSTD_compress(frame.data(), frame.size(), text.data(), text.size(), 1));
  return frame;
}

}  // namespace taskd::scheduler

#endif  // TASKD_TESTS_UNIT_SCHEDULER_SHELL_GRAPHS_H_
