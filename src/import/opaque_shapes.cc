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

// Ops that take one rank alone give it, whatever is known of the operand: a placeholder of a graph
// without shapes, say.
Shape RankFour(OpaqueNode& n, int result) {
  return n.shape(0) == nullptr ? OfRank(n, result, 4) : RankOfFirst(n, result);
}
Shape LikeFirstOfRankFour(OpaqueNode& n, int result) {
  return n.shape(0) == nullptr ? OfRank(n, result, 4) : LikeFirst(n, result);
}

// image, filter: the result has the filter's rank, and its last dimension as channels.
Shape Convolution(OpaqueNode& n, int result) {
  const ir::Shape* filter = n.shape(1);
  if (filter == nullptr || (filter->size() != 4 && filter->size() != 5))
    return RankOfFirst(n, result);
  Shape shape = OfRank(n, result, filter->size());
  const Result<std::string> format = n.node().Attr<std::string>("data_format");
  shape->at(format.ok() && format->starts_with("NC") ? 1 : shape->size() - 1) = filter->back();
  return shape;
}

Shape MatMul(OpaqueNode& n, int result) {
  const auto dimension = [&](int operand, std::string_view transposed, size_t axis) {
    const ir::Shape* shape = n.shape(operand);
    const Result<bool> flag = n.node().Attr<bool>(transposed);
    if (flag.ok() && *flag) axis = 1 - axis;
    return shape == nullptr || shape->size() != 2 ? n.Unknown(result, static_cast<size_t>(operand))
                                                  : (*shape)[axis];
  };
  return ir::Shape{dimension(0, "transpose_a", 0), dimension(1, "transpose_b", 1)};
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
  if (image != nullptr && image->size() != 4) return std::nullopt;
  const std::vector<ir::Dim>* size = n.contents(1);
  const bool known = size != nullptr && size->size() == 2;
  return ir::Shape{image != nullptr ? (*image)[0] : n.Unknown(result, 0),
                   known ? (*size)[0] : n.Unknown(result, 1),
                   known ? (*size)[1] : n.Unknown(result, 2),
                   image != nullptr ? (*image)[3] : n.Unknown(result, 3)};
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

Shape RankOne(int64_t length) { return ir::Shape{length}; }

// Operands of equal rank or scalars, as element-wise ops take them.
Shape Broadcast(OpaqueNode& n, int result) {
  const ir::Shape* widest = nullptr;
  for (int i = 0; i < n.operand_count(); ++i) {
    const ir::Shape* x = n.shape(i);
    if (x == nullptr) return std::nullopt;
    if (widest == nullptr || x->size() > widest->size()) widest = x;
  }
  if (widest == nullptr) return std::nullopt;
  ir::Shape shape = *widest;
  for (size_t axis = 0; axis < shape.size(); ++axis) {
    for (int i = 0; i < n.operand_count(); ++i) {
      const ir::Shape& x = *n.shape(i);
      if (axis + x.size() < shape.size()) continue;
      const ir::Dim& d = x[axis + x.size() - shape.size()];
      if (shape[axis] == 1) shape[axis] = d;
      if (!(d == 1) && !(d == shape[axis])) {
        shape[axis] = n.Unknown(result, axis);
        break;
      }
    }
  }
  return shape;
}

Shape LikeSecond(OpaqueNode& n, int) { return Copy(n.shape(1)); }
Shape RankOfSecond(OpaqueNode& n, int result) {
  const ir::Shape* x = n.shape(1);
  return x == nullptr ? Shape() : OfRank(n, result, x->size());
}
Shape SaidByThird(OpaqueNode& n, int result) { return SaidBy(n, 2, result); }

// One more dimension than the operand has.
Shape OneMore(OpaqueNode& n, int result) {
  Shape shape = Copy(n.shape(0));
  if (shape) shape->push_back(n.Unknown(result, shape->size()));
  return shape;
}

Shape WithoutLast(const ir::Shape* x, size_t count) {
  if (x == nullptr || x->size() < count) return std::nullopt;
  return ir::Shape(x->begin(), x->end() - static_cast<ptrdiff_t>(count));
}

// `lead` dimensions that only running tells, then those of operand `i` from axis `from` on.
Shape LeadAndRest(OpaqueNode& n, int result, size_t lead, int i, size_t from) {
  const ir::Shape* x = n.shape(i);
  if (x == nullptr || x->size() < from) return std::nullopt;
  ir::Shape shape;
  for (size_t axis = 0; axis < lead; ++axis) shape.push_back(n.Unknown(result, axis));
  shape.insert(shape.end(), x->begin() + static_cast<ptrdiff_t>(from), x->end());
  return shape;
}

Shape Pixels(OpaqueNode& n, int result) {
  const Result<int64_t> channels = n.node().Attr<int64_t>("channels");
  ir::Shape shape = {n.Unknown(result, 0), n.Unknown(result, 1)};
  shape.push_back(channels.ok() && *channels > 0 ? ir::Dim(*channels) : n.Unknown(result, 2));
  return shape;
}
// Without animations: pictures of any format.
Shape DecodeImage(OpaqueNode& n, int result) {
  const Result<bool> animations = n.node().Attr<bool>("expand_animations");
  return animations.ok() && !*animations ? Pixels(n, result) : std::nullopt;
}
Shape DecodeGif(OpaqueNode& n, int result) {
  ir::Shape shape = *OfRank(n, result, 3);
  shape.emplace_back(3);
  return shape;
}
Shape DecodeWav(OpaqueNode& n, int result) {
  return result == 1 ? ir::Shape{} : OfRank(n, result, 2);
}

// spectrogram [channels, time, frequency], sample rate
Shape Mfcc(OpaqueNode& n, int result) {
  const ir::Shape* x = n.shape(0);
  const Result<int64_t> count = n.node().Attr<int64_t>("dct_coefficient_count");
  if (x == nullptr || x->size() != 3) return OfRank(n, result, 3);
  return ir::Shape{(*x)[0], (*x)[1],
                   count.ok() && *count >= 0 ? ir::Dim(*count) : n.Unknown(result, 2)};
}

// x, fft_length: of the innermost axes, the last one holds half of the frequencies.
Shape Fourier(OpaqueNode& n, int result, bool half) {
  Shape shape = Copy(n.shape(0));
  const std::vector<ir::Dim>* length = n.contents(1);
  const ir::Shape* lengths = n.shape(1);
  if (!shape || lengths == nullptr || lengths->size() != 1 || !(*lengths)[0].is_constant())
    return std::nullopt;
  const auto count = static_cast<size_t>(*(*lengths)[0].constant());
  if (count == 0 || count > shape->size()) return std::nullopt;
  for (size_t i = 0; i < count; ++i) {
    const size_t axis = shape->size() - count + i;
    ir::Dim& d = (*shape)[axis];
    d = length == nullptr ? n.Unknown(result, axis) : (*length)[i];
    if (length != nullptr && half && i + 1 == count) d = FloorDiv(d, 2) + 1;
  }
  return shape;
}
Shape RealFourier(OpaqueNode& n, int result) { return Fourier(n, result, true); }
Shape InverseRealFourier(OpaqueNode& n, int result) { return Fourier(n, result, false); }

// What attribute `key` says of each element, after `lead` dimensions that only running tells.
Shape Elements(OpaqueNode& n, const tf::NodeDef& node, const char* key, int result, size_t lead) {
  const auto said = node.Attr<tf::Shape>(key);
  if (!said.ok() || said->unknown_rank) return std::nullopt;
  ir::Shape shape;
  for (size_t axis = 0; axis < lead; ++axis) shape.push_back(n.Unknown(result, axis));
  for (const int64_t d : said->dims)
    shape.push_back(d < 0 ? n.Unknown(result, shape.size()) : ir::Dim(d));
  return shape;
}
// handle, indices, flow
Shape TensorArrayGather(OpaqueNode& n, int result) {
  Shape shape = Elements(n, n.node(), "element_shape", result, 1);
  const std::optional<tf::NodeDef> array = n.source(0);
  if (!shape && array) shape = Elements(n, *array, "element_shape", result, 1);
  const ir::Shape* indices = n.shape(1);
  if (shape && indices != nullptr && indices->size() == 1) (*shape)[0] = (*indices)[0];
  return shape;
}
Shape TensorArrayRead(OpaqueNode& n, int result) {
  const std::optional<tf::NodeDef> array = n.source(0);
  return array ? Elements(n, *array, "element_shape", result, 0) : std::nullopt;
}
Shape TensorArrayConcat(OpaqueNode& n, int result) {
  return result == 1 ? AnyVector(n, result)
                     : Elements(n, n.node(), "element_shape_except0", result, 1);
}
Shape ReadVariable(OpaqueNode& n, int result) {
  const std::optional<tf::NodeDef> variable = n.source(0);
  return variable ? Elements(n, *variable, "shape", result, 0) : std::nullopt;
}

// handle, indices, element_shape
Shape TensorListGather(OpaqueNode& n, int result) {
  const Shape element = SaidBy(n, 2, result);
  const ir::Shape* indices = n.shape(1);
  if (!element || indices == nullptr || indices->size() != 1) return std::nullopt;
  ir::Shape shape = {(*indices)[0]};
  for (const ir::Dim& d : *element)
    shape.push_back(d.is_constant() ? d : n.Unknown(result, shape.size()));
  return shape;
}
// handle, element_shape, leading_dims: the tensor and the lengths of its parts
Shape TensorListConcat(OpaqueNode& n, int result) {
  const Shape element = SaidBy(n, 1, result);
  if (result == 1 || !element) return result == 1 ? AnyVector(n, result) : std::nullopt;
  return OfRank(n, result, std::max<size_t>(element->size(), 1));
}
Shape TensorListPopBack(OpaqueNode& n, int result) {
  return result == 0 ? Scalar(n, result) : SaidBy(n, 1, result);
}

// x [time, batch, features] and the state [batch, units]: seven times [time, batch, units].
Shape BlockLstm(OpaqueNode& n, int result) {
  const ir::Shape* x = n.shape(1);
  const ir::Shape* state = n.shape(2);
  if (x == nullptr || x->size() != 3 || state == nullptr || state->size() != 2)
    return OfRank(n, result, 3);
  return ir::Shape{(*x)[0], (*x)[1], (*state)[1]};
}
Shape CudnnRnn(OpaqueNode& n, int result) {
  return result > 2 ? AnyVector(n, result) : OfRank(n, result, 3);
}

// Of `paths` sequences the indices, values and shapes, and the probabilities [batch, paths].
Shape Decoded(OpaqueNode& n, int result, int paths) {
  const ir::Shape* x = n.shape(0);  // [time, batch, classes]
  if (result < paths) return ir::Shape{n.Unknown(result, 0), 2};
  if (result < 2 * paths) return AnyVector(n, result);
  if (result < 3 * paths) return RankOne(2);
  const bool known = x != nullptr && x->size() == 3;
  return ir::Shape{known ? (*x)[1] : n.Unknown(result, 0), paths};
}
Shape GreedyDecoder(OpaqueNode& n, int result) { return Decoded(n, result, 1); }
Shape BeamSearchDecoder(OpaqueNode& n, int result) {
  const Result<int64_t> paths = n.node().Attr<int64_t>("top_paths");
  if (!paths.ok() || *paths < 1 || *paths > 1024) return std::nullopt;
  return Decoded(n, result, static_cast<int>(*paths));
}

// Indices [count, rank], values [count] and shape [rank] of a sparse tensor.
Shape SparseParts(OpaqueNode& n, int part, int result, const ir::Dim& rank) {
  if (part == 0) return ir::Shape{n.Unknown(result, 0), rank};
  return part == 1 ? AnyVector(n, result) : Shape(ir::Shape{rank});
}
Shape StringSplit(OpaqueNode& n, int result) { return SparseParts(n, result, result, 2); }
// The indices, values and shape that go in, at operands 0, 1 and 2, say the rank.
Shape SparseLikeFirst(OpaqueNode& n, int result) {
  const ir::Shape* indices = n.shape(0);
  const bool known = indices != nullptr && indices->size() == 2;
  return SparseParts(n, result, result, known ? (*indices)[1] : n.Unknown(result, 1));
}
Shape SparseFillEmptyRows(OpaqueNode& n, int result) {
  if (result >= 2) return AnyVector(n, result);
  return SparseLikeFirst(n, result);
}
// indices, shape, new shape: indices and shape of as many dimensions as that says
Shape SparseReshape(OpaqueNode& n, int result) {
  const ir::Shape* indices = n.shape(0);
  const ir::Shape* shape = n.shape(2);
  const bool has_count = indices != nullptr && indices->size() == 2;
  const bool has_rank = shape != nullptr && shape->size() == 1;
  const ir::Dim rank = has_rank ? (*shape)[0] : n.Unknown(result, 1);
  if (result == 1) return ir::Shape{rank};
  return ir::Shape{has_count ? (*indices)[0] : n.Unknown(result, 0), rank};
}
// indices, values, shape, matrix
Shape SparseTensorDenseMatMul(OpaqueNode& n, int result) { return LeadAndRest(n, result, 1, 3, 1); }
// data, indices, segments(, their number)
Shape SparseSegment(OpaqueNode& n, int result) { return LeadAndRest(n, result, 1, 0, 1); }

// Operands that are parted like results by the counts of several attributes.
int64_t CountOf(const OpaqueNode& n, const char* number) {
  const Result<int64_t> count = n.node().Attr<int64_t>(number);
  return count.ok() ? std::clamp<int64_t>(*count, 0, 1 << 20) : 0;
}
int64_t TypesOf(const OpaqueNode& n, const char* types) {
  const auto list = n.node().AttrList<DType>(types);
  return list.ok() ? static_cast<int64_t>(list->size()) : 0;
}
// Number `i` of a list of shapes in an attribute, after leading dimensions.
Shape ListedShape(OpaqueNode& n, const char* shapes, int64_t i, ir::Shape lead, int result) {
  const auto listed = n.node().AttrList<tf::Shape>(shapes);
  if (!listed.ok() || i >= static_cast<int64_t>(listed->size()) || (*listed)[i].unknown_rank)
    return std::nullopt;
  for (const int64_t d : (*listed)[i].dims)
    lead.push_back(d < 0 ? n.Unknown(result, lead.size()) : ir::Dim(d));
  return lead;
}
// Sparse indices, values and shapes, then dense tensors, then ragged values and row splits; of one
// serialized example or of a batch of them.
Shape Examples(OpaqueNode& n, int result, int64_t sparse, bool one, const ir::Dim& batch) {
  int64_t at = result;
  if (at < sparse) return ir::Shape{n.Unknown(result, 0), one ? 1 : 2};
  at -= sparse;
  if (at < sparse) return AnyVector(n, result);
  at -= sparse;
  if (at < sparse) return RankOne(one ? 1 : 2);
  at -= sparse;
  if (at >= TypesOf(n, "Tdense")) return AnyVector(n, result);
  return ListedShape(n, "dense_shapes", at, one ? ir::Shape{} : ir::Shape{batch}, result);
}
Shape ParseExample(OpaqueNode& n, int result) {
  const bool second = n.node().op == "ParseExampleV2";
  const ir::Shape* serialized = n.shape(0);
  if (serialized == nullptr) return std::nullopt;
  const bool one = serialized->empty();
  return Examples(n, result, CountOf(n, second ? "num_sparse" : "Nsparse"), one,
                  one ? ir::Dim(1) : (*serialized)[0]);
}
Shape ParseSingleExample(OpaqueNode& n, int result) {
  return Examples(n, result, CountOf(n, "num_sparse"), true, 1);
}
// As Examples of the context, then of the lists of features, which have one dimension more and,
// for a batch, the lengths of dense ones.
Shape ParseSequenceExample(OpaqueNode& n, int result) {
  const bool single = n.node().op == "ParseSingleSequenceExample";
  const ir::Shape* serialized = n.shape(0);
  if (serialized == nullptr && !single) return std::nullopt;
  const bool one = single || serialized->empty();
  const ir::Shape lead = one ? ir::Shape{} : ir::Shape{(*serialized)[0]};
  const int64_t rank = one ? 1 : 2;  // of a sparse tensor of the context
  int64_t at = result;
  // Whether the result is one of the next `count`.
  const auto among = [&](int64_t count) { return at < count || (at -= count, false); };
  const int64_t sparse = CountOf(n, "Ncontext_sparse");
  if (among(sparse)) return ir::Shape{n.Unknown(result, 0), rank};
  if (among(sparse)) return AnyVector(n, result);
  if (among(sparse)) return RankOne(rank);
  if (among(TypesOf(n, "Tcontext_dense")))
    return ListedShape(n, "context_dense_shapes", at, lead, result);
  if (among(TypesOf(n, "context_ragged_value_types"))) return AnyVector(n, result);
  if (among(TypesOf(n, "context_ragged_split_types"))) return AnyVector(n, result);
  const int64_t lists = CountOf(n, "Nfeature_list_sparse");
  if (among(lists)) return ir::Shape{n.Unknown(result, 0), rank + 1};
  if (among(lists)) return AnyVector(n, result);
  if (among(lists)) return RankOne(rank + 1);
  if (among(TypesOf(n, "feature_list_dense_types"))) {
    ir::Shape steps = lead;
    steps.push_back(n.Unknown(result, steps.size()));
    return ListedShape(n, "feature_list_dense_shapes", at, std::move(steps), result);
  }
  if (!single && among(CountOf(n, "Nfeature_list_dense"))) return lead;
  return AnyVector(n, result);
}
// TensorFlow takes a loop without output_shapes to keep what it was given; no more than the rank is
// relied on. With the attribute, a rank that it leaves open may change.
Shape While(OpaqueNode& n, int result) {
  const auto noted = n.node().AttrList<tf::Shape>("output_shapes");
  const ir::Shape* first = n.shape(result);
  if ((noted.ok() && !noted->empty()) || first == nullptr) return std::nullopt;
  return OfRank(n, result, first->size());
}
Shape Multinomial(OpaqueNode& n, int result) {
  const ir::Shape* logits = n.shape(0);
  const bool known = logits != nullptr && logits->size() == 2;
  const std::vector<ir::Dim>* samples = n.contents(1);
  return ir::Shape{known ? (*logits)[0] : n.Unknown(result, 0),
                   samples && samples->size() == 1 ? (*samples)[0] : n.Unknown(result, 1)};
}
// shape, and parameters of as many distributions
Shape RandomOfEach(OpaqueNode& n, int result) {
  Shape shape = SaidBy(n, 0, result);
  const ir::Shape* each = n.shape(1);
  if (!shape || each == nullptr) return std::nullopt;
  shape->insert(shape->end(), each->begin(), each->end());
  return shape;
}
Shape ThreeVector(OpaqueNode&, int) { return RankOne(3); }
// handle and flow
Shape TensorArray(OpaqueNode&, int result) { return result == 0 ? RankOne(2) : ir::Shape{}; }
Shape AudioSpectrogram(OpaqueNode& n, int result) { return OfRank(n, result, 3); }
// text, position, length
Shape Substr(OpaqueNode& n, int result) {
  const ir::Shape* position = n.shape(1);
  return position != nullptr && position->empty() ? LikeFirst(n, result) : Broadcast(n, result);
}
Shape KeyAndCounter(OpaqueNode&, int result) { return RankOne(result == 0 ? 1 : 2); }

Shape Determinant(OpaqueNode& n, int) { return WithoutLast(n.shape(0), 2); }
Shape ImagePatches(OpaqueNode& n, int result) { return OfRank(n, result, 4); }
// values, row splits, …: the shape comes first and says the rank
Shape RaggedToTensor(OpaqueNode& n, int result) {
  const ir::Shape* shape = n.shape(0);
  if (shape == nullptr || shape->size() != 1 || !(*shape)[0].is_constant()) return std::nullopt;
  const int64_t rank = *(*shape)[0].constant();
  if (rank < 0 || rank > 8) return std::nullopt;
  return SaidBy(n, 0, result);
}
// The splits of each ragged dimension, then the dense values.
Shape RaggedGather(OpaqueNode& n, int result) {
  const int64_t splits = CountOf(n, "OUTPUT_RAGGED_RANK");
  return result < splits
             ? AnyVector(n, result)
             : LeadAndRest(n, result, 1, static_cast<int>(CountOf(n, "PARAMS_RAGGED_RANK")), 1);
}

struct Row {
  std::string_view op;
  Shape (*shape)(OpaqueNode&, int result);
};
constexpr Row kRows[] = {
    {"Angle", LikeFirst},
    {"AsString", LikeFirst},
    {"AudioSpectrogram", AudioSpectrogram},
    {"AvgPool", RankFour},
    {"BatchMatMul", RankOfFirst},
    {"Betainc", Broadcast},
    {"Bincount", AnyVector},
    {"BlockLSTM", BlockLstm},
    {"BlockLSTMV2", BlockLstm},
    {"Bucketize", LikeFirst},
    {"CTCBeamSearchDecoder", BeamSearchDecoder},
    {"CTCGreedyDecoder", GreedyDecoder},
    {"Cholesky", LikeFirst},
    {"CombinedNonMaxSuppression", CombinedNonMaxSuppression},
    {"Complex", Broadcast},
    {"ComplexAbs", LikeFirst},
    {"Conj", LikeFirst},
    {"Conv2D", Convolution},
    {"Conv2DBackpropInput", SaidByFirst},
    {"Conv3D", Convolution},
    {"Conv3DBackpropInputV2", SaidByFirst},
    {"CropAndResize", CropAndResize},
    {"CudnnRNN", CudnnRnn},
    {"CudnnRNNV2", CudnnRnn},
    {"CudnnRNNV3", CudnnRnn},
    {"Cumprod", LikeFirst},
    {"Cumsum", LikeFirst},
    {"DecodeAndCropJpeg", Pixels},
    {"DecodeBase64", LikeFirst},
    {"DecodeBmp", Pixels},
    {"DecodeCSV", LikeFirst},
    {"DecodeGif", DecodeGif},
    {"DecodeImage", DecodeImage},
    {"DecodeJpeg", Pixels},
    {"DecodePaddedRaw", OneMore},
    {"DecodePng", Pixels},
    {"DecodeRaw", OneMore},
    {"DecodeWav", DecodeWav},
    {"DepthwiseConv2dNative", RankFour},
    {"Digamma", LikeFirst},
    {"Dilation2D", RankFour},
    {"EmptyTensorList", Scalar},
    {"EncodeBase64", LikeFirst},
    {"EncodeJpeg", Scalar},
    {"EncodePng", Scalar},
    {"Enter", LikeFirst},
    {"Exit", LikeFirst},
    {"ExtractImagePatches", ImagePatches},
    {"ExtractJpegShape", ThreeVector},
    {"FFT", LikeFirst},
    {"FFT2D", LikeFirst},
    {"FFT3D", LikeFirst},
    {"FakeQuantWithMinMaxArgs", LikeFirst},
    {"FakeQuantWithMinMaxVars", LikeFirst},
    {"FakeQuantWithMinMaxVarsPerChannel", LikeFirst},
    {"Fill", SaidByFirst},
    {"FusedBatchNorm", FusedBatchNorm},
    {"FusedBatchNormV2", FusedBatchNorm},
    {"FusedBatchNormV3", FusedBatchNorm},
    {"GRUBlockCell", LikeSecond},
    {"IFFT", LikeFirst},
    {"IFFT2D", LikeFirst},
    {"IFFT3D", LikeFirst},
    {"IRFFT", InverseRealFourier},
    {"IRFFT2D", InverseRealFourier},
    {"IRFFT3D", InverseRealFourier},
    {"Imag", LikeFirst},
    {"InTopK", AnyVector},
    {"InTopKV2", AnyVector},
    {"InvertPermutation", LikeFirst},
    {"IsVariableInitialized", Scalar},
    {"LRN", LikeFirstOfRankFour},
    {"LSTMBlockCell", LikeSecond},
    {"Lgamma", LikeFirst},
    {"LookupTableFind", LikeSecond},
    {"LookupTableFindV2", LikeSecond},
    {"LookupTableSize", Scalar},
    {"LookupTableSizeV2", Scalar},
    {"LoopCond", Scalar},
    {"MatMul", MatMul},
    {"MatrixDeterminant", Determinant},
    {"MatrixExponential", LikeFirst},
    {"MatrixInverse", LikeFirst},
    {"MatrixSolve", RankOfSecond},
    {"MatrixSquareRoot", LikeFirst},
    {"MatrixTriangularSolve", RankOfSecond},
    {"MaxPool", RankFour},
    {"Merge", Merge},
    {"Mfcc", Mfcc},
    {"MirrorPad", RankOfFirst},
    {"Multinomial", Multinomial},
    {"NextIteration", LikeFirst},
    {"NonMaxSuppression", AnyVector},
    {"NonMaxSuppressionV2", AnyVector},
    {"NonMaxSuppressionV3", AnyVector},
    {"NonMaxSuppressionV4", NonMaxSuppression},
    {"NonMaxSuppressionV5", NonMaxSuppression},
    {"Pad", RankOfFirst},
    {"PadV2", RankOfFirst},
    {"ParameterizedTruncatedNormal", SaidByFirst},
    {"ParseExample", ParseExample},
    {"ParseExampleV2", ParseExample},
    {"ParseSequenceExample", ParseSequenceExample},
    {"ParseSequenceExampleV2", ParseSequenceExample},
    {"ParseSingleExample", ParseSingleExample},
    {"ParseSingleSequenceExample", ParseSequenceExample},
    {"Polygamma", Broadcast},
    {"Print", LikeFirst},
    {"PrintV2", Scalar},
    {"QuantizeAndDequantizeV2", LikeFirst},
    {"QuantizeAndDequantizeV3", LikeFirst},
    {"QuantizeAndDequantizeV4", LikeFirst},
    {"RFFT", RealFourier},
    {"RFFT2D", RealFourier},
    {"RFFT3D", RealFourier},
    {"RaggedGather", RaggedGather},
    {"RaggedRange", AnyVector},
    {"RaggedTensorToTensor", RaggedToTensor},
    {"RandomGamma", RandomOfEach},
    {"RandomPoisson", RandomOfEach},
    {"RandomPoissonV2", RandomOfEach},
    {"RandomShuffle", LikeFirst},
    {"RandomStandardNormal", SaidByFirst},
    {"RandomUniform", SaidByFirst},
    {"RandomUniformInt", SaidByFirst},
    {"Range", AnyVector},
    {"ReadFile", Scalar},
    {"ReadVariableOp", ReadVariable},
    {"Real", LikeFirst},
    {"RegexFullMatch", LikeFirst},
    {"RegexReplace", LikeFirst},
    {"Reshape", SaidBySecond},
    {"ResizeArea", Resize},
    {"ResizeBicubic", Resize},
    {"ResizeBilinear", Resize},
    {"ResizeNearestNeighbor", Resize},
    {"ReverseSequence", LikeFirst},
    {"Roll", LikeFirst},
    {"SerializeTensor", Scalar},
    {"Slice", RankOfFirst},
    {"SparseFillEmptyRows", SparseFillEmptyRows},
    {"SparseReorder", SparseLikeFirst},
    {"SparseReshape", SparseReshape},
    {"SparseSegmentMean", SparseSegment},
    {"SparseSegmentMeanWithNumSegments", SparseSegment},
    {"SparseSegmentSqrtN", SparseSegment},
    {"SparseSegmentSqrtNWithNumSegments", SparseSegment},
    {"SparseSegmentSum", SparseSegment},
    {"SparseSegmentSumWithNumSegments", SparseSegment},
    {"SparseSlice", SparseLikeFirst},
    {"SparseTensorDenseMatMul", SparseTensorDenseMatMul},
    {"SparseToDense", SaidBySecond},
    {"StatefulStandardNormalV2", SaidByThird},
    {"StatefulTruncatedNormal", SaidByThird},
    {"StatefulUniform", SaidByThird},
    {"StatefulUniformFullInt", SaidByThird},
    {"StatefulUniformInt", SaidByThird},
    {"StatelessMultinomial", Multinomial},
    {"StatelessRandomGetAlg", Scalar},
    {"StatelessRandomGetKeyCounter", KeyAndCounter},
    {"StatelessRandomNormal", SaidByFirst},
    {"StatelessRandomNormalV2", SaidByFirst},
    {"StatelessRandomUniform", SaidByFirst},
    {"StatelessRandomUniformFullInt", SaidByFirst},
    {"StatelessRandomUniformFullIntV2", SaidByFirst},
    {"StatelessRandomUniformInt", SaidByFirst},
    {"StatelessRandomUniformIntV2", SaidByFirst},
    {"StatelessRandomUniformV2", SaidByFirst},
    {"StatelessTruncatedNormal", SaidByFirst},
    {"StatelessTruncatedNormalV2", SaidByFirst},
    {"StatelessWhile", While},
    {"StaticRegexFullMatch", LikeFirst},
    {"StaticRegexReplace", LikeFirst},
    {"StringFormat", Scalar},
    {"StringJoin", Broadcast},
    {"StringLength", LikeFirst},
    {"StringLower", LikeFirst},
    {"StringNGrams", AnyVector},
    {"StringSplit", StringSplit},
    {"StringSplitV2", StringSplit},
    {"StringStrip", LikeFirst},
    {"StringToHashBucket", LikeFirst},
    {"StringToHashBucketFast", LikeFirst},
    {"StringToHashBucketStrong", LikeFirst},
    {"StringToNumber", LikeFirst},
    {"StringUpper", LikeFirst},
    {"Substr", Substr},
    {"Switch", LikeFirst},
    {"TensorArrayConcatV3", TensorArrayConcat},
    {"TensorArrayGatherV3", TensorArrayGather},
    {"TensorArrayReadV3", TensorArrayRead},
    {"TensorArrayScatterV3", Scalar},
    {"TensorArraySizeV3", Scalar},
    {"TensorArraySplitV3", Scalar},
    {"TensorArrayV3", TensorArray},
    {"TensorArrayWriteV3", Scalar},
    {"TensorListConcat", TensorListConcat},
    {"TensorListConcatV2", TensorListConcat},
    {"TensorListElementShape", AnyVector},
    {"TensorListFromTensor", Scalar},
    {"TensorListGather", TensorListGather},
    {"TensorListGetItem", TensorListGetItem},
    {"TensorListLength", Scalar},
    {"TensorListPopBack", TensorListPopBack},
    {"TensorListPushBack", Scalar},
    {"TensorListReserve", Scalar},
    {"TensorListResize", Scalar},
    {"TensorListSetItem", Scalar},
    {"TensorListStack", TensorListStack},
    {"Tile", RankOfFirst},
    {"TruncatedNormal", SaidByFirst},
    {"UnicodeScript", LikeFirst},
    {"UnicodeTranscode", LikeFirst},
    {"Unique", Unique},
    {"UniqueV2", UniqueAlong},
    {"UniqueWithCounts", Unique},
    {"UniqueWithCountsV2", UniqueAlong},
    {"VarHandleOp", Scalar},
    {"VarIsInitializedOp", Scalar},
    {"Where", Where},
    {"While", While},
    {"WriteFile", Scalar},
    {"Zeta", Broadcast},
};

}  // namespace

