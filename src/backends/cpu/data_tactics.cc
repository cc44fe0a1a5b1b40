#include <algorithm>

#include "backends/cpu/table_tactics.h"
#include "backends/cpu/tactic_base.h"
#include "base/dtype_visit.h"
#include "base/strides.h"
#include "ir/attribute_names.h"
#include "kernels/cpu/data/copy.h"
#include "kernels/cpu/data/gather.h"
#include "kernels/cpu/data/pad.h"
#include "kernels/cpu/data/scatter.h"
#include "kernels/cpu/pointwise/instructions.h"

namespace graft::cpu {
namespace {

std::optional<Refusal> RefuseDType(const ir::Module& module, const ir::Node& node) {
  const DType dtype = module.value(node.outputs[0]).dtype;
  if (!IsHeld(dtype)) return Refuse("elements of {} have no place in an engine", Name(dtype));
  return std::nullopt;
}

using Copies = std::vector<CopyProblem>;

// An op that is nothing but copies.
class CopyTactic final : public CpuTactic {
 public:
  using MakeCopies = Result<Copies> (*)(const BoundNode& node);

  CopyTactic(std::string_view name, int version, MakeCopies make_copies)
      : CpuTactic(name, version, {.strided_inputs = true, .strided_output = true, .exact = true}),
        make_copies_(make_copies) {}

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    return RefuseDType(module, node);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    Result<Copies> copies = make_copies_(node);
    if (!copies.ok()) return copies.status().WithContext(node.name);
    return MakeStep(CopyOperation(*copies, SizeOf(node.outputs[0].dtype)));
  }

 private:
  MakeCopies make_copies_;
};

Result<Copies> TransposeCopies(const BoundNode& node) {
  const auto& a = std::get<ir::TransposeAttributes>(node.attributes);
  const BoundValue& x = node.inputs[0];
  return Copies{TransposeCopy(x.dims, x.row_stride, a.permutation, node.outputs[0].row_stride)};
}

Result<Copies> ConcatOperandCopies(const BoundNode& node) {
  const int64_t axis = std::get<ir::ConcatAttributes>(node.attributes).axis;
  const BoundValue& y = node.outputs[0];
  Copies copies;
  int64_t position = 0;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    const BoundValue& x = node.inputs[i];
    Dims expected = y.dims;
    expected[axis] = x.dims[axis];
    if (x.dims != expected) {
      return InvalidArgumentError("operand {} is {} in a concatenation along axis {} to {}", i,
                                  Describe(x.dtype, x.dims), axis, Describe(y.dtype, y.dims));
    }
    if (!x.in_result) {
      copies.push_back(ConcatCopy(static_cast<int>(i), x.dims, x.row_stride, axis, position, y.dims,
                                  y.row_stride));
    }
    position += x.dims[axis];
  }
  return copies;
}

Result<Copies> SliceCopies(const BoundNode& node) {
  const auto& a = std::get<ir::SliceAttributes>(node.attributes);
  const BoundValue& x = node.inputs[0];
  const std::vector<int64_t> begin = Values(a.begin);
  const std::vector<int64_t> size = Values(a.size);
  for (size_t i = 0; i < size.size(); ++i) {
    const int64_t last = begin[i] + (size[i] - 1) * a.strides[i];
    if (size[i] > 0 && (std::min(begin[i], last) < 0 || std::max(begin[i], last) >= x.dims[i])) {
      return InvalidArgumentError("elements {} to {} of axis {} of {}", begin[i], last, i,
                                  Describe(x.dtype, x.dims));
    }
  }
  return Copies{
      SliceCopy(x.dims, x.row_stride, begin, size, a.strides, node.outputs[0].row_stride)};
}

Result<Copies> BroadcastCopies(const BoundNode& node) {
  const BoundValue& x = node.inputs[0];
  const BoundValue& y = node.outputs[0];
  if (!Broadcasts(x.dims, y.dims)) {
    return InvalidArgumentError("{} does not broadcast to {}", Describe(x.dtype, x.dims),
                                Describe(y.dtype, y.dims));
  }
  return Copies{BroadcastCopy(x.dims, x.row_stride, y.dims, y.row_stride)};
}

