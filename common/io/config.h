// The flags of a daemon. Every flag can also stand in the YAML file named by --config, under its
// name without the dashes ("rerun-after: 2s"); the command line wins. Unknown flags and keys are
// refused with the nearest name.
//
//   std::string listen = "127.0.0.1:0";
//   Flags flags("taskd-scheduler", "Schedules task graphs.");
//   flags.Text("listen", &listen, "HOST:PORT to serve on; port 0: a free one");
//   if (std::optional<int> exit_code = flags.Parse(argc, argv)) return *exit_code;
#ifndef TASKD_COMMON_IO_CONFIG_H_
#define TASKD_COMMON_IO_CONFIG_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace taskd::io {

class Flags {
 public:
  Flags(std::string_view program, std::string_view description);
  ~Flags();
  Flags(const Flags&) = delete;
  Flags& operator=(const Flags&) = delete;

  // `name` without dashes. The value that a variable has now is the default, shown in --help. The
  // variables must outlive Parse.
  void Text(std::string_view name, std::string* value, std::string_view help);
  void List(std::string_view name, std::vector<std::string>* value, std::string_view help);
  void Count(std::string_view name, uint32_t* value, std::string_view help);
  void Switch(std::string_view name, bool* value, std::string_view help);
  void Duration(std::string_view name, uint64_t* ns, std::string_view help);      // "500ms", "10s"
  void Bytes(std::string_view name, uint64_t* bytes, std::string_view help);      // "8GiB"
  void Cpus(std::string_view name, uint32_t* cpus_milli, std::string_view help);  // "4", "0.5"

  // nullopt: go on. Else the exit code: 0 after --help or --version, 2 after an error, whose text
  // is on stderr.
  std::optional<int> Parse(int argc, const char* const* argv);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The candidate nearest to `word` by edit distance, if it is near enough to be what was meant.
std::optional<std::string> NearestName(std::string_view word,
                                       const std::vector<std::string>& candidates);

}  // namespace taskd::io

#endif  // TASKD_COMMON_IO_CONFIG_H_