const ir::Shape* OpaqueNode::shape(int i) const {
  if (i < 0 || i >= operand_count() || operands_[i] < 0) return nullptr;
  const ir::Value& value = module_->value(operands_[i]);
  return value.has_shape ? &value.shape : nullptr;
}

const std::vector<ir::Dim>* OpaqueNode::contents(int i) const {
  if (i < 0 || i >= operand_count() || operands_[i] < 0) return nullptr;
  const ir::Value& value = module_->value(operands_[i]);
  return value.contents ? &*value.contents : nullptr;
}

std::optional<tf::NodeDef> OpaqueNode::source(int i) const {
  if (i >= operand_count() || operands_[i] < 0) return std::nullopt;
  for (ir::ValueId id = operands_[i];;) {
    const ir::Value& value = module_->value(id);
    if (value.producer < 0) return std::nullopt;
    const ir::Node& node = module_->node(value.producer);
    const auto* opaque = node.get<ir::OpaqueAttributes>();
    if (opaque == nullptr) return std::nullopt;
    const bool hands_on = opaque->op == "Enter" || opaque->op == "Switch" ||
                          opaque->op == "Identity" || opaque->op == "RefEnter";
    if (hands_on && !node.inputs.empty() && node.inputs[0] >= 0) {
      id = node.inputs[0];
      continue;
    }
    Result<tf::NodeDef> parsed = tf::ParseNodeDef(opaque->node_def);
    return parsed.ok() ? std::optional(*std::move(parsed)) : std::nullopt;
  }
}