Result<Copies> TileCopies(const BoundNode& node) {
  const auto& a = std::get<ir::TileAttributes>(node.attributes);
  const BoundValue& x = node.inputs[0];
  return Copies{TileCopy(x.dims, x.row_stride, Values(a.multiples), node.outputs[0].row_stride)};
}

Result<Copies> DepthToSpaceCopies(const BoundNode& node) {
  const auto& a = std::get<ir::DepthToSpaceAttributes>(node.attributes);
  const BoundValue& x = node.inputs[0];
  const BoundValue& y = node.outputs[0];
  if (CountElements(x.dims) != CountElements(y.dims)) {
    return InvalidArgumentError("{} is not a multiple of blocks of {}", Describe(x.dtype, x.dims),
                                a.block);
  }
  return Copies{DepthToSpaceCopy(x.dims, x.row_stride, a.block, a.to_depth, y.row_stride)};
}

// The same bytes: nothing to do where the planner lets the result share its operand's buffer.
class SameBytesOperation {
 public:
  explicit SameBytesOperation(CopyOperation copy) : copy_(std::move(copy)) {}
  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor& executor) const {
    if (buffers.inputs[0] != buffers.outputs[0]) copy_.Run(buffers, executor);
  }

 private:
  CopyOperation copy_;
};

class SameBytesTactic final : public CpuTactic {
 public:
  SameBytesTactic(std::string_view name, int version)
      : CpuTactic(name, version, {.in_place = true, .exact = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    return RefuseDType(module, node);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const BoundValue& x = node.inputs[0];
    const BoundValue& y = node.outputs[0];
    const int64_t count = CountElements(x.dims);
    const size_t size = SizeOf(x.dtype);
    if (count * static_cast<int64_t>(size) !=
        CountElements(y.dims) * static_cast<int64_t>(SizeOf(y.dtype))) {
      return InvalidArgumentError("{}: {} cannot become {}", node.name, Describe(x.dtype, x.dims),
                                  Describe(y.dtype, y.dims));
    }
    const CopyProblem all{0, {count}, {1}, {1}};
    return MakeStep(SameBytesOperation(CopyOperation({&all, 1}, size)));
  }
};

class PadTactic final : public CpuTactic {
 public:
  PadTactic(std::string_view name, int version)
      : CpuTactic(name, version, {.strided_inputs = true, .exact = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.outputs[0]).dtype;
    if (node.get<ir::PadAttributes>()->mode == ir::PadMode::kConstant &&
        CastLoop(DType::kFloat64, dtype) == nullptr) {
      return Refuse("no padding of {} with a constant on the CPU", Name(dtype));
    }
    return RefuseDType(module, node);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::PadAttributes>(node.attributes);
    const BoundValue& x = node.inputs[0];
    PadProblem problem;
    problem.mode = a.mode;
    if (a.mode == PadMode::kConstant)
      CastLoop(DType::kFloat64, x.dtype)({{&a.value}, {0}, problem.value, 1, 0, 0});
    problem.x = x.dims;
    problem.x_row_stride = x.row_stride;
    problem.before = Values(a.before);
    problem.after = Values(a.after);
    problem.element_size = SizeOf(x.dtype);
    return MakeStep(node, PadOperation::Make(problem));
  }
};

class GatherTactic final : public CpuTactic {
 public:
  using MakeProblem = GatherProblem (*)(const BoundNode& node);

  GatherTactic(std::string_view name, int version, MakeProblem make_problem)
      : CpuTactic(name, version, {.exact = true}), make_problem_(make_problem) {}

  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType index = module.value(node.inputs[1]).dtype;
    if (index != DType::kInt32 && index != DType::kInt64) {
      return Refuse("no gathering by indices of {} on the CPU", Name(index));
    }
    return RefuseDType(module, node);
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    GatherProblem problem = make_problem_(node);
    problem.slice_bytes *= static_cast<int64_t>(SizeOf(node.inputs[0].dtype));
    problem.index_dtype = node.inputs[1].dtype;
    const int64_t slices = problem.batches * problem.outer * problem.tuples;
    const BoundValue& y = node.outputs[0];
    if (slices * problem.slice_bytes !=
        CountElements(y.dims) * static_cast<int64_t>(SizeOf(y.dtype))) {
      return InvalidArgumentError("{}: the batch dimensions of {} and {} differ", node.name,
                                  Describe(node.inputs[0].dtype, node.inputs[0].dims),
                                  Describe(node.inputs[1].dtype, node.inputs[1].dims));
    }
    return MakeStep(node, GatherOperation::Make(problem));
  }

