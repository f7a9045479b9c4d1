// Debian's abseil is built without std aliases, so absl::StrCat does not take std::string_view.
// This one does.
#ifndef TASKD_COMMON_BASE_TEXT_H_
#define TASKD_COMMON_BASE_TEXT_H_

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace taskd {

inline absl::string_view ToAbsl(std::string_view s) { return {s.data(), s.size()}; }
inline std::string_view ToStd(absl::string_view s) { return {s.data(), s.size()}; }

template <typename T>
decltype(auto) AdaptText(const T& value) {
  if constexpr (std::is_same_v<T, std::string_view>) {
    return ToAbsl(value);
  } else if constexpr (std::is_class_v<T> && requires { ToString(value); }) {
    return ToString(value);
  } else {
    return (value);
  }
}

// absl::StrCat for every mix of text, numbers, and what has a ToString.
template <typename... A>
std::string StrCat(const A&... parts) {
  return absl::StrCat(AdaptText(parts)...);
}

}  // namespace taskd

#endif  // TASKD_COMMON_BASE_TEXT_H_
