// Bodies that are functions: native and python.
#ifndef TASKD_CLI_CLIENT_FUNCTION_READER_H_
#define TASKD_CLI_CLIENT_FUNCTION_READER_H_

#include "absl/status/status.h"
#include "cli/client/graph_model.h"
#include "taskd/v1/graph.pb.h"

namespace taskd::client {

// {library: PATH, function: NAME}. The library need not be on this machine.
absl::Status ReadNative(const FileContext& context, const YamlNode& node, v1::NativeBody& body);

// "module:function", or {call: "module:function", path: FOLDER, env: FOLDER or else interpreter: FILE}.
absl::Status ReadPython(const FileContext& context, const YamlNode& node, v1::PythonBody& body);

}  // namespace taskd::client

#endif  // TASKD_CLI_CLIENT_FUNCTION_READER_H_
