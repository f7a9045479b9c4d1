#include "common/io/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "common/base/check.h"
#include "common/base/text.h"

namespace taskd::io {
namespace {

spdlog::logger& Logger() {
  static const std::shared_ptr<spdlog::logger> logger = [] {
    auto made = std::make_shared<spdlog::logger>("taskd",
                                                 std::make_shared<spdlog::sinks::stderr_sink_mt>());
    made->set_pattern("%Y-%m-%dT%H:%M:%S.%e %l %v");
    made->flush_on(spdlog::level::info);
    return made;
  }();
  return *logger;
}

void Write(spdlog::level::level_enum level, std::string_view text) {
  Logger().log(level, spdlog::string_view_t(text.data(), text.size()));
}

void OnCheckFailed(const char* file, int line, const char* condition) {
  Write(spdlog::level::critical, StrCat("invariant broken at ", file, ":", line, ": ", condition));
  Logger().flush();
}

}  // namespace

absl::Status InitLog(std::string_view program, std::string_view level) {
  static constexpr std::pair<std::string_view, spdlog::level::level_enum> kLevels[] = {
      {"debug", spdlog::level::debug},
      {"info", spdlog::level::info},
      {"warning", spdlog::level::warn},
      {"error", spdlog::level::err},
      {"off", spdlog::level::off}};
  for (const auto& [name, value] : kLevels) {
    if (name != level) continue;
    Logger().set_level(value);
    Logger().set_pattern(StrCat("%Y-%m-%dT%H:%M:%S.%e %l ", program, "[%P] %v"));
    setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
    SetCheckHook(&OnCheckFailed);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      StrCat("log level '", level, "' is unknown; choose debug, info, warning, error or off"));
}

void LogDebug(std::string_view text) { Write(spdlog::level::debug, text); }
void LogInfo(std::string_view text) { Write(spdlog::level::info, text); }
void LogWarning(std::string_view text) { Write(spdlog::level::warn, text); }
void LogError(std::string_view text) { Write(spdlog::level::err, text); }

}  // namespace taskd::io
