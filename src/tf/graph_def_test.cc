#include "tf/graph_def.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tf/wire.h"

namespace graft::tf {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string Serialized(const GraphDef& graph) {
  Result<std::string> bytes = SerializeGraphDef(graph);
  EXPECT_TRUE(bytes.ok()) << bytes.status().ToString();
  return std::move(bytes).value();
}

Result<GraphDef> Parsed(const std::string& bytes) { return ParseGraphDef(CopyBytes(bytes)); }

// One node with an attribute of every kind, and a function.
GraphDef Everything() {
  NodeDef node{.name = "n", .op = "Op", .inputs = {"a:1", "^b"}, .device = "/CPU:0"};
  FuncValue func{"f", {{"T", DType::kFloat32}}};
  node.attrs = {
      {"string", "text"},
      {"int", int64_t{-3}},
      {"float", 0.0f},
      {"bool", false},
      {"type", DType::kBFloat16},
      {"shape", Shape{.unknown_rank = false, .dims = {1, -1, 0}}},
      {"unknown", Shape::Unknown()},
      {"tensor", TensorValue(Tensor::Of<float>({2}, {1, 2}))},
      {"func", func},
      {"placeholder", PlaceholderValue{"T"}},
      {"empty", AttrList()},
      {"strings", std::vector<std::string>{"", "x"}},
      {"ints", std::vector<int64_t>{1, -1}},
      {"floats", std::vector<float>{0.5f}},
      {"bools", std::vector<bool>{true, false}},
      {"types", std::vector<DType>{DType::kInt64}},
      {"shapes", std::vector<Shape>{Shape::Unknown()}},
      {"tensors", std::vector<TensorValue>{TensorValue::String("s")}},
      {"funcs", std::vector<FuncValue>{func, func}},
  };
  GraphDef graph;
  graph.nodes = {{.name = "a", .op = "A"}, {.name = "b", .op = "B"}, node};
  graph.versions = {.producer = 1395, .min_consumer = 12, .bad_consumers = {3}};
  FunctionDef function;
  function.signature.name = "f";
  function.signature.inputs = {{.name = "x", .type_attr = "T"}};
  function.signature.outputs = {{.name = "y", .type = DType::kInt32, .number_attr = "N"}};
  function.signature.attrs = {
      {.name = "T", .type = "type", .has_default = true, .default_value = DType::kFloat32}};
  function.signature.control_outputs = {"c"};
  function.signature.is_stateful = true;
  function.nodes = {{.name = "r", .op = "Relu", .inputs = {"x"}}};
  function.ret = {{"y", "r:activations:0"}};
  function.control_ret = {{"c", "r"}};
  function.arg_attrs = {{0, {{"_user_specified_name", "x"}}}};
  graph.functions = {function};
  graph.gradients = {{"f", "g"}};
  return graph;
}

TEST(GraphDef, EveryFieldSurvivesARoundTrip) {
  const std::string bytes = Serialized(Everything());
  Result<GraphDef> graph = Parsed(bytes);
  ASSERT_TRUE(graph.ok()) << graph.status().ToString();
  EXPECT_EQ(Serialized(*graph), bytes);
  const GraphDef expected = Everything();
  for (const auto& [key, value] : expected.nodes[2].attrs)
    EXPECT_TRUE(graph->nodes[2].attrs.at(key) == value) << key;
  EXPECT_EQ(graph->functions[0].ret.at("y"), "r:activations:0");
  EXPECT_TRUE(graph->functions[0].signature.is_stateful);
}

TEST(GraphDef, UnknownFieldsSurvive) {
  std::string node = SerializeNodeDef({.name = "n", .op = "Op"});
  protozero::pbf_writer(node).add_string(77, "later");
  std::string bytes;
  protozero::pbf_writer(bytes).add_message(1, node);
  protozero::pbf_writer(bytes).add_string(99, "also later");
  Result<GraphDef> graph = Parsed(bytes);
  ASSERT_TRUE(graph.ok());
  const std::string written = Serialized(*graph);
  EXPECT_THAT(written, HasSubstr(node));
  EXPECT_THAT(written, HasSubstr("also later"));
}

TEST(GraphDef, EveryTruncationIsAStatus) {
  const std::string bytes = Serialized(Everything());
  for (size_t size = 0; size < bytes.size(); ++size) {
    Result<GraphDef> graph = Parsed(bytes.substr(0, size));
    if (!graph.ok()) {
      EXPECT_EQ(graph.status().code(), StatusCode::kDataLoss);
    }
  }
}

TEST(GraphDef, ErrorNamesNodeAndAttribute) {
  std::string entry, node, bytes;
  protozero::pbf_writer(entry).add_string(1, "strides");
  protozero::pbf_writer(entry).add_string(2, "\x0a\x7f");  // a list that claims 127 bytes
  protozero::pbf_writer(node).add_string(1, "conv1");
  protozero::pbf_writer(node).add_string(2, "Conv2D");
  protozero::pbf_writer(node).add_message(5, entry);
  protozero::pbf_writer(bytes).add_message(1, node);
  const Status status = Parsed(bytes).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("node 'conv1': attribute 'strides': malformed"));
}

