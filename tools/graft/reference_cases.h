// Stored inputs and results of a model: files CASE_in_INPUT.npy and CASE_out_OUTPUT.npy.
#pragma once

#include <string>
#include <vector>

#include "command.h"

namespace graft {

struct ReferenceCase {
  std::vector<Tensor> inputs;  // in the engine's order, as outputs; invalid: the input's default
  std::vector<Tensor> outputs;
};

// The folder's cases by name. kNotFound where there are none.
Result<std::vector<std::string>> FindReferenceCases(const std::string& folder);

Result<ReferenceCase> ReadReferenceCase(const std::string& folder, const std::string& name,
                                        const Engine& engine);

}  // namespace graft
