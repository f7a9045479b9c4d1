// What can be shown where: widths, colours, and bytes that are not text.
#ifndef TASKD_CLI_TASKCTL_TERMINAL_H_
#define TASKD_CLI_TASKCTL_TERMINAL_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace taskd::cli {

// Columns of the terminal behind `fd`; 0 when it is not a terminal, so that nothing is cut for a
// pipe.
uint32_t TerminalWidth(int fd);

// Colours: a terminal that is not dumb, and NO_COLOR (no-color.org) is unset or empty.
bool UseColour(int fd);

// `bytes` as one line of valid UTF-8: control characters and bytes that are not UTF-8 become \xNN.
std::string Printable(std::string_view bytes);

// Columns that printable UTF-8 takes on a terminal (wide characters two, combining ones none).
uint32_t DisplayWidth(std::string_view text);

// At most `width` columns of `text`; what was cut shows as "..." (no dots below 4 columns).
std::string Shorten(std::string_view text, uint32_t width);

enum class Style { kPlain, kGood, kBad, kBusy, kWarn, kDim };

// `text` between the escape codes of `style`.
std::string Paint(std::string_view text, Style style);

}  // namespace taskd::cli

#endif  // TASKD_CLI_TASKCTL_TERMINAL_H_
