// The code of {fmt}, once. With FMT_HEADER_ONLY every file compiles its own copy, a third of the
// build's time; the shared libfmt cannot be used inside TensorFlow's process.
#include <fmt/format-inl.h>

FMT_BEGIN_NAMESPACE
namespace detail {
// What format.h declares as instantiated elsewhere.
template FMT_API auto thousands_sep_impl(locale_ref) -> thousands_sep_result<char>;
template FMT_API auto decimal_point_impl(locale_ref) -> char;
}  // namespace detail
FMT_END_NAMESPACE
