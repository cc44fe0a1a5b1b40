#include "tune/tuner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backend_api/test_backend.h"

namespace graft {
namespace {

using testing::TestBackend;
using testing::TestTactic;

// An addition of a constant of 1000 numbers, for two tactics.
class TunerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::filesystem::remove_all(::testing::TempDir() + "graft_tuner");
    path_ = ::testing::TempDir() + "graft_tuner/timings";
    cache_ = TimingCache::Open(path_);
    const ir::ValueId x = module_.AddInput("x", DType::kFloat32, {1000});
    const ir::ValueId y =
        module_.AddConstant("y", Tensor::Allocate(DType::kFloat32, {1000}).value());
    ir::PointwiseAttributes add;
    add.program = ParsePointwise("2:r2=add.f32(r0,r1)").value();
    ASSERT_TRUE(module_.AddNode(add, {x, y}, "sum").ok());
  }
  Result<Choices> Run(TuneReport* report = nullptr) {
    return Tune(module_, backend_, {TuningPoint{}}, TuneOptions{}, *cache_, report);
  }
  std::string Timings() {
    EXPECT_TRUE(cache_->Flush().ok());
    std::ifstream in(path_);
    return {std::istreambuf_iterator<char>(in), {}};
  }

  ir::Module module_;
  TestBackend backend_;
  TestTactic& first_ = backend_.Add("test.first");
  TestTactic& second_ = backend_.Add("test.second");
  std::unique_ptr<TimingCache> cache_;
  std::string path_;
};

void Wait(int milliseconds) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}

TEST_F(TunerTest, TheFasterTacticIsFirst) {
  first_.on_run = [] { Wait(1); };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
}

TEST_F(TunerTest, OneDisturbedRunDoesNotLose) {
  first_.on_run = [] { Wait(1); };
  // The second run, which is the first that counts, takes as long as ten of the other tactic.
  second_.on_run = [this] {
    if (second_.runs == 2) Wait(10);
  };
  const Result<Choices> choices = Run();
  ASSERT_TRUE(choices.ok()) << choices.status().ToString();
  EXPECT_EQ(choices->steps[0].tactics[0].name, "test.second");
}

TEST_F(TunerTest, ConstantsThatNoCacheHoldsAreMeasuredCold) {
  backend_.device().cache = 3999;
  second_.packing_name = "test";
  second_.traits.packed_inputs = {1};
  ASSERT_TRUE(Run().ok());
  // Both tactics' constants: the module's own and what the second one packed.
  const std::vector<const std::byte*>& evicted = backend_.device().evicted;
  const auto* own = module_.value(module_.node(0).inputs[1]).constant->raw();
  const auto of_module = std::ranges::count(evicted, own);
  EXPECT_GT(of_module, 0);
  EXPECT_GT(std::ssize(evicted), of_module);
  EXPECT_NE(Timings().find("test.first@1 t1 cold ["), std::string::npos);
}

TEST_F(TunerTest, ConstantsThatACacheHoldsStayThere) {
  backend_.device().cache = 4000;
  ASSERT_TRUE(Run().ok());
  EXPECT_TRUE(backend_.device().evicted.empty());
  EXPECT_NE(Timings().find("test.first@1 t1 ["), std::string::npos);
}

TEST_F(TunerTest, NothingIsColdWhereCachesAreNotKnown) {
  backend_.device().cache = 0;
  ASSERT_TRUE(Run().ok());
  EXPECT_TRUE(backend_.device().evicted.empty());
  EXPECT_NE(Timings().find("test.first@1 t1 ["), std::string::npos);
}

}  // namespace
}  // namespace graft