ir::Dim OpaqueNode::Unknown(int result, size_t axis) {
  ir::Symbol symbol;
  symbol.kind = ir::Symbol::Kind::kResultDim;
  symbol.node = module_->node_count();  // the id that the node will get
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
  Shape inferred;
  const auto row = std::find_if(std::begin(kRows), std::end(kRows),
                                [&](const Row& r) { return r.op == node.node().op; });
  if (row != std::end(kRows)) {
    inferred = row->shape(node, result);
  } else if (const auto shape = node.node().Attr<tf::Shape>("shape"); shape.ok()) {
    inferred = node.FromAttribute(*shape, result);  // placeholders that are not fed
  }
  // TensorFlow's own note, and what control flow, iterators and engines say: what it does not know,
  // a row may.
  for (const char* attr : {"_output_shapes", "output_shapes"}) {
    const auto shapes = node.node().AttrList<tf::Shape>(attr);
    if (!shapes.ok() || result >= static_cast<int>(shapes->size())) continue;
    const tf::Shape& noted = (*shapes)[result];
    if (noted.unknown_rank) continue;
    if (!inferred || inferred->size() != noted.dims.size())
      return node.FromAttribute(noted, result);
    for (size_t axis = 0; axis < noted.dims.size(); ++axis) {
      if (noted.dims[axis] >= 0) (*inferred)[axis] = noted.dims[axis];
    }
  }
  return inferred;
}

}  // namespace graft::importer
