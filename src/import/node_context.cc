#include "import/node_context.h"

#include <algorithm>

#include "tf/opdefs.h"

namespace graft::importer {
namespace {

// More integers are data, not a shape.
constexpr int64_t kMaxRead = 16;

bool MaySayShape(const ir::Value& value) {
  const auto dims = ir::ConstantDims(value.shape);
  return (value.dtype == DType::kInt32 || value.dtype == DType::kInt64) && dims &&
         CountElements(*dims) <= kMaxRead;
}

// Gives the elements of a small integer input of the module a symbol each.
bool BindHostValues(ir::Module* module, ir::ValueId id) {
  ir::Value& value = module->value(id);
  if (value.producer >= 0 || !MaySayShape(value)) return false;
  const int64_t count = CountElements(*ir::ConstantDims(value.shape));
  for (size_t input = 0; input < module->inputs.size(); ++input) {
    if (module->inputs[input] != id) continue;
    std::vector<ir::Dim> contents;
    for (int64_t i = 0; i < count; ++i) {
      ir::Symbol symbol;
      symbol.kind = ir::Symbol::Kind::kHostValue;
      symbol.input = static_cast<int32_t>(input);
      symbol.axis = static_cast<int32_t>(i);
      symbol.name = fmt::format("{}[{}]", module->input_names[input], i);
      contents.push_back(ir::Dim::Symbol(module->AddSymbol(std::move(symbol))));
    }
    value.contents = std::move(contents);
    return true;
  }
  return false;
}

}  // namespace

std::string NodeContext::OperandName(int i) const {
  const tf::OpDef* op = tf::FindOp(node_.op);
  if (op == nullptr) return fmt::format("{}", i);
  int first = 0;
  for (const tf::ArgDef& arg : op->inputs) {
    int64_t count = 1;
    if (!arg.number_attr.empty()) {
      const Result<int64_t> number = node_.Attr<int64_t>(arg.number_attr);
      if (number.ok()) count = *number;
    }
    if (i < first + count) return arg.name;
    first += static_cast<int>(count);
  }
  return fmt::format("{}", i);
}

Accepted<std::vector<ir::Dim>> NodeContext::Dims(int i) {
  if (rank(i) > 1) return Refuse("{} {}: must be a vector", OperandName(i), ToString(shape(i)));
  return Contents(i);
}

Accepted<std::vector<ir::Dim>> NodeContext::Contents(int i) {
  if (!value(i).contents && value(i).constant) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> integers, Integers(i));
    return std::vector<ir::Dim>(integers.begin(), integers.end());
  }
  if (value(i).contents || BindHostValues(module_, operands_[i])) return *value(i).contents;
  if (!MaySayShape(value(i))) {
    return Refuse("The input \"{}\" for {} must be a constant or have at most {} integers",
                  OperandName(i), node_.op, kMaxRead);
  }
  return Read(operands_[i]);
}

// What is put together of several integers is read where these are: some of them may be known.
Accepted<std::vector<ir::Dim>> NodeContext::Read(ir::ValueId id) {
  if (ValueOf(id).contents || BindHostValues(module_, id)) return *ValueOf(id).contents;
  std::vector<ir::ValueId> parts;
  if (const ir::NodeId producer = ValueOf(id).producer; producer >= 0) {
    const ir::Node& node = module_->node(producer);
    const bool joins = node.kind() == ir::OpKind::kReshape ||
                       (node.kind() == ir::OpKind::kConcat && ValueOf(id).shape.size() == 1);
    // Parts of unknown sizes cannot be told apart in what they are joined to.
    if (joins && std::ranges::all_of(
                     node.inputs, [&](ir::ValueId part) { return MaySayShape(ValueOf(part)); })) {
      parts = node.inputs;
    }
  }
  std::vector<ir::Dim> elements;
  for (const ir::ValueId part : parts) {
    GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> some, Read(part));
    elements.insert(elements.end(), some.begin(), some.end());
  }
  const int64_t count = CountElements(*ir::ConstantDims(ValueOf(id).shape));
  for (int64_t i = 0; parts.empty() && i < count; ++i) {
    ir::Symbol symbol;
    symbol.kind = ir::Symbol::Kind::kResultValue;
    symbol.name = fmt::format("{}[{}]", ValueOf(id).name, i);
    elements.push_back(ir::Dim::Symbol(module_->AddSymbol(std::move(symbol))));
    const Accepted<ir::ValueId> read =
        Emit(ir::ReadIntegerAttributes{.result_dim = elements.back(), .element = i}, {id}, "read");
    if (!read.ok()) return read.status();
  }
  // Whoever asks next gets the same symbols, and what is computed of them is known too.
  module_->value(id).contents = elements;
  return elements;
}

