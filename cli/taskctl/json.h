// Protocol messages as JSON for programs. Unlike protobuf's own printer: field names as in the
// .proto files, 64-bit numbers are numbers, enums are their short names (common/base/names.h),
// bytes are text, and every field of a message is there whatever its value (an unset message is
// null), so that a program needs no defaults.
#ifndef TASKD_CLI_TASKCTL_JSON_H_
#define TASKD_CLI_TASKCTL_JSON_H_

#include <string>
#include <string_view>

namespace google::protobuf {
class EnumValueDescriptor;
class Message;
}  // namespace google::protobuf

namespace taskd::cli {

// One line, no newline. A byte in a bytes or string field that is not UTF-8 becomes the text
// "\xNN".
std::string ToJson(const google::protobuf::Message& message);

// `text` with quotes. Bytes that are not UTF-8, as above; control characters as JSON escapes.
std::string JsonString(std::string_view text);

// TASK_WAITING -> "waiting", FAILURE_CLASS_UNSPECIFIED -> "none".
std::string ShortName(const google::protobuf::EnumValueDescriptor& value);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_JSON_H_
