#include "import/opaque_shapes.h"

#include <algorithm>
#include <string_view>

namespace graft::importer {
namespace {

using Shape = std::optional<ir::Shape>;

Shape Copy(const ir::Shape* shape) { return shape == nullptr ? Shape() : Shape(*shape); }

Shape OfRank(OpaqueNode& n, int result, size_t rank) {
  ir::Shape shape;
  for (size_t axis = 0; axis < rank; ++axis) shape.push_back(n.Unknown(result, axis));
  return shape;
}

Shape Scalar(OpaqueNode&, int) { return ir::Shape{}; }
Shape AnyVector(OpaqueNode& n, int result) { return OfRank(n, result, 1); }
Shape LikeFirst(OpaqueNode& n, int) { return Copy(n.shape(0)); }
Shape RankOfFirst(OpaqueNode& n, int result) {
  const ir::Shape* x = n.shape(0);
  return x == nullptr ? Shape() : OfRank(n, result, x->size());
}

// The dimensions that operand `i`, a shape, says; -1 and what is not known become symbols.
Shape SaidBy(OpaqueNode& n, int i, int result) {
  if (const std::vector<ir::Dim>* contents = n.contents(i)) {
    ir::Shape shape;
    for (size_t axis = 0; axis < contents->size(); ++axis) {
      const ir::Dim& d = (*contents)[axis];
      shape.push_back(d.is_constant() && *d.constant() < 0 ? n.Unknown(result, axis) : d);
    }
    return shape;
  }
  const ir::Shape* vector = n.shape(i);
  // A shape of more than 8 dimensions is no shape that an engine could use.
  if (vector == nullptr || vector->size() != 1 || !(*vector)[0].is_constant() ||
      *(*vector)[0].constant() > 8) {
    return std::nullopt;
  }
  return OfRank(n, result, *(*vector)[0].constant());
}
Shape SaidByFirst(OpaqueNode& n, int result) { return SaidBy(n, 0, result); }
Shape SaidBySecond(OpaqueNode& n, int result) { return SaidBy(n, 1, result); }

// Of a conditional, or of a loop, whose Merge has one operand here.
Shape Merge(OpaqueNode& n, int result) {
  if (result == 1) return ir::Shape{};
  if (n.loop_shape() == LoopShape::kUnknown || n.operand_count() == 0) return std::nullopt;
  if (n.loop_shape() == LoopShape::kRank) return RankOfFirst(n, result);
  const ir::Shape* first = n.shape(0);
  if (first == nullptr) return std::nullopt;
  for (int i = 1; i < n.operand_count(); ++i) {
    if (n.shape(i) == nullptr || n.shape(i)->size() != first->size()) return std::nullopt;
  }
  ir::Shape shape = *first;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    for (int i = 1; i < n.operand_count(); ++i) {
      if (!((*n.shape(i))[axis] == (*first)[axis])) {
        shape[axis] = n.Unknown(result, axis);
        break;
      }
    }
  }
  return shape;
}

// [count, rank of the operand]
Shape Where(OpaqueNode& n, int result) {
  const ir::Shape* x = n.shape(0);
  if (x == nullptr) return std::nullopt;
  return ir::Shape{n.Unknown(result, 0), static_cast<int64_t>(x->size())};
}

// [indices, (scores,) count of valid ones]
Shape NonMaxSuppression(OpaqueNode& n, int result) {
  const bool has_scores = n.node().op == "NonMaxSuppressionV5";
  return result == (has_scores ? 2 : 1) ? Scalar(n, result) : AnyVector(n, result);
}

Shape CombinedNonMaxSuppression(OpaqueNode& n, int result) {
  const ir::Shape* boxes = n.shape(0);
  if (boxes == nullptr || boxes->empty()) return std::nullopt;
  ir::Shape shape = {(*boxes)[0]};
  if (result < 3) shape.push_back(n.Unknown(result, 1));
  if (result == 0) shape.push_back(4);
  return shape;
}

// image, boxes, box_ind, crop_size
Shape CropAndResize(OpaqueNode& n, int result) {
  const ir::Shape* image = n.shape(0);
  const ir::Shape* boxes = n.shape(1);
  const std::vector<ir::Dim>* size = n.contents(3);
  if (image == nullptr || image->size() != 4 || boxes == nullptr || boxes->empty())
    return std::nullopt;
  const bool known = size != nullptr && size->size() == 2;
  return ir::Shape{(*boxes)[0], known ? (*size)[0] : n.Unknown(result, 1),
                   known ? (*size)[1] : n.Unknown(result, 2), (*image)[3]};
}

Shape Resize(OpaqueNode& n, int result) {
  const ir::Shape* image = n.shape(0);
  if (image == nullptr || image->size() != 4) return std::nullopt;
  const std::vector<ir::Dim>* size = n.contents(1);
  const bool known = size != nullptr && size->size() == 2;
  return ir::Shape{(*image)[0], known ? (*size)[0] : n.Unknown(result, 1),
                   known ? (*size)[1] : n.Unknown(result, 2), (*image)[3]};
}

// handle, element_shape
Shape TensorListStack(OpaqueNode& n, int result) {
  const Shape element = SaidBy(n, 1, result);
  if (!element) return std::nullopt;
  const Result<int64_t> count = n.node().Attr<int64_t>("num_elements");
  // The element's symbols count from the second axis.
  ir::Shape shape = {count.ok() && *count >= 0 ? ir::Dim(*count) : n.Unknown(result, 0)};
  for (size_t axis = 0; axis < element->size(); ++axis) {
    const ir::Dim& d = (*element)[axis];
    shape.push_back(d.is_constant() ? d : n.Unknown(result, axis + 1));
  }
  return shape;
}

// handle, index, element_shape
Shape TensorListGetItem(OpaqueNode& n, int result) { return SaidBy(n, 2, result); }

Shape FusedBatchNorm(OpaqueNode& n, int result) { return Copy(n.shape(result == 0 ? 0 : 1)); }

Shape Unique(OpaqueNode& n, int result) {
  return result == 1 ? Copy(n.shape(0)) : AnyVector(n, result);
}
// Along an axis: the slices that differ, for each slice which one it is, how often each occurs.
Shape UniqueAlong(OpaqueNode& n, int result) {
  return result == 0 ? RankOfFirst(n, result) : AnyVector(n, result);
}

struct Row {
  std::string_view op;
  Shape (*shape)(OpaqueNode&, int result);
};
constexpr Row kRows[] = {
    {"Bucketize", LikeFirst},
    {"CombinedNonMaxSuppression", CombinedNonMaxSuppression},
    {"CropAndResize", CropAndResize},
    {"Cumprod", LikeFirst},
    {"Cumsum", LikeFirst},
    {"Enter", LikeFirst},
    {"Exit", LikeFirst},
    {"FakeQuantWithMinMaxArgs", LikeFirst},
    {"FakeQuantWithMinMaxVars", LikeFirst},
    {"FakeQuantWithMinMaxVarsPerChannel", LikeFirst},
    {"Fill", SaidByFirst},
    {"FusedBatchNorm", FusedBatchNorm},
    {"FusedBatchNormV2", FusedBatchNorm},
    {"FusedBatchNormV3", FusedBatchNorm},
    {"InvertPermutation", LikeFirst},
    {"LRN", LikeFirst},
    {"LoopCond", Scalar},
    {"Merge", Merge},
    {"MirrorPad", RankOfFirst},
    {"NextIteration", LikeFirst},
    {"NonMaxSuppression", AnyVector},
    {"NonMaxSuppressionV2", AnyVector},
    {"NonMaxSuppressionV3", AnyVector},
    {"NonMaxSuppressionV4", NonMaxSuppression},
    {"NonMaxSuppressionV5", NonMaxSuppression},
    {"Pad", RankOfFirst},
    {"PadV2", RankOfFirst},
    {"Print", LikeFirst},
    {"PrintV2", Scalar},
    {"QuantizeAndDequantizeV2", LikeFirst},
    {"QuantizeAndDequantizeV3", LikeFirst},
    {"QuantizeAndDequantizeV4", LikeFirst},
    {"RandomStandardNormal", SaidByFirst},
    {"RandomUniform", SaidByFirst},
    {"RandomUniformInt", SaidByFirst},
    {"Range", AnyVector},
    {"Reshape", SaidBySecond},
    {"ResizeArea", Resize},
    {"ResizeBicubic", Resize},
    {"ResizeBilinear", Resize},
    {"ResizeNearestNeighbor", Resize},
    {"ReverseSequence", LikeFirst},
    {"Slice", RankOfFirst},
    {"Switch", LikeFirst},
    {"TensorListGetItem", TensorListGetItem},
    {"TensorListLength", Scalar},
    {"TensorListReserve", Scalar},
    {"TensorListFromTensor", Scalar},
    {"TensorListSetItem", Scalar},
    {"TensorListStack", TensorListStack},
    {"Tile", RankOfFirst},
    {"TruncatedNormal", SaidByFirst},
    {"Unique", Unique},
    {"UniqueV2", UniqueAlong},
    {"UniqueWithCounts", Unique},
    {"UniqueWithCountsV2", UniqueAlong},
    {"Where", Where},
};

}  // namespace