 private:
  MakeProblem make_problem_;
};

GatherProblem GatherAlong(const BoundNode& node) {
  const auto& a = std::get<ir::GatherAttributes>(node.attributes);
  return GatherOperation::Along(node.inputs[0].dims, node.inputs[1].dims, a.axis, a.batch_dims);
}

GatherProblem GatherNd(const BoundNode& node) {
  const auto& a = std::get<ir::GatherNdAttributes>(node.attributes);
  return GatherOperation::Nd(node.inputs[0].dims, node.inputs[1].dims, a.batch_dims);
}

class ScatterTactic final : public CpuTactic {
 public:
  ScatterTactic(std::string_view name, int version)
      : CpuTactic(name, version, {.in_place = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.inputs[0]).dtype;
    const DType index = module.value(node.inputs[1]).dtype;
    const auto& a = *node.get<ir::ScatterNdAttributes>();
    if (ScatterOperation::Supports(a.kind, dtype, index)) return std::nullopt;
    return Refuse("no {} of {} by indices of {} on the CPU", ir::EnumName(a.kind), Name(dtype),
                  Name(index));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::ScatterNdAttributes>(node.attributes);
    const Dims& indices = node.inputs[1].dims;
    ScatterProblem problem;
    problem.kind = a.kind;
    problem.dtype = node.inputs[0].dtype;
    problem.index_dtype = node.inputs[1].dtype;
    problem.x = node.inputs[0].dims;
    problem.depth = indices.back();
    problem.tuples = CountElements(std::span(indices).first(indices.size() - 1));
    return MakeStep(node, ScatterOperation::Make(problem));
  }
};

template <class T>
void CountUp(int64_t count, void* y) {
  for (int64_t i = 0; i < count; ++i) static_cast<T*>(y)[i] = static_cast<T>(i);
}

class IotaOperation {
 public:
  using Loop = void (*)(int64_t count, void* y);
  static Loop FindLoop(DType dtype) {
    return TryVisitDType(kNativeTypes, dtype, []<class T>(T) -> Loop { return CountUp<T>; });
  }

  IotaOperation(DType dtype, int64_t count) : loop_(FindLoop(dtype)), count_(count) {}
  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor&) const { loop_(count_, buffers.outputs[0]); }

 private:
  Loop loop_;
  int64_t count_;
};

class IotaTactic final : public CpuTactic {
 public:
  IotaTactic(std::string_view name, int version) : CpuTactic(name, version, {.exact = true}) {}
  std::optional<Refusal> Accepts(const ir::Module& module, const ir::Node& node) const override {
    const DType dtype = module.value(node.outputs[0]).dtype;
    if (IotaOperation::FindLoop(dtype)) return std::nullopt;
    return Refuse("no counting in {} on the CPU", Name(dtype));
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    return MakeStep(IotaOperation(node.outputs[0].dtype, node.outputs[0].dims[0]));
  }
};

// Integers that the shapes fix: known when the step is bound.
class ConstantOperation {
 public:
  explicit ConstantOperation(std::vector<std::byte> bytes) : bytes_(std::move(bytes)) {}
  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor&) const {
    std::copy(bytes_.begin(), bytes_.end(), static_cast<std::byte*>(buffers.outputs[0]));
  }

 private:
  std::vector<std::byte> bytes_;
};

