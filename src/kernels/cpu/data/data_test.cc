#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <numeric>

#include "base/strides.h"
#include "kernels/cpu/data/copy.h"
#include "kernels/cpu/data/gather.h"
#include "kernels/cpu/data/pad.h"
#include "kernels/cpu/data/scatter.h"
#include "kernels/cpu/test_util.h"

namespace graft::cpu {
namespace {

template <class T>
std::vector<T> Iota(int64_t count) {
  std::vector<T> values(count);
  std::iota(values.begin(), values.end(), T(1));
  return values;
}

// Runs body(index) for every index below dims, the last axis fastest.
template <class Body>
void ForEachIndex(const Dims& dims, Body&& body) {
  if (CountElements(dims) == 0) return;
  Dims index(dims.size(), 0);
  while (true) {
    body(index);
    size_t axis = dims.size();
    while (axis > 0 && ++index[axis - 1] == dims[axis - 1]) index[--axis] = 0;
    if (axis == 0) return;
  }
}

int64_t Dot(const Dims& index, const std::vector<int64_t>& strides) {
  return std::inner_product(index.begin(), index.end(), strides.begin(), int64_t{0});
}

// A strided copy is what its definition says, for any strides.
template <class T>
void CheckCopy(const CopyProblem& problem, int64_t x_count, int64_t y_count) {
  const std::vector<T> x = Iota<T>(x_count);
  std::vector<T> expected(y_count);
  ForEachIndex(problem.dims, [&](const Dims& index) {
    expected[problem.y_offset + Dot(index, problem.y_strides)] =
        x[problem.x_offset + Dot(index, problem.x_strides)];
  });
  const CopyOperation operation({&problem, 1}, sizeof(T));
  EXPECT_EQ(RunOperation<T>(operation, {x.data()}, y_count), expected)
      << fmt::format("dims {} x {} y {}", fmt::join(problem.dims, ","),
                     fmt::join(problem.x_strides, ","), fmt::join(problem.y_strides, ","));
}

TEST(Copy, Transposes) {
  const std::pair<Dims, std::vector<int64_t>> cases[] = {{{5, 7}, {1, 0}},
                                                         {{100, 300}, {1, 0}},
                                                         {{2, 33, 17}, {0, 2, 1}},
                                                         {{2, 9, 11, 3}, {0, 3, 1, 2}},
                                                         {{2, 3, 9, 11}, {0, 2, 3, 1}},
                                                         {{4, 5, 6, 7}, {3, 2, 1, 0}},
                                                         {{4, 5, 6, 16}, {0, 2, 1, 3}},
                                                         {{3, 1, 4}, {2, 1, 0}},
                                                         {{0, 4}, {1, 0}},
                                                         {{2, 40, 50, 32}, {0, 3, 1, 2}},
                                                         {{3}, {0}},
                                                         {{}, {}}};
  for (const auto& [dims, permutation] : cases) {
    const int64_t row = dims.empty() ? 1 : dims.back();
    Dims y_dims;
    for (int64_t axis : permutation) y_dims.push_back(dims[axis]);
    const int64_t y_row = y_dims.empty() ? 1 : y_dims.back();
    const int64_t count = CountElements(dims);
    CheckCopy<uint8_t>(TransposeCopy(dims, row, permutation, y_row), count, count);
    CheckCopy<uint16_t>(TransposeCopy(dims, row, permutation, y_row), count, count);
    CheckCopy<float>(TransposeCopy(dims, row, permutation, y_row), count, count);
    CheckCopy<int64_t>(TransposeCopy(dims, row, permutation, y_row), count, count);
    // Rows of a wider buffer on both sides.
    const int64_t x_rows = count == 0 ? 0 : count / row;
    const int64_t y_rows = count == 0 ? 0 : count / y_row;
    CheckCopy<float>(TransposeCopy(dims, row + 2, permutation, y_row + 3), x_rows * (row + 2),
                     y_rows * (y_row + 3));
  }
}

TEST(Copy, SlicesForwardAndBackward) {
  const int64_t begin[] = {1, 4, 2}, size[] = {2, 3, 4}, strides[] = {2, -2, 1};
  CheckCopy<float>(SliceCopy({5, 6, 7}, 7, begin, size, strides, 4), 5 * 6 * 7, 2 * 3 * 4);
  const int64_t reverse_begin[] = {0, 299}, all[] = {200, 300}, reverse[] = {1, -1};
  CheckCopy<uint8_t>(SliceCopy({200, 300}, 300, reverse_begin, all, reverse, 300), 60000, 60000);
}

TEST(Copy, BroadcastsAndTiles) {
  CheckCopy<float>(BroadcastCopy({3, 1}, 1, {2, 3, 500}, 500), 3, 3000);
  CheckCopy<int64_t>(BroadcastCopy({}, 1, {100, 400}, 400), 1, 40000);
  const int64_t multiples[] = {2, 1, 3};
  CheckCopy<float>(TileCopy({2, 3, 4}, 4, multiples, 12), 24, 144);
}

TEST(Copy, DepthToSpaceAndBack) {
  // x[0, 0, 0, (i·2 + j)·C + c] is pixel (i, j).
  const std::vector<float> x = Iota<float>(12);
  const CopyProblem problem = DepthToSpaceCopy({1, 1, 1, 12}, 12, 2, false, 3);
  const CopyOperation operation({&problem, 1}, 4);
  EXPECT_EQ(RunOperation<float>(operation, {x.data()}, 12), x);
  const std::vector<float> deep = RandomFloats(2 * 3 * 5 * 27);
  const CopyProblem there = DepthToSpaceCopy({2, 3, 5, 27}, 27, 3, false, 3);
  const CopyProblem back = DepthToSpaceCopy({2, 9, 15, 3}, 3, 3, true, 27);
  const std::vector<float> flat =
      RunOperation<float>(CopyOperation({&there, 1}, 4), {deep.data()}, deep.size());
  EXPECT_NE(flat, deep);
  EXPECT_EQ(RunOperation<float>(CopyOperation({&back, 1}, 4), {flat.data()}, flat.size()), deep);
  // Row 1 of the image, pixel 2, channel 0: block (0, 0), inside it (1, 2).
  EXPECT_EQ(flat[(1 * 15 + 2) * 3], deep[(1 * 3 + 2) * 3]);
}

TEST(Copy, Concatenates) {
  const std::vector<float> a = RandomFloats(4 * 700, 1), b = RandomFloats(4 * 5, 2);
  const Dims y = {4, 705};
  const CopyProblem problems[] = {ConcatCopy(0, {4, 700}, 700, 1, 0, y, 705),
                                  ConcatCopy(1, {4, 5}, 5, 1, 700, y, 705)};
  const std::vector<float> result =
      RunOperation<float>(CopyOperation(problems, 4), {a.data(), b.data()}, 4 * 705);
  for (int64_t r = 0; r < 4; ++r) {
    for (int64_t c = 0; c < 705; ++c) {
      EXPECT_EQ(result[r * 705 + c], c < 700 ? a[r * 700 + c] : b[r * 5 + c - 700]);
    }
  }
}

template <class T>
void CheckPad(PadMode mode, const Dims& dims, int64_t row_stride,
              const std::vector<int64_t>& before, const std::vector<int64_t>& after, T value) {
  PadProblem problem{mode, dims, row_stride, before, after, sizeof(T)};
  std::memcpy(problem.value, &value, sizeof(T));
  Result<PadOperation> operation = PadOperation::Make(problem);
  ASSERT_TRUE(operation.ok()) << operation.status().ToString();
  Dims out = dims;
  for (size_t i = 0; i < dims.size(); ++i) out[i] += before[i] + after[i];
  const std::vector<T> x = Iota<T>(CountElements(dims) / dims.back() * row_stride);
  std::vector<T> expected;
  ForEachIndex(out, [&](const Dims& index) {
    Dims source = index;
    bool inside = true;
    for (size_t i = 0; i < index.size(); ++i) {
      source[i] -= before[i];
      const bool in = source[i] >= 0 && source[i] < dims[i];
      inside = inside && in;
      if (in || mode == PadMode::kConstant) continue;
      const int64_t edge = mode == PadMode::kSymmetric ? 1 : 0;
      source[i] = source[i] < 0 ? -source[i] - edge : 2 * (dims[i] - 1) - source[i] + edge;
    }
    expected.push_back(inside || mode != PadMode::kConstant
                           ? x[Dot(source, RowMajorStrides(dims, row_stride))]
                           : value);
  });
  EXPECT_EQ(RunOperation<T>(*operation, {x.data()}, expected.size()), expected);
}

TEST(Pad, EveryMode) {
  for (PadMode mode : {PadMode::kConstant, PadMode::kReflect, PadMode::kSymmetric}) {
    CheckPad<float>(mode, {2, 5, 6, 3}, 3, {0, 1, 2, 0}, {0, 3, 1, 0}, 1.5f);
    CheckPad<float>(mode, {2, 5, 6, 3}, 4, {0, 1, 2, 0}, {0, 3, 1, 0}, 1.5f);
    CheckPad<uint8_t>(mode, {4, 7}, 7, {2, 3}, {0, 2}, 9);
    CheckPad<int64_t>(mode, {4, 7}, 7, {0, 0}, {0, 0}, 9);
    CheckPad<float>(mode, {300, 200}, 200, {1, 1}, {1, 1}, 0);
  }
  PadProblem far{PadMode::kReflect, {3}, 3, {3}, {0}, 4};
  EXPECT_FALSE(PadOperation::Make(far).ok());
}

TEST(Gather, AlongAnAxisAndByTuples) {
  const std::vector<float> params = Iota<float>(2 * 4 * 3);
  const std::vector<int32_t> indices = {3, 0, 1, 1};
  GatherProblem problem = GatherOperation::Along({2, 4, 3}, {4}, 1, 0);
  problem.slice_bytes *= 4;
  const std::vector<float> y = RunOperation<float>(GatherOperation::Make(problem).value(),
                                                   {params.data(), indices.data()}, 2 * 4 * 3);
  EXPECT_EQ(y, (std::vector<float>{10, 11, 12, 1,  2,  3,  4,  5,  6,  4,  5,  6,
                                   22, 23, 24, 13, 14, 15, 16, 17, 18, 16, 17, 18}));

  // One batch dimension: each row picks from its own.
  const std::vector<int64_t> rows = {1, 2, 0, 3};
  GatherProblem batched = GatherOperation::Along({2, 4, 3}, {2, 2}, 1, 1);
  batched.slice_bytes *= 4;
  batched.index_dtype = DType::kInt64;
  EXPECT_EQ(
      RunOperation<float>(GatherOperation::Make(batched).value(), {params.data(), rows.data()}, 12),
      (std::vector<float>{4, 5, 6, 7, 8, 9, 13, 14, 15, 22, 23, 24}));

  const std::vector<int32_t> tuples = {1, 2, 0, 0, 1, 0};
  GatherProblem nd = GatherOperation::Nd({2, 4, 3}, {3, 2}, 0);
  nd.slice_bytes *= 4;
  EXPECT_EQ(
      RunOperation<float>(GatherOperation::Make(nd).value(), {params.data(), tuples.data()}, 9),
      (std::vector<float>{19, 20, 21, 1, 2, 3, 13, 14, 15}));
}

// An index out of range fails the run and nothing outside of the operands is touched.
TEST(Gather, RefusesIndicesOutOfRange) {
  const std::vector<float> params = Iota<float>(12);
  std::vector<float> y(6);
  void* output = y.data();
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(2);
  GatherProblem problem = GatherOperation::Along({4, 3}, {2}, 0, 0);
  problem.slice_bytes *= 4;
  const GatherOperation gather = GatherOperation::Make(problem).value();
  for (const int32_t bad : {-1, 4, std::numeric_limits<int32_t>::max()}) {
    const int32_t indices[] = {0, bad};
    const void* inputs[] = {params.data(), indices};
    const Status status = gather.Run({inputs, {&output, 1}, nullptr}, *executor);
    EXPECT_EQ(status.message(), "an index is out of range of axes of 4");
  }
}

TEST(Gather, ReadsNothingOfSlicesWithoutElements) {
  const GatherOperation gather =
      GatherOperation::Make(GatherOperation::Along({2, 0, 0}, {3}, 1, 0)).value();
  const int32_t indices[] = {0, 5, -1};
  const void* inputs[] = {nullptr, indices};
  void* output = nullptr;
  EXPECT_TRUE(gather.Run({inputs, {&output, 1}, nullptr}, *MakeTbbExecutor(1)).ok());
}

TEST(Scatter, UpdatesAndSumsInOrder) {
  const std::vector<float> x = {1, 2, 3, 4, 5, 6};
  const std::vector<int64_t> indices = {2, 0, 2};
  const std::vector<float> updates = {10, 20, 30, 40, 50, 60};
  ScatterProblem problem;
  problem.index_dtype = DType::kInt64;
  problem.x = {3, 2};
  problem.tuples = 3;
  auto run = [&](ScatterKind kind) {
    problem.kind = kind;
    return RunOperation<float>(ScatterOperation::Make(problem).value(),
                               {x.data(), indices.data(), updates.data()}, 6);
  };
  EXPECT_EQ(run(ScatterKind::kUpdate), (std::vector<float>{30, 40, 3, 4, 50, 60}));
  EXPECT_EQ(run(ScatterKind::kAdd), (std::vector<float>{31, 42, 3, 4, 65, 86}));
  EXPECT_EQ(run(ScatterKind::kMax), (std::vector<float>{30, 40, 3, 4, 50, 60}));
}

TEST(Scatter, RefusesIndicesOutOfRange) {
  const std::vector<float> x = {1, 2, 3};
  const float update = 7;
  ScatterProblem problem;
  problem.x = {3};
  const ScatterOperation scatter = ScatterOperation::Make(problem).value();
  const std::unique_ptr<Executor> executor = MakeTbbExecutor(1);
  std::vector<float> y(3);
  void* output = y.data();
  for (const int32_t bad : {-1, 3}) {
    const void* inputs[] = {x.data(), &bad, &update};
    const Status status = scatter.Run({inputs, {&output, 1}, nullptr}, *executor);
    EXPECT_EQ(status.message(), fmt::format("index {} is not in [0, 3)", bad));
  }
}

}  // namespace
}  // namespace graft::cpu
