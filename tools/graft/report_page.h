// The page that shows a report.
#pragma once

#include <string>
#include <string_view>

namespace graft {

// report.html with the data, a JSON text, in the place that it has for it. The page needs nothing
// else: no network, no other file. Whatever names the data has, they are text in it.
std::string ReportPage(std::string_view json);

// JSON that may stand in a script element: no character of it begins a tag.
std::string EscapedForScript(std::string_view json);

}  // namespace graft
