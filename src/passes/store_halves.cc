// Stores in 16 bits what may be: the weights and operands of convolutions and products, whose sums
// stay f32, and values between nodes, which element-wise programs widen as they read them and round
// once, at their end. So every node computes in f32, and half as many bytes move.
//
// Where the backend multiplies no halves, it is the weights alone: its kernels widen them as they
// pack or read them, and values between nodes stay as they are.
//
// A value stays f32 where its reader must tell close numbers apart (positions of extremes,
// selections, long sums), where a half may not hold it (squares, exponentials, integers that
// count), and where it is an input or output of the module.
#include <algorithm>
#include <cmath>
#include <map>
#include <optional>

#include "base/half.h"
#include "passes/half_product.h"
#include "passes/pass.h"
#include "passes/rewrite.h"

namespace graft::passes {
namespace {

constexpr float kLargestHalf = 65504;

// How the dtypes of a node's operands and of its result belong together.
enum class Role : uint8_t {
  kProduct,  // sums in f32 of two operands, with a program over the rest
  kProgram,  // reads and gives any dtype
  kAlike,    // the result has the dtype of the operands that OperandsAlike counts
  kReads,    // operand 0 may have any dtype, the result is f32
  kNone,     // f32 stays f32
};

// How many operands of a node of Role::kAlike, from the first on, have the result's dtype.
size_t OperandsAlike(const ir::Node& node) {
  return node.kind() == ir::OpKind::kConcat ? node.inputs.size() : 1;
}

Role RoleOf(const ir::Node& node) {
  if (Epilogue(node) != nullptr) return Role::kProduct;
  switch (node.kind()) {
    case ir::OpKind::kPointwise:
      return Role::kProgram;
    case ir::OpKind::kPool:
    case ir::OpKind::kSoftmax:
    case ir::OpKind::kReshape:
    case ir::OpKind::kTranspose:
    case ir::OpKind::kConcat:
    case ir::OpKind::kSlice:
    case ir::OpKind::kPad:
    case ir::OpKind::kBroadcast:
    case ir::OpKind::kTile:
    case ir::OpKind::kGather:
    case ir::OpKind::kGatherNd:
    case ir::OpKind::kDepthToSpace:
      return Role::kAlike;
    case ir::OpKind::kReduce: {
      // A sum or product of halves may be no half.
      const ir::ReduceKind kind = node.get<ir::ReduceAttributes>()->kind;
      return kind == ir::ReduceKind::kMean || kind == ir::ReduceKind::kMax ||
                     kind == ir::ReduceKind::kMin
                 ? Role::kAlike
                 : Role::kNone;
    }
    case ir::OpKind::kResize:
      return node.get<ir::ResizeAttributes>()->mode == ir::ResizeMode::kNearest ? Role::kAlike
                                                                                : Role::kReads;
    case ir::OpKind::kCropAndResize:
      return Role::kReads;
    default:
      return Role::kNone;
  }
}

// Whether the program's result grows or shrinks so fast in its operands that a half may not hold
// it.
bool MayLeaveRange(const PointwiseProgram& program) {
  if (program.empty()) return false;
  const PointwiseInstruction& last = program.instructions.back();
  switch (last.op) {
    case PointwiseOp::kSquare:
    case PointwiseOp::kSquaredDifference:
    case PointwiseOp::kPow:
    case PointwiseOp::kExp:
    case PointwiseOp::kExpm1:
    case PointwiseOp::kSinh:
    case PointwiseOp::kCosh:
    case PointwiseOp::kReciprocal:
    case PointwiseOp::kRsqrt:
      return true;
    case PointwiseOp::kMul:
      return last.operands[0] == last.operands[1];
    default:
      return false;
  }
}

// Of finite numbers all stay finite.
bool FitsHalves(const Tensor& tensor) {
  return std::ranges::all_of(tensor.data<float>(), [](float x) {
    return !std::isfinite(x) || std::abs(x) <= kLargestHalf;
  });
}

Result<Tensor> Narrow(const Tensor& tensor) {
  GRAFT_ASSIGN_OR_RETURN(Tensor half, Tensor::Allocate(DType::kFloat16, tensor.dims()));
  std::ranges::transform(tensor.data<float>(), half.mutable_data<Float16>().begin(),
                         [](float x) { return static_cast<Float16>(x); });
  return half;
}

class Storing {
 public:
  Storing(ir::Module& module, const PassContext& context) : module_(module), context_(context) {}