Accepted<ir::Dim> NodeContext::Size(int i) {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<ir::Dim> dims, Dims(i));
  if (rank(i) != 0) return Refuse("{} {}: must be a scalar", OperandName(i), ToString(shape(i)));
  return dims[0];
}

Accepted<std::vector<int64_t>> NodeContext::Integers(int i) const {
  const ir::Value& v = value(i);
  if (v.constant) return Accepted<std::vector<int64_t>>(v.constant->ToInt64());
  if (v.contents) {
    if (auto integers = ir::ConstantDims(*v.contents)) return *std::move(integers);
  }
  return Refuse("The input \"{}\" for {} must be a constant", OperandName(i), node_.op);
}

Accepted<int64_t> NodeContext::Integer(int i) const {
  GRAFT_ASSIGN_OR_RETURN(const std::vector<int64_t> integers, Integers(i));
  if (integers.size() != 1)
    return Refuse("{} {}: must be one integer", OperandName(i), ToString(shape(i)));
  return integers[0];
}

Accepted<int64_t> NodeContext::Axis(int64_t axis, int rank) const {
  if (axis < -rank || axis >= rank) return Refuse("axis {} of rank {}", axis, rank);
  return axis < 0 ? axis + rank : axis;
}

Accepted<int64_t> NodeContext::AxisOperand(int i, int rank) const {
  GRAFT_ASSIGN_OR_RETURN(const int64_t axis, Integer(i));
  return Axis(axis, rank);
}

bool NodeContext::NonNegative(const ir::Dim& dim) const {
  bool expressions = false;
  dim.VisitSymbols([&](ir::SymbolId id) {
    expressions |= module_->symbols[id].kind == ir::Symbol::Kind::kExpression;
  });
  if (!expressions)
    return dim.NonNegative([&](ir::SymbolId id) { return module_->symbols[id].is_size(); });
  std::vector<bool> known;  // operands of expressions come first
  for (const ir::Symbol& symbol : module_->symbols) {
    known.push_back(symbol.expression ? symbol.expression->NonNegative(
                                            [&](ir::SymbolId id) { return bool{known[id]}; })
                                      : symbol.is_size());
  }
  return dim.NonNegative([&](ir::SymbolId id) { return bool{known[id]}; });
}

Accepted<ir::ValueId> NodeContext::Emit(ir::Attributes attributes,
                                        std::vector<ir::ValueId> operands, std::string_view part) {
  std::string name = part.empty() ? node_.name : fmt::format("{}/{}", node_.name, part);
  const size_t prefix = name.size() + 2;
  const Result<ir::NodeId> id =
      module_->AddNode(std::move(attributes), std::move(operands), std::move(name));
  // The report names the node already; AddNode's message begins with "name: ".
  if (!id.ok()) return Refusal{id.status().message().substr(prefix)};
  return module_->node(*id).outputs[0];
}

ir::Dim NodeContext::AddResultDim(const ir::Dim& bound) {
  ir::Symbol symbol;
  symbol.kind = ir::Symbol::Kind::kResultDim;
  symbol.name = fmt::format("{}.0", tf::TensorName(node_.name, 0));
  symbol.upper_bound = module_->Shorten(bound, node_.name);
  return ir::Dim::Symbol(module_->AddSymbol(std::move(symbol)));
}

Accepted<ir::ValueId> NodeContext::EmitPointwise(PointwiseProgram program,
                                                 std::vector<ir::ValueId> operands,
                                                 std::string_view part) {
  return Emit(ir::PointwiseAttributes{std::move(program)}, std::move(operands), part);
}

Accepted<ir::ValueId> NodeContext::EmitPointwise(PointwiseOp op, std::vector<ir::ValueId> operands,
                                                 double p, double q) {
  PointwiseProgram program{.inputs = static_cast<int>(operands.size())};
  PointwiseInstruction instruction{.op = op, .dtype = ValueOf(operands[0]).dtype, .p = p, .q = q};
  for (int k = 0; k < program.inputs; ++k) instruction.operands[k] = k;
  program.Add(instruction);
  return EmitPointwise(std::move(program), std::move(operands));
}

