#include "cli/client/option_reader.h"

#include <charconv>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/client/graph_reader.h"
#include "common/base/limits.h"
#include "common/base/names.h"
#include "common/base/text.h"
#include "common/base/units.h"
#include "common/graph/name_syntax.h"

namespace taskd::client {

namespace {

constexpr uint32_t kLost = 1u << 31;  // of TaskOptions.retry_on

class OptionReader {
 public:
  OptionReader(const FileContext& context, v1::Shape& shape, v1::TaskOptions& options)
      : context_(context), shape_(shape), options_(options) {}

  absl::Status Read(const YamlNode& map) {
    struct Key {
      std::string_view name;
      absl::Status (OptionReader::*read)(const YamlNode&);
    };
    static constexpr Key kKeys[] = {
        {"retry", &OptionReader::Retry},
        {"time_limit", &OptionReader::TimeLimit},
        {"needs_time", &OptionReader::NeedsTime},
        {"resources", &OptionReader::AllResources},
        {"placement", &OptionReader::Placement},
        {"priority", &OptionReader::Priority},
        {"expect", &OptionReader::Expect},
        {"crash_limit", &OptionReader::CrashLimit},
        {"pure", &OptionReader::Pure},
        {"straggler", &OptionReader::Straggler},
        {"replicas", &OptionReader::Replicas},
    };
    for (const YamlNode::Entry& entry : map.entries) {
      for (const Key& key : kKeys) {
        if (entry.key != key.name) continue;
        if (auto status = (this->*key.read)(*entry.value); !status.ok()) return status;
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::StatusOr<std::string> Text(const YamlNode& node, std::string_view what) {
    return ExpandedTextOf(context_, node, what);
  }
  template <typename Parse, typename Set>
  absl::Status Take(const YamlNode& node, std::string_view what, Parse parse, Set set) {
    auto text = Text(node, what);
    if (!text.ok()) return text.status();
    auto value = parse(*text);
    if (!value.ok())
      return context_.Error(node.line, StrCat(what, ": ", ToStd(value.status().message())));
    set(*value);
    return absl::OkStatus();
  }
  template <typename Set>
  absl::Status Integer(const YamlNode& node, std::string_view what, int64_t lo, int64_t hi,
                       Set set) {
    auto text = Text(node, what);
    if (!text.ok()) return text.status();
    auto value = WholeNumber(*text);
    if (!value || *value < lo || *value > hi) {
      return context_.Error(
          node.line, StrCat(what, " is '", *text, "'; it is a whole number from ", lo, " to ", hi));
    }
    set(*value);
    return absl::OkStatus();
  }
  static std::optional<int64_t> WholeNumber(std::string_view text) {
    int64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc() || end != text.data() + text.size())
      return std::nullopt;
    return value;
  }
  absl::Status NotAMapping(const YamlNode& node, std::string_view what, std::string_view like) {
    return context_.Error(node.line,
                          StrCat(what, " a mapping like ", like, ", not ", node.KindName()));
  }

  absl::Status TimeLimit(const YamlNode& node) {
    return Take(node, "the time limit", ParseDuration,
                [&](uint64_t ns) { options_.set_time_limit_ns(ns); });
  }
  absl::Status NeedsTime(const YamlNode& node) {
    return Take(node, "the needed time", ParseDuration,
                [&](uint64_t ns) { shape_.set_needs_time_ns(ns); });
  }
  absl::Status Priority(const YamlNode& node) {
    return Integer(node, "the priority", -1'000'000, 1'000'000,
                   [&](int64_t v) { options_.set_priority(static_cast<int32_t>(v)); });
  }
  absl::Status CrashLimit(const YamlNode& node) {
    return Integer(node, "the crash limit", 1, 1000,
                   [&](int64_t v) { options_.set_crash_limit(static_cast<uint32_t>(v)); });
  }
  absl::Status Pure(const YamlNode& node) {
    auto text = Text(node, "pure");
    if (!text.ok()) return text.status();
    if (*text != "true" && *text != "false")
      return context_.Error(node.line, StrCat("pure is '", *text, "'; it is true or false"));
    options_.set_impure(*text == "false");
    return absl::OkStatus();
  }
  absl::Status Replicas(const YamlNode& node) {
    return Integer(node, "replicas", 1, limits::kReplicas,
                   [&](int64_t v) { options_.set_replicas(static_cast<uint32_t>(v)); });
  }
  absl::Status Straggler(const YamlNode& node) {
    auto status = Take(node, "straggler", ParseCpus,
                       [&](uint32_t milli) { options_.set_straggler_milli(milli); });
    if (status.ok() && options_.straggler_milli() < 1000) {
      return context_.Error(node.line,
                            "straggler is how many times as long as expected a task runs before "
                            "it gets a second attempt: 1 or more");
    }
    return status;
  }

  // --- retry

  absl::Status Times(const YamlNode& node) {
    return Integer(node, "the number of retries", 0, 1'000'000,
                   [&](int64_t v) { options_.set_retries(static_cast<uint32_t>(v)); });
  }
  absl::Status Retry(const YamlNode& node) {
    if (node.kind != YamlNode::kMap) return Times(node);
    if (auto status = CheckKeys(context_, node, "retry", "times backoff on", ""); !status.ok())
      return status;
    const YamlNode* times = node.Find("times");
    if (times == nullptr)
      return context_.Error(node.line, "retry needs times: {times: 2, backoff: 10s}");
    if (auto status = Times(*times); !status.ok()) return status;
    if (const YamlNode* on = node.Find("on")) {
      if (auto status = RetryOn(*on); !status.ok()) return status;
    }
    const YamlNode* backoff = node.Find("backoff");
    if (backoff == nullptr) return absl::OkStatus();
    auto status = Take(*backoff, "the backoff", ParseDuration,
                       [&](uint64_t ns) { options_.set_backoff_ns(ns); });
    if (status.ok() && options_.backoff_ns() > limits::kBackoffMaxNs) {
      return context_.Error(
          backoff->line, StrCat("the backoff is at most ", FormatDuration(limits::kBackoffMaxNs)));
    }
    return status;
  }
  // A list of failure classes, "lost" (the worker was lost while the task ran), "oom" and "exit:75".
  absl::Status RetryOn(const YamlNode& node) {
    if (node.kind != YamlNode::kList) {
      return context_.Error(
          node.line, StrCat("on is a list like [lost, oom, \"exit:75\"], not ", node.KindName()));
    }
    options_.clear_retry_exit_codes();
    options_.set_retry_chosen(true);
    options_.set_retry_on(0);
    std::vector<std::string> known = {"lost", "oom", "exit:CODE"};
    for (uint8_t i = 1; i <= static_cast<uint8_t>(kLastFailureClass); ++i)
      known.emplace_back(Name(static_cast<FailureClass>(i)));
    for (const auto& item : node.items) {
      auto text = Text(*item, "what is retried");
      if (!text.ok()) return text.status();
      uint32_t bit = *text == "lost"  ? kLost
                     : *text == "oom" ? 1u << static_cast<uint32_t>(FailureClass::kOutOfMemory)
                                      : 0;
      for (uint8_t i = 1; i <= static_cast<uint8_t>(kLastFailureClass); ++i) {
        if (*text == Name(static_cast<FailureClass>(i))) bit = 1u << i;
      }
      if (text->starts_with("exit:")) {
        auto code = WholeNumber(std::string_view(*text).substr(5));
        if (!code || *code < 1 || *code > 255) {
          return context_.Error(
              item->line, StrCat("'", *text, "': exit codes are from 1 to 255, like exit:75"));
        }
        options_.add_retry_exit_codes(static_cast<int32_t>(*code));
      } else if (bit == 0) {
        return context_.Error(item->line,
                              StrCat("'", *text, "' is nothing that a task can be retried on",
                                     graph::DidYouMean(*text, known)));
      }
      options_.set_retry_on(options_.retry_on() | bit);
    }
    return absl::OkStatus();
  }

  // --- resources and placement

  absl::Status AllResources(const YamlNode& node) {
    shape_.clear_others();
    shape_.clear_cluster();
    if (node.kind != YamlNode::kList) return ResourcesOf(node, shape_);
    if (node.items.empty() || node.items.size() > limits::kVariantsPerShape) {
      return context_.Error(node.line, StrCat("resources are one mapping, or a list of 1 to ",
                                              limits::kVariantsPerShape, ", the best first"));
    }
    const v1::Resources inherited = shape_.need();
    for (size_t i = 0; i < node.items.size(); ++i) {
      absl::Status status;
      if (i == 0) {
        status = ResourcesOf(*node.items[0], shape_);
      } else {
        v1::Variant& other = *shape_.add_others();
        *other.mutable_need() = inherited;
        status = ResourcesOf(*node.items[i], other);
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  // To: a Shape or a Variant.
  template <typename To>
  absl::Status ResourcesOf(const YamlNode& node, To& to) {
    if (node.kind != YamlNode::kMap)
      return NotAMapping(node, "resources are", "{cpus: 4, mem: 8GiB}");
    v1::Resources& need = *to.mutable_need();
    need.clear_pools();
    for (const YamlNode::Entry& entry : node.entries) {
      absl::Status status;
      if (entry.key == "cpus") {
        status = Take(*entry.value, "cpus", ParseCpus, [&](uint32_t v) { need.set_cpus_milli(v); });
        if (status.ok() && need.cpus_milli() == 0) {
          return context_.Error(entry.value->line, "a task needs some cpu; give at least 0.001");
        }
      } else if (entry.key == "mem") {
        status = Take(*entry.value, "mem", ParseBytes,
                      [&](uint64_t bytes) { need.set_memory_bytes(bytes); });
      } else if (entry.key == "gpus" || entry.key.starts_with("worker.")) {
        status = Pool(entry, need.add_pools());
      } else if (entry.key.starts_with("pool.")) {
        status = Pool(entry, to.add_cluster());
      } else {
        status =
            CheckKeys(context_, node, "resources", "cpus mem gpus worker.NAME pool.NAME", "hosts");
      }
      if (!status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status Pool(const YamlNode::Entry& entry, v1::PoolAmount* amount) {
    amount->set_name(entry.key);
    auto status =
        Take(*entry.value, entry.key, ParseCpus, [&](uint32_t milli) { amount->set_milli(milli); });
    if (status.ok() && amount->milli() == 0)
      return context_.Error(entry.value->line, StrCat(entry.key, " must be more than 0"));
    return status;
  }

  absl::Status Placement(const YamlNode& node) {
    if (node.kind != YamlNode::kMap)
      return NotAMapping(node, "placement is", "{hosts: [n1, n2], rule: preferred}");
    if (auto status = CheckKeys(context_, node, "placement", "workers hosts attributes rule", "");
        !status.ok())
      return status;
    shape_.clear_workers(), shape_.clear_hosts(), shape_.clear_attributes();
    shape_.set_preferred(false), shape_.set_fail_fast(false);
    for (auto [key, names] : {std::pair("workers", shape_.mutable_workers()),
                              std::pair("hosts", shape_.mutable_hosts()),
                              std::pair("attributes", shape_.mutable_attributes())}) {
      const YamlNode* list = node.Find(key);
      if (list == nullptr) continue;
      if (list->kind != YamlNode::kList)
        return context_.Error(list->line,
                              StrCat(key, " is a list of names, not ", list->KindName()));
      for (const auto& item : list->items) {
        auto text = Text(*item, key);
        if (!text.ok()) return text.status();
        *names->Add() = *text;
      }
    }
    const YamlNode* rule = node.Find("rule");
    if (rule == nullptr) return absl::OkStatus();
    auto text = Text(*rule, "the rule");
    if (!text.ok()) return text.status();
    if (*text != "strict" && *text != "preferred" && *text != "fail_fast") {
      return context_.Error(
          rule->line, StrCat("the rule is '", *text, "'; it is strict, preferred or fail_fast"));
    }
    shape_.set_preferred(*text == "preferred");
    shape_.set_fail_fast(*text == "fail_fast");
    return absl::OkStatus();
  }

  absl::Status Expect(const YamlNode& node) {
    if (node.kind != YamlNode::kMap)
      return NotAMapping(node, "expect is", "{time: 2s, bytes: 10MiB}");
    if (auto status = CheckKeys(context_, node, "expect", "time bytes", ""); !status.ok())
      return status;
    if (const YamlNode* time = node.Find("time")) {
      auto status = Take(*time, "the expected time", ParseDuration,
                         [&](uint64_t ns) { options_.set_expect_ns(ns); });
      if (!status.ok()) return status;
    }
    const YamlNode* bytes = node.Find("bytes");
    if (bytes == nullptr) return absl::OkStatus();
    return Take(*bytes, "the expected bytes", ParseBytes,
                [&](uint64_t n) { options_.set_expect_bytes(n); });
  }

  const FileContext& context_;
  v1::Shape& shape_;
  v1::TaskOptions& options_;
};

}  // namespace

v1::Shape DefaultShape() {
  v1::Shape shape;
  shape.mutable_need()->set_cpus_milli(1000);
  return shape;
}

absl::Status ReadOptions(const FileContext& context, const YamlNode& map, v1::Shape& shape,
                         v1::TaskOptions& options) {
  return OptionReader(context, shape, options).Read(map);
}

}  // namespace taskd::client
