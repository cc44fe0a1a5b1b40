// What an import function sees of the node it converts, and how it emits IR.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "import/refusal.h"
#include "ir/module.h"
#include "tf/graph_def.h"

namespace graft::importer {

class NodeContext {
 public:
  // `node` has all its attributes, defaults too, and its operands have the dtypes it declares;
  // `outputs` has one entry for each of its results; `read` says which of them anyone reads, up to
  // the last one.
  NodeContext(ir::Module* module, const tf::NodeDef& node, std::vector<ir::ValueId> operands,
              std::vector<ir::ValueId>* outputs, std::vector<bool> read)
      : module_(module),
        node_(node),
        operands_(std::move(operands)),
        outputs_(outputs),
        read_(std::move(read)) {}

  const tf::NodeDef& node() const { return node_; }
  ir::Module& module() { return *module_; }

  // ---- operands
  int operand_count() const { return static_cast<int>(operands_.size()); }
  ir::ValueId operand(int i) const { return operands_[i]; }
  const ir::Value& value(int i) const { return module_->value(operands_[i]); }
  const ir::Shape& shape(int i) const { return value(i).shape; }
  int rank(int i) const { return static_cast<int>(shape(i).size()); }
  DType dtype(int i) const { return value(i).dtype; }
  const ir::Value& ValueOf(ir::ValueId id) const { return module_->value(id); }
  // The name that TensorFlow gives to operand i, for messages.
  std::string OperandName(int i) const;

  // The integers of a vector or scalar operand that says a shape, as expressions. The elements of
  // a small integer input of the graph become symbols that are read on the host before each run;
  // those that the run computes, symbols that are read when they are there.
  Accepted<std::vector<ir::Dim>> Dims(int i);
  // The same of an operand of any rank, in row-major order.
  Accepted<std::vector<ir::Dim>> Contents(int i);
  // The same of a scalar that says a size.
  Accepted<ir::Dim> Size(int i);
  // The integers of an operand that must be known now.
  Accepted<std::vector<int64_t>> Integers(int i) const;
  Accepted<int64_t> Integer(int i) const;
  // An axis operand or attribute, made non-negative.
  Accepted<int64_t> Axis(int64_t axis, int rank) const;
  Accepted<int64_t> AxisOperand(int i, int rank) const;
  // Whether an expression cannot be negative, whatever the shapes are.
  bool NonNegative(const ir::Dim& dim) const;

  // ---- attributes
  template <class T>
  Accepted<T> Attr(std::string_view key) const {
    return node_.Attr<T>(key);
  }
  template <class T>
  Accepted<std::vector<T>> AttrList(std::string_view key) const {
    return node_.AttrList<T>(key);
  }

  // ---- results
  // Whether anyone reads result i.
  bool IsRead(size_t i) const { return i < read_.size() && read_[i]; }
  // Adds an IR node and gives its first result. `part` tells the nodes of one TensorFlow node
  // apart; the one that gives an output takes its name.
  Accepted<ir::ValueId> Emit(ir::Attributes attributes, std::vector<ir::ValueId> operands,
                             std::string_view part = "");
  // Adds an IR node of which the data decides a dimension, at most `bound`, and gives its results.
  template <class Attributes>
  Accepted<std::vector<ir::ValueId>> EmitWithResultDim(Attributes attributes, const ir::Dim& bound,
                                                       const std::vector<ir::ValueId>& operands,
                                                       std::string_view part = "") {
    attributes.result_dim = AddResultDim(bound);
    GRAFT_ASSIGN_OR_RETURN(const ir::ValueId first, Emit(std::move(attributes), operands, part));
    return module_->node(ValueOf(first).producer).outputs;
  }
  Accepted<ir::ValueId> EmitPointwise(PointwiseProgram program, std::vector<ir::ValueId> operands,
                                      std::string_view part = "");
  // One instruction over the operands, with the first operand's dtype.
  Accepted<ir::ValueId> EmitPointwise(PointwiseOp op, std::vector<ir::ValueId> operands,
                                      double p = 0, double q = 0);
  // x in `dtype`; x itself where it is that already.
  Accepted<ir::ValueId> Cast(ir::ValueId x, DType dtype, std::string_view part = "");
  Accepted<ir::ValueId> Scalar(double value, DType dtype, std::string_view part);
  // The dimension as a scalar, int32 or int64.
  Accepted<ir::ValueId> EmitDim(ir::Dim dim, DType dtype, std::string_view part);
  // 0 to count - 1 along an axis of `rank`, the others being 1 long.
  Accepted<ir::ValueId> Positions(ir::Dim count, int rank, size_t axis, DType dtype);
  ir::ValueId AddConstant(Tensor tensor, std::string_view part);
  // Nothing is emitted where nothing would change; constants are reshaped in place.
  Accepted<ir::ValueId> Reshape(ir::ValueId x, ir::Shape shape, std::string_view part = "");
  Accepted<ir::ValueId> Transpose(ir::ValueId x, std::vector<int64_t> permutation,
                                  std::string_view part = "");

  Outcome SetOutput(int i, ir::ValueId id);
  // x in a dtype of the same size.
  Accepted<ir::ValueId> Retype(ir::ValueId x, DType dtype);
  // Makes operands of quantized dtypes the integers that they are stored as, and gives results that
  // the node declares as quantized these dtypes again: an import function sees integers.
  Outcome ReadAsStorage();
  Outcome GiveAsDeclared(const std::vector<DType>& declared);
  // For functions of one result: return ctx.Output(ctx.Emit(…)).
  Outcome Output(Accepted<ir::ValueId> id) {
    if (!id.ok()) return id.status();
    return SetOutput(0, id.value());
  }

 private:
  ir::Dim AddResultDim(const ir::Dim& bound);
  // The elements of a computed value.
  Accepted<std::vector<ir::Dim>> Read(ir::ValueId id);

  ir::Module* module_;
  const tf::NodeDef& node_;
  std::vector<ir::ValueId> operands_;
  std::vector<ir::ValueId>* outputs_;
  std::vector<bool> read_;
};

// Emits the IR of one TensorFlow node, or says why it cannot.
using ImportFn = Outcome (*)(NodeContext&);

}  // namespace graft::importer
