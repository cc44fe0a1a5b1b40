// What a tactic's Prepare gives: the cubins of a step's kernels, by the hash of their class.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace graft::cuda {

std::string WritePrepared(const std::map<std::string, std::string>& cubins);

// The cubin of this hash; "" when it is not there or the bytes are damaged: it is compiled then.
// What is there has its checksum.
std::string_view CubinIn(std::string_view prepared, std::string_view hash);

}  // namespace graft::cuda