TEST(GraphDef, DeepNestingIsRefused) {
  AttrValue value = 1;
  for (int i = 0; i < 100; ++i) value = FuncValue{"f", {{"a", value}}};
  GraphDef graph;
  graph.nodes = {{.name = "n", .op = "Op", .attrs = {{"deep", value}}}};
  const Status status = Parsed(Serialized(graph)).status();
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("nested deeper"));
}

TEST(GraphDef, NewerGraphsAndDoubleNamesAreRefused) {
  GraphDef graph;
  graph.versions.min_consumer = kGraphDefVersion + 1;
  EXPECT_EQ(Parsed(Serialized(graph)).status().code(), StatusCode::kUnsupported);
  graph.versions.min_consumer = kGraphDefVersion;
  EXPECT_TRUE(Parsed(Serialized(graph)).ok());
  graph.nodes = {{.name = "n", .op = "A"}, {.name = "n", .op = "B"}};
  EXPECT_THAT(Parsed(Serialized(graph)).status().message(), HasSubstr("two nodes are named 'n'"));
}

TEST(TensorName, Forms) {
  EXPECT_EQ(*ParseTensorName("a/b"), (TensorRef{"a/b", 0}));
  EXPECT_EQ(*ParseTensorName("a:2"), (TensorRef{"a", 2}));
  EXPECT_TRUE(ParseTensorName("^a")->is_control());
  for (const char* bad : {"", "^", ":0", "a:", "a:x", "a:-1", "a:0:1", "a:99999999999"})
    EXPECT_EQ(ParseTensorName(bad).status().code(), StatusCode::kDataLoss) << bad;
  EXPECT_EQ(TensorName("a", 2), "a:2");
  EXPECT_EQ(TensorName("a", 0), "a");

  const BodyRef body = *ParseBodyName("TopKV2:indices:1");
  EXPECT_EQ(body.node, "TopKV2");
  EXPECT_EQ(body.output, "indices");
  EXPECT_EQ(body.index, 1);
  EXPECT_EQ(ParseBodyName("x")->output, "");
  EXPECT_TRUE(ParseBodyName("^n")->control);
  EXPECT_FALSE(ParseBodyName("n:out:").ok());
}

// A TensorProto of the given dtype, dims and fields.
Result<TensorValue> Proto(DType dtype, Dims dims,
                          const std::function<void(protozero::pbf_writer*)>& add) {
  std::string shape, wire;
  AppendShape({.unknown_rank = false, .dims = std::move(dims)}, &shape);
  protozero::pbf_writer w(wire);
  w.add_enum(1, static_cast<int>(dtype));
  w.add_message(2, shape);
  add(&w);
  return TensorValue::Parse(CopyBytes(wire));
}