  Result<bool> Run() {
    GRAFT_ASSIGN_OR_RETURN(const bool multiplies_halves, MultipliesHalves());
    if (!multiplies_halves) return StoreWeights();
    Decide();
    const ir::NodeId nodes = module_.node_count();
    bool changed = false;
    for (ir::NodeId id = 0; id < nodes; ++id) {
      if (module_.removed(id) || !Changes(id)) continue;
      GRAFT_RETURN_IF_ERROR(Rewrite(id));
      changed = true;
    }
    return changed;
  }

 private:
  bool IsFloat(ir::ValueId v) const { return module_.value(v).dtype == DType::kFloat32; }

  Result<bool> MultipliesHalves() const {
    if (!context_.supports) return true;
    GRAFT_ASSIGN_OR_RETURN(const HalfProduct product, MakeHalfProduct(DType::kFloat16));
    return context_.supports(product.module, product.node());
  }

  // Constants that products multiply by become halves where the backend takes them so.
  Result<bool> StoreWeights() {
    const ir::NodeId nodes = module_.node_count();
    bool changed = false;
    for (ir::NodeId id = 0; id < nodes; ++id) {
      if (module_.removed(id) || RoleOf(module_.node(id)) != Role::kProduct) continue;
      const ir::Node node = module_.node(id);
      const ir::ValueId weights = node.inputs[1];
      if (!IsFloat(node.inputs[0]) || !IsFloat(weights) || !module_.value(weights).constant ||
          !Fits(weights))
        continue;
      std::vector<ir::ValueId> inputs = node.inputs;
      GRAFT_ASSIGN_OR_RETURN(inputs[1], Half(weights));
      ir::Attributes attributes = node.attributes;
      AdjustProgram(std::vector<bool>(inputs.size()), /*product_of_halves=*/true,
                    /*half_result=*/false, &attributes);
      GRAFT_ASSIGN_OR_RETURN(const ir::NodeId made,
                             module_.AddNode(std::move(attributes), std::move(inputs), node.name));
      if (context_.supports && !context_.supports(module_, module_.node(made))) {
        module_.RemoveNode(made);
        continue;
      }
      Cover(module_, made, node);
      GRAFT_RETURN_IF_ERROR(ReplaceValue(module_, node.outputs[0], module_.node(made).outputs[0]));
      module_.RemoveNode(id);
      changed = true;
    }
    return changed;
  }

  // Whether the numbers of v, as far as they are known, are in the range of halves.
  bool Fits(ir::ValueId v) {
    const ir::Value& value = module_.value(v);
    if (value.constant) {
      const auto known = constant_fits_.find(v);
      if (known != constant_fits_.end()) return known->second;
      return constant_fits_[v] = FitsHalves(*value.constant);
    }
    const auto beyond = [](float bound) {
      return std::isfinite(bound) && std::abs(bound) > kLargestHalf;
    };
    if (beyond(value.low) || beyond(value.high)) return false;
    if (value.producer < 0) return true;
    const ir::Node& node = module_.node(value.producer);
    const PointwiseProgram* const program = ir::ProgramOf(node.attributes);
    if (program && MayLeaveRange(*program)) return false;
    // Counts and positions; integers of 8 bits are pictures.
    return node.kind() != ir::OpKind::kPointwise ||
           std::ranges::any_of(node.inputs, [&](ir::ValueId operand) {
             const DType dtype = module_.value(operand).dtype;
             return IsFloating(dtype) || SizeOf(dtype) == 1;
           });
  }

  // Whether the backend takes the node with halves for its f32 operands, and giving them. Asked of
  // a module of its own.
  bool Supported(const ir::Node& node) const {
    if (!context_.supports) return true;
    ir::Module alone;
    alone.symbols = module_.symbols;
    std::vector<ir::ValueId> inputs;
    std::vector<bool> half;
    for (const ir::ValueId v : node.inputs) {
      ir::Value value;
      value.has_shape = true;
      value.shape = module_.value(v).shape;
      value.contents = module_.value(v).contents;
      half.push_back(IsFloat(v));
      value.dtype = half.back() ? DType::kFloat16 : module_.value(v).dtype;
      inputs.push_back(alone.AddValue(std::move(value)));
    }
    ir::Attributes attributes = node.attributes;
    AdjustProgram(half, /*product_of_halves=*/true, /*half_result=*/true, &attributes);
    const Result<ir::NodeId> id = alone.AddNode(std::move(attributes), inputs, node.name);
    return id.ok() && context_.supports(alone, alone.node(*id));
  }

