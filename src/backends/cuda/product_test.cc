#include "backends/cuda/product.h"

#include <gtest/gtest.h>

namespace graft::cuda {
namespace {

const TacticRow& Row(std::string_view name) {
  for (const TacticRow& row : Tactics()) {
    if (row.name == name) return row;
  }
  GRAFT_CHECK(false, "no tactic {}", name);
}

BoundNode BindHalves(ir::Attributes attributes, const Dims& a, const Dims& b) {
  ir::Module module;
  const std::vector<ir::ValueId> operands = {
      module.AddInput("a", DType::kFloat16, ir::MakeShape(a)),
      module.AddInput("b", DType::kFloat16, ir::MakeShape(b))};
  const ir::NodeId id = module.AddNode(std::move(attributes), operands, "product").value();
  return BindNode(module, module.node(id), {}).value();
}

std::string_view FileOf(const Result<StepProgram>& program) {
  return program.value().launches.front().kernel.file;
}

// What counts in 32 bits leaves products that are too large for that to the kernel that does not.
TEST(Product, EveryTacticTakesAnyNumberOfRows) {
  const BoundNode node = BindHalves(ir::MatMulAttributes(), {int64_t{1} << 30, 16}, {16, 16});
  int tactics = 0;
  for (const TacticRow& row : Tactics()) {
    if (row.op != ir::OpKind::kMatMul) continue;
    ++tactics;
    EXPECT_EQ(FileOf(row.plan(node)), "gemm.cu") << row.name;
  }
  EXPECT_GT(tactics, 2);
}

TEST(Product, RowsThatTheCopyEngineDoesNotTakeGoToAnotherKernel) {
  const TacticRow& row = Row("cuda.matmul.wgmma_128x64");
  BoundNode node = BindHalves(ir::MatMulAttributes(), {300, 64}, {64, 128});
  const Result<StepProgram> program = row.plan(node);
  EXPECT_EQ(FileOf(program), "wgmma.cu");
  // Where pointers are not at multiples of 16 bytes.
  ASSERT_NE(program->unaligned, nullptr);
  EXPECT_EQ(FileOf(program->unaligned(node)), "mma.cu");

  node.inputs[0].row_stride += 3;
  EXPECT_EQ(FileOf(row.plan(node)), "mma.cu");
  node.inputs[0].row_stride += 5;
  EXPECT_EQ(FileOf(row.plan(node)), "wgmma.cu");
  node.outputs[0].row_stride += 3;
  EXPECT_EQ(FileOf(row.plan(node)), "mma.cu");
}

TEST(Product, OneRowGoesToItsKernelWhereColumnsLieInEights) {
  const TacticRow& row = Row("cuda.matmul.row");
  const auto file_of = [&](const Dims& a, const Dims& b) {
    return FileOf(row.plan(BindHalves(ir::MatMulAttributes(), a, b)));
  };
  EXPECT_EQ(file_of({1, 5000}, {5000, 136}), "row_product.cu");
  EXPECT_EQ(file_of({1, 1, 5000}, {5000, 136}), "row_product.cu");
  EXPECT_EQ(file_of({2, 5000}, {5000, 136}), "mma.cu");
  EXPECT_EQ(file_of({1, 5000}, {5000, 131}), "mma.cu");
  // The blocks of a cluster share the depth.
  const StepProgram program =
      row.plan(BindHalves(ir::MatMulAttributes(), {1, 5000}, {5000, 136})).value();
  const Launch& launch = program.launches.front();
  EXPECT_EQ(launch.grid[0], 3);
  EXPECT_EQ(launch.grid[2], 8);
  EXPECT_EQ(launch.cluster, 8);
  ASSERT_NE(program.unaligned, nullptr);
}

TEST(Product, ResultsOf16BitsGoThroughSharedMemoryWhereItHoldsThem) {
  ir::MatMulAttributes attributes;
  const BoundNode node = BindHalves(attributes, {300, 64}, {64, 256});
  const auto text_of = [&](std::string_view tactic) {
    return Row(tactic).plan(node).value().launches.front().kernel.text;
  };
  EXPECT_NE(text_of("cuda.matmul.wgmma_128x128").find("#define STAGED 64\n"), std::string::npos);
  EXPECT_NE(text_of("cuda.matmul.wgmma_64x64_deep").find("#define STAGED 64\n"), std::string::npos);
  // As many of these blocks as a multiprocessor is to hold leave no room.
  EXPECT_NE(text_of("cuda.matmul.wgmma_256x32").find("#define STAGED 0\n"), std::string::npos);
  EXPECT_NE(text_of("cuda.matmul.wgmma_64x128").find("#define STAGED 0\n"), std::string::npos);
  EXPECT_NE(text_of("cuda.matmul.wgmma_64x64").find("#define STAGED 0\n"), std::string::npos);
}

TEST(Product, AnImageIsDescribedByItsWindows) {
  ir::ConvAttributes conv;
  conv.strides = {2, 2};
  conv.dilations = {1, 1};
  conv.pads_before = {0, 1};
  conv.pads_after = {1, 1};
  const BoundNode node = BindHalves(conv, {2, 56, 57, 64}, {3, 3, 64, 128});
  const StepProgram program = Row("cuda.conv.wgmma_128x128").plan(node).value();
  const auto maps = program.launches.front().parameter.maps();
  ASSERT_EQ(maps.size(), 2u);
  const TensorMap& a = maps[0].second;
  EXPECT_EQ(maps[0].first, 0);
  EXPECT_EQ(a.input, 0);
  EXPECT_EQ(a.dims, (std::vector<uint64_t>{64, 57, 56, 2}));
  EXPECT_EQ(a.strides, (std::vector<uint64_t>{128, 57 * 128, 56 * 57 * 128}));
  EXPECT_EQ(a.box, (std::vector<uint32_t>{64, 128}));
  EXPECT_EQ(a.distance, (std::vector<uint32_t>{2, 2}));
  // Along the width from -1 to 55, the image's last but one; along the height from 0 to 54.
  EXPECT_EQ(a.first, (std::vector<int>{-1, 0}));
  EXPECT_EQ(a.last, (std::vector<int>{-1, -1}));
  const TensorMap& b = maps[1].second;
  EXPECT_EQ(maps[1].first, static_cast<int32_t>(TensorMap::kWords));
  EXPECT_EQ(b.dims, (std::vector<uint64_t>{128, 64, 9}));
  EXPECT_EQ(b.strides, (std::vector<uint64_t>{256, 64 * 256}));
  EXPECT_EQ(b.box, (std::vector<uint32_t>{64, 64, 1}));
  EXPECT_TRUE(b.first.empty());
}

// A line of an image and the zeros behind it, one line of 64 channels a copy.
TEST(Product, WindowsThatOverlapAreReadOnce) {
  ir::ConvAttributes conv;
  conv.strides = conv.dilations = {1, 1};
  conv.pads_before = conv.pads_after = {1, 1};
  const TacticRow& row = Row("cuda.conv.patch_256x64");
  const BoundNode node = BindHalves(conv, {2, 56, 57, 64}, {3, 3, 64, 128});
  const StepProgram program = row.plan(node).value();
  EXPECT_EQ(program.launches.front().kernel.file, "patch.cu");
  const TensorMap& a = program.launches.front().parameter.maps()[0].second;
  EXPECT_EQ(a.dims, (std::vector<uint64_t>{64, 57, 56, 2}));
  EXPECT_EQ(a.box, (std::vector<uint32_t>{64, 58, 1, 1}));
  ASSERT_NE(program.unaligned, nullptr);
  EXPECT_EQ(FileOf(program.unaligned(node)), "mma.cu");

  // A result of another size, lines that are too long for a copy, a stride.
  ir::ConvAttributes valid = conv;
  valid.pads_before = valid.pads_after = {0, 0};
  EXPECT_EQ(FileOf(row.plan(BindHalves(valid, {2, 56, 57, 64}, {3, 3, 64, 128}))), "wgmma.cu");
  EXPECT_EQ(FileOf(row.plan(BindHalves(conv, {1, 8, 256, 64}, {3, 3, 64, 128}))), "wgmma.cu");
  conv.strides = {1, 2};
  EXPECT_EQ(FileOf(row.plan(BindHalves(conv, {2, 56, 57, 64}, {3, 3, 64, 128}))), "wgmma.cu");
}

// Of integers the filter is packed: a column's taps side by side, each with its channels.
TEST(Product, AFilterOfIntegersIsDescribedAsPacked) {
  ir::ConvAttributes conv;
  conv.strides = conv.dilations = {1, 1};
  conv.pads_before = conv.pads_after = {1, 1};
  conv.accumulator = DType::kInt32;
  ir::Module module;
  Tensor filter = Tensor::Allocate(DType::kInt8, {3, 3, 64, 128}).value();
  int i = 0;
  for (int8_t& w : filter.mutable_data<int8_t>()) w = static_cast<int8_t>(i++ % 251);
  const ir::NodeId id = module
                            .AddNode(conv,
                                     {module.AddInput("a", DType::kInt8, {2, 56, 57, 64}),
                                      module.AddConstant("b", filter)},
                                     "product")
                            .value();
  const ir::Node& node = module.node(id);
  const TacticRow& row = Row("cuda.conv.wgmma_s8_128x128");
  ASSERT_FALSE(row.refuse(module, node));
  ASSERT_TRUE(row.packs);
  const StepProgram program = row.plan(BindNode(module, node, {}).value()).value();
  const auto maps = program.launches.front().parameter.maps();
  ASSERT_EQ(maps.size(), 2u);
  const TensorMap& a = maps[0].second;
  EXPECT_EQ(a.dtype, DType::kInt8);
  EXPECT_EQ(a.strides, (std::vector<uint64_t>{64, 57 * 64, 56 * 57 * 64}));
  EXPECT_EQ(a.box, (std::vector<uint32_t>{64, 128}));
  EXPECT_EQ(a.swizzle, 64);  // a tap has no more than that
  const TensorMap& b = maps[1].second;
  EXPECT_EQ(b.dims, (std::vector<uint64_t>{64, 128, 9}));
  EXPECT_EQ(b.strides, (std::vector<uint64_t>{9 * 64, 64}));
  EXPECT_EQ(b.box, (std::vector<uint32_t>{64, 128, 1}));

  std::vector<std::byte> packed(filter.bytes());
  PackColumns(node, filter, packed.data());
  const int depth = 9 * 64;
  for (const int column : {0, 1, 70, 127}) {
    for (const int k : {0, 1, 63, 64, 575})
      EXPECT_EQ(static_cast<int8_t>(packed[column * depth + k]),
                filter.data<int8_t>()[k * 128 + column]);
  }
}

}  // namespace
}  // namespace graft::cuda