TEST(TensorValue, FillRules) {
  auto floats = [](protozero::pbf_writer* w) {
    const float v[] = {1, 2};
    w->add_packed_float(5, v, v + 2);
  };
  EXPECT_TRUE(BitwiseEqual(*Proto(DType::kFloat32, {4}, floats)->Decode(),
                           Tensor::Of<float>({4}, {1, 2, 2, 2})));
  EXPECT_TRUE(
      BitwiseEqual(*Proto(DType::kFloat32, {1}, floats)->Decode(), Tensor::Of<float>({1}, {1})));
  EXPECT_TRUE(BitwiseEqual(*Proto(DType::kInt32, {2}, [](auto*) {})->Decode(),
                           Tensor::Of<int32_t>({2}, {0, 0})));
  auto one = [](uint32_t field) {
    return [field](protozero::pbf_writer* w) { w->add_int64(field, -2); };
  };
  EXPECT_TRUE(
      BitwiseEqual(*Proto(DType::kInt8, {2}, one(7))->Decode(), Tensor::Of<int8_t>({2}, {-2, -2})));
  EXPECT_TRUE(
      BitwiseEqual(*Proto(DType::kInt64, {}, one(10))->Decode(), Tensor::Scalar<int64_t>(-2)));
  EXPECT_TRUE(BitwiseEqual(*Proto(DType::kBool, {}, one(11))->Decode(), Tensor::Scalar(true)));
  const Tensor half =
      *Proto(DType::kFloat16, {}, [](auto* w) { w->add_int32(13, 0x3c00); })->Decode();
  EXPECT_EQ(*reinterpret_cast<const uint16_t*>(half.raw()), 0x3c00);
}

TEST(TensorValue, ContentIsCheckedAndDecoded) {
  auto content = [](const std::string& bytes) {
    return [bytes](protozero::pbf_writer* w) { w->add_string(4, bytes); };
  };
  const Tensor tensor = *Proto(DType::kUint8, {3}, content("abc"))->Decode();
  EXPECT_TRUE(BitwiseEqual(tensor, Tensor::Of<uint8_t>({3}, {'a', 'b', 'c'})));
  EXPECT_EQ(Proto(DType::kUint8, {4}, content("abc")).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Proto(DType::kFloat32, {1}, content("abcde")).status().code(), StatusCode::kDataLoss);
  EXPECT_EQ(Proto(DType::kFloat32, {-1}, content("")).status().code(), StatusCode::kDataLoss);
  // A claim of 2^50 elements allocates nothing.
  Result<TensorValue> huge = Proto(DType::kFloat32, {int64_t{1} << 50}, [](auto*) {});
  ASSERT_TRUE(huge.ok());
  EXPECT_EQ(huge->Decode().status().code(), StatusCode::kUnsupported);
}

TEST(TensorValue, HashAndSizeAreOfWhatIsWritten) {
  const TensorValue values[] = {
      TensorValue(Tensor::Of<float>({2}, {1, 2})), TensorValue(Tensor::Of<float>({0}, {})),
      TensorValue(Tensor::Of<uint8_t>({200}, std::vector<uint8_t>(200, 7))),
      TensorValue::String("abc"),
      // A value that repeats is not filled in.
      *Proto(DType::kFloat32, {int64_t{1} << 50}, [](auto* w) { w->add_float(5, 1); })};
  for (const TensorValue& value : values) {
    std::string encoded;
    value.AppendTo(&encoded);
    EXPECT_EQ(value.EncodedHash(), HashBytes(encoded));
    EXPECT_EQ(value.EncodedSize(), encoded.size());
    const Result<TensorValue> read = TensorValue::Parse(CopyBytes(encoded));
    ASSERT_TRUE(read.ok()) << read.status().message();
    EXPECT_EQ(*read, value);
  }
}

TEST(TensorValue, Strings) {
  const TensorValue value = TensorValue::String("abc");
  EXPECT_THAT(*value.DecodeStrings(), ElementsAre("abc"));
  EXPECT_EQ(value.Decode().status().code(), StatusCode::kUnsupported);
}

}  // namespace
}  // namespace graft::tf
