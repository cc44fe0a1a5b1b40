#include "reference_cases.h"

#include <filesystem>
#include <set>

#include "npy.h"

namespace graft {

namespace fs = std::filesystem;

Result<std::vector<std::string>> FindReferenceCases(const std::string& folder) {
  std::set<std::string> cases;
  std::error_code ignored;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename();
    if (const size_t at = name.find("_in_"); at != std::string::npos && name.ends_with(".npy"))
      cases.insert(name.substr(0, at));
  }
  if (cases.empty()) return NotFoundError("{}: no files CASE_in_INPUT.npy there", folder);
  return std::vector<std::string>(cases.begin(), cases.end());
}

Result<ReferenceCase> ReadReferenceCase(const std::string& folder, const std::string& name,
                                        const Engine& engine) {
  ReferenceCase stored;
  for (size_t i = 0; i < engine.inputs().size(); ++i) {
    const Binding& input = engine.inputs()[i];
    const std::string path = fmt::format("{}/{}_in_{}.npy", folder, name, FileNameOf(input.name));
    std::error_code ignored;
    // One without data has its default.
    if (engine.input_default(i) != nullptr && !fs::exists(path, ignored)) {
      stored.inputs.emplace_back();
      continue;
    }
    GRAFT_ASSIGN_OR_RETURN(Tensor t, ReadInput(input, path));
    stored.inputs.push_back(std::move(t));
  }
  for (const Binding& output : engine.outputs()) {
    GRAFT_ASSIGN_OR_RETURN(
        Tensor t, ReadNpy(fmt::format("{}/{}_out_{}.npy", folder, name, FileNameOf(output.name))));
    stored.outputs.push_back(std::move(t));
  }
  return stored;
}

}  // namespace graft