class DimsTactic final : public CpuTactic {
 public:
  DimsTactic(std::string_view name, int version) : CpuTactic(name, version, {.exact = true}) {}
  std::optional<Refusal> Accepts(const ir::Module&, const ir::Node&) const override {
    return std::nullopt;
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::DimsAttributes>(node.attributes);
    const size_t size = SizeOf(a.dtype);
    std::vector<std::byte> bytes;
    for (int64_t value : Values(a.values)) {
      // Little endian: the low bytes of an int64 are the int32.
      const std::byte* first = reinterpret_cast<const std::byte*>(&value);
      if (a.dtype == DType::kInt32 && value != static_cast<int32_t>(value)) {
        return InvalidArgumentError("{}: {} does not fit i32", node.name, value);
      }
      bytes.insert(bytes.end(), first, first + size);
    }
    return MakeStep(ConstantOperation(std::move(bytes)));
  }
};

class ReadIntegerOperation {
 public:
  ReadIntegerOperation(DType dtype, int64_t element) : dtype_(dtype), element_(element) {}
  size_t scratch_bytes(int) const { return 0; }
  void Run(const Buffers& buffers, Executor&) const {
    const void* x = buffers.inputs[0];
    *static_cast<int64_t*>(buffers.outputs[0]) = dtype_ == DType::kInt32
                                                     ? static_cast<const int32_t*>(x)[element_]
                                                     : static_cast<const int64_t*>(x)[element_];
  }

 private:
  DType dtype_;
  int64_t element_;
};

class ReadIntegerTactic final : public CpuTactic {
 public:
  using CpuTactic::CpuTactic;
  std::optional<Refusal> Accepts(const ir::Module&, const ir::Node&) const override {
    return std::nullopt;
  }
  TacticTraits Traits(const ir::Module&, const ir::Node&) const override {
    TacticTraits traits;
    traits.exact = true;
    return traits;
  }
  Result<std::unique_ptr<BoundStep>> Bind(const BoundNode& node, const PackedWeights*,
                                          std::string_view) const override {
    const auto& a = std::get<ir::ReadIntegerAttributes>(node.attributes);
    return MakeStep(ReadIntegerOperation(node.inputs[0].dtype, a.element));
  }
};

}  // namespace

#define GRAFT_COPY_TACTIC(Id, make_copies)                               \
  std::unique_ptr<Tactic> Make##Id(std::string_view name, int version) { \
    return std::make_unique<CopyTactic>(name, version, make_copies);     \
  }
GRAFT_COPY_TACTIC(TransposeBlocks, TransposeCopies)
GRAFT_COPY_TACTIC(ConcatCopies, ConcatOperandCopies)
GRAFT_COPY_TACTIC(SliceCopy, SliceCopies)
GRAFT_COPY_TACTIC(BroadcastCopy, BroadcastCopies)
GRAFT_COPY_TACTIC(TileCopy, TileCopies)
GRAFT_COPY_TACTIC(DepthToSpaceCopy, DepthToSpaceCopies)
#undef GRAFT_COPY_TACTIC

std::unique_ptr<Tactic> MakeReshapeCopy(std::string_view name, int version) {
  return std::make_unique<SameBytesTactic>(name, version);
}
std::unique_ptr<Tactic> MakePadTables(std::string_view name, int version) {
  return std::make_unique<PadTactic>(name, version);
}
std::unique_ptr<Tactic> MakeGatherSlices(std::string_view name, int version) {
  return std::make_unique<GatherTactic>(name, version, GatherAlong);
}
std::unique_ptr<Tactic> MakeGatherNdSlices(std::string_view name, int version) {
  return std::make_unique<GatherTactic>(name, version, GatherNd);
}
std::unique_ptr<Tactic> MakeScatterNdSlices(std::string_view name, int version) {
  return std::make_unique<ScatterTactic>(name, version);
}
std::unique_ptr<Tactic> MakeIotaCount(std::string_view name, int version) {
  return std::make_unique<IotaTactic>(name, version);
}
std::unique_ptr<Tactic> MakeReadIntegerElement(std::string_view name, int version) {
  return std::make_unique<ReadIntegerTactic>(name, version);
}
std::unique_ptr<Tactic> MakeBitcastCopy(std::string_view name, int version) {
  return std::make_unique<SameBytesTactic>(name, version);
}
std::unique_ptr<Tactic> MakeDimsConstant(std::string_view name, int version) {
  return std::make_unique<DimsTactic>(name, version);
}

}  // namespace graft::cpu
