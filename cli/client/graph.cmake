# The graph language, .tgraph files and the builder: no gRPC session code.
taskd_library(taskd_graph
  SOURCES axes.cc batch_writer.cc body_reader.cc function_reader.cc braces.cc builder.cc compile.cc globs.cc graph_model.cc
          graph_reader.cc graph_stats.cc load_graph.cc option_reader.cc ranks.cc references.cc tgraph.cc yaml_node.cc
  DEPS taskd_base taskd_graph_names taskd_proto
  PRIVATE_DEPS taskd_io scheduler_order yaml-cpp zstd)