Accepted<ir::ValueId> NodeContext::Cast(ir::ValueId x, DType dtype, std::string_view part) {
  if (ValueOf(x).dtype == dtype) return x;
  PointwiseProgram program{.inputs = 1};
  program.Add(PointwiseOp::kCast, dtype, 0);
  return EmitPointwise(std::move(program), {x}, part);
}

Accepted<ir::ValueId> NodeContext::Scalar(double value, DType dtype, std::string_view part) {
  PointwiseProgram program;
  program.Add(PointwiseOp::kConstant, dtype, -1, -1, -1, value);
  return EmitPointwise(std::move(program), {}, part);
}

Accepted<ir::ValueId> NodeContext::EmitDim(ir::Dim dim, DType dtype, std::string_view part) {
  return Emit(ir::DimsAttributes{.values = {std::move(dim)}, .dtype = dtype, .rank = 0}, {}, part);
}

Accepted<ir::ValueId> NodeContext::Positions(ir::Dim count, int rank, size_t axis, DType dtype) {
  GRAFT_ASSIGN_OR_RETURN(const ir::ValueId positions,
                         Emit(ir::IotaAttributes{.count = count, .dtype = dtype}, {}, "positions"));
  ir::Shape shape(rank, 1);
  shape[axis] = std::move(count);
  return Reshape(positions, std::move(shape), "positions");
}

ir::ValueId NodeContext::AddConstant(Tensor tensor, std::string_view part) {
  return module_->AddConstant(fmt::format("{}/{}", node_.name, part), std::move(tensor));
}

Accepted<ir::ValueId> NodeContext::Reshape(ir::ValueId x, ir::Shape shape, std::string_view part) {
  const ir::Value& value = ValueOf(x);
  if (value.shape == shape) return x;
  const auto dims = ir::ConstantDims(shape);
  if (value.constant && dims && CountElements(*dims) == value.constant->elements()) {
    return AddConstant(value.constant->Reshaped(*dims), part);
  }
  return Emit(ir::ReshapeAttributes{std::move(shape)}, {x}, part);
}

Accepted<ir::ValueId> NodeContext::Transpose(ir::ValueId x, std::vector<int64_t> permutation,
                                             std::string_view part) {
  bool identity = permutation.size() == ValueOf(x).shape.size();
  for (size_t i = 0; i < permutation.size(); ++i)
    identity = identity && permutation[i] == static_cast<int64_t>(i);
  if (identity) return x;
  return Emit(ir::TransposeAttributes{std::move(permutation)}, {x}, part);
}

Accepted<ir::ValueId> NodeContext::Retype(ir::ValueId x, DType dtype) {
  const ir::Value& value = ValueOf(x);
  if (value.constant) return AddConstant(value.constant->Retyped(dtype), Name(dtype));
  // A value that was retyped before: what it was.
  if (value.producer >= 0 && module_->node(value.producer).get<ir::BitcastAttributes>()) {
    const ir::ValueId source = module_->node(value.producer).inputs[0];
    if (ValueOf(source).dtype == dtype && ValueOf(source).shape == value.shape) return source;
  }
  return Emit(ir::BitcastAttributes{.dtype = dtype}, {x}, Name(dtype));
}

Outcome NodeContext::ReadAsStorage() {
  for (ir::ValueId& id : operands_) {
    const DType dtype = ValueOf(id).dtype;
    if (!IsQuantized(dtype)) continue;
    GRAFT_ASSIGN_OR_RETURN(id, Retype(id, StorageOf(dtype)));
  }
  return kAccepted;
}

Outcome NodeContext::GiveAsDeclared(const std::vector<DType>& declared) {
  for (size_t i = 0; i < outputs_->size(); ++i) {
    ir::ValueId& id = (*outputs_)[i];
    if (id < 0 || !IsQuantized(declared[i]) || ValueOf(id).dtype != StorageOf(declared[i]))
      continue;
    GRAFT_ASSIGN_OR_RETURN(id, Retype(id, declared[i]));
  }
  return kAccepted;
}

Outcome NodeContext::SetOutput(int i, ir::ValueId id) {
  (*outputs_)[i] = id;
  return kAccepted;
}

}  // namespace graft::importer
