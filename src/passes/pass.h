// A pass: one rewrite of a module that leaves the numbers as they were, within the tolerance that
// its row in passes.inc states.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "base/tensor.h"
#include "ir/module.h"

namespace graft::passes {

// What the caller lends to passes: they link no backend.
struct PassContext {
  // The node's results from its operands (all constant). Needed by fold-constants.
  std::function<Result<std::vector<Tensor>>(const ir::Module&, const ir::Node&,
                                            std::span<const Tensor>)>
      evaluate;
  // Whether the backend has a kernel for the node as it is. Empty: it takes everything.
  std::function<bool(const ir::Module&, const ir::Node&)> supports;
  // Whether the backend can write the node's first result, or read its first operand, with rows
  // that are not dense. Empty: it cannot.
  std::function<bool(const ir::Module&, const ir::Node&)> supports_strided_output;
  std::function<bool(const ir::Module&, const ir::Node&)> supports_strided_input;
  // The body that is to take the place of a choice. Empty: the first.
  std::function<Result<int>(const ir::Module&, const ir::Node&)> choose;
  // Whether the convolution or product, whose operands have quantisation ranges, is computed on
  // 8-bit integers. Empty: none is.
  std::function<bool(const ir::Node&)> integers;
  // Whether f32 values may be stored in 16 bits.
  bool store_halves = false;
};

// Changes the module and says whether it did. The driver calls it until it says no, and compacts
// the module after every call that changed it, so a pass may append nodes in any order and leave
// dead ones behind.
using PassFunction = Result<bool> (*)(ir::Module&, PassContext&);

enum class Exactness : uint8_t {
  kExact,      // the same bits
  kRounded,    // the same real numbers, rounded at other places: within the ops' tolerances
  kHalves,     // rounded to halves where values are stored
  kQuantized,  // numbers that integers of 8 bits stand for
};

struct Pass {
  std::string_view name;
  PassFunction function;
  Exactness exactness;
  std::string_view summary;
};

#define GRAFT_PASS(Function, name, exactness, summary) \
  Result<bool> Function(ir::Module& module, PassContext& context);
#include "passes/passes.inc"
#undef GRAFT_PASS

// All of passes.inc, in its order.
std::span<const Pass> AllPasses();

}  // namespace graft::passes