const ir::Shape* OpaqueNode::shape(int i) const {
  if (i >= operand_count() || operands_[i] < 0) return nullptr;
  const ir::Value& value = module_->value(operands_[i]);
  return value.has_shape ? &value.shape : nullptr;
}

const std::vector<ir::Dim>* OpaqueNode::contents(int i) const {
  if (i >= operand_count() || operands_[i] < 0) return nullptr;
  const ir::Value& value = module_->value(operands_[i]);
  return value.contents ? &*value.contents : nullptr;
}

ir::Dim OpaqueNode::Unknown(int result, size_t axis) {
  ir::Symbol symbol;
  symbol.kind = ir::Symbol::Kind::kResultDim;
  symbol.input = module_->node_count();  // the id that the node will get
  symbol.axis = static_cast<int32_t>(axis);
  symbol.result = result;
  symbol.name = fmt::format("{}.{}", tf::TensorName(node_.name, result), axis);
  return ir::Dim::Symbol(module_->AddSymbol(std::move(symbol)));
}

std::optional<ir::Shape> OpaqueNode::FromAttribute(const tf::Shape& shape, int result) {
  if (shape.unknown_rank) return std::nullopt;
  ir::Shape dims;
  for (size_t axis = 0; axis < shape.dims.size(); ++axis)
    dims.push_back(shape.dims[axis] < 0 ? Unknown(result, axis) : ir::Dim(shape.dims[axis]));
  return dims;
}

std::optional<ir::Shape> OpaqueShape(OpaqueNode& node, int result) {
  // TensorFlow's own note, and what control flow, iterators and engines say.
  for (const char* attr : {"_output_shapes", "output_shapes"}) {
    const auto shapes = node.node().AttrList<tf::Shape>(attr);
    if (shapes.ok() && result < static_cast<int>(shapes->size()) && !(*shapes)[result].unknown_rank)
      return node.FromAttribute((*shapes)[result], result);
  }
  const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.op == node.node().op; });
  if (row != std::end(kRows)) return row->shape(node, result);
  // Placeholders that are not fed.
  const auto shape = node.node().Attr<tf::Shape>("shape");
  return shape.ok() ? node.FromAttribute(*shape, result) : std::nullopt;
}

}  // namespace graft::importer