  // Room in the program for a cast of every operand and of the result.
  static bool HasRoom(const ir::Node& node) {
    const PointwiseProgram* const program = ir::ProgramOf(node.attributes);
    return !program || program->instructions.size() + node.inputs.size() + 1 <=
                           static_cast<size_t>(kMaxPointwiseInstructions);
  }

  void Decide() {
    const ir::Uses uses(module_);
    roles_.assign(module_.node_count(), Role::kNone);
    of_halves_.assign(module_.node_count(), false);
    stored_.assign(module_.value_count(), false);
    for (ir::NodeId id = 0; id < module_.node_count(); ++id) {
      if (module_.removed(id)) continue;
      const ir::Node& node = module_.node(id);
      const Role role = RoleOf(node);
      const bool floats =
          IsFloat(node.outputs[0]) ||
          std::ranges::any_of(node.inputs, [&](ir::ValueId v) { return IsFloat(v); });
      if (role == Role::kNone || !floats || !HasRoom(node) || !Supported(node)) continue;
      roles_[id] = role;
      if (role == Role::kProduct) {
        of_halves_[id] = IsFloat(node.inputs[0]) && IsFloat(node.inputs[1]) &&
                         Fits(node.inputs[0]) && Fits(node.inputs[1]);
      }
      const ir::ValueId result = node.outputs[0];
      stored_[result] = role != Role::kReads && IsFloat(result) && !uses.is_output(result) &&
                        !uses.of(result).empty() && Fits(result);
    }
    while (Restrict()) continue;
  }

  // Takes back what a reader or the operands of its node do not allow; says whether there was any.
  bool Restrict() {
    bool changed = false;
    const auto keep = [&](ir::ValueId v) {
      if (!stored_[v]) return;
      stored_[v] = false;
      changed = true;
    };
    for (ir::NodeId id = 0; id < module_.node_count(); ++id) {
      if (module_.removed(id)) continue;
      const ir::Node& node = module_.node(id);
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        const ir::ValueId v = node.inputs[i];
        if (roles_[id] == Role::kAlike && i < OperandsAlike(node) && !stored_[v] &&
            !(module_.value(v).constant && IsFloat(v) && Fits(v)))
          keep(node.outputs[0]);
        if (!Takes(id, i)) keep(v);
      }
    }
    return changed;
  }

  bool Takes(ir::NodeId id, size_t operand) const {
    const ir::Node& node = module_.node(id);
    switch (roles_[id]) {
      case Role::kProduct:
        return operand >= 2 || of_halves_[id];
      case Role::kProgram:
        return true;
      case Role::kAlike:
        return operand < OperandsAlike(node) && stored_[node.outputs[0]];
      case Role::kReads:
        return operand == 0;
      case Role::kNone:
        return false;
    }
    return false;
  }

  bool Changes(ir::NodeId id) const {
    const ir::Node& node = module_.node(id);
    return of_halves_[id] || stored_[node.outputs[0]] ||
           std::ranges::any_of(node.inputs, [&](ir::ValueId v) { return stored_[v]; });
  }

