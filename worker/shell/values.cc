#include "worker/shell/values.h"

#include <memory>
#include <utility>

#include "common/base/crc32c.h"
#include "common/base/limits.h"
#include "common/base/text.h"
#include "common/io/log.h"
#include "taskd/v1/worker_session.pb.h"
#include "worker/store/store.h"

namespace taskd::worker {
namespace {

event::FetchDone::Item PutOne(const LocalKey& key, const Values* values, Store& store) {
  const event::FetchDone::Item failed = {FetchStatus::kIoError, 0, 0, false};
  std::string bytes;
  if (values != nullptr) {
    const Values::Value* value = values->Find(key.id);
    if (value == nullptr) return failed;
    if (ExtendCrc32c(0, value->bytes.data(), value->bytes.size()) != value->crc32c) {
      io::LogWarning(StrCat("the value of object ", ToString(key.id.object),
                            " came damaged in a message; it is fetched instead"));
      return failed;
    }
    bytes = value->bytes;
  }
  absl::StatusOr<StoredOutput> put = store.Put(key, std::move(bytes));
  if (!put.ok()) return failed;
  return {FetchStatus::kOk, put->size_bytes, put->crc32c, put->on_disk};
}

}  // namespace

const Values::Value* Values::Find(const ObjectVersion& object) const {
  auto it = values_.find(object);
  return it == values_.end() ? nullptr : &it->second;
}

absl::Status TakeValues(v1::Assignment& from, event::Assign& event) {
  const int count = from.value_at_size();
  const std::vector<InputObject>& objects = event.assignment.objects;
  if (from.value_size() != count || from.value_crc32c_size() != count)
    return absl::InvalidArgumentError("value columns of an assignment differ in length");
  if (count == 0) return absl::OkStatus();
  auto values = std::make_shared<Values>();
  event.valued.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    const uint32_t at = from.value_at(i);
    if (at >= objects.size() || (!event.valued.empty() && at <= event.valued.back()))
      return absl::InvalidArgumentError(
          "values of an assignment are not in the order of its inputs");
    event.valued.push_back(at);
    values->Add(objects[at].id, {std::move(*from.mutable_value(i)), from.value_crc32c(i)});
  }
  event.values = std::move(values);
  return absl::OkStatus();
}

void TakeValue(const v1::Gather& from, event::Gather& event) {
  if (from.value().empty()) return;
  auto values = std::make_shared<Values>();
  values->Add(event.object.id, {from.value(), from.value_crc32c()});
  event.values = std::move(values);
}

event::FetchDone PutInStore(const action::PutValues& action, Store& store) {
  event::FetchDone done{action.fetch, {}};
  for (const LocalKey& key : action.items)
    done.items.push_back(PutOne(key, action.values.get(), store));
  return done;
}

std::vector<std::string> ValuesOf(const Outcome& outcome, const Store& store) {
  std::vector<std::string> values;
  if (outcome.end != AttemptEnd::kFinished) return values;
  for (uint32_t i = 0; i < outcome.outputs.size(); ++i) {
    const OutputInfo& output = outcome.outputs[i];
    if (output.size_bytes == 0 || output.size_bytes > limits::kInlineBytes ||
        output.delegated != kNoOrdinal)
      continue;
    const AttemptRef& ref = outcome.attempt;
    const ObjectVersion id{{ref.task.job, outcome.first_output + i}, ref.attempt};
    std::string bytes = store.SmallValue({id, {}});
    if (bytes.size() != output.size_bytes) continue;  // dropped, on disk, or in parts
    values.resize(outcome.outputs.size());
    values[i] = std::move(bytes);
  }
  return values;
}

}  // namespace taskd::worker
