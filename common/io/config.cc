#include "common/io/config.h"

#include <yaml-cpp/yaml.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <iostream>

#include "common/base/text.h"
#include "common/base/units.h"

namespace taskd::io {
namespace {

constexpr int kUsageError = 2;

uint32_t EditDistance(std::string_view a, std::string_view b) {
  std::vector<uint32_t> row(b.size() + 1);
  for (uint32_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (uint32_t i = 1; i <= a.size(); ++i) {
    uint32_t diagonal = row[0];
    row[0] = i;
    for (uint32_t j = 1; j <= b.size(); ++j) {
      uint32_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row[b.size()];
}

// Turns the YAML file into CLI11's items. Throws what CLI11 catches.
class YamlConfig : public CLI::Config {
 public:
  // `app` knows which file is being read.
  YamlConfig(const CLI::App& app, std::vector<std::string> names)
      : app_(app), names_(std::move(names)) {}

  std::string to_config(const CLI::App*, bool, bool, std::string) const override { return ""; }

  std::vector<CLI::ConfigItem> from_config(std::istream& input) const override {
    YAML::Node root;
    try {
      root = YAML::Load(input);
    } catch (const YAML::Exception& error) {
      throw CLI::ConfigError(StrCat("--config ", File(), ": ", error.what()),
                             CLI::ExitCodes::ConfigError);
    }
    std::vector<CLI::ConfigItem> items;
    if (root.IsNull()) return items;
    if (!root.IsMap()) Refuse(root, "a mapping of flag names to values is expected");
    for (const auto& entry : root) items.push_back(ToItem(entry.first, entry.second, items));
    return items;
  }

 private:
  std::string File() const {
    const CLI::Option* option = app_.get_config_ptr();
    return option != nullptr && option->count() > 0 ? option->results().back() : "";
  }

  [[noreturn]] void Refuse(const YAML::Node& where, const std::string& what) const {
    throw CLI::ConfigError(
        StrCat("--config ", File(), ", line ", where.Mark().line + 1, ": ", what),
        CLI::ExitCodes::ConfigError);
  }

  CLI::ConfigItem ToItem(const YAML::Node& key, const YAML::Node& value,
                         const std::vector<CLI::ConfigItem>& before) const {
    if (!key.IsScalar()) Refuse(key, "a flag's name is expected");
    CLI::ConfigItem item;
    item.name = key.Scalar();
    if (std::find(names_.begin(), names_.end(), item.name) == names_.end()) {
      std::optional<std::string> near = NearestName(item.name, names_);
      Refuse(key, StrCat("'", item.name, "' is not a flag",
                         near ? StrCat("; did you mean '", *near, "'?") : ""));
    }
    for (const CLI::ConfigItem& other : before) {
      if (other.name == item.name) Refuse(key, StrCat("'", item.name, "' is given twice"));
    }
    if (value.IsScalar()) {
      item.inputs.push_back(value.Scalar());
    } else if (value.IsSequence()) {
      for (const YAML::Node& element : value) {
        if (!element.IsScalar()) Refuse(element, StrCat("'", item.name, "' takes plain values"));
        item.inputs.push_back(element.Scalar());
      }
    } else {
      Refuse(key, StrCat("'", item.name, "' needs a value"));
    }
    return item;
  }

  const CLI::App& app_;
  std::vector<std::string> names_;
};

}  // namespace

struct Flags::Impl {
  CLI::App app;
  std::vector<std::string> names;

  Impl(std::string_view program, std::string_view description)
      : app(std::string(description), std::string(program)) {}

  std::string Name(std::string_view name) {
    names.emplace_back(name);
    return StrCat("--", name);
  }

  // A flag whose text is turned into a number by one of units.h.
  template <class T, class Parse>
  void Unit(std::string_view name, T* value, std::string_view help, const char* type,
            std::string shown, Parse parse) {
    app.add_option_function<std::string>(
           Name(name),
           [value, parse, name = std::string(name)](const std::string& text) {
             auto parsed = parse(text);
             if (!parsed.ok())
               throw CLI::ValidationError(
                   StrCat("--", name, ": ", ToStd(parsed.status().message())));
             *value = *parsed;
           },
           std::string(help))
        ->type_name(type)
        ->default_str(shown);
  }

  std::string UnknownFlagHint() const {
    for (const std::string& word : app.remaining()) {
      if (word.substr(0, 2) != "--")
        return StrCat("'", word, "' is not expected here; flags start with --");
      std::string name =
          word.substr(2, word.find('=') == std::string::npos ? word.npos : word.find('=') - 2);
      std::optional<std::string> near = NearestName(name, names);
      return StrCat("there is no flag ", word, near ? StrCat("; did you mean --", *near, "?") : "");
    }
    return "";
  }
};

Flags::Flags(std::string_view program, std::string_view description)
    : impl_(std::make_unique<Impl>(program, description)) {
  impl_->app.set_version_flag("--version", std::string("0.1.0"));
}
Flags::~Flags() = default;

void Flags::Text(std::string_view name, std::string* value, std::string_view help) {
  impl_->app.add_option(impl_->Name(name), *value, std::string(help))->capture_default_str();
}

void Flags::List(std::string_view name, std::vector<std::string>* value, std::string_view help) {
  impl_->app.add_option(impl_->Name(name), *value, std::string(help))->capture_default_str();
}

void Flags::Count(std::string_view name, uint32_t* value, std::string_view help) {
  impl_->app.add_option(impl_->Name(name), *value, std::string(help))->capture_default_str();
}

void Flags::Switch(std::string_view name, bool* value, std::string_view help) {
  impl_->app.add_flag(impl_->Name(name), *value, std::string(help));
}

void Flags::Duration(std::string_view name, uint64_t* ns, std::string_view help) {
  impl_->Unit(name, ns, help, "TIME", FormatDuration(*ns),
              [](const std::string& t) { return ParseDuration(t); });
}

void Flags::Bytes(std::string_view name, uint64_t* bytes, std::string_view help) {
  impl_->Unit(name, bytes, help, "BYTES", FormatBytes(*bytes),
              [](const std::string& t) { return ParseBytes(t); });
}

void Flags::Cpus(std::string_view name, uint32_t* cpus_milli, std::string_view help) {
  impl_->Unit(name, cpus_milli, help, "CPUS", FormatCpus(*cpus_milli),
              [](const std::string& t) { return ParseCpus(t); });
}

std::optional<int> Flags::Parse(int argc, const char* const* argv) {
  CLI::App& app = impl_->app;
  app.set_config("--config", "", "YAML file with flags: their names without dashes, and values");
  app.config_formatter(std::make_shared<YamlConfig>(app, impl_->names));
  app.allow_extras();  // to name the nearest flag instead of only refusing
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {
      app.exit(error);  // --help, --version: prints to stdout
      return 0;
    }
    std::cerr << app.get_name() << ": " << error.what() << "\n";
    return kUsageError;
  }
  if (std::string hint = impl_->UnknownFlagHint(); !hint.empty()) {
    std::cerr << app.get_name() << ": " << hint << " (--help lists them)\n";
    return kUsageError;
  }
  return std::nullopt;
}

std::optional<std::string> NearestName(std::string_view word,
                                       const std::vector<std::string>& candidates) {
  std::optional<std::string> best;
  uint32_t best_distance = static_cast<uint32_t>(std::max<size_t>(1, word.size() / 3)) + 1;
  for (const std::string& candidate : candidates) {
    uint32_t distance = EditDistance(word, candidate);
    if (distance < best_distance) {
      best_distance = distance;
      best = candidate;
    }
  }
  return best;
}

}  // namespace taskd::io
