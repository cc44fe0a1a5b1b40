#include "import/importer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ir/stages.h"

namespace graft::importer {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

tf::NodeDef Node(std::string name, std::string op, std::vector<std::string> inputs,
                 tf::AttrMap attrs = {}) {
  tf::NodeDef node;
  node.name = std::move(name);
  node.op = std::move(op);
  node.inputs = std::move(inputs);
  node.attrs = std::move(attrs);
  return node;
}

tf::NodeDef Placeholder(std::string name, DType dtype = DType::kFloat32) {
  return Node(std::move(name), "Placeholder", {}, {{"dtype", dtype}});
}

tf::NodeDef Const(std::string name, Tensor tensor) {
  const DType dtype = tensor.dtype();
  return Node(std::move(name), "Const", {},
              {{"dtype", dtype}, {"value", tf::TensorValue(std::move(tensor))}});
}

Tensor Zeros(Dims dims) {
  Tensor tensor = Tensor::Allocate(DType::kFloat32, std::move(dims)).value();
  for (float& v : tensor.mutable_data<float>()) v = 0;
  return tensor;
}

const tf::AttrMap kFloat = {{"T", DType::kFloat32}};

// Imports a graph whose first node is the input and whose last is the output.
ImportedGraph Import(std::vector<tf::NodeDef> nodes, tf::Shape input) {
  tf::GraphDef graph;
  graph.nodes = std::move(nodes);
  const DType dtype = *graph.nodes[0].Attr<DType>("dtype");
  Result<ImportedGraph> imported = ImportGraph(
      graph, {{graph.nodes[0].name, dtype, std::move(input)}}, {graph.nodes.back().name});
  EXPECT_TRUE(imported.ok()) << imported.status().message();
  if (!imported.ok()) return {};
  const Status verified = ir::Verify(imported->module);
  EXPECT_TRUE(verified.ok()) << verified.message();
  return std::move(imported).value();
}

std::string OutputShape(const ImportedGraph& graph) {
  return ToString(graph.module.value(graph.module.outputs[0]).shape);
}

tf::NodeDef Conv(std::vector<int64_t> dilations, std::string padding = "SAME") {
  return Node("conv", "Conv2D", {"x", "w"},
              {{"T", DType::kFloat32},
               {"strides", std::vector<int64_t>{1, 2, 2, 1}},
               {"dilations", std::move(dilations)},
               {"padding", std::move(padding)}});
}

TEST(Importer, ConvolutionOfSymbolicSize) {
  const ImportedGraph graph = Import({Placeholder("x"), Const("w", Zeros({3, 3, 3, 8})),
                                      Conv({1, 1, 1, 1}), Node("y", "Relu", {"conv"}, kFloat)},
                                     {.dims = {-1, -1, 64, 3}});
  EXPECT_EQ(OutputShape(graph), "[s0,floordiv(s1+1,2),32,8]");
  EXPECT_EQ(graph.nodes[0].decision, Decision::kNotNeeded);
  EXPECT_EQ(graph.nodes[1].decision, Decision::kNotNeeded);
  EXPECT_EQ(graph.nodes[2].decision, Decision::kAccepted);
  EXPECT_EQ(graph.nodes[3].decision, Decision::kAccepted);
  const ir::Value& y = graph.module.value(graph.module.outputs[0]);
  EXPECT_EQ(graph.module.node(y.producer).origin, std::vector<int32_t>{3});
  EXPECT_EQ(y.name, "y");
}

TEST(Importer, RefusalNamesTheFactAndLeavesTheNodeOpaque) {
  const ImportedGraph graph =
      Import({Placeholder("x"), Const("w", Zeros({3, 3, 3, 8})), Conv({1, 2, 2, 3})},
             {.dims = {1, 8, 8, 3}});
  EXPECT_EQ(graph.nodes[2].decision, Decision::kRefused);
  EXPECT_EQ(graph.nodes[2].reason, "dilations [1,2,2,3]: channel dilation must be 1");
  const ir::Value& y = graph.module.value(graph.module.outputs[0]);
  EXPECT_EQ(graph.module.node(y.producer).get<ir::OpaqueAttributes>()->op, "Conv2D");
}

TEST(Importer, UnknownRankStopsWhatFollows) {
  const ImportedGraph graph =
      Import({Placeholder("x"), Node("y", "Relu", {"x"}, kFloat)}, tf::Shape::Unknown());
  EXPECT_EQ(graph.nodes[1].reason, "Input tensor rank is unknown. (x)");
}

TEST(Importer, DimensionsOfOpaqueResultsAreSymbols) {
  const ImportedGraph graph =
      Import({Placeholder("x"),
              Node("unique", "Unique", {"x"}, {{"T", DType::kFloat32}, {"out_idx", DType::kInt32}}),
              Node("y", "Relu", {"unique"}, kFloat)},
             {.dims = {4, 5}});
  EXPECT_EQ(graph.nodes[1].reason, "x [4,5]: must have rank 1");
  EXPECT_EQ(graph.nodes[2].decision, Decision::kAccepted);
  EXPECT_EQ(OutputShape(graph), "[s0]");
  EXPECT_EQ(graph.module.symbols[0].kind, ir::Symbol::Kind::kResultDim);
}

TEST(Importer, NumbersOfResultsAreSymbolsWithABound) {
  const std::vector<tf::NodeDef> nodes = {
      Placeholder("x"), Node("where", "Where", {"x"}, kFloat),
      Node("y", "Cast", {"where"}, {{"SrcT", DType::kInt64}, {"DstT", DType::kFloat32}})};
  const ImportedGraph graph = Import(nodes, {.dims = {-1, 5}});
  EXPECT_EQ(graph.nodes[1].decision, Decision::kAccepted);
  EXPECT_EQ(OutputShape(graph), "[s1,2]");
  const ir::Symbol& symbol = graph.module.symbols[1];
  EXPECT_EQ(symbol.kind, ir::Symbol::Kind::kResultDim);
  EXPECT_EQ(symbol.name, "where.0");
  EXPECT_EQ(symbol.upper_bound->ToString(), "5*s0");
}

TEST(Importer, CustomOpsStayAndFeedNothing) {
  const ImportedGraph graph = Import(
      {Placeholder("x"), Node("mine", "MyOwnOp", {"x"}), Node("y", "Relu", {"mine:1"}, kFloat)},
      {.dims = {4}});
  EXPECT_EQ(graph.nodes[1].reason, "Op type MyOwnOp is not supported.");
  EXPECT_THAT(graph.nodes[2].reason, StartsWith("Unsupported tensorflow data type"));
}

// Between TensorFlow's nodes a tensor is what TensorFlow says; within them it is its integers.
TEST(Importer, QuantizedTensorsAreIntegersWithinNodes) {
  const tf::AttrMap quantized = {{"T", DType::kQint8}, {"Tshape", DType::kInt32}};
  const ImportedGraph graph =
      Import({Placeholder("x", DType::kQint8), Const("shape", Tensor::Of<int32_t>({1}, {6})),
              Node("flat", "Reshape", {"x", "shape"}, quantized),
              Node("y", "Reshape", {"flat", "shape"}, quantized)},
             {.dims = {2, 3}});
  EXPECT_EQ(graph.nodes[3].decision, Decision::kAccepted);
  EXPECT_EQ(graph.module.value(graph.tensors[2][0]).dtype, DType::kQint8);
  EXPECT_EQ(graph.module.value(graph.module.outputs[0]).dtype, DType::kQint8);
  for (ir::NodeId id = 0; id < graph.module.node_count(); ++id) {
    const ir::Node& node = graph.module.node(id);
    const DType read = graph.module.value(node.inputs[0]).dtype;
    EXPECT_EQ(IsQuantized(read), node.kind() == ir::OpKind::kBitcast &&
                                     graph.module.value(node.outputs[0]).dtype == DType::kInt8);
  }
}

TEST(Importer, QuantizedTensorsAreNoOperandsOfArithmetic) {
  const ImportedGraph graph =
      Import({Placeholder("x", DType::kQint8), Node("y", "Abs", {"x"}, {{"T", DType::kQint8}})},
             {.dims = {4}});
  EXPECT_EQ(graph.nodes[1].reason, "Unsupported tensorflow data type qint8 (x)");
}

TEST(Importer, NodesOfALoopStayNative) {
  const tf::AttrMap int_type = {{"T", DType::kInt32}};
  const ImportedGraph graph = Import(
      {Placeholder("x", DType::kInt32), Const("one", Tensor::Scalar<int32_t>(1)),
       Node("enter", "Enter", {"x"}, {{"T", DType::kInt32}, {"frame_name", "loop"}}),
       Node("merge", "Merge", {"enter", "next"}, {{"T", DType::kInt32}, {"N", 2}}),
       Node("less", "Less", {"merge", "merge"}, int_type), Node("cond", "LoopCond", {"less"}),
       Node("switch", "Switch", {"merge", "cond"}, int_type),
       Node("add", "AddV2", {"switch:1", "one"}, int_type),
       Node("next", "NextIteration", {"add"}, int_type), Node("exit", "Exit", {"switch"}, int_type),
       Node("y", "AddV2", {"x", "one"}, int_type)},
      {.dims = {}});
  EXPECT_EQ(graph.nodes[4].reason, "it runs inside a loop");
  EXPECT_EQ(graph.nodes[7].reason, "it runs inside a loop");
  EXPECT_EQ(graph.nodes[10].decision, Decision::kAccepted);
}

// The shape behind a loop whose body is `body`, which reads "switch:1" and gives "body".
std::string ShapeBehindLoop(std::vector<tf::NodeDef> body) {
  std::vector<tf::NodeDef> nodes = {
      Placeholder("x"),
      Const("yes", Tensor::Scalar<bool>(true)),
      Const("axis", Tensor::Scalar<int32_t>(0)),
      Node("enter", "Enter", {"x"}, {{"T", DType::kFloat32}, {"frame_name", "loop"}}),
      Node("merge", "Merge", {"enter", "next"}, {{"T", DType::kFloat32}, {"N", 2}}),
      Node("cond", "LoopCond", {"yes"}),
      Node("switch", "Switch", {"merge", "cond"}, kFloat),
      Node("next", "NextIteration", {"body"}, kFloat),
      Node("exit", "Exit", {"switch"}, kFloat)};
  nodes.insert(nodes.end(), body.begin(), body.end());
  nodes.push_back(Node("y", "Neg", {"exit"}, kFloat));
  const ImportedGraph graph = Import(std::move(nodes), {.dims = {-1, 3}});
  return graph.nodes.back().decision == Decision::kAccepted ? OutputShape(graph)
                                                            : graph.nodes.back().reason;
}

TEST(Importer, ALoopsVariableKeepsWhatEveryTurnKeeps) {
  EXPECT_EQ(ShapeBehindLoop({Node("body", "Relu", {"switch:1"}, kFloat)}), "[s0,3]");
  const tf::AttrMap concat = {{"T", DType::kFloat32}, {"Tidx", DType::kInt32}, {"N", 2}};
  // It grows: the rank stays.
  EXPECT_EQ(ShapeBehindLoop({Node("body", "ConcatV2", {"switch:1", "switch:1", "axis"}, concat)}),
            "[s1,s2]");
  const tf::AttrMap expand = {{"T", DType::kFloat32}, {"Tdim", DType::kInt32}};
  EXPECT_EQ(ShapeBehindLoop({Node("body", "ExpandDims", {"switch:1", "axis"}, expand)}),
            "Input tensor rank is unknown. (exit)");
}

TEST(Importer, NodesOfABranchStayNative) {
  const tf::AttrMap type = {{"T", DType::kFloat32}};
  const ImportedGraph graph = Import(
      {Placeholder("x"), Const("yes", Tensor::Scalar<bool>(true)),
       Node("switch", "Switch", {"x", "yes"}, type), Node("relu", "Relu", {"switch:1"}, type),
       Node("merge", "Merge", {"switch", "relu"}, {{"T", DType::kFloat32}, {"N", 2}}),
       Node("y", "Neg", {"merge"}, type)},
      {.dims = {-1, 3}});
  EXPECT_EQ(graph.nodes[3].reason, "it runs inside a conditional");
  EXPECT_EQ(graph.nodes[5].decision, Decision::kAccepted);
  EXPECT_EQ(OutputShape(graph), "[s0,3]");
}

TEST(Importer, ShapesFromHostValues) {
  tf::GraphDef graph;
  graph.nodes = {
      Placeholder("x"), Placeholder("shape", DType::kInt32),
      Node("y", "Reshape", {"x", "shape"}, {{"T", DType::kFloat32}, {"Tshape", DType::kInt32}})};
  const Result<ImportedGraph> imported = ImportGraph(
      graph, {{"x", DType::kFloat32, {.dims = {-1, 6}}}, {"shape", DType::kInt32, {.dims = {2}}}},
      {"y"});
  ASSERT_TRUE(imported.ok()) << imported.status().message();
  const ir::Module& module = imported->module;
  EXPECT_EQ(module.symbols[1].kind, ir::Symbol::Kind::kHostValue);
  // 4x6 elements as [3, -1] and as [3, 8].
  for (const int64_t last : {-1, 8}) {
    const int64_t symbols[] = {4, 3, last};
    const ir::Shape& shape = module.value(module.outputs[0]).shape;
    EXPECT_EQ(*shape[0].Evaluate(symbols), 3);
    EXPECT_EQ(*shape[1].Evaluate(symbols), 8);
  }
}

// Heads over feature maps of unknown sizes, concatenated as detectors do.
TEST(Importer, DimensionsMayGrow) {
  std::vector<tf::NodeDef> nodes = {Placeholder("x"),
                                    Const("w", Zeros({3, 3, 3, 3})),
                                    Const("axis", Tensor::Of<int32_t>({}, {1})),
                                    Const("begin", Tensor::Of<int32_t>({1}, {0})),
                                    Const("end", Tensor::Of<int32_t>({1}, {1})),
                                    Const("one", Tensor::Of<int32_t>({1}, {1})),
                                    Const("minus", Tensor::Of<int32_t>({}, {-1})),
                                    Const("three", Tensor::Of<int32_t>({}, {3}))};
  std::string map = "x";
  std::vector<std::string> heads;
  constexpr int kLevels = 12;
  for (int level = 0; level < kLevels; ++level) {
    const std::string n = std::to_string(level);
    tf::NodeDef conv = Conv({1, 1, 1, 1}, "VALID");
    conv.name = "conv" + n;
    conv.inputs[0] = map;
    nodes.push_back(conv);
    map = conv.name;
    nodes.push_back(
        Node("shape" + n, "Shape", {map}, {{"T", DType::kFloat32}, {"out_type", DType::kInt32}}));
    nodes.push_back(Node("batch" + n, "StridedSlice", {"shape" + n, "begin", "end", "one"},
                         {{"T", DType::kInt32},
                          {"Index", DType::kInt32},
                          {"begin_mask", int64_t{0}},
                          {"end_mask", int64_t{0}},
                          {"ellipsis_mask", int64_t{0}},
                          {"new_axis_mask", int64_t{0}},
                          {"shrink_axis_mask", int64_t{1}}}));
    nodes.push_back(Node("to" + n, "Pack", {"batch" + n, "minus", "three"},
                         {{"T", DType::kInt32}, {"N", int64_t{3}}, {"axis", int64_t{0}}}));
    nodes.push_back(Node("head" + n, "Reshape", {map, "to" + n},
                         {{"T", DType::kFloat32}, {"Tshape", DType::kInt32}}));
    heads.push_back("head" + n);
  }
  heads.emplace_back("axis");
  nodes.push_back(Node("all", "ConcatV2", heads,
                       {{"T", DType::kFloat32}, {"Tidx", DType::kInt32}, {"N", int64_t{kLevels}}}));
  nodes.push_back(Node("y", "Relu", {"all"}, kFloat));
  ImportedGraph graph = Import(std::move(nodes), {.dims = {-1, -1, -1, 3}});
  for (const NodeReport& node : graph.nodes)
    EXPECT_NE(node.decision, Decision::kRefused) << node.reason;
  ASSERT_TRUE(graph.module.Compact().ok());
  ASSERT_TRUE(ir::Verify(graph.module).ok()) << ir::Verify(graph.module).message();
  const Result<std::string> text = ir::ToText(graph.module);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(graph.module.symbols.back().kind, ir::Symbol::Kind::kExpression);
  std::vector<int64_t> symbols(graph.module.symbols.size(), -1);
  symbols[0] = 2, symbols[1] = 30000, symbols[2] = 40000;
  const ir::Stages stages = ir::FindStages(graph.module).value();
  ASSERT_TRUE(ir::BindExpressions(graph.module, stages, 0, &symbols).ok());
  int64_t expected = 0;
  for (int64_t h = 30000, w = 40000, level = 0; level < kLevels; ++level) {
    h = (h - 1) / 2, w = (w - 1) / 2;
    expected += h * w;
  }
  EXPECT_EQ(*graph.module.value(graph.module.outputs[0]).shape[1].Evaluate(symbols), expected);
}

TEST(Importer, PlaceholderWithDefaultIsFedOrHasIt) {
  tf::GraphDef graph;
  graph.nodes = {Placeholder("x"), Const("one", Zeros({})),
                 Node("keep", "PlaceholderWithDefault", {"one"},
                      {{"dtype", DType::kFloat32}, {"shape", tf::Shape{.dims = {}}}}),
                 Node("y", "Mul", {"x", "keep"}, kFloat)};
  const GraphInput x = {"x", DType::kFloat32, {.dims = {2}}};
  const ImportedGraph fed =
      ImportGraph(graph, {x, {"keep", DType::kFloat32, {.dims = {}}}}, {"y"}).value();
  EXPECT_TRUE(fed.nodes[2].fed);
  EXPECT_EQ(fed.nodes[3].decision, Decision::kAccepted);
  const ImportedGraph left = ImportGraph(graph, {x}, {"y"}).value();
  EXPECT_EQ(left.nodes[2].decision, Decision::kRefused) << "someone may feed it";
  const ImportedGraph taken = ImportGraph(graph, {x}, {"y"}, {.take_defaults = true}).value();
  EXPECT_EQ(taken.nodes[2].decision, Decision::kNotNeeded);
  EXPECT_EQ(taken.nodes[3].decision, Decision::kAccepted);
}

// The shape of what is behind a node that stays native.
std::string ShapeBehind(tf::NodeDef native, tf::Shape input, DType dtype = DType::kFloat32,
                        int output = 0) {
  tf::GraphDef graph;
  native.name = "n";
  for (std::string& name : native.inputs) {
    if (name != "x") graph.nodes.push_back(Const(name, Zeros({7})));
  }
  graph.nodes.push_back(Placeholder("x", dtype));
  graph.nodes.push_back(std::move(native));
  const Result<ImportedGraph> imported =
      ImportGraph(graph, {{"x", dtype, std::move(input)}}, {tf::TensorName("n", output)});
  if (!imported.ok()) return imported.status().message();
  const ir::Value& value = imported->module.value(imported->module.outputs[0]);
  return value.has_shape ? ToString(value.shape) : "?";
}

TEST(Importer, ShapesGoOnBehindNativeNodes) {
  const tf::Shape batch = {.dims = {-1, 3}};
  EXPECT_EQ(ShapeBehind(Node("", "StringToHashBucketFast", {"x"}, {{"num_buckets", int64_t{9}}}),
                        batch, DType::kString),
            "[s0,3]");
  EXPECT_EQ(ShapeBehind(Node("", "FFT", {"x"}, {{"Tcomplex", DType::kComplex64}}), batch,
                        DType::kComplex64),
            "[s0,3]");
  EXPECT_EQ(ShapeBehind(Node("", "DecodeJpeg", {"x"}, {{"channels", int64_t{3}}}), {.dims = {}},
                        DType::kString),
            "[s0,s1,3]");
  // Ops that are converted give shapes for dtypes that are not.
  EXPECT_EQ(ShapeBehind(Node("", "Squeeze", {"x"},
                             {{"T", DType::kString}, {"squeeze_dims", std::vector<int64_t>{1}}}),
                        {.dims = {-1, 1}}, DType::kString),
            "[s0]");
  EXPECT_EQ(ShapeBehind(Node("", "SparseToDense", {"at", "x", "values", "default"},
                             {{"T", DType::kString}, {"Tindices", DType::kInt64}}),
                        {.dims = {2}}, DType::kInt64),
            "[s0,s1]");
  // TensorFlow's note, and what it leaves open from the row.
  EXPECT_EQ(ShapeBehind(Node("", "Unheard", {"x"},
                             {{"_output_shapes", std::vector<tf::Shape>{{.dims = {-1, 5}}}}}),
                        batch),
            "[s1,5]");
  EXPECT_EQ(ShapeBehind(Node("", "StringLower", {"x"},
                             {{"_output_shapes", std::vector<tf::Shape>{{.dims = {-1, 3}}}}}),
                        {.dims = {-1, -1}}, DType::kString),
            "[s0,3]");
}

TEST(Importer, OpsOfOneRankGiveItBehindAnyInput) {
  const tf::Shape any = {.unknown_rank = true};
  EXPECT_EQ(ShapeBehind(Node("", "LRN", {"x"}, kFloat), any), "[s0,s1,s2,s3]");
  EXPECT_EQ(ShapeBehind(Node("", "ResizeArea", {"x", "size"}, kFloat), any), "[s0,s1,s2,s3]");
  const auto behind = [&](tf::NodeDef node, std::vector<int64_t> weights) {
    node.name = "n";
    const tf::GraphDef graph = {
        .nodes = {Placeholder("x"), Const("w", Zeros(Dims(weights.begin(), weights.end()))), node}};
    const ImportedGraph imported =
        ImportGraph(graph, {{"x", DType::kFloat32, any}}, {"n:0"}).value();
    const ir::Value& value = imported.module.value(imported.module.outputs[0]);
    return value.has_shape ? ToString(value.shape) : "?";
  };
  EXPECT_EQ(behind(Node("", "MatMul", {"x", "w"}, kFloat), {5, 7}), "[s0,7]");
  tf::NodeDef transposed = Node("", "MatMul", {"x", "w"}, kFloat);
  transposed.attrs["transpose_b"] = true;
  EXPECT_EQ(behind(transposed, {5, 7}), "[s0,5]");
  EXPECT_EQ(behind(Node("", "Conv2D", {"x", "w"}, kFloat), {3, 3, 4, 8}), "[s0,s1,s2,8]");
  tf::NodeDef channels_first = Node("", "Conv2D", {"x", "w"}, kFloat);
  channels_first.attrs["data_format"] = "NCHW";
  EXPECT_EQ(behind(channels_first, {3, 3, 4, 8}), "[s0,8,s2,s3]");
}

TEST(Importer, ShapesOfParsedSequences) {
  const std::vector<DType> floats = {DType::kFloat32};
  const tf::NodeDef parse =
      Node("", "ParseSequenceExample", {"x", "x", "default"},
           {{"Ncontext_sparse", int64_t{1}},
            {"context_sparse_types", std::vector<DType>{DType::kInt64}},
            {"Tcontext_dense", floats},
            {"context_dense_shapes", std::vector<tf::Shape>{{.dims = {4}}}},
            {"Nfeature_list_sparse", int64_t{1}},
            {"feature_list_sparse_types", floats},
            {"Nfeature_list_dense", int64_t{1}},
            {"feature_list_dense_types", floats},
            {"feature_list_dense_shapes", std::vector<tf::Shape>{{.dims = {5, 6}}}}});
  const char* const expected[] = {"[s1,2]", "[s2]", "[2]",         "[s0,4]", "[s3,3]",
                                  "[s4]",   "[3]",  "[s0,s5,5,6]", "[s0]"};
  for (int i = 0; i < 9; ++i)
    EXPECT_EQ(ShapeBehind(parse, {.dims = {-1}}, DType::kString, i), expected[i]) << i;
}

TEST(Importer, ShapesOfLoops) {
  const std::vector<DType> floats = {DType::kFloat32};
  const auto loop = [&](std::vector<tf::Shape> shapes) {
    return Node("", "While", {"x"},
                {{"T", floats},
                 {"cond", tf::FuncValue{"c", {}}},
                 {"body", tf::FuncValue{"b", {}}},
                 {"output_shapes", std::move(shapes)}});
  };
  const tf::Shape batch = {.dims = {-1, 3}};
  EXPECT_EQ(ShapeBehind(loop({}), batch), "[s1,s2]");
  EXPECT_EQ(ShapeBehind(loop({{.dims = {-1, 3}}}), batch), "[s1,3]");
  EXPECT_EQ(ShapeBehind(loop({tf::Shape::Unknown()}), batch), "?");
}

TEST(Importer, BatchNormOfTheBatchIsAComputation) {
  const auto norm = [](std::string op, bool training) {
    return Node("bn", std::move(op), {"x", "c", "c", "c", "c"},
                {{"T", DType::kFloat32},
                 {"U", DType::kFloat32},
                 {"is_training", training},
                 {"epsilon", 1e-3F},
                 {"data_format", "NHWC"}});
  };
  const auto import = [&](const tf::NodeDef& bn, const std::string& read) {
    return Import({Placeholder("x"), Const("c", Zeros({8})), bn, Node("y", "Relu", {read}, kFloat)},
                  {.dims = {2, 4, 4, 8}});
  };
  EXPECT_EQ(import(norm("FusedBatchNormV3", true), "bn").nodes[2].decision, Decision::kAccepted);
  EXPECT_THAT(import(norm("FusedBatchNormV3", true), "bn:1").nodes[2].reason,
              HasSubstr("set_learning_phase(0)"));
  // What is kept for the gradient.
  for (const char* read : {"bn:3", "bn:4", "bn:5"})
    EXPECT_EQ(import(norm("FusedBatchNormV3", false), read).nodes[2].reason, "") << read;
}

TEST(Importer, MalformedGraphsAreErrors) {
  auto import = [](std::vector<tf::NodeDef> nodes) {
    tf::GraphDef graph;
    graph.nodes = std::move(nodes);
    return ImportGraph(graph, {}, {graph.nodes.back().name}).status().message();
  };
  EXPECT_EQ(import({Node("y", "Relu", {"gone"}, kFloat)}), "y: its input 'gone' does not exist");
  EXPECT_THAT(import({Node("a", "Relu", {"y"}, kFloat), Node("y", "Relu", {"a"}, kFloat)}),
              HasSubstr("cycle outside of loops"));
  EXPECT_EQ(import({Const("a", Zeros({})), Node("y", "AddV2", {"a"}, kFloat)}),
            "y: 1 inputs for an op of 2");
  EXPECT_EQ(import({Const("a", Zeros({})), Node("y", "Relu", {"a:1"}, kFloat)}),
            "a: output 1 is read of an op of 1 outputs");
}

// No TensorFlow for CPUs has the op, so that no test compares it.
TEST(Importer, FusedConvolutionOfGraphsForGpus) {
  auto import = [](tf::AttrMap attrs, Tensor filter, Tensor side) {
    attrs.insert({{"T", DType::kFloat32},
                  {"Tbias", DType::kFloat32},
                  {"strides", std::vector<int64_t>{1, 1, 1, 1}},
                  {"padding", "SAME"}});
    return Import({Placeholder("x"), Const("w", std::move(filter)), Const("b", Zeros({8})),
                   Const("side", std::move(side)), Const("scale", Zeros({})),
                   Node("y", "FusedConv2DBiasActivation", {"x", "w", "b", "side", "scale", "scale"},
                        std::move(attrs))},
                  {.dims = {1, 6, 6, 3}});
  };
  const ImportedGraph plain = import({}, Zeros({3, 3, 3, 8}), Zeros({0}));
  EXPECT_EQ(plain.nodes[5].decision, Decision::kAccepted) << plain.nodes[5].reason;
  EXPECT_EQ(OutputShape(plain), "[1,6,6,8]");
  const ImportedGraph swapped = import({{"filter_format", "OIHW"}, {"activation_mode", "None"}},
                                       Zeros({8, 3, 3, 3}), Zeros({1, 6, 6, 8}));
  EXPECT_EQ(swapped.nodes[5].decision, Decision::kAccepted) << swapped.nodes[5].reason;
  EXPECT_EQ(OutputShape(swapped), "[1,6,6,8]");
  const ImportedGraph vectors =
      import({{"filter_format", "OIHW_VECT_I"}}, Zeros({3, 3, 3, 8}), Zeros({0}));
  EXPECT_EQ(vectors.nodes[5].reason, "filter_format OIHW_VECT_I is not supported");
}

}  // namespace
}  // namespace graft::importer