  // The program of a node with these halves among its operands: it widens them first, and rounds
  // last where the result is to be a half.
  static void AdjustProgram(const std::vector<bool>& half, bool product_of_halves, bool half_result,
                            ir::Attributes* attributes) {
    PointwiseProgram* program = MutableEpilogue(*attributes);
    const bool product = program != nullptr;
    if (product && product_of_halves) {
      std::visit(
          [](auto& a) {
            if constexpr (requires { a.accumulator; }) a.accumulator = DType::kFloat32;
          },
          *attributes);
    }
    if (auto* pointwise = std::get_if<ir::PointwiseAttributes>(attributes))
      program = &pointwise->program;
    if (!program) return;
    const size_t own = product ? 1 : 0;  // register 0 of an epilogue is the sum
    const size_t first = product ? 2 : 0;
    PointwiseProgram adjusted{.inputs = std::max(program->inputs, static_cast<int>(own))};
    std::vector<int32_t> registers(adjusted.inputs);
    for (int32_t r = 0; r < adjusted.inputs; ++r) {
      registers[r] = r;
      if (static_cast<size_t>(r) >= own && half[first + r - own])
        registers[r] = adjusted.Add(PointwiseOp::kCast, DType::kFloat32, r);
    }
    for (PointwiseInstruction in : program->instructions) {
      for (int32_t& operand : in.operands) operand = operand < 0 ? operand : registers[operand];
      registers.push_back(adjusted.Add(in));
    }
    if (half_result) adjusted.Add(PointwiseOp::kCast, DType::kFloat16, registers.back());
    *program = adjusted.empty() ? PointwiseProgram() : std::move(adjusted);
  }

  // v as halves: what is stored so, a constant made so, or a cast.
  Result<ir::ValueId> Half(ir::ValueId v) {
    if (const auto known = halves_.find(v); known != halves_.end()) return known->second;
    ir::ValueId half = -1;
    if (module_.value(v).constant) {
      GRAFT_ASSIGN_OR_RETURN(Tensor narrow, Narrow(*module_.value(v).constant));
      half = module_.AddConstant(module_.value(v).name, std::move(narrow));
    } else {
      PointwiseProgram cast{.inputs = 1};
      cast.Add(PointwiseOp::kCast, DType::kFloat16, 0);
      GRAFT_ASSIGN_OR_RETURN(const ir::NodeId id,
                             module_.AddNode(ir::PointwiseAttributes{std::move(cast)}, {v},
                                             module_.value(v).name + "/half"));
      half = module_.node(id).outputs[0];
    }
    halves_[v] = half;
    return half;
  }

  Status Rewrite(ir::NodeId id) {
    const ir::Node node = module_.node(id);  // a copy: the module grows
    const ir::ValueId result = node.outputs[0];
    std::vector<ir::ValueId> inputs = node.inputs;
    std::vector<bool> half(inputs.size());
    for (size_t i = 0; i < inputs.size(); ++i) {
      const bool wanted =
          stored_[inputs[i]] || (of_halves_[id] && i < 2) ||
          (roles_[id] == Role::kAlike && stored_[result] && i < OperandsAlike(node));
      if (!wanted) continue;
      GRAFT_ASSIGN_OR_RETURN(inputs[i], Half(inputs[i]));
      half[i] = true;
    }
    ir::Attributes attributes = node.attributes;
    AdjustProgram(half, of_halves_[id], stored_[result], &attributes);
    GRAFT_ASSIGN_OR_RETURN(const ir::NodeId made,
                           module_.AddNode(std::move(attributes), std::move(inputs), node.name));
    Cover(module_, made, node);
    const ir::ValueId given = module_.node(made).outputs[0];
    if (!stored_[result]) {
      GRAFT_RETURN_IF_ERROR(ReplaceValue(module_, result, given));
      // Values of this sweep keep what was decided for them under their new number.
      Renamed(result, given);
      module_.RemoveNode(id);
      return OkStatus();
    }
    // Its readers come later and ask for it.
    ir::Value& value = module_.value(given);
    value.name = module_.value(result).name;
    value.low = module_.value(result).low;
    value.high = module_.value(result).high;
    halves_[result] = given;
    return OkStatus();
  }

  void Renamed(ir::ValueId from, ir::ValueId to) {
    if (stored_.size() <= static_cast<size_t>(to)) stored_.resize(to + 1, false);
    stored_[to] = stored_[from];
  }

  ir::Module& module_;
  const PassContext& context_;
  std::vector<Role> roles_;      // by node; kNone also where the backend cannot
  std::vector<bool> of_halves_;  // by node: a product whose operands become halves
  std::vector<bool> stored_;     // by value: becomes a half
  std::map<ir::ValueId, bool> constant_fits_;
  std::map<ir::ValueId, ir::ValueId> halves_;
};

}  // namespace

Result<bool> StoreHalves(ir::Module& module, PassContext& context) {
  if (!context.store_halves) return false;
  return Storing(module, context).Run();
}

}  // namespace graft::passes
