#include "quant/calibration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace graft::quant {
namespace {

using testing::HasSubstr;

// Its inputs are its watched values.
class Echo final : public Runner {
 public:
  Result<std::vector<Tensor>> Run(std::span<const Tensor> inputs) override {
    return std::vector<Tensor>(inputs.begin(), inputs.end());
  }
};

const std::vector<Watched> kValues = {{"x"}, {"y 1/relu", true, true}, {"z", false, true}};

std::vector<Tensor> Batch(float first) {
  return {Tensor::Of<float>({2}, {first, -2 * first}),
          Tensor::Of<float>({2, 3}, {first, 0, 1, -3, 0, NAN}),
          Tensor::Of<float>({1, 2}, {-first, 1.0F / 3})};
}

TEST(Calibration, KeepsTheLargestElementOfEachChannel) {
  InlineExecutor executor;
  Calibration calibration(kValues, executor);
  Echo echo;
  for (const float first : {1.0F, 5.0F, 2.0F})
    ASSERT_TRUE(calibration.Add(echo, Batch(first)).ok());
  const CalibrationTable table = *calibration.Finish(Calibrator::kMinMax);
  const auto amax = [&](const std::string& name) {
    return std::round(*table.Find(name) * 127000) / 1000;
  };
  EXPECT_EQ(table.scales.size(), 2 + 3 + 2);
  EXPECT_EQ(amax("x"), 10);
  EXPECT_EQ(amax("y 1/relu"), 5);
  EXPECT_EQ(amax("y 1/relu[0]"), 5);
  EXPECT_EQ(amax("y 1/relu[1]"), 0);
  EXPECT_EQ(amax("y 1/relu[2]"), 1);
  EXPECT_EQ(table.Find("z"), nullptr);
  EXPECT_EQ(amax("z[0]"), 5);
}

TEST(Calibration, GoesOnWhereItStopped) {
  InlineExecutor executor;
  Echo echo;
  Calibration whole(kValues, executor);
  Calibration first(kValues, executor);
  for (const float x : {1.0F, 5.0F}) {
    ASSERT_TRUE(whole.Add(echo, Batch(x)).ok());
    ASSERT_TRUE(first.Add(echo, Batch(x)).ok());
  }
  Calibration second(kValues, executor);
  ASSERT_TRUE(second.Restore(first.Gathered("key"), "key").ok());
  EXPECT_EQ(second.batches(), 2);
  ASSERT_TRUE(whole.Add(echo, Batch(0.7F)).ok());
  ASSERT_TRUE(second.Add(echo, Batch(0.7F)).ok());
  EXPECT_EQ(second.Gathered("key"), whole.Gathered("key"));
  Calibration nothing(kValues, executor);
  ASSERT_TRUE(second.Restore(nothing.Gathered("key"), "key").ok());
  EXPECT_EQ(second.batches(), 0);
}

TEST(Calibration, RefusesStatesThatAreNotItsOwn) {
  InlineExecutor executor;
  Echo echo;
  Calibration calibration(kValues, executor);
  ASSERT_TRUE(calibration.Add(echo, Batch(1)).ok());
  const std::string state = calibration.Gathered("key");
  EXPECT_THAT(calibration.Restore(state, "other").message(), HasSubstr("another model"));
  Calibration others({{"x"}}, executor);
  EXPECT_EQ(others.Restore(state, "key").code(), StatusCode::kDataLoss);
  for (size_t i = 0; i < state.size(); ++i) {
    EXPECT_FALSE(others.Restore(state.substr(0, i), "key").ok());
    std::string damaged = state;
    damaged[i] = static_cast<char>(damaged[i] ^ 1);
    EXPECT_EQ(calibration.Restore(damaged, "key").code(), StatusCode::kDataLoss) << i;
  }
  EXPECT_EQ(calibration.Gathered("key"), state);
}

}  // namespace
}  // namespace graft::quant
