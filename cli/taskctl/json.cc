#include "cli/taskctl/json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cctype>
#include <charconv>

#include "absl/strings/escaping.h"
#include "cli/taskctl/terminal.h"
#include "common/base/text.h"

namespace taskd::cli {
namespace {

using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// Bytes that are no text: printed as base64.
constexpr std::string_view kBinaryField = "exception";

std::string Number(double value) {
  char buffer[64];
  auto end = std::to_chars(buffer, buffer + sizeof buffer, value).ptr;
  return {buffer, end};
}

// Reads a field through the reflection call that fits its cardinality.
#define TASKD_GET(kind) (index < 0 ? r.Get##kind(m, field) : r.GetRepeated##kind(m, field, index))

std::string Value(const Message& m, const FieldDescriptor* field, int index) {
  const Reflection& r = *m.GetReflection();
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return StrCat(TASKD_GET(Int32));
    case FieldDescriptor::CPPTYPE_UINT32:
      return StrCat(TASKD_GET(UInt32));
    case FieldDescriptor::CPPTYPE_INT64:
      return StrCat(TASKD_GET(Int64));
    case FieldDescriptor::CPPTYPE_UINT64:
      return StrCat(TASKD_GET(UInt64));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return Number(TASKD_GET(Double));
    case FieldDescriptor::CPPTYPE_FLOAT:
      return Number(TASKD_GET(Float));
    case FieldDescriptor::CPPTYPE_BOOL:
      return TASKD_GET(Bool) ? "true" : "false";
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string text = TASKD_GET(String);
      return JsonString(field->name() == kBinaryField ? absl::Base64Escape(text) : text);
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return ToJson(TASKD_GET(Message));
    case FieldDescriptor::CPPTYPE_ENUM:
      break;
  }
  // A value that this binary does not know yet stays a number.
  int number = TASKD_GET(EnumValue);
  const EnumValueDescriptor* value = field->enum_type()->FindValueByNumber(number);
  return value == nullptr ? StrCat(number) : JsonString(ShortName(*value));
}
#undef TASKD_GET

std::string Field(const Message& message, const FieldDescriptor* field) {
  const Reflection& reflection = *message.GetReflection();
  if (field->is_repeated()) {
    std::string list = "[";
    for (int i = 0; i < reflection.FieldSize(message, field); ++i) {
      if (i > 0) list += ',';
      list += Value(message, field, i);
    }
    return list + ']';
  }
  if (field->has_presence() && !reflection.HasField(message, field)) return "null";
  return Value(message, field, -1);
}

// The words that every value but the unset one starts with: "TASK_".
std::string_view CommonPrefix(const EnumDescriptor& type) {
  std::string_view prefix = type.value(0)->name();
  bool first = true;
  for (int i = 0; i < type.value_count(); ++i) {
    std::string_view name = type.value(i)->name();
    if (name.ends_with("_UNSPECIFIED")) continue;
    if (first) prefix = name;
    first = false;
    size_t same = 0;
    while (same < prefix.size() && same < name.size() && prefix[same] == name[same]) ++same;
    prefix = prefix.substr(0, same);
  }
  return prefix.substr(0, prefix.rfind('_') + 1);
}

}  // namespace

std::string ShortName(const EnumValueDescriptor& value) {
  std::string_view name = value.name();
  if (name.ends_with("_UNSPECIFIED")) return "none";
  std::string_view prefix = CommonPrefix(*value.type());
  if (name.starts_with(prefix)) name.remove_prefix(prefix.size());
  std::string text(name);
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

std::string JsonString(std::string_view text) {
  std::string out = "\"";
  size_t start = 0;
  auto plain = [&](size_t end) {
    // Printable() leaves good text alone; its backslashes need JSON's own.
    for (char c : Printable(text.substr(start, end - start))) {
      if (c == '"' || c == '\\') out += '\\';
      out += c;
    }
  };
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != 0x7F) continue;
    plain(i);
    start = i + 1;
    constexpr char kHex[] = "0123456789abcdef";
    switch (c) {
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        out += StrCat("\\u00", std::string{kHex[c >> 4], kHex[c & 15]});
    }
  }
  plain(text.size());
  return out + '"';
}

std::string ToJson(const Message& message) {
  const google::protobuf::Descriptor* type = message.GetDescriptor();
  std::string text = "{";
  for (int i = 0; i < type->field_count(); ++i) {
    if (i > 0) text += ',';
    text += StrCat("\"", type->field(i)->name(), "\":", Field(message, type->field(i)));
  }
  return text + '}';
}

}  // namespace taskd::cli
